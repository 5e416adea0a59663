"""The analyst: tells people what the newest summary says, each figure with the field it is from.

A language model may write the sentences. Each is checked against the summary and dropped if a
figure in it does not stand there, and what none of its sentences cites is told by a template. The
analyst reads one file and writes one report: no order, no configuration, no bot.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from agent_market.errors import ConfigError, DataError
from agent_market.llm import Ask, Message, NoAnswer, Request
from agent_market.llm.prompts import fill_prompt
from agent_market.llm.quoting import as_data
from agent_market.settings import LlmSettings
from agent_market.store import hash_json, read_json, write_text

logger = logging.getLogger(__name__)

Value = int | float | str | None
Facts = Mapping[str, Value]
"""Fields by their paths; a row of a breakdown goes by its name: `by_mode.trend.net_profit`."""

_SCHEMA = 1
_SECTIONS = (
    "backtest",
    "market",
    "totals",
    "buy_and_hold",
    "by_mode",
    "by_pair",
    "by_direction",
    "by_exit_reason",
    "predictions",
)
_LEFT_OUT = ("predictions.windows", "market.planted")
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9 &+/:._-]{1,80}")
_DAY = re.compile(r"\d{4}-\d\d-\d\dT")
_ROW = re.compile(r"(?P<breakdown>(?:\w+\.)*by_\w+)\.(?P<name>[^.]+)\.")

_MOST_SENTENCES, _LONGEST_SENTENCE, _SHOWN_FACTS = 40, 400, 200
_WANTED_SENTENCES = 12
_SHOWN_REFUSALS = 6
_NEAR = 20  # a figure is off by a 20th of the field at most, however few its digits
_MARKER = re.compile(r"^\s*(?:[-*+]\s+|\d{1,3}[.)]\s+)?")
_CITATION = re.compile(r"\s*\[([^\[\]\s]{1,200})\](?!\()")  # a link is no citation
_FIGURE = re.compile(
    r"(?<![\w.,$€£-])(?P<number>[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)"
    r"(?P<unit>\s?%|(?:\s+[A-Za-z]+){0,2})$"
)
_TYPED = str.maketrans(
    {"\N{MINUS SIGN}": "-", "\N{NO-BREAK SPACE}": " ", "\N{RIGHT SINGLE QUOTATION MARK}": "'"}
)
_WORDS = re.compile(r"[A-Za-z \-.,;:'()%_]*")
_LINK = re.compile(r"\w\.\w")
_NUMBER_WORDS = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty|(?:hundred|thousand|dozen|\w+illion)s?|"
    r"half|halves|halved|third|thirds|quarters?|doubl\w+|tripl\w+|twice|thrice|\w+fold)\b",
    re.IGNORECASE,
)
_UNITS = frozenset(
    {"%", "percent", "bps", "basis", "points", "pips", "k", "m", "x", "times"}
    | {"seconds", "minutes", "min", "hours", "h", "days", "weeks", "months", "years"}
)


_MEASURES = {
    "drawdown": "drawdown",
    "sharpe": "sharpe",
    "sortino": "sortino",
    "calmar": "calmar",
    "information coefficient": "_ic",
    "win rate": "win_rate",
    "profit factor": "profit_factor",
    "leverage": "leverage",
    "fees": "fees",
    "funding": "funding",
}
"""Words that name a measure, and what is in the names of its fields."""


class Line(NamedTuple):
    """What the template says of one thing.

    key : the field that must be cited for the thing to count as told; `*` is each row's name.
    text : `{path}` becomes the figure with its field, `{path|unit}` has a unit, `{path|interval}`
        both ends of an interval.
    """

    title: str
    key: str
    text: str


LINES = (
    Line(
        "Result",
        "totals.trades",
        "From {backtest.start} to {backtest.end}, {backtest.strategy} with {backtest.model} made "
        "{totals.trades|trades} on candles of {backtest.timeframe}.",
    ),
    Line(
        "Result",
        "totals.net_profit_percent",
        "The net profit was {totals.net_profit|currency}, or {totals.net_profit_percent} of the "
        "starting balance, after {totals.fees_paid|currency} of fees and "
        "{totals.funding_paid|currency} of funding.",
    ),
    Line(
        "Result",
        "totals.profit_factor",
        "The win rate was {totals.win_rate}, the profit factor {totals.profit_factor}.",
    ),
    Line("Market", "market.kind", "The candles are of a market of the kind {market.kind}."),
    Line(
        "Market",
        "buy_and_hold.net_profit_percent",
        "Buying and holding made {buy_and_hold.net_profit_percent}, with a drawdown of "
        "{buy_and_hold.max_drawdown_percent}.",
    ),
    Line(
        "Market",
        "buy_and_hold.by_pair.*.net_profit_percent",
        "Holding * made {buy_and_hold.by_pair.*.net_profit_percent}.",
    ),
    Line(
        "Risk",
        "totals.max_drawdown_percent",
        "The largest drawdown was {totals.max_drawdown_percent}.",
    ),
    Line(
        "Risk",
        "totals.daily_sharpe_interval_95.0",
        "The daily Sharpe ratio was {totals.daily_sharpe}, {totals.daily_sharpe_interval_95"
        "|interval}, over {totals.n_daily_returns|daily returns}.",
    ),
    Line(
        "Exposure",
        "totals.time_in_market_share",
        "Positions were open {totals.time_in_market_share} of the time.",
    ),
    Line(
        "Exposure",
        "totals.mean_gross_leverage",
        "The mean gross leverage was {totals.mean_gross_leverage}, the limit of open trades "
        "{backtest.max_open_trades}.",
    ),
    Line(
        "Modes",
        "by_mode.*.net_profit",
        "Mode * made {by_mode.*.net_profit|currency} in {by_mode.*.trades|trades}, with a win "
        "rate of {by_mode.*.win_rate}.",
    ),
    Line(
        "Directions",
        "by_direction.*.net_profit",
        "Direction * made {by_direction.*.net_profit|currency} in {by_direction.*.trades|trades}.",
    ),
    Line(
        "Predictions",
        "predictions.overall.mean_ic_interval_95.0",
        "The mean information coefficient was {predictions.overall.mean_ic}, "
        "{predictions.overall.mean_ic_interval_95|interval}, over "
        "{predictions.overall.n_windows|windows}.",
    ),
    Line(
        "Predictions",
        "predictions.by_pair.*.mean_ic_interval_95.0",
        "For *, it was {predictions.by_pair.*.mean_ic}, "
        "{predictions.by_pair.*.mean_ic_interval_95|interval}.",
    ),
    Line(
        "Degrade levels",
        "predictions.overall.do_predict_share",
        "The model trusted {predictions.overall.do_predict_share} of its predictions.",
    ),
)
"""Everything that a report must tell, by the model or by the template."""
_NO_LEVELS = "A backtest's summary does not record degrade levels; a bot logs each change of them."
_FIELD = re.compile(r"\{([^{}|]+)(?:\|([^{}|]+))?\}")


class Told(NamedTuple):
    """A sentence of the template, under its title."""

    title: str
    sentence: str


class Dropped(NamedTuple):
    """A sentence of a model that is not in the report, and why."""

    sentence: str
    reason: str


@dataclass
class Analysis:
    """What a report is made of.

    by_model : sentences of the model that passed the check. added : the template's, on what none
    of them cites. dropped : of the last answer to each question. fallback : why the template had
    to write all, or the model wrote no more; empty where neither.
    """

    by_model: list[str] = field(default_factory=list)
    added: list[Told] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    fallback: str = ""


def read_summary(path: Path) -> dict[str, Any]:
    """Return the newest summary.

    Raises
    ------
    DataError
        There is none, or it is of another form.
    StateCorrupt
        The file is no JSON.
    """
    if not path.is_file():
        raise DataError(f"no summary at {path}. Run `scripts/agent_flow.py run`, or name one.")
    content = read_json(path)
    found = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(content, dict) or found != _SCHEMA:
        raise DataError(
            f"{path} is no summary of schema {_SCHEMA}, but of {found!r}. Run the flow again."
        )
    return content


def facts_of(summary: Mapping[str, Any]) -> dict[str, Value]:
    """Return the fields that may be cited: numbers, undefined ones as None, and plain short texts.

    A name of a row keeps its letters, digits and `_-/:`; whatever else is in it becomes `_`.
    """
    found: dict[str, Value] = {}
    for section in _SECTIONS:
        found.update(_walk(section, summary.get(section, {})))
    return found


def _walk(path: str, value: Any) -> Iterator[tuple[str, Value]]:
    if path in _LEFT_OUT:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(f"{path}.{_plain_name(str(key))}", item)
    elif isinstance(value, list):
        for name, item in zip(_row_names(path, value), value, strict=True):
            yield from _walk(f"{path}.{name}", item)
    elif isinstance(value, str):
        if _PLAIN_TEXT.fullmatch(value):
            yield path, value.strip()
    elif value is None or not math.isfinite(value):
        yield path, None
    elif not isinstance(value, bool):
        yield path, value


def _row_names(path: str, rows: Sequence[Any]) -> list[str]:
    last = path.rpartition(".")[2]
    if not last.startswith("by_"):
        return [str(number) for number in range(len(rows))]
    names: list[str] = []
    for number, row in enumerate(rows):
        stated = row.get(last.removeprefix("by_")) if isinstance(row, dict) else None
        name = _plain_name(str(stated if stated else number))
        names.append(f"{name}_{number}" if name in names else name)
    return names


def _plain_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_/:-]+", "_", text)[:60]


def cited_fields(sentence: str) -> list[str]:
    """Return the paths that a sentence cites, in its order."""
    return _CITATION.findall(sentence)


def fault_of(sentence: str, facts: Facts) -> str:
    """Return why a sentence does not rest on the summary; empty if it does.

    Every figure must stand right before the field that it is from and equal it to the printed
    digits, sign and unit included; what is left must hold no number, in digits or words, no markup
    and no name of a row or a measure that is not cited. Whether the other words are right is not
    checked.
    """
    if not sentence.endswith(".") or len(sentence) > _LONGEST_SENTENCE:
        return f"it is no sentence of at most {_LONGEST_SENTENCE} characters"
    text = sentence.translate(_TYPED)
    paths = cited_fields(text)
    if not paths:
        return "it cites no field"
    unknown = [path for path in paths if path not in facts]
    if unknown:
        return f"{as_data(unknown[0], 60)} is no field of the summary"
    left, start, said = "", 0, ""
    for match in _CITATION.finditer(text):
        before = text[start : match.start()]
        said += before
        length = _claim_length(before, match[1], facts)
        if not length:
            return f"what stands before {match[1]} is not its value"
        if not _names_row(said, match[1], facts):
            return f"the row of {match[1]} is not the one that is named before it"
        left += f"{before[:-length]} "
        start = match.end()
    return _fault_of_rest(left + text[start:], paths, facts)


def _claim_length(before: str, path: str, facts: Facts) -> int:
    """Return how many characters at the end of `before` say the value of `path`; 0: they do not."""
    value = facts[path]
    if value is None or isinstance(value, str):
        shown = "undefined" if value is None else _shown_text(value)
        bounded = re.search(rf"(?<!\w){re.escape(shown)}$", before)
        return len(shown) if bounded else 0
    found = _FIGURE.search(before)
    if found is None:
        return 0
    scale = _scale(path, found["unit"].split(), facts.get("backtest.stake_currency"))
    if scale is None or not _equals(found["number"], value, scale):
        return 0
    return len(found[0])


def _scale(path: str, unit: Sequence[str], currency: Value) -> int | None:
    """Return what the field is multiplied by in this unit; None where the unit is not its own."""
    words = ["%" if word == "percent" else word for word in unit]
    name = re.sub(r"(\.\d+)+$", "", path).rpartition(".")[2]
    if name.endswith("_percent"):
        return 1 if words == ["%"] else None
    if name.endswith(("_rate", "_share")) and words == ["%"]:
        return 100
    own = {"minutes", "min"} if name.endswith("_minutes") else {name}
    is_foreign = any(word.lower() in _UNITS - own for word in words)
    is_other_money = any(len(w) > 2 and w.isupper() and w != currency for w in words)
    lacks_unit = name.endswith("_minutes") and not own & set(words)
    return None if is_foreign or is_other_money or lacks_unit else 1


def _equals(printed: str, value: float, scale: int) -> bool:
    number, exact = Decimal(printed.replace(",", "")), Decimal(repr(value)) * scale
    if isinstance(value, int):
        return number == exact
    last_digit = Decimal(1).scaleb(int(number.as_tuple().exponent))
    return abs(number - exact) <= min(last_digit / 2, abs(exact) / _NEAR)


def _rows(facts: Facts) -> dict[str, set[str]]:
    """Return the names of the rows of each breakdown."""
    rows: dict[str, set[str]] = {}
    for path in facts:
        if match := _ROW.match(path):
            rows.setdefault(match["breakdown"], set()).add(match["name"])
    return rows


def _names_row(said: str, path: str, facts: Facts) -> bool:
    """Whether the last row that was named is the one that `path` runs through."""
    row = _ROW.match(path)
    if row is None:
        return True
    last = {name: _last_place(name, said) for name in _rows(facts)[row["breakdown"]]}
    return last[row["name"]] >= 0 and last[row["name"]] == max(last.values())


def _last_place(name: str, text: str) -> int:
    return max((match.end() for match in _named(name).finditer(text)), default=-1)


def _named(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w/:]){re.escape(name)}(?![\w/:])", re.IGNORECASE)


def _fault_of_rest(rest: str, paths: Sequence[str], facts: Facts) -> str:
    """Return what is wrong with a sentence less its figures and fields."""
    cited = {match["name"] for match in map(_ROW.match, paths) if match}
    for name in sorted(set().union(*_rows(facts).values()), key=len, reverse=True):
        rest, n_found = _named(name).subn(" ", rest)
        if n_found and name not in cited:
            return f"it names {name} and cites no field of it"
    for word, part in _MEASURES.items():
        if word in rest.lower() and not any(part in path for path in paths):
            return f"it speaks of {word} and cites no field of it"
    if any("interval_95" in path for path in paths):
        rest = rest.replace("95 % interval", "interval")
    if any(c.isnumeric() for c in rest) or _NUMBER_WORDS.search(rest):
        return "it holds a number that cites no field"
    if not _WORDS.fullmatch(rest) or _LINK.search(rest):
        return "it holds more than words"
    return ""


def figure(facts: Facts, path: str, unit: str = "") -> str:
    """Return a field as a report prints it: the value to three digits or more, then its path."""
    value = facts[path]
    if value is None:
        return f"undefined [{path}]"
    if isinstance(value, str):
        return f"{_shown_text(value)} [{path}]"
    name = re.sub(r"(\.\d+)+$", "", path).rpartition(".")[2]
    if name.endswith(("_rate", "_share")):
        return f"{_shown(Decimal(repr(value)) * 100)} % [{path}]"
    if name.endswith("_percent"):
        unit = "%"
    if name.endswith("_minutes"):
        unit = "minutes"
    return " ".join(filter(None, (_shown(Decimal(repr(value))), unit, f"[{path}]")))


def _shown(value: Decimal) -> str:
    if value == value.to_integral_value() and value.as_tuple().exponent == 0:
        return f"{value:,f}"
    if value == 0:
        return "0"
    return f"{value:,.{max(2, 2 - value.adjusted())}f}"


def _shown_text(value: str) -> str:
    return value[:10] if _DAY.match(value) else value


def tell(facts: Facts, cited: Sequence[str] = ()) -> list[Told]:
    """Return the template's sentences on everything whose key field is not in `cited`."""
    told: list[Told] = []
    for line in LINES:
        told += [Told(line.title, text) for text in _sentences(line, facts, set(cited))]
    return [*told, Told("Degrade levels", _NO_LEVELS)]


