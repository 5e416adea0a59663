"""A release's stages in the audit trail, and the trades that they are judged on."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from agent_market.decisions.audit import AuditTrail, Entry
from agent_market.decisions.patches import Change
from agent_market.errors import ConfigError, DataError, GateRejected
from agent_market.evaluation.backtest_result import read_backtest_result
from agent_market.evaluation.gates import Evidence, Stage, StageState, Step
from agent_market.settings import AgentMarketSettings
from agent_market.store import hash_json, write_text

_FREQTRADE_WALLET = 1000.0


class AuditLedger:
    """States of a release as entries of the audit trail; an entry that is not done has no force."""

    def __init__(self, trail: AuditTrail, state_dir: Path) -> None:
        self._trail = trail
        self._name = str((state_dir / "release").resolve())
        self._lock = (state_dir / "release.lock").resolve()

    def entries(self) -> list[Entry]:
        """Return the entries in force, oldest first."""
        return [entry for entry in self._trail.entries(self._name) if entry.state == "done"]

    def newest(self) -> StageState | None:
        """Return the state of the newest entry in force; None before the first."""
        entries = self.entries()
        return StageState.model_validate(entries[-1].after["release"]) if entries else None

    def attempts(self, stage: Stage) -> int:
        """Return how often a stage was begun."""
        states = [StageState.model_validate(entry.after["release"]) for entry in self.entries()]
        return sum(state.stage == stage for state in states)

    def record(
        self,
        step: Step,
        before: StageState | None,
        after: StageState,
        *,
        who: str,
        why: str,
        figures: dict[str, Any] | None = None,
        first: Callable[[], None] | None = None,
    ) -> None:
        """Make an entry, do `first`, and put the entry into force.

        Raises
        ------
        GateRejected
            Another process has changed the stage since `before` was read.
        """
        with self._locked():
            if self.newest() != before:
                raise GateRejected("the stage has changed meanwhile. Look at `status` again.")
            old = None if before is None else before.model_dump(mode="json")
            new = after.model_dump(mode="json")
            changes = [Change("release", old, new), Change("figures", None, figures)]
            hashes = ("" if old is None else hash_json(old), hash_json(new))
            number = self._trail.begin(step, self._name, changes, hashes, who=who, why=why[:2000])
            if first is not None:
                first()
            self._trail.finish(number, "done")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as file:
            # the lock ends with the process, however it dies
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def halt_entries(settings: AgentMarketSettings, why: str) -> Path:
    """Write the kill switch, at which the bot enters nothing, and return its path."""
    from agent_market.bridge.accounts import KILL_SWITCH

    path: Path = settings.risk.kill_switch_file or settings.state_dir / KILL_SWITCH
    write_text(path, f"release rolled back, {why}\n")
    return path


def read_evidence(
    path: Path, config: Mapping[str, Any], balance: float | None, now: datetime
) -> Evidence:
    """Return the trades of a bot's database, or of an exported backtest.

    Parameters
    ----------
    path : Path
        `.sqlite` or `backtest-result-*.zip`.
    config : mapping
        The merged configuration: strategy, and `dry_run_wallet`.
    balance : float or None
        What the account held when the database began; None: the dry run's wallet.
    now : datetime
        Until when a bot could have traded.

    Raises
    ------
    DataError
        The file is missing or not Freqtrade's, or it holds no trades of the strategy.
    """
    if path.suffix == ".zip":
        return _evidence_of_backtest(path, config.get("strategy"))
    from agent_market.bridge.trade_positions import read_trades

    trades = read_trades(path, config.get("strategy"))
    began = now if trades.empty else pd.Timestamp(trades["open_date"].min()).to_pydatetime()
    held = _wallet(config) if balance is None else balance
    return Evidence(str(path), trades, began, now, held)


def _evidence_of_backtest(path: Path, strategy: str | None) -> Evidence:
    result = read_backtest_result(path, strategy)
    ran_at = result.stats.get("backtest_run_start_ts")
    if ran_at is None:
        raise DataError(f"{path} does not say when it was run. Run the backtest again.")
    # as exported: the reader leaves out the prices seen during a trade
    trades = pd.DataFrame(list(result.stats["trades"]), columns=_columns(result.trades))
    return Evidence(
        source=str(path),
        trades=trades,
        start=result.start.to_pydatetime(),
        end=result.end.to_pydatetime(),
        starting_balance=result.starting_balance,
        ran_at=datetime.fromtimestamp(float(ran_at), UTC),
    )


def _columns(read: pd.DataFrame) -> list[str] | None:
    seen = ["amount", "min_rate", "max_rate"]
    return [*read.columns, *seen] if read.empty else None


def _wallet(config: Mapping[str, Any]) -> float:
    if not config.get("dry_run", True):
        raise ConfigError("dry_run is false: pass --balance, what the account held at the start.")
    wallet = config.get("dry_run_wallet", _FREQTRADE_WALLET)
    if isinstance(wallet, Mapping):
        wallet = wallet.get(config.get("stake_currency"), 0)
    return float(wallet)
