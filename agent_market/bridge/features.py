"""FreqAI's features, computed once for each pair and timeframe and kept on disk as float32."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from freqtrade.strategy import IStrategy, merge_informative_pair

from agent_market.bridge.code_hash import hash_strategy_code
from agent_market.learning.feature_store import FeatureStore, StoredBlock
from agent_market.learning.feature_table import FeatureBlock, FeatureTable
from agent_market.market.candles import timeframe_seconds
from agent_market.store import hash_bytes, hash_json

logger = logging.getLogger(__name__)

FORMAT = 1  # raise it when the columns, their order or their values change
PANEL = "PAIR"  # in place of the pair's name
# Freqtrade's measure of a pair's price precision leaves its columns in the candles of a backtest
_DIGIT_COUNTS = ("open_count", "high_count", "low_count", "close_count", "max_count")
_CANDLE = ("date", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class PairFeatures:
    """
    The features of one pair, and the strategy's frame without them.

    `frame` has a row for each candle: the columns that came in and those that the strategy added
    which are not features (or are named `%%`, which FreqAI hands back to the strategy).
    """

    table: FeatureTable
    frame: pd.DataFrame
    raw_names: tuple[str, ...]

    def with_features(self, start: int, stop: int) -> pd.DataFrame:
        """
        Return rows with the features in them, as the strategy's targets may want them.
        :param start: first row
        :param stop: row after the last
        """
        features = pd.DataFrame(self.table.read(start, stop), columns=list(self.raw_names))
        features = features.loc[:, ~features.columns.duplicated()]  # a panel repeats some
        frame = self.frame.iloc[start:stop].reset_index(drop=True)
        extra = features[[name for name in features.columns if name not in frame.columns]]
        return pd.concat([frame, extra], axis=1)

    def returned(self) -> pd.DataFrame:
        """Return what goes back to the strategy: the frame and every `%%`, named as by FreqAI."""
        shown: dict[str, Any] = {}
        names = iter(self.raw_names)
        for block in self.table.blocks:
            own = [next(names) for _ in block.names]
            lagged = [n for n, name in enumerate(own) if _is_shown(name) and name not in self.frame]
            if lagged:
                values = block.read(0, len(self.table))
                shown |= {own[column]: values[:, column] for column in lagged}
        frame = pd.concat([self.frame, pd.DataFrame(shown)], axis=1)
        frame = frame[[name for name in frame.columns if not name.startswith("&")]]
        return frame.rename(columns={name: _clean(str(name)) for name in frame if _is_shown(name)})


class FeatureBuilder:
    """
    Computes features by the strategy's own hooks, in the columns and the order that FreqAI has.

    FreqAI computes the features of a correlated pair again for every pair that is traded. Here each
    (pair, timeframe) is computed once, kept under the hash of its candles and of the code, and seen
    from the rows of every pair through the row numbers that Freqtrade's own merge gives. Files
    that a strategy's features follow from, beside the candles, it names in `feature_files`.
    """

    def __init__(self, config: Mapping[str, Any], strategy: IStrategy, store: FeatureStore) -> None:
        parameters = config["freqai"]["feature_parameters"]
        self.timeframe: str = config["timeframe"]
        self.timeframes: list[str] = parameters["include_timeframes"]
        self.periods: list[int] = parameters["indicator_periods_candles"]
        self.shifts = int(parameters.get("include_shifted_candles", 0))
        self.corr_pairs: list[str] = parameters.get("include_corr_pairlist", [])
        self.strategy = strategy
        self.store = store
        self._code = hash_json(
            {
                "format": FORMAT,
                "code": hash_strategy_code(strategy),
                "feature_parameters": parameters,
                "timeframe": self.timeframe,
                "data": _describe_folder(config.get("datadir")),
                "files": _hash_files(getattr(strategy, "feature_files", ())),
            }
        )

    def build(self, pair: str, candles: pd.DataFrame, *, panel: bool = False) -> PairFeatures:
        """
        Return the features of a pair.
        :param pair: the pair
        :param candles: the frame that the strategy hands to FreqAI, all of its rows
        :param panel: name the pair's own features alike for all pairs (`panel_name`), and repeat
            them where the pair is one of the correlated ones, so that all pairs have one table
        """
        candles = candles.reset_index(drop=True)
        if set(_DIGIT_COUNTS) <= set(candles.columns):
            candles = candles.drop(columns=[*_DIGIT_COUNTS])
        key = hash_json([self._code, pair, _hash_frame(candles), self._hash_inputs(pair)])
        own = self._blocks_of(pair, candles, is_corr=False)
        standard = self.store.find(key) or self._compute_standard(key, pair, candles, own)
        corr = [
            block
            for corr_pair in self.corr_pairs
            if corr_pair != pair or panel
            for block in self._blocks_of(corr_pair, candles, is_corr=True)
        ]
        first = [] if any(view.replaced_by(standard) for view in own) else own
        standard_view = _View(standard, None, (0,), 0, "")
        return self._assemble(key, candles, [*first, standard_view, *corr], pair if panel else None)

    def _hash_inputs(self, pair: str) -> list[str]:
        """Hash the candles of other timeframes and pairs, which features of `pair` follow from."""
        pairs = [pair, *(name for name in self.corr_pairs if name != pair)]
        return [
            _hash_frame(self._candles(name, timeframe))
            for name in pairs
            for timeframe in self.timeframes
            if not (name == pair and timeframe == self.timeframe)
        ]

    def _candles(self, pair: str, timeframe: str) -> pd.DataFrame:
        found: pd.DataFrame = self.strategy.dp.get_pair_dataframe(pair=pair, timeframe=timeframe)
        return found

    def _blocks_of(self, pair: str, candles: pd.DataFrame, *, is_corr: bool) -> list[_View]:
        views = []
        for timeframe in self.timeframes:
            is_base = timeframe == self.timeframe and not is_corr
            informative = candles if is_base else self._candles(pair, timeframe)
            stored = self._block(pair, timeframe, informative.reset_index(drop=True))
            rows = _known_rows(candles, informative, self.timeframe, timeframe)
            shifts = tuple(range(self.shifts + 1))
            views.append(_View(stored, rows, shifts, len(informative), f"{pair}_{timeframe}"))
        return views

    def _block(self, pair: str, timeframe: str, informative: pd.DataFrame) -> StoredBlock:
        """Return the block of one (pair, timeframe), which all pairs share."""
        key = hash_json([self._code, pair, timeframe, _hash_frame(informative)])
        return self.store.find(key) or self._compute_block(key, pair, timeframe, informative)

    def _compute_block(
        self, key: str, pair: str, timeframe: str, informative: pd.DataFrame
    ) -> StoredBlock:
        metadata = {"pair": pair, "tf": timeframe}
        parts = [informative.drop(columns=[name for name in _CANDLE if name in informative])]
        for period in self.periods:
            found = self.strategy.feature_engineering_expand_all(
                informative.copy(), period, metadata=metadata
            )
            parts.append(_added(found, informative, str(period)))
        found = self.strategy.feature_engineering_expand_basic(
            informative.copy(), metadata=metadata
        )
        parts.append(_added(found, informative, "gen"))
        return self._store(key, pd.concat(parts, axis=1))

    def _compute_standard(
        self, key: str, pair: str, candles: pd.DataFrame, own: list[_View]
    ) -> StoredBlock:
        before = pd.concat([candles, *(view.frame(len(candles)) for view in own)], axis=1)
        after = self.strategy.feature_engineering_standard(
            before.copy(), metadata={"pair": pair}
        ).reset_index(drop=True)
        if len(after) != len(candles):
            raise ValueError(
                f"{pair}: feature_engineering_standard returns {len(after)} rows for "
                f"{len(candles)} candles. Return one row for each candle."
            )
        unchanged = [name for name in before if name in after and after[name].equals(before[name])]
        features = {name for name in candles if "%" in str(name)}
        features |= {name for view in own for name in view.raw_names()}
        if features <= set(unchanged):
            return self._store(key, after.drop(columns=unchanged))
        logger.info(
            "%s: feature_engineering_standard changes features of other hooks; they are kept a "
            "second time.",
            pair,
        )
        return self._store(key, after.drop(columns=[name for name in _CANDLE if name in unchanged]))

    def _store(self, key: str, added: pd.DataFrame) -> StoredBlock:
        is_feature = ["%" in str(name) for name in added.columns]
        returned = [_is_shown(name) or "%" not in str(name) for name in added.columns]
        return self.store.put(key, added.loc[:, is_feature], added.loc[:, returned])

    def _assemble(
        self, key: str, candles: pd.DataFrame, views: list[_View], panel_of: str | None
    ) -> PairFeatures:
        kept = _not_rewritten(candles, views)
        own = [name for name in kept.columns if "%" in name]
        blocks: list[FeatureBlock] = []
        raw_names = list(own)
        if own:
            stored = self.store.put(hash_json([key, "own"]), kept[own], pd.DataFrame())
            blocks.append(FeatureBlock(stored.values, tuple(map(_clean, own))))
        frame, shown = [kept], set(kept.columns)
        for view in views:
            rows = None if view.rows is None else self._row_file(view.rows)
            extras = view.extras(len(candles))
            frame.append(extras[[name for name in extras if name not in shown]])
            shown.update(extras.columns)  # a panel repeats some
            for shift in view.shifts:
                names = view.shifted_names(shift)
                is_own = panel_of is not None and not set(names) <= set(raw_names)
                raw_names += names
                named = [panel_name(name, panel_of) for name in names] if is_own else names
                if names:
                    blocks.append(
                        FeatureBlock(view.stored.values, tuple(map(_clean, named)), rows, shift)
                    )
        seconds = timeframe_seconds(self.timeframe)
        numbers = candles["date"].astype("datetime64[s, UTC]").astype("int64").to_numpy() // seconds
        index = self.store.array(hash_bytes(numbers.tobytes()), numbers)
        if not blocks:
            raise ValueError("the strategy makes no feature: name them with a leading %")
        return PairFeatures(
            FeatureTable(tuple(blocks), index, key), pd.concat(frame, axis=1), tuple(raw_names)
        )

    def _row_file(self, rows: npt.NDArray[np.int32]) -> Path:
        return self.store.array(hash_bytes(rows.tobytes()), rows)


@dataclass(frozen=True)
class _View:
    """A stored block seen from the base rows: `rows` None where it has the base rows itself."""

    stored: StoredBlock
    rows: npt.NDArray[np.int32] | None
    shifts: tuple[int, ...]
    n_rows: int
    suffix: str

    def shifted_names(self, shift: int) -> list[str]:
        """FreqAI shifts only columns that begin with %."""
        names = [name for name in self.stored.names if not shift or name.startswith("%")]
        if shift and len(names) < len(self.stored.names):
            raise ValueError(
                f"features {sorted(set(self.stored.names) - set(names))} do not begin with %, "
                "which FreqAI does not shift. Let their names begin with %-."
            )
        lag = f"_shift-{shift}" if shift else ""
        return [self._with_suffix(name + lag) for name in names]

    def raw_names(self) -> list[str]:
        return [name for shift in self.shifts for name in self.shifted_names(shift)]

    def replaced_by(self, standard: StoredBlock) -> bool:
        """Whether the strategy's last hook has written these features anew."""
        return bool(set(self.raw_names()) & set(standard.names))

    def frame(self, n_rows: int) -> pd.DataFrame:
        """Return features and extras on the base rows."""
        block = FeatureBlock(self.stored.values, self.stored.names)
        values = block.read(0, self.n_rows)
        parts = [
            pd.DataFrame(_taken(values, self.rows, shift), columns=self.shifted_names(shift))
            for shift in self.shifts
        ]
        extras = self.extras(n_rows)
        shown = extras.columns.intersection(self.raw_names())  # `%%`: features that are returned
        return pd.concat([*parts, extras.drop(columns=shown)], axis=1)

    def extras(self, n_rows: int) -> pd.DataFrame:
        found = self.stored.read_extras()
        if found.empty:
            return pd.DataFrame(index=range(n_rows))
        found.columns = pd.Index([self._with_suffix(name) for name in found.columns])
        if self.rows is None:
            return found
        taken = found.take(np.maximum(self.rows, 0)).reset_index(drop=True)
        return taken.mask(pd.Series(self.rows < 0)) if (self.rows < 0).any() else taken

    def _with_suffix(self, name: str) -> str:
        return f"{name}_{self.suffix}" if self.suffix else name


