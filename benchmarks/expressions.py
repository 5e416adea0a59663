"""Time 200 random alpha expressions on 8 pairs x 100,000 rows: ours, pandas and polars.

pandas and polars get the fast form of every operator (rolling methods, NumPy where they have none)
on frames of a column a pair, the longer candles and derived series ready made, and the same sharing
of common parts; pandas is also timed without it. What they answer otherwise is left to them: `ewm`
without an end, running sums that drift, infinite values. Each engine runs in a process of its own.
Then the same expressions are scored as a campaign's search scores them, on its search rows.

Writes `benchmarks/results/expressions.json`. The budget is a tenth of pandas' time, and memory
within the bound. `--rounds 1` is a quick look. Needs `pip install polars==2.1.0`, which is no
requirement: other libraries import it where they find it, and it takes over Ctrl-C.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from agent_market.evaluation.expressions.layout import (
    CampaignDesign,
    forward_returns,
    layout_of,
)
from agent_market.evaluation.expressions.stage import search_stage
from agent_market.expressions import (
    At,
    Call,
    Constant,
    Evaluator,
    Input,
    Node,
    Panel,
    Scope,
    canonical_form,
    panel_of_candles,
    sample_expression,
)
from agent_market.expressions.inputs import INPUTS
from agent_market.expressions.nodes import walk
from agent_market.market.candles import timeframe_seconds
from agent_market.store import write_json

N_PAIRS, N_ROWS, N_EXPRESSIONS, DEPTH, SEED = 8, 100_000, 200, 4, 11
TIMEFRAME = "5m"
MEMORY_BYTES = 512 << 20
BUDGET_TIMES_PANDAS = 10.0
_ROUNDS = {"ours": 5, "ours on one core": 3, "pandas": 3, "pandas without sharing": 1, "polars": 3}
_SCORING_ROUNDS = 3
_COMPARED = slice(3000, None, 997)
_RESULT = Path(__file__).parent / "results" / "expressions.json"

Value = Any
Operators = dict[str, Callable[..., Value]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds of every engine, at most")
    most = parser.parse_args().rounds or max(_ROUNDS.values())
    context = multiprocessing.get_context("spawn")
    runs = {}
    for engine, usual in _ROUNDS.items():
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            runs[engine] = pool.submit(run_engine, engine, min(most, usual)).result()
        print(f"{engine}: {statistics.median(runs[engine]['seconds']):.2f} s")
    scored = {}
    for threads in sorted({1, os.cpu_count() or 1}):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            scored[f"threads {threads}"] = pool.submit(
                run_scoring, threads, min(most, _SCORING_ROUNDS)
            ).result()
    result = report(runs) | {"scoring": scored}
    for what in ("times_faster_than", "cpu_times_more_than_ours_on_one_core", "memory_kept_mb"):
        print(f"{what}: {result[what]}")
    print(f"expressions a second: {result['expressions_a_second']}")
    for threads_used, each in scored.items():
        rate = each["expressions_a_second"]
        print(f"scored, {threads_used}: {rate} expressions a second, {each['rows']} rows a pair")
    _RESULT.parent.mkdir(exist_ok=True)
    write_json(_RESULT, result)
    print(f"written to {_RESULT}")


def report(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return medians, ratios, memory, and how far the engines agree."""
    medians = {engine: statistics.median(run["seconds"]) for engine, run in runs.items()}
    ours = runs["ours"]
    nodes = expressions()
    return {
        "what": f"{N_EXPRESSIONS} random expressions of depth {DEPTH}, {N_PAIRS} pairs x "
        f"{N_ROWS:,} rows, float64; every value computed once and handed over",
        "parts": len({part for node in nodes for part in walk(canonical_form(node))}),
        "budget_times_faster_than_pandas": BUDGET_TIMES_PANDAS,
        "cores": os.cpu_count(),
        "seconds": {engine: [round(s, 3) for s in run["seconds"]] for engine, run in runs.items()},
        "cpu_seconds": {
            engine: [round(s, 3) for s in run["cpu_seconds"]] for engine, run in runs.items()
        },
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "median_seconds": {engine: round(median, 3) for engine, median in medians.items()},
        "expressions_a_second": {
            engine: round(N_EXPRESSIONS / median, 1) for engine, median in medians.items()
        },
        "times_faster_than": {
            engine: round(median / medians["ours"], 2) for engine, median in medians.items()
        },
        "cpu_times_more_than_ours_on_one_core": {
            engine: round(
                statistics.median(run["cpu_seconds"])
                / statistics.median(runs["ours on one core"]["cpu_seconds"]),
                2,
            )
            for engine, run in runs.items()
        },
        "first_call_seconds": {"ours": round(ours["first"], 2)},
        "memory_bound_mb": MEMORY_BYTES >> 20,
        "memory_kept_mb": round(ours["kept"] / 2**20, 1),
        "peak_rss_growth_mb": {
            engine: round(run["rss"] / 2**20, 1) for engine, run in runs.items()
        },
        "share_of_values_like_ours": {
            engine: round(agreement(run["sample"], ours["sample"]), 4)
            for engine, run in runs.items()
        },
    }