def _sentences(line: Line, facts: Facts, cited: set[str]) -> Iterator[str]:
    if "*" not in line.key:
        if line.key not in cited:
            yield _fill(line, line.text, facts)
        return
    breakdown = line.key.partition(".*")[0]
    names = sorted(_rows(facts).get(breakdown, ()))
    if not names:
        yield f"The summary has no rows in {breakdown}."
    for name in names:
        if line.key.replace("*", name) not in cited:
            yield _fill(line, line.text.replace("*", name), facts)


def _fill(line: Line, text: str, facts: Facts) -> str:
    wanted = [
        match[1] + (".0" if match[2] == "interval" else "") for match in _FIELD.finditer(text)
    ]
    missing = [path for path in wanted if path not in facts]
    if missing:
        return f"The summary has no {', '.join(missing)}."
    return _FIELD.sub(lambda match: _filled(match[1], match[2] or "", facts), text)


def _filled(path: str, unit: str, facts: Facts) -> str:
    if unit == "interval":
        return _interval(path, facts)
    return figure(
        facts, path, str(facts.get("backtest.stake_currency") or "") if unit == "currency" else unit
    )


def _interval(path: str, facts: Facts) -> str:
    low, high = facts.get(f"{path}.0"), facts.get(f"{path}.1")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return f"its 95 % interval undefined [{path}.0]"
    ends = f"{figure(facts, f'{path}.0')} to {figure(facts, f'{path}.1')}"
    doubt = ", which does not tell it from chance" if low <= 0 <= high else ""
    return f"its 95 % interval from {ends}{doubt}"


