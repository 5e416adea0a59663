"""Biases made of what a model predicts or a policy does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agent_market.decisions.bias import Bias, BiasSource, PairBias
from agent_market.errors import DataError
from agent_market.market.candles import timeframe_seconds
from agent_market.settings import BiasSettings
from agent_market.store import hash_json, read_records

VIEW = ("date", "pair", "direction", "confidence", "position_multiplier", "leverage")
FIVE_ACTIONS = {1: 1, 2: 0, 3: -1, 4: 0}
"""FreqAI's actions and the position after them; 0, neutral, keeps the position."""


def read_predictions(folder: Path, label: str) -> pd.DataFrame:
    """Return the predictions that our FreqAI models stored, while the bot may be writing more.

    Parameters
    ----------
    folder : Path
        `models/<identifier>/state/predictions`.
    label : str
        Column of the prediction, such as `&-forward_return`, a fraction.

    Returns
    -------
    DataFrame
        `date` (open of the candle, UTC), `pair`, `prediction`, `trusted`; the last record of each
        candle, sorted by date.

    Raises
    ------
    DataError
        Nothing is stored, or not this label.
    """
    records = [each for path in sorted(folder.glob("*.jsonl")) for each in read_records(path)]
    if not records:
        raise DataError(f"{folder} holds no predictions. Run the bot, or correct --identifier.")
    stored = pd.DataFrame(records)
    if label not in stored:
        labels = [name for name in map(str, stored) if name.startswith("&")]
        raise DataError(f"{folder} holds no {label}. Pass --label; it holds {', '.join(labels)}.")
    abstains = stored["abstain"].eq(1) if "abstain" in stored else False
    frame = pd.DataFrame(
        {
            "date": pd.to_datetime(stored["date_pred"], utc=True, format="ISO8601"),
            "pair": stored["pair"],
            "prediction": stored[label].astype(float),
            "trusted": stored["do_predict"].eq(1) & ~np.asarray(abstains, dtype=bool),
        }
    )
    return frame.drop_duplicates(["date", "pair"], keep="last").sort_values(
        ["date", "pair"], ignore_index=True
    )


def view_of_predictions(predictions: pd.DataFrame, settings: BiasSettings) -> pd.DataFrame:
    """Return direction, confidence, position multiplier and leverage of each prediction.

    The direction is the prediction's sign from `edge_bps` on, 0 below it or where the model does
    not stand behind it. The confidence grows with the prediction, to 1 at `full_confidence_bps`;
    with it the position multiplier grows from 0.5 to 1.5 and the leverage from 1 on, to their
    bounds at most.
    """
    bps = (predictions["prediction"] * 1e4).replace([np.inf, -np.inf], np.nan)
    acts = predictions["trusted"] & (bps.abs() >= settings.edge_bps)
    confidence = (bps.abs() / settings.full_confidence_bps).clip(upper=1).where(acts, 0.0)
    view = predictions[["date", "pair"]].copy()
    view["direction"] = np.sign(bps).where(acts, 0).astype(int)
    view["confidence"] = confidence
    view["position_multiplier"] = (0.5 + confidence).clip(upper=settings.max_position_multiplier)
    view["leverage"] = 1 + confidence * (settings.max_leverage - 1)
    return view


def read_actions(path: Path) -> pd.DataFrame:
    """Return the actions of a policy, from CSV or Parquet.

    Columns: `date` (open of the candle at whose close the policy acted, UTC), `pair`, and either
    `position` (-1 short .. 1 long, a share of the full stake) or `action` (FreqAI's five: 0
    neutral, 1 and 2 enter and exit long, 3 and 4 short); optional `leverage` and `confidence`.

    Raises
    ------
    DataError
        A column is missing, or a value is not what it should be.
    """
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    missing = {"date", "pair"} - set(frame)
    if missing or not {"position", "action"} & set(frame):
        raise DataError(
            f"{path}: the columns are {', '.join(map(str, frame))}. It wants date, pair, and "
            "position or action."
        )
    frame["date"] = pd.to_datetime(frame["date"], utc=True)
    frame = frame.drop_duplicates(["date", "pair"], keep="last")
    frame = frame.sort_values(["date", "pair"], ignore_index=True)
    if "position" not in frame:
        frame["position"] = frame.groupby("pair")["action"].transform(_positions)
    wrong = ~frame["position"].between(-1, 1)
    if wrong.any():
        row = frame[wrong].iloc[0]
        raise DataError(
            f"{path}: {row['pair']} at {row['date']}: position or action gives {row['position']}, "
            "not a position within -1..1. Mend the file."
        )
    return frame


