import traceback

import pytest

from agent_market.errors import ConfigError
from agent_market.settings import load_settings


def test_that_an_empty_section_gives_the_defaults() -> None:
    assert load_settings({}) == load_settings({"agent_market": {}})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"markt": {}}, r"agent_market\.markt: unknown key\. Did you mean 'market'\?"),
        (
            {"market": {"simulator": {"sead": 1}}},
            r"agent_market\.market\.simulator\.sead: unknown key\. Did you mean 'seed'\?",
        ),
        (
            {"regime": {"trend_efficiency": 2}},
            r"agent_market\.regime\.trend_efficiency: input should be less than 1, found 2\.",
        ),
        ({"market": {"source": "moon"}}, r"agent_market\.market\.source: .*found 'moon'"),
    ],
)
def test_that_a_wrong_key_or_value_is_named(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings({"agent_market": section})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"base_url": "https://me:hunter2@host/v1"}, "holds a user, a password or a query"),
        ({"base_url": "ftp://host/hunter2"}, "is not of the form https://host/v1"),
        ({"api_key_env": "sk-hunter2"}, "string should match pattern"),
        ({"api_key": "sk-hunter2"}, r"agent_market\.llm\.api_key: unknown key\. Did you mean"),
    ],
)
def test_that_a_secret_in_the_configuration_is_refused_and_not_shown(
    section: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings({"agent_market": {"llm": section}})
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
