import pytest

from agent_market.evaluation.report_figures import _readable


@pytest.mark.parametrize(
    ("feature", "label"),
    [
        ("%-pressure-period_48_ETH/USDTUSDT_1h", "pressure 48, ETH 1h"),
        ("%-volume_z-period_12_shift-1_BTC/USDTUSDT_5m", "volume_z 12, BTC 5m, 1 ago"),
        ("%-return_bps_gen_ETH/USDTUSDT_1h", "return_bps, ETH 1h"),
        ("%-day_cos", "day_cos"),
        ("%-pressure-period_48_ETH/USDT_1h", "pressure 48, ETH 1h"),
    ],
)
def test_that_an_expanded_feature_is_named_readably(feature: str, label: str) -> None:
    assert _readable(feature) == label
