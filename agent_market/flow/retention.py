"""Remove the loop's old runs, and what only they have made."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from agent_market.flow.history import RunRecord, list_runs
from agent_market.flow.outputs import OutputStore
from agent_market.store import read_json

logger = logging.getLogger(__name__)


def remove_old_runs(state_dir: Path, user_data_dir: Path, keep: int) -> list[str]:
    """Remove all but the newest `keep` runs of the loop; return the ids of those removed.

    With a run go its models, the manifests of its outputs, and the campaigns of its rounds. A run
    stays while another one has taken over an output of it; what a user ran by hand stays.
    """
    runs = list_runs(state_dir)
    old = [run for run in runs if run.request.loop][:-keep]
    gone = {run.run_id for run in old}
    kept = [run for run in runs if run.run_id not in gone]
    keys, campaigns = _keys(kept, made=False), _campaigns(kept)
    store = OutputStore(state_dir)
    removed = []
    for run in old:
        own = _keys([run], made=True)
        if own & keys:
            continue
        used = [*store.files_of(own), *_models(user_data_dir, own), *_campaigns([run]) - campaigns]
        # the record goes last: a removal that was killed is done again
        files = [path for path in run.folder.iterdir() if path != run.path]
        for path in (*used, *files, run.path, run.folder):
            _remove(path)
        removed.append(run.run_id)
    if removed:
        logger.info("removed %d old runs of the loop", len(removed))
    return removed


def _keys(runs: Iterable[RunRecord], *, made: bool) -> set[str]:
    """Return the keys of the outputs that runs use; with `made`, that they began themselves."""
    steps = (step for run in runs for step in run.read()["steps"])
    return {step["key"] for step in steps if step["key"] and (step["attempts"] or not made)}


def _models(user_data_dir: Path, keys: Iterable[str]) -> list[Path]:
    return [path for key in keys for path in (user_data_dir / "models").glob(f"*-{key[:12]}")]


def _campaigns(runs: Iterable[RunRecord]) -> set[Path]:
    tasks = [read_json(path) for run in runs for path in run.folder.rglob("*.task.json")]
    return {Path(task["campaign"]) for task in tasks if task["campaign"]}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