def view_of_actions(actions: pd.DataFrame) -> pd.DataFrame:
    """Return what the actions of `read_actions` say: position as direction and multiplier."""
    view = actions[["date", "pair"]].copy()
    view["direction"] = np.sign(actions["position"]).astype(int)
    acts = view["direction"] != 0
    confidence = actions.get("confidence", 1.0)
    view["confidence"] = pd.Series(confidence, index=view.index).where(acts, 0.0)
    view["position_multiplier"] = actions["position"].abs().where(acts, 1.0)
    view["leverage"] = actions.get("leverage", 1.0)
    return view


def biases_of(view: pd.DataFrame, model: str, timeframe: str, settings: BiasSettings) -> list[Bias]:
    """Return one bias a candle, created at its close, oldest first.

    Raises
    ------
    DataError
        A value is none that a bias can hold, such as a NaN confidence.
    """
    length = timedelta(seconds=timeframe_seconds(timeframe))
    return [
        bias_of(rows, model, (pd.Timestamp(str(date)) + length).to_pydatetime(), settings)
        for date, rows in view.groupby("date", sort=True)
    ]


def newest_of(
    view: pd.DataFrame, model: str, timeframe: str, settings: BiasSettings, now: datetime
) -> Bias:
    """Return the bias of the newest candle, created now.

    Raises
    ------
    DataError
        The candle closed longer ago than a bias lasts, or has not closed.
    """
    last = view["date"].max()
    age = now - (last + timedelta(seconds=timeframe_seconds(timeframe))).to_pydatetime()
    minutes = age.total_seconds() / 60
    if not 0 <= minutes <= settings.lifetime_minutes:
        raise DataError(
            f"the newest candle is {last}, closed {minutes:.1f} minutes ago; a bias is made within "
            f"{settings.lifetime_minutes:g} (bias.lifetime_minutes). Nothing was written."
        )
    return bias_of(view[view["date"] == last], model, now, settings)


def bias_of(rows: pd.DataFrame, model: str, created_at: datetime, settings: BiasSettings) -> Bias:
    """Return the bias of one candle's rows."""
    content = rows[list(VIEW)].assign(date=rows["date"].map(pd.Timestamp.isoformat))
    records: list[dict[str, Any]] = [
        {str(name): value for name, value in record.items()}
        for record in content.to_dict("records")
    ]
    try:
        return Bias(
            id=f"bias-{created_at:%Y%m%dT%H%M%S}",
            created_at=created_at,
            expires_at=created_at + timedelta(minutes=settings.lifetime_minutes),
            source=BiasSource(model=model, data_hash=hash_json(records)),
            pairs={record["pair"]: _pair(record) for record in records},
        )
    except ValueError as error:
        raise DataError(f"{rows['date'].iloc[0]}: no bias can be made: {error}") from error


def _pair(record: Mapping[str, Any]) -> PairBias:
    return PairBias(
        direction=int(record["direction"]),  # type: ignore[arg-type]
        confidence=float(record["confidence"]),
        position_multiplier=float(record["position_multiplier"]),
        leverage=float(record["leverage"]),
    )


def _positions(actions: pd.Series) -> pd.Series:
    """Return the position after each of FreqAI's five actions; NaN for an unknown one."""
    after = actions.map(FIVE_ACTIONS).where(actions.isin(FIVE_ACTIONS))
    held = after.ffill().fillna(0)
    return held.where(actions.isin([0, *FIVE_ACTIONS]))