def analyze(
    facts: Facts,
    ask: Ask | None,
    settings: LlmSettings,
    *,
    seed: int = 0,
    absent: str = "no language model is set",
) -> Analysis:
    """Return what a report says of the facts; seed and answers decide all of it.

    Parameters
    ----------
    ask : Ask, optional
        A client, a recorder, a record, a budget. None: the template writes, and `absent` says why.
    """
    analysis = Analysis(fallback=absent if ask is None else "")
    if ask is not None:
        _ask_model(analysis, facts, ask, settings, seed)
    if analysis.fallback:
        logger.warning("the template writes: %s", analysis.fallback)
    cited = [path for sentence in analysis.by_model for path in cited_fields(sentence)]
    analysis.added = tell(facts, cited)
    return analysis


def _ask_model(
    analysis: Analysis, facts: Facts, ask: Ask, settings: LlmSettings, seed: int
) -> None:
    messages = [
        Message("system", fill_prompt("analyst_system")),
        Message("user", _question(facts)),
    ]
    for _ in range(settings.tries):
        request = Request(
            settings.model,
            tuple(messages),
            settings.max_tokens,
            seed,
            settings.temperature,
            timeout_seconds=settings.timeout_seconds,
        )
        try:
            reply = ask(request)
        except NoAnswer as error:
            analysis.fallback = str(error)
            return
        refused = _sort(reply.text, facts, analysis)
        if analysis.by_model and not refused:
            return
        messages[2:] = [Message("user", _repair(refused))]
    if not analysis.by_model:
        n = len(analysis.dropped)
        analysis.fallback = f"none of the model's sentences ({n}) rests on the summary"


