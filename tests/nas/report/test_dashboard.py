"""optuna-dashboard opens a run's study as it is."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(sys.executable).parent / "optuna-dashboard"


@pytest.fixture(scope="module")
def address(made_up: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(PROGRAM), f"sqlite:///{made_up}/study.db", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def asked(url: str, seconds: float = 60) -> Any:
    """What the address answers; waits until something answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, f"{url} did not answer"
            time.sleep(0.2)


def test_the_study_is_there_with_attributes_that_read_well(address: str, made_up: Path) -> None:
    (study,) = asked(f"{address}/api/studies")["study_summaries"]
    assert study["study_name"] == "search"
    detail = asked(f"{address}/api/studies/{study['study_id']}?after=0")
    assert detail["directions"] == ["maximize"]
    assert len(detail["trials"]) == 60
    best = json.loads((made_up / "best.json").read_text())
    trial = detail["trials"][best["found"]["trial"]]
    attrs = {attr["key"]: attr["value"] for attr in trial["user_attrs"]}
    assert attrs["id"] == best["id"]
    for name in ("accuracy", "latency_ms", "parameters", "multiply_adds", "reward"):
        assert float(attrs[name]) == best[name], name
    assert trial["values"] == [best["reward"]]
