"""Messages from a cluster's tasks to the search as they come: what they do and print, and what they ask."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any

from candidates.errors import RunError

Message = tuple[Any, ...]
"""A kind, and what is to be known with it."""

CLOSE_SECONDS = 10.0  # at most, for the last messages
_CLOSE = "close"


class Post:
    """The actor that messages go through, beside the search."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[int | None, Message]] = asyncio.Queue()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0

    async def tell(self, message: Message, before: None = None) -> None:
        """Pass a message on, after the one `before`: Ray does not keep the order by itself."""
        await self._queue.put((None, message))

    async def ask(self, message: Message) -> Any:
        """Pass a question on, and give back the answer when it is there."""
        self._number += 1
        number = self._number
        self._asked[number] = asyncio.get_running_loop().create_future()
        await self._queue.put((number, message))
        return await self._asked[number]

    async def answer(self, number: int, value: Any) -> None:
        """Answer a question."""
        self._asked.pop(number).set_result(value)

    async def next(self) -> list[tuple[int | None, Message]]:
        """What has come since the last time; waits until there is something."""
        found = [await self._queue.get()]
        while not self._queue.empty():
            found.append(self._queue.get_nowait())
        return found


@dataclass
class Line:
    """A task's way to the search; it is sent along with the task."""

    post: Any
    last: Any = None

    def tell(self, *message: Any) -> None:
        """Send a message, and wait for nothing. Messages come in the order that they were sent in."""
        self.last = self.post.tell.remote(message, self.last)

    def flush(self) -> None:
        """Wait until what was sent has arrived. A training is not lost with what it said on the way."""
        import ray

        if self.last is not None:
            with suppress(ray.exceptions.RayActorError):
                ray.get(self.last)

    def ask(self, *message: Any) -> Any:
        """Send a question and wait for the answer."""
        import ray

        return ray.get(self.post.ask.remote(message))

    def asked(self, *message: Any) -> Future[Any]:
        """Send a question; the answer is the future's result."""
        future: Future[Any] = self.post.ask.remote(message).future()
        return future


class Board:
    """The search's end: `handlers` has what to do for each kind of message, in a thread of its own."""

    def __init__(self, ray: Any, handlers: Mapping[str, Callable[..., Any]]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Not soft: an actor that needs no core would be placed anywhere, and would die with its node.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._ray, self._handlers = ray, handlers
        self._post = ray.remote(Post).options(num_cpus=0, scheduling_strategy=here).remote()
        self.line = Line(self._post)
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen to what has arrived, and no more."""
        self.line.tell(_CLOSE)
        self._thread.join(CLOSE_SECONDS)
        self._ray.kill(self._post)

    def _listen(self) -> None:
        """Waits for futures, not in Ray: a thread that is in Ray as it shuts down takes the process with it."""
        while True:
            try:
                found = self._post.next.remote().future().result()
            except Exception:  # closed, or the cluster is gone
                return
            for number, (kind, *values) in found:
                if kind == _CLOSE:
                    return
                try:
                    answer = self._handlers[kind](*values)
                except Exception as error:  # its task is told, and the others are listened to
                    answer = RunError(f"{type(error).__name__}: {error}")
                if number is not None:
                    self._post.answer.remote(number, answer)


class Lines(io.TextIOBase):
    """A stream that gives each line that is written to `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._begun = say, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                self._say(line.rstrip())
        return len(text)
