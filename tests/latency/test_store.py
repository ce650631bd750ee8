import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from threading import Timer

import pytest
from test_measurement import PLAIN

from candidates import InputError, RunError, zoo
from latency.model import model_of
from latency.settings import Settings
from latency.store import Store, measured, write_ahead


class Made:
    """A device that counts how often it is asked."""

    name, formats = "made", ("onnx",)

    def __init__(self):
        self.asked, self.version, self.finger, self.valid = 0, "1.0", "f", True

    def fingerprint(self):
        return self.finger

    def runtime(self, form):
        return "made-runtime", self.version

    def measure(self, model, settings):
        self.asked += 1
        return replace(PLAIN, latency_ms=float(self.asked), valid=self.valid)


A1 = model_of(zoo.load("mnasnet-a1"))


def test_measured_once_reused_unless_fresh():
    device, store = Made(), Store()
    assert measured(A1, device, Settings(), store)[1] is False
    again, known = measured(A1, device, Settings(), store)
    assert (again.latency_ms, known, device.asked) == (1.0, True, 1)
    assert measured(A1, device, Settings(), store, fresh=True)[0].latency_ms == 2.0
    assert measured(A1, device, Settings(), store)[0].latency_ms == 2.0


def test_an_answer_goes_by_the_name_that_was_asked_for():
    device, store = Made(), Store()
    measured(A1, device, Settings(), store)
    found, known = measured(replace(A1, name="mine"), device, Settings(), store)
    assert (found.model, known) == ("mine", True)


@pytest.mark.parametrize("what", ["version", "finger", "threads", "blocks", "reference", "model"])
def test_what_differs_is_measured(what):
    device, store = Made(), Store()
    measured(A1, device, Settings(blocks=2), store)
    settings, model = Settings(blocks=2), A1
    if what in ("version", "finger"):
        setattr(device, what, "other")
    elif what == "model":
        model = model_of(zoo.load("mnasnet-b1"))
    else:
        settings = replace(settings, **{what: {"threads": 2, "blocks": 3, "reference": False}[what]})
    assert measured(model, device, settings, store)[1] is False


def test_a_more_thorough_answer_serves_too():
    device, store = Made(), Store()
    measured(A1, device, Settings(blocks=3), store)
    assert measured(A1, device, Settings(blocks=1), store)[1] is True


def test_invalid_measurements_are_kept_and_not_reused():
    device, store = Made(), Store()
    device.valid = False
    measured(A1, device, Settings(), store)
    assert measured(A1, device, Settings(), store)[1] is False
    assert [m.latency_ms for m in store.history(A1.digest())] == [1.0, 2.0]


def test_several_processes_write_at_once(tmp_path):
    path = tmp_path / "m.db"
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from test_store import *\n"
        "store, device = Store(Path(sys.argv[1])), Made()\n"
        "for _ in range(25): measured(A1, device, Settings(), store, fresh=True)\n"
    )
    folder = str(__import__("pathlib").Path(__file__).parent)
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), folder]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert len(Store(path).history(A1.digest())) == 100


def test_a_newer_or_broken_file_is_refused(tmp_path):
    path = tmp_path / "m.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="format 99"):
        Store(path).history("x")
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(RunError, match=r"m\.db.*remove the file"):
        Store(path).history("x")


def test_the_same_device_may_go_by_another_name():
    device, store = Made(), Store()
    measured(A1, device, Settings(), store)
    device.name = "pixel"
    found, known = measured(A1, device, Settings(), store)
    assert (found.device, known) == ("pixel", True)


def test_a_new_store_is_waited_for_while_another_process_makes_it(tmp_path):
    path = tmp_path / "m.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    Timer(0.3, lambda: other.execute("COMMIT")).start()
    with closing(sqlite3.connect(path, timeout=0.0)) as database:
        write_ahead(database)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_a_store_that_is_locked_is_not_to_be_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("latency.store.BUSY_SECONDS", 0.1)
    store = Store(tmp_path / "m.db")
    measured(A1, Made(), Settings(), store)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RunError, match=r"locked; set XDG_CACHE_HOME"):
            measured(A1, Made(), Settings(), store, fresh=True)
