"""Workers, the database and the search itself are killed again and again; nothing finished may be lost.

    make chaos        (or NAS_POSTGRES=/usr/lib/postgresql/15/bin python -m tests.chaos)

A search of made-up trainings with four workers on a real PostgreSQL server must end with 200 distinct
completed trials while a worker is killed every few seconds, the server restarted twice and the search killed
twice. Exits 1 where a trial was lost or a network evaluated twice.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import optuna

from candidates import InputError
from nas.storage import server_place
from nas.study import close, open_study
from tests.nas.postgres import VARIABLE, Server, running

TRIALS = 200
WORKERS = 4
TRAINING_SECONDS = 0.4
BETWEEN_KILLS = (2.0, 5.0)
EVENTS = {40: "server", 80: "search", 120: "server", 160: "search"}
"""What else is killed, once so many trials are complete."""
PATIENCE = 900.0


def main() -> int:
    """Run the search through all of it; 0 where nothing was lost."""
    rng, began = random.Random(0), time.monotonic()
    with running(Path(os.environ[VARIABLE])) as server, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        killed: Counter[str] = Counter()
        events = dict(EVENTS)
        process = _begin(folder, server.url)
        while process.poll() is None:
            if time.monotonic() - began > PATIENCE:
                process.kill()
                print(f"not done after {PATIENCE:.0f} s", _words(killed))
                return 1
            time.sleep(rng.uniform(*BETWEEN_KILLS))
            done = _complete(server)
            due = [count for count in events if done >= count]
            if due:
                what = events.pop(due[0])
                killed[what] += 1
                process = _strike(what, server, process, folder)
            workers = _children(process.pid)
            if workers:
                killed["worker"] += 1
                _kill(rng.choice(workers))
            print(
                f"{time.monotonic() - began:5.0f} s  {done:3d} complete, killed: {_words(killed)}", flush=True
            )
        if process.returncode:
            print("".join(path.read_text()[-2000:] for path in folder.glob("*/errors")))
            return 1
        return _verdict(server, killed, time.monotonic() - began)


def _begin(folder: Path, url: str) -> subprocess.Popen[str]:
    work = folder / f"search{time.monotonic_ns()}"
    work.mkdir()
    arguments = (str(work), url, str(TRIALS), str(TRAINING_SECONDS), str(WORKERS), "0", "surrogate")
    # Its output goes to files: a pipe that nobody reads would block it.
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.nas.sharing", *arguments],
        stdout=subprocess.DEVNULL, stderr=(work / "errors").open("w"), text=True,
    )  # fmt: skip


def _strike(what: str, server: Server, process: subprocess.Popen[str], folder: Path) -> subprocess.Popen[str]:
    if what == "server":
        server.stop()
        time.sleep(1.0)
        server.start()
        return process
    process.send_signal(signal.SIGKILL)
    process.wait()
    return _begin(folder, server.url)


def _children(pid: int) -> list[int]:
    """The search's worker processes, without multiprocessing's resource tracker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            words = (path.parent / "cmdline").read_text()
        except (OSError, ValueError):
            continue
        if parent == pid and "spawn_main" in words:
            found.append(int(path.parent.name))
    return found


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _trials(server: Server) -> list[optuna.trial.FrozenTrial]:
    try:
        study = open_study(server_place(server.url, "shared"), None, "soft", create=False)
    except InputError:  # not made yet
        return []
    try:
        return study.get_trials(deepcopy=False)
    finally:
        close(study)


def _complete(server: Server) -> int:
    return sum(trial.state.name == "COMPLETE" for trial in _trials(server))


def _verdict(server: Server, killed: Counter[str], seconds: float) -> int:
    trials = _trials(server)
    done = [t for t in trials if t.state.name == "COMPLETE"]
    evaluated = [t.user_attrs["id"] for t in done if "duplicate_of" not in t.user_attrs]
    states = Counter(t.state.name for t in trials)
    print(f"{seconds:.0f} s; killed: {_words(killed)}; trials: {_words(states)}")
    print(
        f"{len(done)} completed, {len(set(evaluated))} distinct networks evaluated, "
        f"{len(evaluated) - len(set(evaluated))} of them twice, {len(done) - len(evaluated)} answered as duplicates"
    )
    lost = states["RUNNING"] + states["WAITING"]
    good = len(set(evaluated)) == len(evaluated) == TRIALS and not lost
    print("nothing lost, nothing twice" if good else "NOT what was asked for")
    return 0 if good else 1


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
