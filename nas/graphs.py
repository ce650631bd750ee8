"""A training step recorded once as a CUDA graph and then replayed: one launch for hundreds of small kernels.

A short training of a small network is bound by how fast its kernels are launched, not by the kernels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

WARM_UP = 3  # steps before one is recorded: in these, libraries choose algorithms and optimisers make buffers

Step = Callable[..., None]
Recorder = Callable[[Callable[[], None]], Callable[[], None]]
"""Records what a function does on the device, without doing it; what it returns does it."""


def graphed(step: Step, device: torch.device) -> Step:
    """`step` as a graph on a GPU, and as it is elsewhere.

    `step` takes tensors of the same shapes each time and returns nothing. What it changes it changes in place,
    and it waits for nothing on the device.
    """
    if device.type != "cuda":
        return step
    return Graphed(step, lambda work: cuda_graph(work, device), device)


class Graphed:
    """Calls `step` a few times, then replays a recording; where recording fails it goes on calling, with a warning."""

    def __init__(self, step: Step, record: Recorder, device: torch.device) -> None:
        self._step, self._record, self._device = step, record, device
        self._called = 0
        self._inputs: tuple[Tensor, ...] = ()
        self._replay: Callable[[], None] | None = None

    def __call__(self, *inputs: Tensor) -> None:
        self._called += 1
        if self._called <= WARM_UP:
            with _aside(self._device):
                self._step(*inputs)
            return
        if self._called == WARM_UP + 1:
            self._inputs = tuple(given.clone() for given in inputs)
            self._replay = self._recorded()
        if self._replay is None:
            self._step(*inputs)
            return
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._replay()

    def _recorded(self) -> Callable[[], None] | None:
        try:
            return self._record(lambda: self._step(*self._inputs))
        except RuntimeError as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(f"training without a CUDA graph, which is slower: {why[0]}", stacklevel=3)
            return None


def cuda_graph(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record `work` on a GPU; RuntimeError where it does what cannot be recorded."""
    graph, here = torch.cuda.CUDAGraph(), torch.cuda.current_stream(device)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    try:
        # Other threads of this process may allocate meanwhile.
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            work()
    finally:
        torch.cuda.set_stream(here)  # a capture that fails leaves its own behind
    return graph.replay


@contextmanager
def _aside(device: torch.device) -> Iterator[None]:
    """On a GPU, run the block on another stream, as what is to be recorded has to be run before."""
    if device.type != "cuda":
        yield
        return
    here = torch.cuda.current_stream(device)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        yield
    here.wait_stream(aside)