def _question(facts: Facts) -> str:
    lines = [told.sentence for told in tell(facts) if cited_fields(told.sentence)]
    return fill_prompt(
        "analyst_question", facts="\n".join(lines[:_SHOWN_FACTS]), n=_WANTED_SENTENCES
    )


def _repair(refused: Sequence[Dropped]) -> str:
    shown = [
        f"{as_data(each.sentence, 160)}: {as_data(each.reason, 160)}"
        for each in refused[:_SHOWN_REFUSALS]
    ]
    return fill_prompt("analyst_repair", refused="\n".join(shown) or "all of it: no sentence")


def _sort(answer: str, facts: Facts, analysis: Analysis) -> list[Dropped]:
    """Keep the sentences that rest on the facts; return the others."""
    refused = []
    for sentence in _split(answer):
        reason = fault_of(sentence, facts)
        if reason:
            refused.append(Dropped(sentence, reason))
        elif sentence not in analysis.by_model:
            analysis.by_model.append(sentence)
    analysis.dropped += refused
    return refused


def _split(answer: str) -> list[str]:
    sentences: list[str] = []
    for line in answer[: _MOST_SENTENCES * _LONGEST_SENTENCE].splitlines():
        parts = re.split(r"(?<=\.)\s+", _MARKER.sub("", line).strip())
        sentences += [part for part in parts if part]
    return sentences[:_MOST_SENTENCES]


