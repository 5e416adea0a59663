"""Stages of a release with limits written down beforehand, and two variants compared."""

from agent_market.evaluation.gates.comparison import Comparison, CostCase, compare
from agent_market.evaluation.gates.figures import Evidence, Figures, measure
from agent_market.evaluation.gates.release import (
    Assessment,
    Ledger,
    StageState,
    Step,
    assess,
    current,
    promote,
    require_promotable,
    roll_back,
    start,
)
from agent_market.evaluation.gates.stages import STAGES, Stage, Verdict, judge, loosened

__all__ = [
    "STAGES",
    "Assessment",
    "Comparison",
    "CostCase",
    "Evidence",
    "Figures",
    "Ledger",
    "Stage",
    "StageState",
    "Step",
    "Verdict",
    "assess",
    "compare",
    "current",
    "judge",
    "loosened",
    "measure",
    "promote",
    "require_promotable",
    "roll_back",
    "start",
]
