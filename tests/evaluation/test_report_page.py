import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from agent_market.evaluation import summarize, write_report
from agent_market.store import write_json

STAMP = datetime(2024, 2, 1, tzinfo=UTC)
CHARTS = ["equity", "by-pair", "by-mode", "price", "coefficients", "importance"]
HOSTILE = "</script><script>alert(1)</script><b onclick=x>&\"'"


class _Loads(HTMLParser):
    """Collect what a page would load, and the text of the element with id `charts`."""

    def __init__(self):
        super().__init__()
        self.loads, self.tags, self.data, self._inside = [], [], "", False

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self._inside = attributes.get("id") == "charts"
        self.loads += [v for k, v in attrs if k in ("src", "href", "action", "srcset", "data")]

    def handle_data(self, data):
        if self._inside:
            self.data += data

    def handle_endtag(self, tag):
        self._inside = False


def _write(artifacts, path, summary=None):
    write_report(summary or summarize(artifacts), artifacts, path, STAMP)
    return path.read_text(encoding="utf-8")


def _parsed(page):
    parser = _Loads()
    parser.feed(page)
    return parser


def _drawn(document):
    """Return, per chart, how many marks (lines, points, bars) stand in it."""
    found = {}
    for name in CHARTS:
        match = re.search(
            rf'<div class="chart[^"]*" id="{name}".*?(?=<div class="chart|</section)',
            document,
            re.S,
        )
        part = match[0] if match else ""
        if 'class="main-svg"' in part:
            found[name] = len(re.findall(r'class="(?:js-line|point)[ "]', part))
    return found


def _events(netlog):
    names = {number: name for name, number in netlog["constants"]["logEventTypes"].items()}
    return [(names[event["type"]], event.get("params") or {}) for event in netlog["events"]]


def _requested(netlog):
    """Return what the page asked for; the browser's own requests have no origin."""
    return {
        params["url"]
        for name, params in _events(netlog)
        if name == "URL_REQUEST_START_JOB"
        and params.get("url", "").startswith(("http:", "https:", "ws:", "wss:"))
        and params.get("initiator") != "not an origin"
    }


def _sent(netlog):
    """Return what the browser as a whole sent to the network: TCP connections and datagrams."""
    return [
        (name, params)
        for name, params in _events(netlog)
        if name in ("TCP_CONNECT_ATTEMPT", "UDP_BYTES_SENT")
    ]


def test_that_every_chart_is_drawn_without_an_error_or_a_request(make_backtest, browse, tmp_path):
    artifacts = make_backtest()
    planted = {"signal": "order_flow", "information_coefficient": {"12": 0.08}}
    manifest = {"kind": "simulated", "planted": [planted], "statement": []}
    write_json(artifacts.datadir / "market.json", manifest)
    page = tmp_path / "report.html"
    _write(artifacts, page)
    document, console, netlog = browse(page, "--dump-dom")
    assert console == []
    drawn = _drawn(document)
    assert list(drawn) == CHARTS
    assert drawn["by-pair"] == 2 and drawn["by-mode"] == 3 and drawn["importance"] == 3
    # Two curves and their drawdowns; a line in the legend for each curve.
    assert drawn["equity"] == 4 + 2
    # One line, nine entries and nine exits of the busiest pair.
    assert drawn["price"] == 1 + 9 + 9 + 1
    # Twelve window coefficients and one line of truth.
    assert drawn["coefficients"] == 12 + 1 + 1
    assert "true IC of order_flow" in document
    assert _requested(netlog) == set()
    assert _sent(netlog) == []


def test_that_the_browser_would_notice_an_error_and_a_request(browse, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://127.0.0.1:8499/picture.png"><script>absent();</script>')
    _, console, netlog = browse(page, "--dump-dom")
    assert any("absent is not defined" in line for line in console)
    assert _requested(netlog) == {"http://127.0.0.1:8499/picture.png"}
    assert _sent(netlog)


@pytest.mark.parametrize("width", [390, 1280])
def test_that_nothing_is_wider_than_the_screen(make_backtest, browse, tmp_path, width):
    content = _write(make_backtest(), tmp_path / "report.html")
    probe = (
        "<script>parent.postMessage(`${document.documentElement.scrollWidth} of ${innerWidth}`,"
        "'*');</script></body>"
    )
    (tmp_path / "report.html").write_text(content.replace("</body>", probe))
    # A headless window is never narrower than 500 pixels; a frame may be.
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<script>onmessage = event => document.title = event.data</script>"
        f'<iframe src="report.html" style="border:0;width:{width}px;height:3000px"></iframe>'
    )
    document, console, _ = browse(frame, "--dump-dom", "--window-size=1400,3000")
    found = re.search(r"<title>(\d+) of (\d+)</title>", document)
    assert console == [] and found is not None
    assert int(found[1]) <= int(found[2]) == width


