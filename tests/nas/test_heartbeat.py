import time
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from nas.heartbeat import Heartbeat


@pytest.mark.parametrize("away", [True, False])
def test_after_the_server_was_away_nobody_is_buried_at_once(
    monkeypatch: pytest.MonkeyPatch, away: bool
) -> None:
    buried: list[Any] = []
    monkeypatch.setattr(optuna.storages, "fail_stale_trials", buried.append)
    storage = SimpleNamespace(record_heartbeat=lambda trial_id: time.sleep(0.1 if away else 0.0))
    study: Any = SimpleNamespace(_storage=storage, get_trials=lambda **options: [])
    heartbeat = Heartbeat(study, seconds=0.05)
    try:
        heartbeat.begin(0)
        heartbeat.bury()
    finally:
        heartbeat.close()
    assert len(buried) == (0 if away else 1)
