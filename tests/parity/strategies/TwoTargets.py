from typing import Any

import pandas as pd
from freqtrade.templates.FreqaiExampleStrategy import FreqaiExampleStrategy


class TwoTargets(FreqaiExampleStrategy):
    """Freqtrade's example with its second target, and trades on any prediction."""

    def set_freqai_targets(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        dataframe = super().set_freqai_targets(dataframe, metadata)
        horizon = self.freqai_info["feature_parameters"]["label_period_candles"]
        later = dataframe["close"].shift(-horizon).rolling(horizon)
        dataframe["&-s_range"] = (later.max() - later.min()) / dataframe["close"]
        return dataframe

    def populate_entry_trend(self, df: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
        trusted = (df["do_predict"] == 1) & (df["&-s_range"] > df["&-s_range_mean"] / 2)
        df.loc[trusted & (df["&-s_close"] > 0), "enter_long"] = 1
        df.loc[trusted & (df["&-s_close"] < 0), "enter_short"] = 1
        return df