def run_scoring(threads: int, rounds: int) -> dict[str, Any]:
    """Return how many expressions a campaign's search computes and scores a second."""
    warnings.simplefilter("ignore")
    nodes, panel, design = expressions(), market(), CampaignDesign(horizon_candles=12)
    layout, labels = layout_of(N_ROWS, TIMEFRAME, design), forward_returns(panel, 12)
    seconds = []
    for _ in range(rounds + 1):  # the first one reads the compiled code, or compiles it
        stage = search_stage(panel, labels, layout, design, threads)  # which keeps values
        start = time.perf_counter()
        scores = list(stage.scores(nodes))
        seconds.append(time.perf_counter() - start)
        assert len(scores) == N_EXPRESSIONS
    return {
        "rows": layout.search.stop,
        "seconds": [round(each, 3) for each in seconds[1:]],
        "with_a_score": sum(score.is_valid for score in scores),
        "expressions_a_second": round(N_EXPRESSIONS / statistics.median(seconds[1:]), 1),
    }


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Return the share of values that are equal to 1e-6, or missing in both."""
    return float(np.isclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True).mean())


def expressions() -> list[Node]:
    """Return the expressions, the same in every process."""
    rng = np.random.default_rng(SEED)
    scope = Scope(timeframe=TIMEFRAME)
    return [sample_expression(rng, scope, depth=DEPTH) for _ in range(N_EXPRESSIONS)]


def market() -> Panel:
    """Return random candles and funding."""
    rng = np.random.default_rng(SEED)
    dates = pd.date_range("2024-01-01", periods=N_ROWS, freq="5min", tz="UTC")
    funded = pd.date_range("2023-12-31", periods=N_ROWS // 96 + 4, freq="8h", tz="UTC")
    candles, funding = {}, {}
    for k in range(N_PAIRS):
        close = 10.0 ** (k - 3) * np.exp(np.cumsum(rng.normal(0, 0.002, N_ROWS)))
        opened = np.concatenate([close[:1], close[:-1]])
        wick = rng.exponential(0.001, (2, N_ROWS))
        candles[f"P{k}"] = pd.DataFrame(
            {
                "date": dates,
                "open": opened,
                "high": np.maximum(opened, close) * (1 + wick[0]),
                "low": np.minimum(opened, close) * (1 - wick[1]),
                "close": close,
                "volume": rng.lognormal(3, 1, N_ROWS).round(2),
            }
        )
        funding[f"P{k}"] = pd.DataFrame({"date": funded, "open": rng.normal(0, 1e-4, len(funded))})
    return panel_of_candles(candles, TIMEFRAME, funding=funding)


def run_engine(engine: str, rounds: int) -> dict[str, Any]:
    """Return seconds a round, memory, and some of the values; the first call is apart."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    nodes, panel = [canonical_form(node) for node in expressions()], market()
    evaluator: Evaluator | None = None
    if engine.startswith("ours"):
        threads = (os.cpu_count() or 1) if engine == "ours" else 1

        def batch() -> Iterator[np.ndarray]:
            nonlocal evaluator
            evaluator = Evaluator(panel, MEMORY_BYTES, threads)
            return evaluator.evaluate(nodes)

    else:
        rival = Rival(panel, nodes, polars_engine() if engine == "polars" else pandas_engine())
        batch = partial(rival.run, nodes, is_shared="without" not in engine)
    first = 0.0
    if engine.startswith("ours"):  # a few rows read the compiled code, or compile it
        start = time.perf_counter()
        for _ in Evaluator(panel.rows(0, _COMPARED.start), MEMORY_BYTES).evaluate(nodes):
            pass
        first = time.perf_counter() - start
    before = psutil.Process().memory_info().rss
    timings = [_seconds_of(batch) for _ in range(rounds)]
    return {
        "seconds": [wall for wall, _, _ in timings],
        "cpu_seconds": [cpu for _, cpu, _ in timings],
        "first": first,
        "kept": 0 if evaluator is None else evaluator.peak_bytes,
        "rss": max(0, _peak_rss() - before),
        "sample": timings[-1][2],
    }


