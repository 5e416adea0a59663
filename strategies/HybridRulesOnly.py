import numpy as np
from HybridMultiMode import PREDICTION, HybridMultiMode
from pandas import DataFrame


class HybridRulesOnly(HybridMultiMode):
    """
    HybridMultiMode without a model, to see what the model adds: always at level `rules`.

    Nothing is trained. Only modes with `rules` among their `levels` enter, and only those with
    `needs_prediction: false`.
    """

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, object]) -> DataFrame:
        nothing = dataframe.assign(**{PREDICTION: np.nan, "do_predict": 0})
        return self.desk.measure(nothing, metadata)
