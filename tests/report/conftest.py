"""Run folders for the tests of the report."""

from pathlib import Path

import pytest
from synthetic_run import write_run


@pytest.fixture(scope='session')
def stage_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete stage-2 run with two modalities; read only."""
    return write_run(tmp_path_factory.mktemp('runs') / 'stage_2', samples=2)


@pytest.fixture(scope='session')
def stage_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete stage-1 run with two modalities; read only."""
    return write_run(tmp_path_factory.mktemp('runs') / 'stage_1', stage=1, samples=2)
