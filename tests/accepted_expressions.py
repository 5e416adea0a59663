"""The file of accepted expressions, as a campaign would write it."""

from agent_market.expressions import expression_hash, parse_expression
from agent_market.expressions.accepted import (
    AcceptedExpression,
    AcceptedExpressions,
    expression_name,
)


def accepted(*formulas: str, timeframe: str = "5m") -> AcceptedExpressions:
    """Return the formulas, each with some figures."""
    hashes = [expression_hash(parse_expression(formula)) for formula in formulas]
    return AcceptedExpressions(
        campaign="0123456789abcdef",
        data_hash="00" * 32,
        timeframe=timeframe,
        horizon_candles=12,
        cost_bps=5,
        n_trials=1000,
        expressions=tuple(
            AcceptedExpression(
                name=expression_name(digest),
                formula=formula,
                expression_hash=digest,
                ic=0.05,
                icir=0.4,
                rank_ic=0.04,
                fold_ics=(0.04, 0.06),
                t=9.0,
                t_threshold=5.5,
                confirmation_ic=0.05,
                confirmation_t=5.0,
                confirmation_threshold=4.1,
                nearest="",
                correlation=0,
                gain_ic=0.02,
                gain_t=3.0,
                turnover=0.1,
                gross_bps=0.3,
                net_bps=-0.2,
                decay={"1": 0.03, "48": None},
            )
            for formula, digest in zip(formulas, hashes, strict=True)
        ),
    )
