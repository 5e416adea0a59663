from typing import Any

import numpy as np
import numpy.typing as npt
from catboost import CatBoostRegressor, Pool

from agent_market.bridge import AgentMarketRegressor


class CatboostRegressor(AgentMarketRegressor):
    """
    CatBoost, under the name it had in FreqAI.

    Every key of `freqai.model_training_parameters` goes to `catboost.CatBoostRegressor`.
    """

    def fit_estimator(self, train: Any, valid: Any, init_model: Any) -> Any:
        """See `AgentMarketRegressor.fit_estimator`."""
        labels = train[1].shape[1]
        defaults = {
            "loss_function": "RMSE" if labels == 1 else "MultiRMSE",
            "allow_writing_files": False,
            "verbose": False,
        }
        model = CatBoostRegressor(**(defaults | self.model_training_parameters))
        model.fit(
            Pool(train[0], train[1], weight=train[2]),
            eval_set=Pool(valid[0], valid[1], weight=valid[2]) if valid else None,
            init_model=init_model,
        )
        return model

    def importance(self, estimator: Any) -> npt.NDArray[np.float64]:
        """See `AgentMarketRegressor.importance`."""
        return np.asarray(estimator.get_feature_importance())
