"""What the language takes, what it refuses, and what it says then."""

import pytest

from agent_market.errors import ConfigError, ExpressionError
from agent_market.expressions import (
    At,
    Call,
    Constant,
    ExpressionBounds,
    Feature,
    Input,
    Node,
    Scope,
    check_expression,
    format_expression,
    parse_expression,
)
from agent_market.expressions.units import PLAIN, PRICE, VOLUME

CLOSE, OPEN, VOLUMES = Input("close"), Input("open"), Input("volume")


def refusal(text: str, scope: Scope | None = None) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text, scope or Scope())
    return caught.value


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("close", CLOSE),
        (" (\tclose\n) ", CLOSE),
        ("ts_mean(close, 24)", Call("ts_mean", (CLOSE, Constant(24)))),
        ("close - open - open", Call("sub", (Call("sub", (CLOSE, OPEN)), OPEN))),
        ("close - (open - open)", Call("sub", (CLOSE, Call("sub", (OPEN, OPEN))))),
        ("close + open * 2", Call("add", (CLOSE, Call("mul", (OPEN, Constant(2)))))),
        ("-close * 2", Call("mul", (Call("neg", (CLOSE,)), Constant(2)))),
        ("-(close * 2)", Call("neg", (Call("mul", (CLOSE, Constant(2))),))),
        ("close * -2.5e-1", Call("mul", (CLOSE, Constant(-0.25)))),
        ("close - -(2)", Call("sub", (CLOSE, Call("neg", (Constant(2),))))),
        ("close + 1 > open", Call("gt", (Call("add", (CLOSE, Constant(1))), OPEN))),
        ("add(close, neg(open))", Call("add", (CLOSE, Call("neg", (OPEN,))))),
        ('feature("%-a b/c") / 2', Call("div", (Feature("%-a b/c"), Constant(2)))),
        ("at('1h', close) / close", Call("div", (At("1h", CLOSE), CLOSE))),
    ],
)
def test_that_a_text_means_what_python_precedence_says(text: str, node: Node) -> None:
    assert parse_expression(text) == node


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("ts_mean(closee, 24)", 8, "unknown series 'closee'. Did you mean 'close'?"),
        ("1 - ts_maen(close, 3)", 4, "unknown operator 'ts_maen'. Did you mean 'ts_mean'"),
        ("CLOSE", 0, "Did you mean 'close'?"),
        ("Ref(close, 1)", 0, "Write delay(x, n)."),
        ("zzzzzz(close)", 0, "Operators: add, sub,"),
        ("zzzzzz", 0, "Series: open, high, low, close, volume, vwap, returns, funding."),
        ("ts_mean(close)", 0, "takes 2 arguments, found 1. Write ts_mean(x, n)."),
        ("ts_mean(close, 2, 3)", 0, "too many arguments. Write ts_mean(x, n)."),
        ("ts_mean(close, 2.5)", 15, "n of ts_mean(x, n) is not a whole number of candles"),
        ("ts_mean(close, open)", 15, "is not a whole number of candles, written as digits"),
        ("ts_mean(close, 1 + 2)", 15, "is not a whole number of candles, written as digits"),
        ("delay(close, -1)", 13, "n of delay(x, n) is -1. Take 0 to 2016."),
        ("ts_corr(close, open, 2)", 21, "Take 3 to 2016."),
        ("ts_quantile(close, 9, 2)", 22, "q of ts_quantile(x, n, q) is 2. Take 0 to 1."),
        ("clip(returns, 1, 1)", 17, "high of clip(x, low, high) is 1, not above the 1 before it."),
        ("close < open < high", 13, "comparisons do not chain. Write (a < b) * (b < c)."),
        ("close == open", 6, "Compare by <, <=, > or >=."),
        ("returns ** 2", 8, "Write square(x) or sqrt(x)."),
        ("close.shift", 5, "Nothing has attributes here."),
        ("close[0]", 5, "write delay(x, 1) for the value before."),
        ("close if open > 1 else 2", 6, "Write where(condition, x, y)."),
        ("not close", 0, "Write 1 - condition."),
        ("ts_mean(close, n=3)", 16, "Arguments have no names"),
        ("close +", 7, "expected a series, a number or a bracket, found the end."),
        ("close + + open", 8, "Leave out a plus sign"),
        (
            "ts_mean(close, 3",
            16,
            "expected an operator, a comma or a closing bracket, found the end.",
        ),
        ("close)", 5, "A bracket is closed that was not opened."),
        ("", 0, "found the end"),
        ("rank", 0, "rank is an operator. Write rank(x)."),
        ("at", 0, 'at is an operator. Write at("1h", x).'),
        ("close(3)", 0, "close is a series, not an operator."),
        ("'close'", 0, "Write feature('close')."),
        ("'close", 0, "A quoted name ends on its line"),
        ("1 + 2", 0, "the expression is a constant. Name a series"),
        ("rank(1)", 5, "x of rank(x) is a constant. Put a series there."),
        ("ts_mean(3, 4) * close", 8, "is a constant. Put a series there."),
        ("close * 1e999", 8, "the number is too large"),
        ("close * 07", 9, "expected an operator or the end, found '7'"),
        ("-" * 99 + "close", 64, "more than 64 signs stand before one value"),
        ("at(close, 1)", 3, 'expected a quoted name, as in at("1h", close)'),
        ('at("1h")', 7, "expected a comma"),
        ('at("1h", 3) * close', 0, "is a constant. Put a series into it."),
        ('at("1x", close)', 3, "is not of the form 15m, 1h or 1d"),
        ('at("0m", close)', 3, "is not of the form 15m, 1h or 1d"),
        ('at("7m", close)', 3, "is not a longer multiple of 5m"),
        ('at("5m", close)', 3, "is not a longer multiple of 5m"),
        ('at("4h", at("1h", close))', 12, "is not a longer multiple of 4h"),
        ('at("1h", feature("x"))', 9, "a feature stands outside at(...)"),
        ('feature("")', 8, "cannot be quoted"),
        ('feature("a\tb")', 8, "cannot be quoted"),
        ("ｃlose", 0, "found 'ｃ'"),
    ],
)
def test_that_a_refusal_names_the_place_and_what_to_do(
    text: str, position: int, words: str
) -> None:
    error = refusal(text)
    assert isinstance(error, ConfigError)
    assert error.position == position
    assert f"character {position + 1}: " in str(error)
    assert words in str(error)
    assert len(str(error).splitlines()) == 3