def _seconds_of(batch: Callable[[], Iterator[np.ndarray]]) -> tuple[float, float, np.ndarray]:
    """Return wall and CPU seconds of a batch, and some of its values."""
    wall, cpu = time.perf_counter(), time.process_time()
    sample = np.array([np.asarray(values)[:, _COMPARED].copy() for values in batch()])
    return time.perf_counter() - wall, time.process_time() - cpu, sample


def _peak_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Rival:
    """Computes expressions with the operators of another library, part by part."""

    def __init__(self, panel: Panel, nodes: Sequence[Node], engine: RivalEngine) -> None:
        self._timeframe, self._n_rows = panel.timeframe, panel.shape[1]
        self._first = panel.first_candle
        self._operators, frame, self._gather, self._array = engine
        found = {part for node in nodes for part in walk(node)}
        longer = {part.timeframe for part in found if isinstance(part, At)}
        ready = Evaluator(panel)
        self._series = {
            (timeframe, name): frame(self._source(ready, timeframe, name))
            for timeframe in (panel.timeframe, *sorted(longer))
            for name in INPUTS
        }

    def run(self, nodes: Sequence[Node], *, is_shared: bool) -> Iterator[np.ndarray]:
        """Yield the values of each expression, (n_pairs, n_rows); a part is kept while needed."""
        uses = Counter[tuple[str, Node]]()
        if is_shared:
            entered: set[tuple[str, Node]] = set()
            for node in nodes:
                self._count(self._timeframe, node, uses, entered)
        kept: dict[tuple[str, Node], Value] = {}
        for node in nodes:
            yield self._array(self._value(self._timeframe, node, kept, uses))

    def _count(
        self, timeframe: str, node: Node, uses: Counter[Any], entered: set[tuple[str, Node]]
    ) -> None:
        uses[timeframe, node] += 1
        if (timeframe, node) not in entered:
            entered.add((timeframe, node))
            for below in _below(timeframe, node):
                self._count(*below, uses, entered)

    def _value(self, timeframe: str, node: Node, kept: dict[Any, Value], uses: Counter[Any]) -> Any:
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Input):
            return self._series[timeframe, node.name]
        key = (timeframe, node)
        value = kept.pop(key, None)
        if value is None:
            args = [self._value(*below, kept, uses) for below in _below(timeframe, node)]
            if isinstance(node, At):
                value = self._gather(args[0], self._known(timeframe, node.timeframe))
            else:
                assert isinstance(node, Call)
                value = self._operators[node.operator](*args)
        uses[key] -= 1
        if uses[key] > 0:
            kept[key] = value
        return value

    def _source(self, ready: Evaluator, timeframe: str, name: str) -> np.ndarray:
        if timeframe == self._timeframe:
            return next(ready.evaluate([Input(name)]))
        rows = self._known(self._timeframe, timeframe)
        joined = next(ready.evaluate([At(timeframe, Input(name))]))
        candles = np.full((joined.shape[0], rows.max() + 1), np.nan)
        candles[:, rows[rows >= 0]] = joined[:, rows >= 0]
        return candles

    def _known(self, shorter: str, longer: str) -> np.ndarray:
        """Return the longer candle that has closed with each shorter one; all begin at once."""
        base, short = timeframe_seconds(self._timeframe), timeframe_seconds(shorter)
        assert self._first * base % timeframe_seconds("1d") == 0
        n_rows = self._n_rows * base // short
        return (np.arange(n_rows) + 1) * short // timeframe_seconds(longer) - 1


RivalEngine = tuple[
    Operators, Callable[[np.ndarray], Value], Callable[..., Value], Callable[..., np.ndarray]
]


def _below(timeframe: str, node: Node) -> list[tuple[str, Node]]:
    if isinstance(node, At):
        return [(node.timeframe, node.body)]
    return [(timeframe, arg) for arg in node.args] if isinstance(node, Call) else []