def _not_rewritten(candles: pd.DataFrame, views: list[_View]) -> pd.DataFrame:
    """Return the columns that the strategy's last hook has left as they came in."""
    rewritten: set[str] = set()
    for view in views:
        if not view.suffix:
            rewritten |= {*view.stored.names, *view.extras(len(candles)).columns}
    return candles.drop(columns=[name for name in candles if name in rewritten])


def panel_name(name: str, pair: str | None) -> str:
    """
    Return the name that a feature of the pair itself has in a panel of pairs.
    :param name: as FreqAI names it, `..._<pair>_<timeframe>`
    :param pair: the pair, with or without its colon; None leaves the name
    """
    if pair is None:
        return name
    return name.replace(f"_{pair}_", f"_{PANEL}_").replace(f"_{_clean(pair)}_", f"_{PANEL}_")


def _taken(
    values: npt.NDArray[np.float32], rows: npt.NDArray[np.int32] | None, shift: int
) -> npt.NDArray[np.float32]:
    numbers = np.arange(len(values)) if rows is None else rows.astype(np.int64)
    known = numbers >= shift
    taken = values[np.where(known, numbers - shift, 0)]
    taken[~known] = np.nan
    return taken


def _added(found: pd.DataFrame, informative: pd.DataFrame, suffix: str) -> pd.DataFrame:
    """Return the columns that a hook added, named as FreqAI's merge names them."""
    found = found.reset_index(drop=True)
    if len(found) != len(informative) or not found["date"].equals(informative["date"]):
        rows = _known_rows(informative, found, "1m", "1m")
        found = found.take(np.maximum(rows, 0)).reset_index(drop=True).mask(pd.Series(rows < 0))
    added = found.drop(columns=[name for name in _CANDLE if name in found])
    return added.add_suffix(f"_{suffix}")