def test_that_the_browser_takes_a_picture(make_backtest, browse, tmp_path):
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    _write(make_backtest(), page)
    browse(page, f"--screenshot={picture}", "--window-size=1280,3000")
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 50_000


def test_that_the_page_loads_nothing_and_forbids_it(make_backtest, tmp_path):
    parser = _parsed(_write(make_backtest(), tmp_path / "report.html"))
    assert parser.loads == ["data:,"]
    assert not {"img", "iframe", "object", "embed"} & set(parser.tags)
    assert "default-src 'none'" in (tmp_path / "report.html").read_text()


def test_that_the_page_differs_only_by_its_stamp(make_backtest, tmp_path):
    artifacts = make_backtest()
    first = _write(artifacts, tmp_path / "a.html")
    assert first == _write(artifacts, tmp_path / "b.html")
    write_report(
        summarize(artifacts), artifacts, tmp_path / "c.html", datetime(2025, 3, 4, tzinfo=UTC)
    )
    later = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert later != first
    assert later.replace("2025-03-04 00:00:00", "2024-02-01 00:00:00") == first


def test_that_hostile_text_stays_text(make_backtest, browse, tmp_path):
    artifacts = make_backtest(config={"bot_name": HOSTILE, "strategy": "HybridMultiMode"})
    summary = summarize(artifacts)
    summary["backtest"]["model"] = HOSTILE
    summary["simulated"].append(HOSTILE)
    summary["provenance"][HOSTILE] = HOSTILE
    for row in (*summary["by_mode"], *summary["by_pair"], *summary["by_exit_reason"]):
        row.update({key: HOSTILE for key in ("mode", "pair", "exit_reason") if key in row})
    for row in summary["predictions"]["windows"]:
        row["pair"] = HOSTILE
    summary["feature_importance"]["top"][0]["feature"] = HOSTILE
    clean = _parsed(_write(artifacts, tmp_path / "clean.html"))
    page = _write(artifacts, tmp_path / "report.html", summary)
    parser = _parsed(page)
    assert parser.tags.count("script") == clean.tags.count("script") == 3
    assert "b" not in parser.tags and "alert(1)</script>" not in page
    document, console, _ = browse(tmp_path / "report.html", "--dump-dom")
    assert console == [] and "<b onclick" not in document
    assert "coefficients" in _drawn(document)


def test_that_secrets_are_not_written_even_if_the_caller_forgot_them(make_backtest, tmp_path):
    secrets = {
        "exchange": {
            "name": "binance",
            "key": "s3cret-a",
            "secret": "s3cret-b",
            "password": "s3cret-c",
        },
        "telegram": {"token": "s3cret-d"},
        "api_server": {"jwt_secret_key": "s3cret-e", "ws_token": "s3cret-f"},
    }
    page = _write(make_backtest(config=secrets), tmp_path / "report.html")
    assert "s3cret" not in page and "binance" in page and "(removed)" in page


@pytest.mark.parametrize(
    ("wanted", "charts", "text"),
    [
        ({"with_trades": False}, ["equity", "coefficients", "importance"], "opened no trade"),
        ({"with_predictions": False}, CHARTS[:4], "no predictions of this run"),
        ({"classifier": True}, [*CHARTS[:4], "importance"], "predicts classes"),
        ({"pairs": ("BTC/USDT:USDT",)}, CHARTS, "BTC/USDT:USDT"),
    ],
)
def test_that_a_missing_part_is_said_and_the_rest_is_drawn(
    make_backtest, browse, tmp_path, wanted, charts, text
):
    page = _write(make_backtest(**wanted), tmp_path / "report.html")
    assert list(json.loads(_parsed(page).data)) == charts and text in page
    document, console, _ = browse(tmp_path / "report.html", "--dump-dom")
    assert console == [] and list(_drawn(document)) == charts


def test_that_the_real_export_is_reported(freqtrade_export, tmp_path):
    page = _write(freqtrade_export, tmp_path / "report.html")
    for expected in ("FreqaiExampleStrategy", "−25.31 %", "352", "Recorded candles", "26.82 %"):
        assert expected in page
