import json
import zipfile

import pytest

from agent_market.errors import DataError
from agent_market.evaluation import BacktestArtifacts, read_backtest_result


def test_that_a_missing_result_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"no backtest result at .*absent\.zip.*Run the backtest"):
        read_backtest_result(tmp_path / "absent.zip")


def test_that_a_result_cut_at_any_place_is_a_data_error(make_backtest):
    path = make_backtest(with_predictions=False).result_path
    content = path.read_bytes()
    for length in range(0, len(content) - 1, max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match="Run the backtest again"):
            read_backtest_result(path)


def test_that_a_damaged_byte_is_harmless_or_a_data_error(make_backtest):
    path = make_backtest(with_predictions=False).result_path
    content = path.read_bytes()
    profits = list(read_backtest_result(path).trades["profit_abs"])
    refused = 0
    for place in [*range(0, len(content), 7), *range(len(content) - 200, len(content))]:
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        try:
            assert list(read_backtest_result(path).trades["profit_abs"]) == profits
        except DataError:
            refused += 1
    assert refused > len(content) // 10


def test_that_a_renamed_result_is_told_apart_from_a_corrupt_one(make_backtest, tmp_path):
    renamed = make_backtest().result_path.rename(tmp_path / "mine.zip")
    with pytest.raises(DataError, match=r"holds no mine\.json; .*Undo a renaming"):
        read_backtest_result(renamed)


@pytest.mark.parametrize("content", [[], {}, {"strategy": {}}, {"strategy": []}])
def test_that_a_result_without_strategies_is_a_data_error(tmp_path, content):
    path = tmp_path / "backtest-result-x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("backtest-result-x.json", json.dumps(content))
    with pytest.raises(DataError, match="no strategy results"):
        read_backtest_result(path)


def test_that_several_strategies_need_a_name(tmp_path, make_export):
    path = make_export(tmp_path, {"A": {}, "B": {}})
    with pytest.raises(DataError, match=r"\['A', 'B'\].*None.*Set `strategy`"):
        read_backtest_result(path)


def test_that_a_missing_field_is_named(tmp_path, make_export):
    path = make_export(tmp_path, {"A": {"trades": []}})
    with pytest.raises(DataError, match="'pairlist'"):
        read_backtest_result(path, "A")


def test_that_trades_without_orders_are_a_data_error(make_backtest, tmp_path, make_export):
    stats = dict(read_backtest_result(make_backtest().result_path).stats)
    stats["trades"] = [{k: v for k, v in t.items() if k != "orders"} for t in stats["trades"]]
    with pytest.raises(DataError, match=r"trades lack \['orders'\]"):
        read_backtest_result(make_export(tmp_path, {"A": stats}))


def test_that_the_models_folder_is_found_with_and_without_the_identifier(tmp_path):
    (tmp_path / "models" / "run").mkdir(parents=True)
    config = {"freqai": {"identifier": "run"}}
    for given in (tmp_path / "models", tmp_path / "models" / "run"):
        artifacts = BacktestArtifacts(tmp_path / "x.zip", given, tmp_path, config)
        assert artifacts.run_models_dir == tmp_path / "models" / "run"