def _known_rows(
    candles: pd.DataFrame, informative: pd.DataFrame, timeframe: str, timeframe_inf: str
) -> npt.NDArray[np.int32]:
    """Return the row of `informative` that Freqtrade's merge puts beside each candle, or -1."""
    numbered = informative[["date"]].reset_index(drop=True)
    numbered["row"] = np.arange(len(numbered), dtype=float)
    merged = merge_informative_pair(
        candles[["date"]].reset_index(drop=True), numbered, timeframe, timeframe_inf, ffill=True
    )
    rows: npt.NDArray[np.int32] = merged[f"row_{timeframe_inf}"].fillna(-1).to_numpy(np.int32)
    return rows


def _hash_files(paths: Iterable[Path | None]) -> list[str]:
    """Return the hash of each file, and that there is none where there is none."""
    return [hash_bytes(path.read_bytes()) if path and path.is_file() else "" for path in paths]


def _hash_frame(frame: pd.DataFrame) -> str:
    """Return the hash of columns and values."""
    parts = []
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_datetime64_any_dtype(column):
            column = column.astype("int64")  # as numpy, dates with a time zone are objects
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            parts.append(repr(column.tolist()).encode())
        else:
            parts.append(np.ascontiguousarray(column.to_numpy()).tobytes())
    return hash_json([*map(str, frame.columns), *(hash_bytes(part) for part in parts)])


def _describe_folder(folder: Path | str | None) -> list[list[Any]]:
    """List a folder's files with size and time of change: features may read any of them."""
    if folder is None:
        return []
    files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
    described = [(path, path.stat()) for path in files]
    return [[str(path), found.st_size, found.st_mtime_ns] for path, found in described]


def _is_shown(name: object) -> bool:
    """FreqAI hands these features back to the strategy."""
    return str(name).startswith("%%")


def _clean(name: str) -> str:
    """FreqAI takes colons out of the names that a model sees."""
    return name.replace(":", "")