def format_report(analysis: Analysis, summary: Mapping[str, Any], model: str = "") -> str:
    """Return the report as Markdown; it holds no time, so that a replay gives the same bytes."""
    parts = ["# Market and risk summary", _origin(analysis, model), _source(summary)]
    if analysis.by_model:
        parts += ["## By the language model", _listed(analysis.by_model)]
        parts += ["What it did not say, or could not show, stands below, by the template."]
    for title in dict.fromkeys(told.title for told in analysis.added):
        parts += [f"## {title}", _listed([t.sentence for t in analysis.added if t.title == title])]
    parts += [f"## What this rests on\n\n{_caveats(summary)}"]
    if analysis.dropped:
        reasons = sorted({each.reason for each in analysis.dropped})
        n = len(analysis.dropped)
        parts += [f"## Dropped\n\nSentences of the model that were dropped: {n}.", _listed(reasons)]
    return "\n\n".join(parts) + "\n"


def _origin(analysis: Analysis, model: str) -> str:
    who = f"the language model {_plain_name(model)}, completed by" if analysis.by_model else ""
    why = ""
    if analysis.fallback:  # it may quote a server
        why = f" Why not by the language model alone: {as_data(analysis.fallback, 300)}."
    return " ".join(f"Written by {who} the template.{why}".split())


def _source(summary: Mapping[str, Any]) -> str:
    return (
        f"Every figure is followed by its field in the summary with the hash "
        f"`{hash_json(dict(summary))[:16]}`. Nothing here is advice, and nothing was changed by it."
    )


def _caveats(summary: Mapping[str, Any]) -> str:
    texts = [
        f"{' '.join(str(text).split())[:300]} [{section}.{number}]"
        for section in ("simulated", "not_proven")
        for number, text in enumerate(summary.get(section) or [])
    ]
    return _listed(texts or ["The summary states no limits of its own."])


def _listed(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def write_report(path: Path, report: str) -> None:
    """Write the report, atomically; it goes into a Markdown file and nothing else.

    Raises
    ------
    ConfigError
        The path is not of a Markdown file, so it may be a configuration.
    """
    if path.suffix != ".md":
        raise ConfigError(
            f"the report goes into a Markdown file, not into {path}. Name a .md file."
        )
    write_text(path, report)
