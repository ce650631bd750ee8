"""The user's own cache and configuration stay out of the tests, and so do their devices' locks."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Tests run as many at once as there are cores: with threads of their own, and those spinning while they wait, they
# would take more than twice the time. Before torch is imported, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache and a configuration folder for this session, inherited by the processes it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield
