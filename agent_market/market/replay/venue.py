"""One market of the replay exchange (spot or USDT-M): its symbols and their state."""

from __future__ import annotations

from collections.abc import Iterator

from agent_market.market.replay.clock import Clock
from agent_market.market.replay.library import Instrument, Library
from agent_market.market.replay.library import Venue as VenueName
from agent_market.market.replay.orderbook import Book
from agent_market.market.replay.protocol import BinanceError
from agent_market.market.replay.state import State


class Venue:
    """The symbols of one market; state is built when a symbol is first asked for."""

    def __init__(self, name: VenueName, library: Library, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self._instruments = library.venue(name)
        self._states: dict[str, State] = {}
        self._books: dict[str, Book] = {}

    @property
    def is_spot(self) -> bool:
        """Whether this is the spot market."""
        return self.name == "spot"

    @property
    def symbols(self) -> list[str]:
        """Every symbol whose history has begun."""
        return [symbol for symbol in self._instruments if self.state(symbol).is_listed]

    def __len__(self) -> int:
        return len(self._instruments)

    def state(self, symbol: str) -> State:
        """Return a symbol's state; -1121 where it is not traded here."""
        if symbol not in self._instruments:
            raise BinanceError(-1121, "Invalid symbol.")
        if symbol not in self._states:
            self._states[symbol] = State(self._instruments[symbol], self.clock)
        return self._states[symbol]

    def book(self, symbol: str) -> Book:
        """Return a symbol's order book."""
        if symbol not in self._books:
            self._books[symbol] = Book(self.state(symbol))
        return self._books[symbol]

    def states(self) -> Iterator[State]:
        """Yield the state of every listed symbol."""
        for symbol in self.symbols:
            yield self.state(symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Return a symbol's instrument."""
        return self.state(symbol).instrument
