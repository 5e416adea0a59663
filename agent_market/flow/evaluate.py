"""Steps `summarize` and `report`: what the backtest showed, for programs and for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_market.flow.inputs import Inputs, code_hashes, library_versions
from agent_market.flow.outputs import Manifest, publish
from agent_market.flow.run_backtest import result_paths
from agent_market.flow.setup import Setup
from agent_market.flow.steps import Step, StepOutput, Upstream, Workplace
from agent_market.store import hash_json, read_json, write_json

if TYPE_CHECKING:
    from agent_market.evaluation import BacktestArtifacts


_REGIMES = ("decisions/regime.py", "decisions/hidden_markov.py", "features")


def evaluation_inputs(setup: Setup, upstream: Upstream) -> Inputs:
    """Return the evaluation's code and the keys of the outputs it reads."""
    code = code_hashes("evaluation", "market/candles.py", *_REGIMES) | library_versions()
    # by kind: the equal backtests of two rounds have one summary
    keys = {name.partition(".")[0]: manifest.key for name, manifest in upstream.items()}
    return Inputs(code, upstream=keys)


def summarize_of(backtest: str) -> Callable[[Setup, Upstream, Workplace], StepOutput]:
    """Return what writes `summary.json` of the step `backtest` to its place."""

    def write_summary(setup: Setup, upstream: Upstream, place: Workplace) -> StepOutput:
        from agent_market.decisions.regime import regime_names
        from agent_market.evaluation import summarize

        path = place.folder / "summary.json"
        regime_of = partial(regime_names, settings=setup.settings.regime)
        summary = summarize(backtest_artifacts(setup, upstream[backtest]), regime_of)
        write_json(path, summary)
        return StepOutput([path], {"summary": str(path), **_headline(summary)})

    return write_summary


def publish_summary(setup: Setup, manifest: Manifest) -> None:
    """Copy the summary to where other programs look for the newest one."""
    publish(Path(manifest.facts["summary"]), setup.settings.flow.summary_path)


def write_html_report(
    setup: Setup, upstream: Upstream, place: Workplace, rounds: Mapping[str, Any] | None = None
) -> StepOutput:
    """Write `report.html` in the run's folder, with what its rounds came to, if there were any."""
    from agent_market.evaluation import write_report

    path = place.folder / "report.html"
    summary = read_json(Path(upstream["summarize"].facts["summary"]))
    write_report(summary, backtest_artifacts(setup, upstream["backtest"]), path, rounds=rounds)
    return StepOutput([path], {"report": str(path)})


def _headline(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the figures that the history shows of a run."""
    return {
        "trades": summary["totals"]["trades"],
        "net_profit_percent": summary["totals"]["net_profit_percent"],
        "mean_ic": summary["predictions"].get("overall", {}).get("mean_ic"),
    }


def backtest_artifacts(setup: Setup, backtest: Manifest) -> BacktestArtifacts:
    """Return where the evaluation finds what a backtest left."""
    from agent_market.evaluation import BacktestArtifacts

    result, models = result_paths(backtest)
    return BacktestArtifacts(
        result_path=result,
        models_dir=models,
        datadir=setup.datadir,
        config=setup.config,
        provenance={
            "data_hash": hash_json(backtest.inputs["data"]),
            "code_version": hash_json(backtest.inputs["code"]),
            "config_hash": hash_json(backtest.inputs["config"]),
        },
    )


SUMMARIZE = Step(
    "summarize", ("backtest",), evaluation_inputs, summarize_of("backtest"), publish_summary
)
REPORT = Step("report", ("backtest", "summarize"), evaluation_inputs, write_html_report)
