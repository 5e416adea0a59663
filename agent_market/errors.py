"""The error tree: one type per reaction, not per cause.

Every message says what went wrong, where, the value that was found, and what to do about it.
"""


class AgentMarketError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(AgentMarketError):
    """The user's configuration or command line is wrong: stop and say which key."""


class ExpressionError(ConfigError):
    """An alpha expression is not of the language; `position` counts characters from 0."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position

    def __reduce__(self) -> tuple[type, tuple[str, int | None]]:
        return type(self), (str(self), self.position)


class DataError(AgentMarketError):
    """Market data is missing or malformed: degrade, or stop where there is no other level."""


class StaleDataError(DataError):
    """Market data is older than its freshness budget: degrade."""


class ModelUnavailable(AgentMarketError):  # noqa: N818 - the contract's name
    """No usable model or library: fall back to the next one."""


class StateCorrupt(AgentMarketError):  # noqa: N818 - the contract's name
    """A file on disk does not match its checksum: roll back one generation."""


class GateRejected(AgentMarketError):  # noqa: N818 - the contract's name
    """A release gate said no: do not deploy."""


class StepFailed(AgentMarketError):  # noqa: N818 - names what happened to the step
    """A step of the flow failed: its log says why; mend the cause and resume."""
