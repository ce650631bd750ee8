"""A run with made-up evaluations, shared by the report's tests; the little space keeps it quick."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.made_up_run import made_up_run
from nas.report import write_report
from tests.nas.conftest import SPACE

ODD = "<script>window.hacked = 1</script>"


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 trials with baselines and a data set whose name is a script."""
    path = tmp_path_factory.mktemp("runs") / "made-up"
    made_up_run(path, 60, space_yaml=SPACE, resolution=64, target_ms=0.5, data=f"/{ODD}")
    write_report(path)
    return path
