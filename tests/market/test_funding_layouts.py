from pathlib import Path

import pandas as pd

from agent_market.market.candles import candle_path, read_candles, write_candles

PAIR = "BTC/USDT:USDT"


def test_that_a_funding_rate_is_read_alike_in_both_of_freqtrades_layouts(tmp_path: Path) -> None:
    dates = pd.date_range("2024-01-01", periods=3, freq="8h", tz="UTC")
    rates = pd.Series([1e-4, -2e-4, 0.0])
    whole = pd.DataFrame({"date": dates, "open": rates})
    whole = whole.assign(high=0.0, low=0.0, close=0.0, volume=0.0)
    write_candles(tmp_path, PAIR, "1h", "funding_rate", whole)
    before = read_candles(tmp_path, PAIR, "1h", "funding_rate")

    as_downloaded = before[["date", "open"]].rename(columns={"open": "funding_rate"})
    as_downloaded.to_feather(candle_path(tmp_path, PAIR, "1h", "funding_rate"))
    pd.testing.assert_frame_equal(read_candles(tmp_path, PAIR, "1h", "funding_rate"), before)
