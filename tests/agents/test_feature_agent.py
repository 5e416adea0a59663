"""The feature agent on a simulated market whose truth is known."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_market.bridge import load_plans, model_spec, read_config
from agent_market.errors import ConfigError
from agent_market.features import GROUPS, FeatureInputs, FeatureSet, read_feature_set
from agent_market.market.sidedata import read_side, write_side
from agent_market.market.simulator import write_market
from agent_market.settings import PlantedAlphaSettings, SimulatorSettings
from agents import feature_agent
from agents.feature_agent import (
    FeatureAgent,
    Limits,
    Space,
    Trial,
    available_groups,
    propose_by_search,
    read_proposal,
)

PROJECT = Path(__file__).resolve().parents[2]
PAIRS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
TIMERANGE = "20250113-20250115"
SPACE = Space(
    groups=("returns", "volume", "candle", "calendar", "market", "flow"),
    periods=(12, 24),
    opening_periods=(12,),
    timeframes=("5m", "1h"),
    correlated_pairs=PAIRS,
)
OPENING: dict[str, Any] = {
    "groups": ["returns", "candle"],
    "periods": [12],
    "timeframes": ["5m"],
    "correlated_pairs": [],
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 14 days of two pairs in which taker flow predicts the next minutes strongly."""
    folder = tmp_path_factory.mktemp("planted") / "market"
    alpha = PlantedAlphaSettings(order_flow=0.45, regime=0, news=0)
    settings = SimulatorSettings(
        seed=3, days=14, pairs=PAIRS, timeframes=("5m", "1h"), detail_days=0, alpha=alpha
    )
    write_market(settings, folder)
    return folder


@pytest.fixture
def config(market: Path, tmp_path: Path) -> dict[str, Any]:
    found = read_config(
        [_overlay(tmp_path)],
        {"timerange": TIMERANGE, "datadir": str(market), "user_data_dir": str(tmp_path)},
    )
    return {**found, "exchange": {**found["exchange"], "pair_whitelist": list(PAIRS)}}


def _overlay(folder: Path) -> Path:
    content = json.loads((PROJECT / "config.json").read_text())
    del content["add_config_files"], content["api_server"]
    for key in ("strategy_path", "freqaimodel_path"):
        content[key] = str(PROJECT / content[key])
    content["exchange"]["pair_whitelist"] = list(PAIRS)
    content["freqai"] |= {"train_period_days": 7, "backtest_period_days": 2}
    features = content["freqai"]["feature_parameters"]
    features |= {"label_period_candles": 3, "indicator_periods_candles": [12]}
    content["agent_market"]["state_dir"] = str(folder / "state")
    path = folder / "config.json"
    path.write_text(json.dumps(content))
    return path


def _agent(config: Mapping[str, Any], space: Space = SPACE, **limits: int) -> FeatureAgent:
    spec = model_spec(config, "linear_regressor", 3, params={"alpha": 100.0, "imputer": "median"})
    folder = Path(config["user_data_dir"]) / "agent"
    return FeatureAgent(config, space, Limits(**limits), spec, folder)


def _proposing(*contents: Mapping[str, Any]) -> feature_agent.Proposer:
    def propose(
        trials: Sequence[Trial], space: Space, rng: np.random.Generator
    ) -> Mapping[str, Any] | None:
        return contents[len(trials)] if len(trials) < len(contents) else None

    return propose


def test_that_the_group_that_predicts_is_found_and_scores_as_it_is_written(
    config: dict[str, Any],
) -> None:
    clock = {**OPENING, "groups": ["calendar"]}
    with_flow = {**OPENING, "groups": ["calendar", "flow"]}
    outcome = _agent(config).run(5, 0, _proposing(clock, with_flow))
    assert "flow" in outcome.chosen.groups
    assert len(outcome.trials) == 2
    scores = [trial.score or 0.0 for trial in outcome.trials]
    assert outcome.score == max(scores) > scores[0] + 0.2
    assert outcome.score_as_written == pytest.approx(outcome.score, abs=1e-6)


def test_that_a_trial_is_scored_on_its_own_columns_alone(config: dict[str, Any]) -> None:
    """The superset less what is excluded has the columns that the set alone has, pair by pair."""
    chosen = FeatureSet(
        groups=("returns", "volume", "calendar", "flow"),
        periods=(24,),
        timeframes=("5m", "1h"),
        correlated_pairs=(PAIRS[0],),
    )
    agent = _agent(config)
    whole, alone = agent._superset(chosen), agent._load(chosen)
    for superset, plan in zip(whole, alone, strict=True):
        assert feature_agent._kept(chosen, superset) == list(plan.table.names)
        at = [superset.table.names.index(name) for name in plan.table.names]
        ours = superset.table.read(*superset.windows[0].train)[:, at]  # it loads more history
        np.testing.assert_array_equal(ours, plan.table.read(*plan.windows[0].train))
        assert np.isfinite(ours).all(), "the strategy loads too few candles before training"


def test_that_nothing_after_the_first_training_window_counts(
    config: dict[str, Any],
) -> None:
    agent = _agent(config)
    whole = FeatureSet.model_validate(OPENING)
    plans = agent._superset(whole)
    before = agent._score(whole, plans)
    for plan in plans:
        first = min(plan.windows, key=lambda window: window.predict)
        plan.labels[first.train[1] - plan.horizon_candles :] = 1e3
    assert agent._score(whole, plans) == before
    for plan in plans:
        first = min(plan.windows, key=lambda window: window.predict)
        plan.labels[: first.train[1]] = np.random.default_rng(0).normal(size=(first.train[1], 1))
    assert agent._score(whole, plans) != before


