"""The report's section on rounds: what was proposed, accepted, and said by the vault."""

import re
from html import unescape
from typing import Any

import pytest

from agent_market.evaluation import summarize, write_report
from agent_market.evaluation.report_rounds import rounds_section

HOSTILE = "</script><b onclick=x>&\"'"


def _record(formula: str, **figures: Any) -> dict[str, Any]:
    sealed = {"confirmation_ic": None, "confirmation_t": None, "confirmation_threshold": None}
    known = {"ic": -0.0412, "t": -7.21, "fold_ics": [-0.05, -0.03], "net_bps": -0.12}
    return {"formula": formula, **known, **sealed, **figures}


def _rounds(**changes: Any) -> dict[str, Any]:
    search = {
        "round": 1,
        "proposer": "search",
        "by_model": 0,
        "fallbacks": [],
        "new_trials": 150,
        "trials": 150,
        "t_threshold": 4.4,
        "best": "-returns",
        "best_ic": -0.0412,
        "best_t": -7.21,
        "candidates": 1,
        "search_end": "2024-02-29T08:00:00+00:00",
    }
    model = {
        **search,
        "round": 2,
        "proposer": "model",
        "by_model": 3,
        "fallbacks": ["the server answered 503"],
        "new_trials": 8,
        "trials": 158,
    }
    tried = {"trades": 12, "net_profit_percent": -1.5, "mean_ic": 0.0211}
    vault = {
        "trials": 158,
        "pooled_ic": -0.031,
        "pooled_ic_error": 0.01,
        "pooled_t": -3.3,
        "expressions": [{**_record("-returns"), "ic_error": 0.005}],
    }
    held = {"confirmation_ic": -0.038, "confirmation_t": -4.4, "confirmation_threshold": 3.4}
    return {
        "features": {
            "groups": ["momentum", "volume"],
            "inner_ic": 0.0636,
            "trials": 4,
            "refused": 1,
        },
        "rounds": [
            {"proposed": search, "found": [_record("-returns")], "backtest": tried},
            {"proposed": model, "found": [], "backtest": {"trades": 0, "mean_ic": None}},
        ],
        "acceptance": {"candidates": 2, "trials": 158, "accepted": 1},
        "accepted": [_record("-returns", **held)],
        "vault": vault,
        **changes,
    }


def _text(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).replace("\u2212", "-")


def test_that_each_round_shows_what_was_proposed_and_what_its_backtest_made_of_it() -> None:
    text = _text(rounds_section(_rounds()))
    assert "momentum volume , inner IC 0.0636, the best of 4 sets tried, 1 refused" in text
    assert "end at 2024-02-29 08:00" in text
    assert "1 search 150 150 7.2 -0.0412 4.4 1 12 -1.50 % 0.0211" in text
    assert "2 model 3, search 5 8 158 7.2 -0.0412 4.4 1 0 n/a n/a" in text
    assert "Search stood in for the model: the server answered 503" in text
    assert "Round 1: candidates, by their scores alone" in text
    assert "-returns -0.0412 -7.2 -0.050, -0.030 -0.12" in text
    assert "Round 2: candidates, by their scores alone None." in text


def test_that_what_was_accepted_and_the_vault_stand_with_their_figures() -> None:
    text = _text(rounds_section(_rounds()))
    assert "2 candidates of 158 trials were decided upon; 1 accepted" in text
    assert "-returns -0.0412 -7.2 -0.0380 -4.4 3.4 -0.12" in text
    assert "-returns -0.0412 [-0.0510, -0.0314] -7.2 -0.12" in text
    assert "all, averaged -0.0310 [-0.0506, -0.0114] -3.3 n/a" in text


def test_that_a_sealed_vault_and_an_empty_pool_are_told() -> None:
    nothing = {"candidates": 0, "trials": 158, "accepted": 0}
    html = rounds_section(_rounds(vault=None, acceptance=nothing, accepted=[]))
    assert "Vault This run did not open it." in _text(html)
    assert "0 candidates of 158 trials were decided upon; 0 accepted" in _text(html)
    empty = {"trials": 158, "pooled_ic": None, "pooled_t": None, "expressions": []}
    assert "there was no expression to score" in _text(rounds_section(_rounds(vault=empty)))


def test_that_no_text_of_a_model_becomes_part_of_the_page() -> None:
    rounds = _rounds(accepted=[_record(HOSTILE)])
    rounds["rounds"][1]["proposed"]["fallbacks"] = [HOSTILE]
    html = rounds_section(rounds)
    assert "<b onclick" not in html and "</script>" not in html
    assert html.count("&lt;b onclick=x&gt;") == 2


@pytest.mark.parametrize("width", [390, 1280])
def test_that_the_section_is_drawn_without_an_error_and_never_wider_than_the_page(
    width: int, make_backtest: Any, browse: Any, tmp_path: Any
) -> None:
    artifacts = make_backtest()
    page = tmp_path / "report.html"
    long = " + ".join(["ts_rank(ts_zscore(close, 24), 117)"] * 8)
    write_report(summarize(artifacts), artifacts, page, rounds=_rounds(accepted=[_record(long)]))
    told = "parent.postMessage(`${document.documentElement.scrollWidth} of ${innerWidth}`, '*')"
    page.write_text(page.read_text().replace("</body>", f"<script>{told}</script></body>"))
    frame = tmp_path / "frame.html"  # a headless window is never narrower than 500 pixels
    frame.write_text(
        "<script>onmessage = event => document.title = event.data</script>"
        f'<iframe src="report.html" style="border:0;width:{width}px;height:3000px"></iframe>'
    )
    document, console, _ = browse(frame, "--dump-dom", "--window-size=1400,3000")
    assert console == []
    title = re.search(r"<title>(\d+) of (\d+)</title>", document)
    assert title is not None and int(title[1]) <= int(title[2]) == width


def test_that_a_run_without_rounds_has_no_such_section(make_backtest: Any, tmp_path: Any) -> None:
    artifacts = make_backtest()
    write_report(summarize(artifacts), artifacts, tmp_path / "report.html")
    assert "<h2>Rounds</h2>" not in (tmp_path / "report.html").read_text()
