"""Every FreqAI model of ours, so small that it trains in tenths of a second."""

from typing import Any

from tests.freqtrade_process import PROJECT

_NET = {"max_epochs": 1, "early_stopping_rounds": 0}
_WINDOW = {"window_candles": 4, "hidden_size": 16, **_NET}
_TREES = {"n_estimators": 8}
# without costs, and whatever they earned on their validation rows, policies trade
_EAGER = {"cost_bps": 0, "least_valid_t": -99}
_POLICY = {"max_epochs": 3, "members": 1, "segment_candles": 32, "first_reluctance": 0, **_EAGER}

PARAMETERS: dict[str, dict[str, Any]] = {
    "catboost_regressor": {"iterations": 8, "depth": 3},
    "catboost_classifier": {"iterations": 8, "depth": 3},
    "lightgbm_regressor": _TREES,
    "lightgbm_classifier": _TREES,
    "xgboost_regressor": _TREES,
    "stacking_regressor": {
        "folds": 2,
        "members": [
            {"name": "lightgbm_regressor", "params": _TREES},
            {"name": "xgboost_regressor", "params": _TREES},
        ],
    },
    "mlp_regressor": {"hidden_size": 16, "layers": 1, **_NET},
    "lstm_regressor": _WINDOW,
    "tcn_regressor": {"window_candles": 4, "channels": 16, **_NET},
    "transformer_regressor": {"heads": 2, **_WINDOW},
    "exact_policy": _POLICY,
    "imitation_policy": _POLICY,
    "ppo_policy": {"total_steps": 2000, "evaluations": 2, **_EAGER},
    "cql_policy": {"steps": 50, **_EAGER},
}
CLASSIFIERS = ("CatboostClassifier", "FastLightGBMClassifier")
MODELS = tuple(sorted(path.stem for path in (PROJECT / "freqaimodels").glob("[A-Z]*.py")))
POLICIES = ("ImitationTrader", "OfflineTrader", "PPOTrader", "PolicyTrader")
REGRESSORS = tuple(name for name in MODELS if name not in CLASSIFIERS + POLICIES)