def _newest_place(x: np.ndarray, n: float, pick: Callable[..., np.ndarray]) -> np.ndarray:
    """Return the age of the lowest or highest of the last n values of one pair.

    NumPy copies the windows it is given: a thousand at a time stay in the cache.
    """
    result, size = np.full(len(x), np.nan), int(n)
    if len(x) >= size:
        windows = np.lib.stride_tricks.sliding_window_view(x[::-1].copy(), size)
        for start in range(0, len(windows), 1024):
            places = pick(windows[start : start + 1024], axis=1)
            end = len(x) - start
            result[end - len(places) : end] = places[::-1]
    lost = np.convolve(np.isnan(x), np.ones(size))[: len(x)] > 0.5
    result[lost] = np.nan
    return result


def _weighted(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sum of the last values of one pair, `weights` from the newest back."""
    result = np.full(len(x), np.nan)
    if len(x) >= len(weights):
        result[len(weights) - 1 :] = np.convolve(x, weights, "valid")
    return result


def _slope_weights(n: float) -> np.ndarray:
    away = np.arange(n)[::-1] - (n - 1) / 2
    return away / (away**2).sum()


def _decay_weights(n: float) -> np.ndarray:
    return np.arange(n, 0, -1) / (n * (n + 1) / 2)


def pandas_engine() -> RivalEngine:  # noqa: C901 - a table of operators
    """Return pandas: a frame has a column a pair."""

    def of_columns(function: Callable[..., np.ndarray]) -> Callable[..., pd.DataFrame]:
        def operator(x: pd.DataFrame, *numbers: float) -> pd.DataFrame:
            columns = [function(x[name].to_numpy(), *numbers) for name in x]
            return pd.DataFrame(np.array(columns).T)

        return operator

    def compare(is_true: Callable[[Any, Any], Any]) -> Callable[[Value, Value], Value]:
        def operator(x: Value, y: Value) -> Value:
            known = [each.notna() for each in (x, y) if isinstance(each, pd.DataFrame)]
            return is_true(x, y).astype(float).where(known[0] & known[-1])

        return operator

    def pick(numpy: Callable[..., Any]) -> Callable[[Value, Value], Value]:
        return lambda x, y: numpy(x, y) if isinstance(x, pd.DataFrame) else numpy(y, x)

    def where(c: Value, x: Value, y: Value) -> Value:
        if not isinstance(x, pd.DataFrame):
            x = pd.DataFrame(np.full(c.shape, x))
        return x.where(c != 0, y).where(c.notna())

    def neutralize(x: pd.DataFrame, y: pd.DataFrame) -> pd.DataFrame:
        both = x.notna() & y.notna()
        x, y = x.where(both), y.where(both)
        x, y = x.sub(x.mean(axis=1), axis=0), y.sub(y.mean(axis=1), axis=0)
        return x - y.mul((x * y).sum(axis=1) / (y * y).sum(axis=1), axis=0)

    def zscore(x: pd.DataFrame) -> pd.DataFrame:
        return x.sub(x.mean(axis=1), axis=0).div(x.std(axis=1), axis=0)

    def gather(x: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
        return x.reindex(rows).reset_index(drop=True)

    operators: Operators = {
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y,
        "div": lambda x, y: x / y,
        "lt": compare(lambda x, y: x < y),
        "le": compare(lambda x, y: x <= y),
        "neg": lambda x: -x,
        "abs": lambda x: x.abs(),
        "sign": np.sign,
        "log": np.log,
        "sqrt": np.sqrt,
        "square": lambda x: x * x,
        "tanh": np.tanh,
        "minimum": pick(np.minimum),
        "maximum": pick(np.maximum),
        "clip": lambda x, low, high: x.clip(low, high),
        "where": where,
        "delay": lambda x, n: x.shift(int(n)),
        "delta": lambda x, n: x - x.shift(int(n)),
        "ts_mean": lambda x, n: x.rolling(int(n)).mean(),
        "ts_sum": lambda x, n: x.rolling(int(n)).sum(),
        "ts_std": lambda x, n: x.rolling(int(n)).std(),
        "ts_zscore": lambda x, n: (x - x.rolling(int(n)).mean()) / x.rolling(int(n)).std(),
        "ts_rank": lambda x, n: (x.rolling(int(n)).rank() - 1) / (n - 1),
        "ts_min": lambda x, n: x.rolling(int(n)).min(),
        "ts_max": lambda x, n: x.rolling(int(n)).max(),
        "ts_argmin": of_columns(partial(_newest_place, pick=np.argmin)),
        "ts_argmax": of_columns(partial(_newest_place, pick=np.argmax)),
        "ts_median": lambda x, n: x.rolling(int(n)).median(),
        "ts_quantile": lambda x, n, q: x.rolling(int(n)).quantile(q),
        "ts_skew": lambda x, n: x.rolling(int(n)).skew() * ((n - 2) / math.sqrt(n * (n - 1))),
        "ts_corr": lambda x, y, n: x.rolling(int(n)).corr(y),
        "ts_cov": lambda x, y, n: x.rolling(int(n)).cov(y),
        "ts_slope": of_columns(lambda x, n: _weighted(x, _slope_weights(n))),
        "ts_decay": of_columns(lambda x, n: _weighted(x, _decay_weights(n))),
        "ewm": lambda x, n: x.ewm(halflife=n, min_periods=8 * int(n)).mean(),
        "rank": lambda x: (x.rank(axis=1) - 1).div(x.count(axis=1) - 1, axis=0),
        "zscore": zscore,
        "demean": lambda x: x.sub(x.mean(axis=1), axis=0),
        "neutralize": neutralize,
    }
    return operators, lambda x: pd.DataFrame(x.T), gather, lambda x: x.to_numpy().T


def polars_engine() -> RivalEngine:  # noqa: C901 - a table of operators
    """Return polars: a frame has a column a pair, which its threads share out."""
    import polars as pl

    pairs = range(N_PAIRS)

    def beside(args: Sequence[Value]) -> tuple[pl.DataFrame, list[list[Any]]]:
        """Return the frames side by side, and the column of each argument, a list a pair."""
        frames, columns = [], []
        for k, arg in enumerate(args):
            is_frame = isinstance(arg, pl.DataFrame)
            if is_frame:
                frames.append(arg.rename({f"{i}": f"{k}_{i}" for i in pairs}))
            columns.append([pl.col(f"{k}_{i}") if is_frame else pl.lit(arg) for i in pairs])
        return pl.concat(frames, how="horizontal"), columns

    def of_rows(function: Callable[..., pl.Expr], n_series: int = 1) -> Callable[..., pl.DataFrame]:
        def operator(*args: Value) -> pl.DataFrame:
            frame, columns = beside(args[:n_series])
            numbers = args[n_series:]
            return frame.select(
                function(*(column[i] for column in columns), *numbers).alias(f"{i}") for i in pairs
            )

        return operator

    def of_columns(function: Callable[..., np.ndarray]) -> Callable[..., pl.DataFrame]:
        def operator(x: pl.DataFrame, *numbers: float) -> pl.DataFrame:
            return frame_of(np.array([function(x[f"{i}"].to_numpy(), *numbers) for i in pairs]))

        return operator

    def frame_of(x: np.ndarray) -> pl.DataFrame:
        return pl.DataFrame({f"{i}": pl.Series(x[i], nan_to_null=True) for i in pairs})

    def gather(x: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
        return x.select(
            pl.all().gather(pl.Series(np.where(rows < 0, len(x), rows)).replace(len(x), None))
        )

    def rank(x: pl.DataFrame) -> pl.DataFrame:
        columns = [pl.col(f"{i}") for i in pairs]
        count = x.select(pl.sum_horizontal(pl.all().is_not_null()).alias("count"))["count"]
        return x.with_columns(count).select(
            (
                (
                    pl.sum_horizontal((other < each).cast(pl.Float64) for other in columns)
                    + (pl.sum_horizontal((o == each).cast(pl.Float64) for o in columns) - 1) / 2
                )
                / (pl.col("count") - 1)
                + 0 * each
            ).alias(f"{i}")
            for i, each in enumerate(columns)
        )

    def less(x: pl.DataFrame, mean: pl.Expr) -> pl.DataFrame:
        """Subtract what is one column for all pairs, computed once."""
        found = x.select(mean.alias("mean"))
        return x.with_columns(found["mean"]).select(pl.all().exclude("mean") - pl.col("mean"))

    def demean(x: pl.DataFrame) -> pl.DataFrame:
        return less(x, pl.mean_horizontal(pl.all()))

    def zscore(x: pl.DataFrame) -> pl.DataFrame:
        away = demean(x)
        count = pl.sum_horizontal(pl.all().is_not_null())
        spread = (pl.sum_horizontal(pl.all() ** 2) / (count - 1)).sqrt()
        found = away.select(spread.alias("spread"))
        scores = pl.all().exclude("spread") / pl.col("spread")
        return away.with_columns(found["spread"]).select(scores.fill_nan(None))

    both = of_rows(lambda x, y: x + 0 * y, 2)
    product = of_rows(lambda x, y: x * y, 2)

    def neutralize(x: pl.DataFrame, y: pl.DataFrame) -> pl.DataFrame:
        x, y = demean(both(x, y)), demean(both(y, x))
        total = pl.sum_horizontal(pl.all()).alias("slope")
        slope = (product(x, y).select(total) / product(y, y).select(total))["slope"]
        explained = y.with_columns(slope).select(pl.all().exclude("slope") * pl.col("slope"))
        return of_rows(lambda a, b: (a - b).fill_nan(None), 2)(x, explained)

    operators: Operators = {
        "add": of_rows(lambda x, y: x + y, 2),
        "sub": of_rows(lambda x, y: x - y, 2),
        "mul": of_rows(lambda x, y: x * y, 2),
        "div": of_rows(lambda x, y: (x / y).fill_nan(None), 2),
        "lt": of_rows(lambda x, y: (x < y).cast(pl.Float64), 2),
        "le": of_rows(lambda x, y: (x <= y).cast(pl.Float64), 2),
        "neg": of_rows(lambda x: -x),
        "abs": of_rows(lambda x: x.abs()),
        "sign": of_rows(lambda x: x.sign()),
        "log": of_rows(lambda x: x.log().fill_nan(None)),
        "sqrt": of_rows(lambda x: x.sqrt().fill_nan(None)),
        "square": of_rows(lambda x: x * x),
        "tanh": of_rows(lambda x: x.tanh()),
        "minimum": of_rows(lambda x, y: pl.when(x <= y).then(x).otherwise(y) + 0 * x, 2),
        "maximum": of_rows(lambda x, y: pl.when(x >= y).then(x).otherwise(y) + 0 * x, 2),
        "clip": of_rows(lambda x, low, high: x.clip(low, high)),
        "where": of_rows(lambda c, x, y: pl.when(c != 0).then(x).when(c == 0).then(y), 3),
        "delay": of_rows(lambda x, n: x.shift(int(n))),
        "delta": of_rows(lambda x, n: x - x.shift(int(n))),
        "ts_mean": of_rows(lambda x, n: x.rolling_mean(int(n))),
        "ts_sum": of_rows(lambda x, n: x.rolling_sum(int(n))),
        "ts_std": of_rows(lambda x, n: x.rolling_std(int(n))),
        "ts_zscore": of_rows(
            lambda x, n: ((x - x.rolling_mean(int(n))) / x.rolling_std(int(n))).fill_nan(None)
        ),
        "ts_rank": of_rows(lambda x, n: (x.rolling_rank(int(n)) - 1) / (n - 1)),
        "ts_min": of_rows(lambda x, n: x.rolling_min(int(n))),
        "ts_max": of_rows(lambda x, n: x.rolling_max(int(n))),
        "ts_argmin": of_columns(partial(_newest_place, pick=np.argmin)),
        "ts_argmax": of_columns(partial(_newest_place, pick=np.argmax)),
        "ts_median": of_rows(lambda x, n: x.rolling_median(int(n))),
        "ts_quantile": of_rows(lambda x, n, q: x.rolling_quantile(q, "linear", int(n))),
        "ts_skew": of_rows(lambda x, n: x.rolling_skew(int(n)).fill_nan(None)),
        "ts_corr": of_rows(
            lambda x, y, n: pl.rolling_corr(x, y, window_size=int(n)).fill_nan(None), 2
        ),
        "ts_cov": of_rows(lambda x, y, n: pl.rolling_cov(x, y, window_size=int(n)), 2),
        "ts_slope": of_columns(lambda x, n: _weighted(x, _slope_weights(n))),
        "ts_decay": of_columns(lambda x, n: _weighted(x, _decay_weights(n))),
        "ewm": of_rows(lambda x, n: x.ewm_mean(half_life=n, min_samples=8 * int(n))),
        "rank": rank,
        "zscore": zscore,
        "demean": demean,
        "neutralize": neutralize,
    }
    return operators, frame_of, gather, lambda x: x.to_numpy().T


if __name__ == "__main__":
    main()
