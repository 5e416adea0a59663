"""The alpha language: expressions over candles and features that look back only."""

from agent_market.expressions.canonical import canonical_form, expression_hash
from agent_market.expressions.checker import Traits
from agent_market.expressions.evaluator import Evaluator
from agent_market.expressions.nodes import At, Call, Constant, Feature, Input, Node
from agent_market.expressions.panel import Panel, panel_of_candles
from agent_market.expressions.parser import check_expression, parse_expression
from agent_market.expressions.printer import format_expression
from agent_market.expressions.sampling import sample_expression
from agent_market.expressions.scope import ExpressionBounds, Scope

__all__ = [
    "At",
    "Call",
    "Constant",
    "Evaluator",
    "ExpressionBounds",
    "Feature",
    "Input",
    "Node",
    "Panel",
    "Scope",
    "Traits",
    "canonical_form",
    "check_expression",
    "expression_hash",
    "format_expression",
    "panel_of_candles",
    "parse_expression",
    "sample_expression",
]
