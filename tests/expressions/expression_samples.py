"""Random expressions for properties: one integer, one expression."""

import numpy as np
from hypothesis import strategies as st

from agent_market.expressions import Node, Scope, sample_expression
from agent_market.expressions.units import PLAIN, PRICE, VOLUME

SCOPE = Scope(features=frozenset({"%-rsi-period_14", "a b/c:d", 'say "so"', "it's", "币安人生"}))


def drawn_expression(seed: int) -> Node:
    """Return the expression of a seed: of any depth to 8, of a plain number, price or volume."""
    rng = np.random.default_rng(seed)
    unit = (PLAIN, PRICE, VOLUME)[int(rng.integers(3))]
    return sample_expression(rng, SCOPE, depth=int(rng.integers(1, 9)), unit=unit)


expressions = st.integers(0, 2**63).map(drawn_expression)