def test_that_a_seed_gives_the_same_search(config: dict[str, Any]) -> None:
    runs = [_agent(config).run(3, 11) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].chosen.provenance["n_trials"] == 3
    assert len({repr(trial.content) for trial in runs[0].trials}) == 3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"groups": ["retruns"]}, "unknown group 'retruns'"),
        ({"groups": ["vwap"]}, "groups: vwap is not among"),
        ({"periods": [99]}, "periods: 99 is not among 12, 24"),
        ({"timeframes": ["1h"]}, "the strategy's own 5m is missing"),
        ({"correlated_pairs": ["SOL/USDT:USDT"]}, "SOL/USDT:USDT is not among"),
        ({"groups": "drop table"}, "groups: "),
        ({"run": "rm -rf"}, "run: Extra inputs are not permitted"),
    ],
)
def test_that_a_proposal_of_anything_else_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_proposal({**OPENING, **changes}, SPACE)


def test_that_refused_proposals_are_kept_with_their_reasons(config: dict[str, Any]) -> None:
    bad = {**OPENING, "groups": ["retruns"]}
    wide = {**OPENING, "groups": list(SPACE.groups), "correlated_pairs": list(PAIRS)}
    long = {**OPENING, "groups": ["market"], "correlated_pairs": list(PAIRS)}
    agent = _agent(config, max_columns=40, max_memory=200)
    outcome = agent.run(9, 0, _proposing(bad, wide, long, OPENING))
    told = [trial.refused for trial in outcome.trials]
    assert "unknown group" in told[0]
    assert "288 candles back, above 200" in told[1] and "288 candles back" in told[2]
    assert told[3] == "" and outcome.trials[3].n_columns <= 40
    narrow = _agent(config, max_columns=4)
    with pytest.raises(ConfigError, match=r"could be scored: .* columns are above 4"):
        narrow.run(1, 0, _proposing(OPENING))


def test_that_a_group_without_values_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    datadir = shutil.copytree(config["datadir"], tmp_path / "market")
    for pair in PAIRS:
        write_side(datadir, "order_flow", pair, read_side(datadir, "order_flow", pair).iloc[:50])
    empty = {**OPENING, "groups": ["candle", "flow"]}
    full = {**OPENING, "groups": ["candle"]}
    agent = _agent({**config, "datadir": datadir}, replace(SPACE, groups=("candle", "flow")))
    trials = agent.run(2, 0, _proposing(empty, full)).trials
    assert "group flow: no column has a value" in trials[0].refused
    assert trials[1].score is not None


def test_that_a_group_that_peeks_is_refused_before_anything_is_scored(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def peek(inputs: FeatureInputs) -> dict[str, Any]:
        return {"next": inputs.candles["close"].shift(-1)}

    peeking = replace(GROUPS["candle"], compute=peek)
    monkeypatch.setattr(feature_agent, "GROUPS", {**GROUPS, "candle": peeking})
    with pytest.raises(ConfigError, match="%-candle_next"):
        _agent(config).run(1, 0)


def test_that_a_search_never_repeats_itself_and_ends() -> None:
    space = Space(("returns", "candle"), (12,), (12,), ("5m",), ())
    rng = np.random.default_rng(0)
    trials: list[Trial] = []
    while (content := propose_by_search(trials, space, rng)) is not None:
        read_proposal(content, space)
        trials.append(Trial(len(trials), content, score=0.0))
    assert len({repr(trial.content["groups"]) for trial in trials}) == len(trials) == 3


def _command(market: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "scripts/freqai_feature_agent.py", "-c", str(_overlay(folder))]
    places = ["-d", str(market), "--userdir", str(folder), "--timerange", TIMERANGE]
    return subprocess.run(
        [*script, *places, *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("name", ["freqai_features.json", "named.json"])
def test_that_the_command_writes_what_a_strategy_reads(
    name: str, market: Path, tmp_path: Path
) -> None:
    options = ["--trials", "2", "--group", "candle", "--group", "flow", "--period", "12"]
    configs = [_overlay(tmp_path)]
    if name == "named.json":
        configs.append(tmp_path / "named-config.json")
        content = {"freqai": {"feature_set_file": str(tmp_path / name)}}
        configs[-1].write_text(json.dumps(content))
        options += ["-c", str(configs[-1])]
    run = _command(market, tmp_path, *options)
    assert run.returncode == 0, run.stdout + run.stderr
    found = read_feature_set(tmp_path / name)
    assert found is not None and found.hash is not None
    assert found.provenance["n_trials"] == 2
    configured = read_config(
        configs,
        {"timerange": TIMERANGE, "datadir": str(market), "user_data_dir": str(tmp_path)},
    )
    names = load_plans(configured)[3][0].table.names
    assert {name.split("_")[0] for name in names} == {f"%-{name}" for name in found.groups}


def test_that_only_groups_whose_data_are_there_are_tried(
    config: dict[str, Any], tmp_path: Path
) -> None:
    assert set(available_groups(config)) == set(GROUPS)
    bare = {**config, "datadir": str(tmp_path)}
    missing = {"funding", "basis", "crowding", "flow", "news", "embedding"}
    assert set(GROUPS) - set(available_groups(bare)) == missing
    assert list(available_groups(bare, ["flow", "candle"])) == ["candle", "flow"]
    with pytest.raises(ConfigError, match=r"unknown group 'flwo'. Known: returns"):
        list(available_groups(config, ["flwo"]))
