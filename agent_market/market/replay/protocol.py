"""Binance's wire format: numbers as text, error bodies, and how parameters are read."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from starlette.responses import Response

from agent_market.market.replay.series import INTERVALS

Json = dict[str, Any] | list[Any]


class BinanceError(Exception):
    """An answer that Binance gives as `{"code": ..., "msg": ...}`."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def answer(body: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def error_answer(error: BinanceError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the body and status that Binance gives for an error."""
    return answer({"code": error.code, "msg": error.message}, error.status, headers)


def text(number: float) -> str:
    """Return the shortest decimal that reads back as the same float, never with an exponent."""
    shortest = repr(float(number))
    return f"{Decimal(shortest):f}" if "e" in shortest else shortest


class Query:
    """Reads the parameters of a request as Binance does."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters

    def optional(self, name: str) -> str | None:
        """Return a parameter, None where it was not sent or is empty."""
        return self._parameters.get(name) or None

    def required(self, name: str) -> str:
        """Return a parameter; -1102 where it was not sent."""
        value = self.optional(name)
        if value is None:
            raise BinanceError(
                -1102,
                f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
            )
        return value

    def integer(self, name: str) -> int | None:
        """Return a whole number, None where it was not sent; -1100 for anything else."""
        value = self.optional(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 20):
            raise BinanceError(
                -1100,
                f"Illegal characters found in parameter '{name}'; "
                "legal range is '^[0-9]{1,20}$'.",
            )
        return int(value)

    def limit(self, default: int, most: int, *, is_strict: bool) -> int:
        """Return the row limit; spot cuts a larger one to `most`, futures refuse it (-1130)."""
        value = self.integer("limit")
        if value is None:
            return default
        if value < 1 or (is_strict and value > most):
            raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(value, most)

    def interval(self, name: str = "interval", *, has_seconds: bool) -> str:
        """Return a candle interval; -1120 where Binance has no such one."""
        value = self.required(name)
        if value not in INTERVALS or (value == "1s" and not has_seconds):
            raise BinanceError(-1120, "Invalid interval.")
        return value
