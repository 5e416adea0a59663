from typing import Any

import pandas as pd
from freqtrade.freqai.data_kitchen import FreqaiDataKitchen
from freqtrade.freqai.freqai_interface import IFreqaiModel
from freqtrade.strategy import IStrategy


class RecordedPredictions(IFreqaiModel):
    """Predicts what the table that `recorded_predictions` names says of a pair's candle."""

    def start(
        self, dataframe: pd.DataFrame, metadata: dict[str, Any], strategy: IStrategy
    ) -> pd.DataFrame:
        table = pd.read_parquet(self.config["recorded_predictions"])
        own = table[table["pair"] == metadata["pair"]].drop(columns="pair")
        return dataframe.merge(own, on="date", how="left").fillna({"do_predict": 0})

    def train(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def predict(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def fit(self, data_dictionary: dict[str, Any], dk: FreqaiDataKitchen, **_: Any) -> Any:
        raise NotImplementedError
