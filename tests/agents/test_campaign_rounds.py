"""What a round proposes follows from the search rows alone, also when it is killed half way."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agent_market.errors import GateRejected
from agent_market.expressions.accepted import read_accepted
from agent_market.flow.agent_tasks import AgentTask
from agent_market.store import write_json
from agents.campaign_rounds import accept, propose, unseal
from tests.campaign_project import SEARCH_END, write_reverting_market
from tests.flow_project import PAIRS
from tests.llm.fault_server import Served, answering, serve

GOOD = json.dumps({"expressions": ["-returns", "rank(volume)"]})


@dataclass
class Bench:
    """A market, a model, and a folder for the tasks of one campaign."""

    folder: Path
    datadir: Path
    llm: dict[str, Any]

    def task(self, number: int = 0, **changes: Any) -> AgentTask:
        place = self.folder / f"round-{number}"
        place.mkdir(parents=True, exist_ok=True)
        rounds = {"evaluations": 60, "questions": 2, "proposals": 3}
        write_json(
            place / "config.json",
            {
                "timeframe": "1h",
                "trading_mode": "futures",
                "freqai": {"feature_parameters": {"label_period_candles": 2}},
                "agent_market": {"llm": self.llm, "flow": {"rounds": rounds}},
            },
        )
        given: dict[str, Any] = {
            "config": place / "config.json",
            "datadir": self.datadir,
            "user_data_dir": self.folder,
            "pairs": PAIRS,
            "timerange": "20240101-20240420",
            "output": place / "expressions.json",
            "facts": place / "facts.json",
            "key": f"{number:016d}",
            "campaign": self.folder / "campaign",
            "number": number,
            "rounds": 2,
        }
        return AgentTask(**{**given, **changes})


@pytest.fixture(scope="module")
def markets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two markets that differ from the end of the search rows on."""
    folders = [tmp_path_factory.mktemp(f"market-{seed}") for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        write_reverting_market(folder, later_seed=seed)
    return folders


@pytest.fixture
def bench(markets: list[Path], tmp_path: Path) -> Callable[..., Bench]:
    def make(name: str, market: int = 0, **llm: Any) -> Bench:
        return Bench(tmp_path / name, markets[market], llm)

    return make


def _summary(path: Path, *windows: tuple[pd.Timestamp, float]) -> Path:
    found = [
        {"pair": PAIRS[0], "window_end": str(end.isoformat()), "ic": ic} for end, ic in windows
    ]
    content = {
        "schema": 1,
        "backtest": {"model": "Any", "timeframe": "1h"},
        "totals": {"net_profit_percent": 77.7},
        "predictions": {"horizon_candles": 2, "windows": found},
    }
    write_json(path, content)
    return path


def _asked(served: Served) -> list[dict[str, Any]]:
    return [body for _, body in served.requests]


def test_that_no_later_row_changes_what_a_model_is_asked(
    bench: Callable[..., Bench], tmp_path: Path
) -> None:
    asked, pools = [], []
    for market in (0, 1):
        with serve(answering(GOOD)) as served:
            room = bench(f"m{market}", market, base_url=served.url, tries=1)
            propose(room.task(1))
            late = (SEARCH_END + pd.Timedelta(hours=1), 0.5 + market / 4)
            early = (SEARCH_END - pd.Timedelta(days=3), 0.25)
            summary = _summary(tmp_path / f"summary-{market}.json", early, late)
            propose(room.task(2, summary=summary))
        asked.append(_asked(served))
        pools.append(accept(room.task(3, output=room.folder / "accepted.json")))
        unseal(room.task(4, output=room.folder / "vault.json"))
    assert asked[0] == asked[1]
    text = json.dumps(asked[0])
    assert "mean IC 0.2500 in 1 windows" in text and "77.7" not in text
    assert len(asked[0]) == 4 and "-returns: score" in text
    files = [tmp_path / f"m{market}" for market in (0, 1)]
    assert (files[0] / "vault.json").read_bytes() != (files[1] / "vault.json").read_bytes()


def test_that_a_second_attempt_ends_with_the_bytes_of_the_first(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = bench("whole"), bench("cut")
    for number in (1, 2):
        propose(whole.task(number))
    accept(whole.task(3))
    propose(cut.task(1))
    with monkeypatch.context() as patched:
        patched.setattr("agents.campaign_rounds.write_accepted", _killed)
        with pytest.raises(KeyboardInterrupt):
            propose(cut.task(2))
    propose(cut.task(2))
    with monkeypatch.context() as patched:
        patched.setattr("agents.campaign_rounds.Campaign.write_accepted", _killed)
        with pytest.raises(KeyboardInterrupt):
            accept(cut.task(3))
    accept(cut.task(3))
    for name in ("round-2/expressions.json", "round-3/expressions.json", "campaign/trials.jsonl"):
        assert (whole.folder / name).read_bytes() == (cut.folder / name).read_bytes()
    pool = read_accepted(whole.task(3).output)
    assert pool.expressions and pool.n_trials == 120


def test_that_answers_of_a_killed_attempt_are_not_asked_for_again(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(answering(GOOD)) as served:
        room = bench("asked", base_url=served.url, tries=1)
        with monkeypatch.context() as patched:
            patched.setattr("agents.campaign_rounds.write_accepted", _killed)
            with pytest.raises(KeyboardInterrupt):
                propose(room.task(1))
        assert len(served.requests) == 2
        facts = propose(room.task(1))
        assert len(served.requests) == 2
    assert (facts["by_model"], facts["new_trials"]) == (2, 6)


def test_that_the_budget_is_that_of_all_rounds(bench: Callable[..., Bench]) -> None:
    with serve(answering(GOOD)) as served:
        room = bench("budget", base_url=served.url, tries=1, budget_tokens=20)
        facts = [propose(room.task(number)) for number in (1, 2)]
    assert len(served.requests) == 1
    assert all("the budget is spent" in each["fallbacks"][-1] for each in facts)
    assert [each["new_trials"] for each in facts] == [6, 6]


def test_that_a_model_without_its_key_is_replaced_by_search(bench: Callable[..., Bench]) -> None:
    room = bench("key", base_url="https://127.0.0.1:9/v1", api_key_env="NOT_SET_HERE")
    facts = propose(room.task(1))
    assert facts["by_model"] == 0 and facts["new_trials"] == 6
    assert "NOT_SET_HERE holds no key" in facts["fallbacks"][0]


def test_that_another_number_of_rounds_begins_another_search_in_the_same_campaign(
    bench: Callable[..., Bench],
) -> None:
    room = bench("more")
    propose(room.task(1))
    facts = propose(room.task(1, rounds=3, key="another" + 9 * "x"))
    one_round = 64  # whole generations: 24 expressions, then 8 each
    assert (facts["new_trials"], facts["trials"]) == (one_round, 2 * one_round)
    assert len(list(room.task().campaign.glob("search-*.json"))) == 1  # type: ignore[union-attr]


def test_that_a_vault_is_opened_once_and_ends_the_campaign(bench: Callable[..., Bench]) -> None:
    room = bench("vault")
    propose(room.task(1))
    accept(room.task(2))
    first = unseal(room.task(3, output=room.folder / "vault.json"))
    assert unseal(room.task(3, output=room.folder / "vault.json")) == first
    assert first["pooled_t"] > 3
    with pytest.raises(GateRejected, match="newer data"):
        propose(room.task(4))


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
