import json
from pathlib import Path

import pytest

from agent_market.errors import ConfigError
from agent_market.flow.configuration import (
    deep_merge,
    load_config_files,
    without_environment,
    without_secrets,
)


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_that_later_files_win_and_dictionaries_merge(tmp_path: Path) -> None:
    first = write(tmp_path / "a.json", {"exchange": {"name": "binance", "key": "k"}, "x": [1, 2]})
    second = write(tmp_path / "b.json", {"exchange": {"key": ""}, "x": [3]})
    merged = load_config_files([first, second], environment={})
    assert merged == {"exchange": {"name": "binance", "key": ""}, "x": [3]}


def test_that_a_file_wins_over_its_own_additions_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path / "below" / "added.json", {"a": 1, "b": 1})
    main = write(tmp_path / "main.json", {"add_config_files": ["below/added.json"], "b": 2})
    merged = load_config_files([main], environment={})
    assert (merged["a"], merged["b"]) == (1, 2)


def test_that_comments_and_trailing_commas_are_allowed(tmp_path: Path) -> None:
    file = write(tmp_path / "c.json", '{"a": 1, // one\n /* two */ "b": 2,}')
    assert load_config_files([file], environment={}) == {"a": 1, "b": 2}


def test_that_freqtrade_variables_win_over_files(tmp_path: Path) -> None:
    file = write(tmp_path / "c.json", {"freqai": {"identifier": "a", "train_period_days": 30}})
    variables = {
        "FREQTRADE__FREQAI__TRAIN_PERIOD_DAYS": "15",
        "FREQTRADE__DRY_RUN": "true",
        "FREQTRADE__STRATEGY": "Other",
        "HOME": "/",
    }
    merged = load_config_files([file], environment=variables)
    assert merged["freqai"] == {"identifier": "a", "train_period_days": 15}
    assert (merged["dry_run"], merged["strategy"]) == (True, "Other")
    assert without_environment(variables) == {"HOME": "/"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not valid JSON"), ("[]", "holds a list"), (None, "No such file")],
)
def test_that_an_unusable_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "c.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=message) as error:
        load_config_files([file], environment={})
    assert str(file) in str(error.value)


def test_that_additions_that_add_themselves_are_an_error(tmp_path: Path) -> None:
    file = write(tmp_path / "c.json", {"add_config_files": ["c.json"]})
    with pytest.raises(ConfigError, match="Break the loop"):
        load_config_files([file], environment={})


def test_that_no_secret_stays_in_the_public_configuration() -> None:
    public = without_secrets(
        {
            "telegram": {"token": "hidden"},
            "api_server": {"password": "hidden"},
            "exchange": {"key": "hidden", "secret": "hidden", "ccxt_config": {"apiKey": "hidden"}},
            "agent_market": {"flow": {"database_url": "postgresql://u:hidden@h/d"}, "kept": 1},
        }
    )
    assert "hidden" not in json.dumps(public)
    assert public["agent_market"] == {"kept": 1}


def test_that_merging_changes_neither_side() -> None:
    base, overlay = {"a": {"b": [1]}}, {"a": {"c": [2]}}
    merged = deep_merge(base, overlay)
    merged["a"]["c"].append(3)
    assert (base, overlay) == ({"a": {"b": [1]}}, {"a": {"c": [2]}})


def test_that_missing_credentials_name_the_script_that_makes_them(tmp_path: Path) -> None:
    added = {"add_config_files": ["user_data/config.credentials.json"]}
    main = write(tmp_path / "config.json", added)
    with pytest.raises(ConfigError, match=r"No such file.*Run .*generate_credentials\.py"):
        load_config_files([main])
