from pathlib import Path

from agent_market.store import hash_files, hash_json


def test_that_the_order_of_keys_does_not_matter_but_values_do() -> None:
    assert hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    assert hash_json({"a": 1, "b": 2}) != hash_json({"a": 1, "b": 3})


def test_that_a_file_hash_sees_names_and_contents(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("x")
    two.write_text("y")
    first = hash_files([one, two], tmp_path)
    assert first == hash_files([two, one], tmp_path)
    two.write_text("z")
    assert first != hash_files([one, two], tmp_path)