def test_that_carets_stand_below_the_fault_in_a_long_text_of_several_lines() -> None:
    text = "close +\n" + "close + " * 30 + "clsoe + " + "close + " * 30 + "open"
    _, shown, carets = str(refusal(text, Scope(bounds=ExpressionBounds(max_depth=32)))).split("\n")
    assert shown[carets.index("^") : carets.rindex("^") + 1] == "clsoe"
    assert len(shown) < 100


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("close / open", PLAIN),
        ("close - open", PRICE),
        ("close + 1", PRICE),
        ("2 * volume", VOLUME),
        ("sqrt(square(close))", PRICE),
        ("abs(returns) / sqrt(volume / ts_mean(volume, 9))", PLAIN),
        ("ts_std(close, 9)", PRICE),
        ("ts_zscore(close, 9)", PLAIN),
        ("ts_cov(close, volume, 9) / close", VOLUME),
        ("close > delay(close, 1)", PLAIN),
        ("where(close > open, close, open)", PRICE),
        ("where(close > open, 1, 0)", PLAIN),
        ("sign(close - open)", PLAIN),
        ("rank(volume)", PLAIN),
        ("zscore(vwap * volume)", PLAIN),
        ("funding + returns + feature('x')", PLAIN),
        ("1 / close * close", PLAIN),
    ],
)
def test_that_units_follow_the_arithmetic(text: str, unit: object) -> None:
    assert check_expression(parse_expression(text)).unit == unit


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("close + volume", 8, "y of x + y is a volume, but what stands before it is a price."),
        ("close < volume", 8, "is a volume"),
        ("minimum(returns, close)", 17, "y of minimum(x, y) is a price"),
        ("close + returns", 8, "is a plain number, but what stands before it is a price"),
        ("log(close)", 4, "x of log(x) is a price, not a plain number. Take a ratio"),
        ("tanh(sqrt(volume))", 5, "is base^0.5"),
        ("where(close, 1, 0)", 6, "condition of where(condition, x, y) is a price"),
        ("where(close > open, close, volume)", 27, "is a volume"),
        ("close + vwap * volume", 8, "is an amount of quote currency"),
        ("log(close / volume)", 4, "is quote x base^-2"),
        ("demean(volume)", 7, "pairs differ in base currency"),
        ("zscore(close)", 7, "Take a ratio, rank(...), or an amount of quote currency"),
        ("neutralize(returns, volume)", 20, "y of neutralize(x, y) is a volume"),
    ],
)
def test_that_mixed_units_are_refused(text: str, position: int, words: str) -> None:
    error = refusal(text)
    assert error.position == position
    assert words in str(error)


