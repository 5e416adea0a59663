import re

import pytest

from agent_market.errors import ConfigError
from agent_market.evaluation.training import (
    Candidate,
    derived_groups,
    given_groups,
    local_processes,
    run_candidates,
)
from agent_market.evaluation.training.ablation import ablation_rows, without
from agent_market.evaluation.training.groups import check_groups
from tests.evaluation.training.conftest import HORIZON, LABEL, NAMES, spec

COLUMNS = (
    "%-rsi-period_12_BTC/USDTUSDT_5m",
    "%-rsi-period_12_shift-1_BTC/USDTUSDT_5m",
    "%-rsi_slow-period_12_ETH/USDTUSDT_1h",
    "%-return_bps_gen_ETH/USDTUSDT_1h",
    "%-return_bps_gen_BTC/USDTUSDT_5m",
    "%-news_age",
    "%-newsless",
    "%-day_cos",
)


def test_that_groups_follow_from_the_column_names():
    groups = derived_groups(COLUMNS)
    found = {
        name: [place for place, column in enumerate(COLUMNS) if re.search(pattern, column)]
        for name, pattern in groups.items()
    }
    assert found == {
        "day": [7],
        "news": [5],
        "newsless": [6],
        "return": [3, 4],
        "rsi": [0, 1, 2],
        "timeframe 1h": [2, 3],
        "timeframe 5m": [0, 1, 4],
    }  # the coins' groups hold the same columns as the timeframes' here


def test_that_given_groups_are_read_and_checked():
    groups = given_groups(["news=^%-news", "both=rsi|day=?"])
    assert groups == {"news": "^%-news", "both": "rsi|day=?"}
    check_groups(groups, COLUMNS)
    for text in ("news", "=x", "news=", "news=("):
        with pytest.raises(ConfigError, match="--ablate"):
            given_groups([text])
    for pattern, count in (("absent", "0 of 8"), ("%", "8 of 8")):
        with pytest.raises(ConfigError, match=count):
            check_groups({"wrong": pattern}, COLUMNS)


def test_that_the_group_that_knows_is_missed_and_the_others_are_not(make_plan):
    plans = {HORIZON: [make_plan(), make_plan("ETH/USDT:USDT", seed=1)]}
    whole = Candidate("model", HORIZON, spec())
    groups = {
        name: without(whole, name, pattern) for name, pattern in derived_groups(NAMES).items()
    }
    assert list(groups)[:3] == ["news", "noise", "signal"]
    done = run_candidates([whole, *groups.values()], plans, local_processes(1))
    reduced = {name: done[each.key] for name, each in groups.items()}
    rows = {row["group"]: row for row in ablation_rows(done[whole.key], reduced, LABEL, seed=0)}
    assert rows["signal"]["difference_interval_95"][0] > 0.2
    assert rows["signal"]["ic_without"] == pytest.approx(0, abs=0.1)
    for name in ("news", "noise"):
        low, high = rows[name]["difference_interval_95"]
        assert abs(rows[name]["difference"]) < 0.05 and low < 0.02 and high > -0.02
        assert rows[name]["difference"] == pytest.approx(
            rows[name]["ic_with"] - rows[name]["ic_without"]
        )
