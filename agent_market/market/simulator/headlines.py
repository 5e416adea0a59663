"""Headlines: when they come, how good or bad they are, and how they read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent_market.market.simulator import process
from agent_market.market.simulator.streams import FloatArray, IntArray, stream

_MINUTE_MS = 60_000
_TEMPLATES = {
    "disaster": (
        "{name} crashes as exchange halts withdrawals after a suspected hack",
        "Regulator sues {name} foundation for fraud, delisting feared",
        "{name} network outage wipes out confidence, holders panic",
        "Major fund collapses and dumps its entire {name} position",
    ),
    "bad": (
        "{name} slips after a weak activity report",
        "Analysts cut their {name} outlook on falling demand",
        "Large {name} holder moves coins to an exchange, raising concern",
        "{name} upgrade delayed again, developers say",
    ),
    "neutral": (
        "{name} community call scheduled for next week",
        "Weekly summary: what happened around {name}",
        "{name} developers publish a routine maintenance release",
    ),
    "good": (
        "{name} gains as network usage improves",
        "Payment firm adds support for {name}",
        "Analysts raise their {name} outlook on steady demand",
        "{name} upgrade passes its tests ahead of plan",
    ),
    "triumph": (
        "{name} soars as regulator approves its first exchange-traded fund",
        "Landmark deal: global bank adopts {name} for settlement",
        "{name} wins its court case, major relief for holders",
        "Sovereign fund announces a huge {name} purchase",
    ),
}
_SOURCES = ("Coin Courier", "Ledger Times", "The Daily Block", "Chain Monitor")


@dataclass(frozen=True)
class Headlines:
    """Headlines of one pair or of the whole market, ascending by `event_ms`.

    Parameters
    ----------
    event_ms, available_ms : ndarray of shape (n_headlines,)
        Milliseconds since the start of the market: when it happened, and when it was published.
    sentiment : ndarray of shape (n_headlines,)
        -1..1, 0 for a neutral one.
    text, source : list of str
        What it says (`{name}` is still open) and who says so.
    """

    event_ms: IntArray
    available_ms: IntArray
    sentiment: FloatArray
    text: list[str]
    source: list[str]

    def sentiment_by_minute(self, times_ms: IntArray, n_minutes: int) -> FloatArray:
        """Return the sum of sentiments whose time falls in each minute, shape (n_minutes,)."""
        minute = times_ms // _MINUTE_MS
        kept = minute < n_minutes
        counts = np.bincount(minute[kept], self.sentiment[kept], n_minutes)
        return np.asarray(counts, np.float64)


def draw_headlines(seed: int, owner: str, n_minutes: int, per_day: float) -> Headlines:
    """Return the headlines of one owner as a Poisson process of `per_day`."""
    happens = stream(seed, owner, "headline times").random(n_minutes) < per_day / process.DAY
    minutes = np.flatnonzero(happens)
    generator = stream(seed, owner, "headlines")
    # One row a headline, so that a longer market begins with the same headlines.
    draws = generator.random((len(minutes), 5))
    delays = stream(seed, owner, "headline delays").standard_normal(len(minutes))
    event = minutes * _MINUTE_MS + (draws[:, 0] * _MINUTE_MS).astype(np.int64)
    tones = _tones(draws[:, 1])
    lowest, highest = (np.array([process.TONES[tone][i] for tone in tones]) for i in (1, 2))
    texts = [_pick(_TEMPLATES[tone], u) for tone, u in zip(tones, draws[:, 3], strict=True)]
    return Headlines(
        event_ms=event,
        available_ms=event + _delay_ms(delays),
        sentiment=np.round(lowest + (highest - lowest) * draws[:, 2], 3) + 0.0,
        text=texts,
        source=[_pick(_SOURCES, u) for u in draws[:, 4]],
    )


def _tones(uniform: FloatArray) -> list[str]:
    names = list(process.TONES)
    edges = np.cumsum([chance for chance, _, _ in process.TONES.values()])
    rows = np.minimum(np.searchsorted(edges, uniform, side="right"), len(names) - 1)
    return [names[row] for row in rows]


def _pick(choices: tuple[str, ...], uniform: float) -> str:
    return choices[int(uniform * len(choices))]


def _delay_ms(normal: FloatArray) -> IntArray:
    seconds = process.NEWS_DELAY_SECONDS * np.exp(process.NEWS_DELAY_SIGMA * normal)
    return (np.minimum(seconds, process.NEWS_DELAY_CAP_SECONDS) * 1000).astype(np.int64)
