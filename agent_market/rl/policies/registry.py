"""The policies by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_market.errors import ConfigError
from agent_market.learning.adapters.parameters import nearest
from agent_market.rl.offline.policy import BCPolicy, BCQPolicy, CQLPolicy
from agent_market.rl.policies.exact import ExactPolicy
from agent_market.rl.policies.imitation import ImitationPolicy
from agent_market.rl.policies.policy import Policy
from agent_market.rl.policies.policy_file import read_policy
from agent_market.rl.policies.sb3 import A2CPolicy, PPOPolicy, SACPolicy

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (
        ExactPolicy,
        ImitationPolicy,
        PPOPolicy,
        A2CPolicy,
        SACPolicy,
        BCPolicy,
        CQLPolicy,
        BCQPolicy,
    )
}


def create_policy(name: str, params: Mapping[str, Any] | None = None) -> Policy:
    """Return the policy `name`, which has not learned anything yet.

    Raises
    ------
    ConfigError
        There is no such policy, or a setting is wrong.
    ModelUnavailable
        Its library is not installed.
    """
    return _policy_class(name)(params)


def load_policy(path: Path) -> Policy:
    """Return the policy in a file, whichever of `POLICIES` wrote it.

    Raises
    ------
    ModelUnavailable
        There is no such file, or the library is not installed.
    StateCorrupt
        The file was cut or damaged.
    ConfigError
        The policy that wrote it is not in `POLICIES`.
    """
    header, _ = read_policy(path)
    return _policy_class(header.policy).load(path)


def _policy_class(name: str) -> type[Policy]:
    if name not in POLICIES:
        raise ConfigError(
            f"There is no policy {name!r}. Did you mean {nearest(name, POLICIES)!r}? Known: "
            f"{', '.join(POLICIES)}."
        )
    return POLICIES[name]
