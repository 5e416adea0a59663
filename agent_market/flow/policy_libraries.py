"""What the policies of the step `rl` need beside the project's own requirements."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from agent_market.errors import ConfigError
from agent_market.settings import PolicyName

VERSIONED = ("stable-baselines3", "gymnasium", "d3rlpy")
"""Packages that decide what a policy learns, beside those that decide a backtest."""
_NETS, _RL = "requirements-nets.txt", "requirements-rl.txt"
_NEEDS: dict[PolicyName, tuple[str, ...]] = {
    "exact": ("torch",),
    "imitation": ("torch",),
    "ppo": ("torch", "gymnasium", "stable_baselines3"),
    "cql": ("torch", "gymnasium", "d3rlpy"),
}


def require_libraries(policies: Iterable[PolicyName]) -> None:
    """Check that what the policies learn by is installed; nothing is imported.

    Raises
    ------
    ConfigError
        A package is missing; the message names the file of requirements that has it.
    """
    for policy in policies:
        missing = [name for name in _NEEDS[policy] if find_spec(name) is None]
        if missing:
            files = dict.fromkeys(_NETS if name == "torch" else _RL for name in missing)
            install = " ".join(f"-r {file}" for file in files)
            raise ConfigError(
                f"--rl: policy {policy!r} needs {', '.join(missing)}, which is not installed. Run "
                f"`pip install {install}`, or leave it out of agent_market.flow.rl.policies."
            )
