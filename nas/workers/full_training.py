"""Full trainings as tasks on a Ray cluster: a training's folder travels to a node and comes back.

What a node needs goes with the task: the folder's files, checkpoints included, and data that are in memory
through the object store. Image files are read by every node itself. Checkpoints come back as they are written,
so that a training whose node dies goes on elsewhere from the last of them.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, TextIO

from candidates.errors import InputError, RunError
from candidates.files import write_bytes
from nas.data.source import ArraySource
from nas.storage import first_line
from nas.trainer import checkpoints, opening, session
from nas.trainer.data import TrainingData, choose
from nas.trainer.folder import RESULT, TrainingFolder, open_training
from nas.workers.board import Line, Lines
from nas.workers.cluster import RayWorkers

LOOKING_SECONDS = 1.0  # between two looks for a new checkpoint, and for the user's wish to stop
_LOCK = ".lock"


@dataclass(frozen=True)
class Cluster:
    """A cluster at `address`, of which each training takes `gpus` GPUs; one that fails is tried again."""

    address: str
    gpus: float
    retries: int

    def train(
        self,
        folders: Sequence[TrainingFolder],
        data: TrainingData,
        options: session.Options,
        stream: TextIO,
        stop: Callable[[], bool],
    ) -> bool:
        """Train all that is not finished, side by side; whether all is. The folders are locked meanwhile.

        RunError for what failed, once the others have ended.
        """
        todo = {folder.path.name: folder for folder in folders if not folder.finished}
        if not todo:
            return True
        homes = {id: Home(folder.path) for id, folder in todo.items()}
        workers = RayWorkers(
            self.address,
            len(todo),
            gpus=self.gpus,
            tell=lambda worker, text: print(f"{worker}: {text}", file=stream, flush=True) if text else None,
            handlers={"files": lambda id, *sent: homes[id].meanwhile(*sent), "stop": stop},
        )
        sent = workers.shared((data, opening.test_of(data, folders[0]))) if in_memory(data) else None
        here = replace(options, workers=2 if self.gpus else 0)
        failed: dict[str, str] = {}
        flying: dict[Future[Any], str] = {}

        def submit(id: str) -> None:
            attempt, files = homes[id].begun()
            task = FullTraining(id, attempt, sent, str(todo[id].record["data"]), here, workers.line)
            flying[workers.submit(task, files)] = id

        try:
            with ExitStack() as stack:
                for id, folder in todo.items():
                    stack.enter_context(folder.locked())
                    submit(id)
                while flying:
                    for future in wait(flying, return_when=FIRST_COMPLETED).done:
                        id = flying.pop(future)
                        error = homes[id].ended(future)
                        if error is None:
                            continue
                        if homes[id].attempt <= self.retries and not stop():
                            print(f"{id} is tried again: {first_line(error)}", file=stream, flush=True)
                            submit(id)
                        else:
                            failed[id] = first_line(error)
        except BaseException:
            workers.shutdown(wait=False)
            raise
        workers.shutdown()
        if failed:
            raise RunError("; ".join(f"{id} could not be trained: {why}" for id, why in failed.items()))
        return all(folder.finished for folder in todo.values())


def in_memory(data: TrainingData) -> bool:
    """Whether the images can be sent along."""
    return isinstance(data.source, ArraySource)


@dataclass
class Home:
    """A training's folder here, which takes files of one attempt at a time, and none once that has ended."""

    path: Path
    attempt: int = 0
    _open: bool = False
    _lock: Lock = field(default_factory=Lock)

    def begun(self) -> tuple[int, dict[str, bytes]]:
        """A new attempt's number, and the files that it goes on from."""
        with self._lock:
            self.attempt, self._open = self.attempt + 1, True
            return self.attempt, contents(self.path)

    def meanwhile(self, attempt: int, files: Mapping[str, bytes], there: Collection[str]) -> None:
        """Take what an attempt sends as it trains; messages may come late."""
        with self._lock:
            if self._open and attempt == self.attempt:
                receive(self.path, files, there)

    def ended(self, future: Future[dict[str, bytes]]) -> BaseException | None:
        """Take what an attempt ended with; or why there is nothing."""
        with self._lock:
            self._open = False
            error = future.exception()
            if error is None:
                try:
                    receive(self.path, future.result())
                except RunError as refused:
                    return refused
            return error


@dataclass(frozen=True)
class FullTraining:
    """The task: trains in a folder of its own, and gives back the files that are in it then."""

    id: str
    attempt: int
    sent: Any
    data_name: str
    options: session.Options
    line: Line

    @property
    def label(self) -> str:
        """What it does, for people."""
        return f"training {self.id} in full"

    def __call__(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as home:
            path = Path(home) / self.id
            path.mkdir()
            receive(path, files)
            folder = open_training(path)
            data, test = self._data(folder)
            opening.check_same_data(folder, data)
            said: Any = Lines(lambda text: print(f"{self.id}: {text}", flush=True))
            session.run(
                folder, data, self.options, said, stop=Sender(path, self.attempt, self.line), test=test
            )
            return contents(path)

    def _data(self, folder: TrainingFolder) -> tuple[TrainingData, Any]:
        import ray

        if self.sent is not None:
            found: tuple[TrainingData, Any] = ray.get(self.sent)
            return found
        try:
            return choose(opening.open_data(self.data_name, folder.architecture, folder.recipe)), None
        except InputError as error:
            raise RunError(f"{platform.node()}: {error}; put the data where every node reads them") from None


@dataclass
class Sender:
    """Asked at every update whether to stop; sends the checkpoints to the search as they come."""

    path: Path
    attempt: int
    line: Line
    looked: float = field(default_factory=time.monotonic)
    answer: Future[Any] | None = None
    sent: set[str] = field(default_factory=set)

    def __call__(self) -> bool:
        if time.monotonic() - self.looked < LOOKING_SECONDS:
            return False
        self.looked = time.monotonic()
        paths = checkpoints.checkpoint_paths(self.path).values()
        there = [file.relative_to(self.path).as_posix() for file in paths]
        new = [name for name in there if name not in self.sent]
        if new:
            self.sent.update(new)
            files = {name: (self.path / name).read_bytes() for name in new}
            self.line.tell("files", self.path.name, self.attempt, files, there)
        if self.answer is None:
            self.answer = self.line.asked("stop")
        if not self.answer.done():
            return False
        asked, self.answer = bool(self.answer.result()), None
        return asked


def contents(path: Path) -> dict[str, bytes]:
    """A folder's files by their paths in it."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != _LOCK
    }


def receive(path: Path, files: Mapping[str, bytes], there: Collection[str] | None = None) -> None:
    """Write files into a folder, the result last: with it a training counts as finished.

    Checkpoints that are not `there`, where the files come from, are removed (None: only the files are).
    RunError for a name that leads out of the folder.
    """
    for name in files:
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise RunError(f"a node sent a file called {name!r}; expected a path inside {path.name}")
    for name in sorted(files, key=lambda name: name == RESULT):
        target = path / PurePosixPath(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, files[name])
    kept = files.keys() if there is None else there
    for file in checkpoints.checkpoint_paths(path).values():
        if file.relative_to(path).as_posix() not in kept:
            file.unlink(missing_ok=True)
