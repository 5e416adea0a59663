"""Files that survive being killed at any byte, and content hashes."""

from agent_market.store.append_log import AppendLog, read_records
from agent_market.store.atomic import read_json, write_bytes, write_json, write_text, write_with
from agent_market.store.generations import Generation, Generations
from agent_market.store.hashing import hash_bytes, hash_file, hash_files, hash_json

__all__ = [
    "AppendLog",
    "Generation",
    "Generations",
    "hash_bytes",
    "hash_file",
    "hash_files",
    "hash_json",
    "read_json",
    "read_records",
    "write_bytes",
    "write_json",
    "write_text",
    "write_with",
]