@pytest.mark.parametrize(
    ("text", "lookback"),
    [
        ("close", 0),
        ("returns", 1),
        ("delay(close, 7)", 7),
        ("delta(returns, 7)", 8),
        ("ts_mean(close, 24)", 23),
        ("ewm(close, 3)", 23),
        ("ts_mean(delay(close, 7), 24) / delay(close, 3)", 30),
        ("rank(ts_max(close, 5))", 4),
        ('at("10m", close)', 2),
        ('at("1h", close)', 22),
        ('at("1h", returns)', 34),
        ('at("1h", at("2h", close))', 46),
        ('delay(at("1h", close), 10)', 32),
    ],
)
def test_that_lookback_adds_up_along_the_longest_path(text: str, lookback: int) -> None:
    assert check_expression(parse_expression(text)).lookback == lookback


@pytest.mark.parametrize(
    ("text", "bounds", "words"),
    [
        ("close + close", {"max_characters": 5}, "has 13 characters; at most 5"),
        ("rank(rank(close))", {"max_depth": 2}, "rank is nested 3 deep; at most 2"),
        ("close + close + close", {"max_nodes": 4}, "makes 5 names, numbers and operators"),
        ("---close", {"max_nodes": 3}, "makes 4 names"),
        ("ts_mean(close, 21)", {"max_window": 20}, "Take 2 to 20"),
        ("delay(delay(close, 9), 9)", {"max_lookback": 17}, "looks back 18 candles; at most 17"),
        ('at("1h", close)', {"max_lookback": 21}, "at(...) looks back 22 candles"),
        ("(((close)))", {"max_depth": 1}, "more than 2 brackets are open"),
        ("returns", {"max_lookback": 1}, ""),
        ("rank(close)", {"max_depth": 2, "max_nodes": 2, "max_characters": 11}, ""),
    ],
)
def test_that_bounds_hold_and_allow_what_just_fits(
    text: str, bounds: dict[str, int], words: str
) -> None:
    scope = Scope(bounds=ExpressionBounds(**bounds))
    if words:
        assert words in str(refusal(text, scope))
    else:
        assert format_expression(parse_expression(text, scope)) == text


def test_that_a_scope_says_what_is_there() -> None:
    scope = Scope(
        "1h", timeframes=("4h",), inputs=frozenset({"close"}), features=frozenset({"rsi"})
    )
    parse_expression('at("4h", close) / close + feature("rsi")', scope)
    assert "Timeframes: 4h" in str(refusal('at("1d", close)', scope))
    assert "Series: close." in str(refusal("funding", scope))
    assert "Did you mean 'rsi'?" in str(refusal('feature("rsj")', scope))
    assert "None of the 1 features is like it." in str(refusal('feature("zzz")', scope))
    assert "Write feature('rsi')." in str(refusal("rsi", scope))


def test_that_the_nearest_of_thousands_of_features_is_named() -> None:
    names = frozenset(
        f"%-{name}-period_{period}_shift-{shift}_{pair}USDT_{timeframe}"
        for name in ("volume_z", "momentum_z", "rsi")
        for period in (10, 20, 50)
        for shift in range(9)
        for pair in ("BTC/", "ETH/", "SOL/", "XRP/")
        for timeframe in ("5m", "15m", "1h")
    )
    wrong = "%-rsi-period_20_shift-3_ETHUSDT_1h"
    error = refusal(f'feature("{wrong}")', Scope(features=names))
    assert "'%-rsi-period_20_shift-3_ETH/USDT_1h'" in str(error)


@pytest.mark.parametrize("value", [None, 3, b"close", ["close"]])
def test_that_only_text_is_read(value: object) -> None:
    with pytest.raises(ExpressionError, match="an expression is text, found"):
        parse_expression(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "node",
    [
        Input("ts_mean(close, 3)"),
        Input("clsoe"),
        Call("eval", (CLOSE,)),
        Call("add", (CLOSE,)),
        Call("add", (CLOSE, VOLUMES)),
        Call("ts_mean", (CLOSE, OPEN)),
        Call("ts_mean", (CLOSE, Constant(2.5))),
        Call("at", (CLOSE,)),
        At("1 h", CLOSE),
        At('1h", close) + at("1h', CLOSE),
        Constant(3),
    ],
)
def test_that_a_tree_built_by_hand_is_checked_as_its_text(node: Node) -> None:
    with pytest.raises(ExpressionError):
        check_expression(node)
