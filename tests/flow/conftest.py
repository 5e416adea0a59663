"""One complete run that many tests look at, and fresh projects beside it."""

import shutil
from pathlib import Path

import pytest

from tests.flow_project import FlowProject, write_small_market


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FlowProject:
    """A project whose four steps are done. Tests must leave it as it is."""
    project = FlowProject(tmp_path_factory.mktemp("finished") / "project")
    write_small_market(project.datadir)
    result = project.flow("run")
    assert result.returncode == 0, result.stderr
    (project.root / "output.txt").write_text(result.stdout)
    return project


@pytest.fixture
def project(finished: FlowProject) -> FlowProject:
    """The finished project, put back after the test."""
    saved = finished.root.with_name("saved")
    shutil.copytree(finished.root, saved)
    config = finished.config
    yield finished
    shutil.rmtree(finished.root)
    saved.rename(finished.root)
    finished.config = config


@pytest.fixture
def fresh(tmp_path: Path) -> FlowProject:
    """A project with candles, and no run."""
    project = FlowProject(tmp_path / "project")
    write_small_market(project.datadir)
    return project
