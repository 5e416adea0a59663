"""One contract for every model: fit, predict, save, load, importance."""

from agent_market.learning.adapters.conformance import check_adapter
from agent_market.learning.adapters.contract import ModelAdapter, Part
from agent_market.learning.adapters.registry import ADAPTERS, adapter_class, create, load_adapter

__all__ = [
    "ADAPTERS",
    "ModelAdapter",
    "Part",
    "adapter_class",
    "check_adapter",
    "create",
    "load_adapter",
]
