from typing import Any

import numpy as np
import pandas as pd
from freqtrade.templates.FreqaiExampleStrategy import FreqaiExampleStrategy


class UpOrDown(FreqaiExampleStrategy):
    """Freqtrade's example with the classes that its comments propose."""

    def set_freqai_targets(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], **kwargs: Any
    ) -> pd.DataFrame:
        self.freqai.class_names = ["down", "up"]
        horizon = self.freqai_info["feature_parameters"]["label_period_candles"]
        later = dataframe["close"].shift(-horizon)
        dataframe["&s-up_or_down"] = np.where(later > dataframe["close"], "up", "down")
        return dataframe

    def populate_entry_trend(self, df: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
        trusted = df["do_predict"] == 1
        df.loc[trusted & (df["&s-up_or_down"] == "up") & (df["up"] >= 0.5), "enter_long"] = 1
        df.loc[trusted & (df["&s-up_or_down"] == "down") & (df["down"] >= 0.5), "enter_short"] = 1
        return df

    def populate_exit_trend(self, df: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
        return df
