"""A GPU of this machine as a device: PyTorch networks in float32, timed until the GPU has finished."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from candidates import Architecture, InputError
from latency import machine
from latency.bursts import Inference, block
from latency.device import alone
from latency.measurement import Measurement
from latency.model import Model
from latency.recording import record
from latency.settings import Settings
from latency.summary import median, objections, summarise

if TYPE_CHECKING:
    import torch


class GpuDevice:
    """A PyTorch device, `cuda` or `cuda:1`, that runs architectures; files are for ONNX Runtime and LiteRT."""

    formats: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        import torch

        self.name = name
        self._device = torch.device(name)

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self._hardware()}|{machine.fingerprint()}".encode()).hexdigest()[:16]

    def runtime(self, form: str) -> tuple[str, str]:
        import torch

        return "pytorch", torch.__version__

    def opened(self) -> AbstractContextManager[None]:
        return nullcontext()

    def operation_times(self, arch: Architecture, threads: int) -> Mapping[int, float] | None:
        return None

    def measure(self, model: Model, settings: Settings) -> Measurement:
        """As Device has it. Threads are of no account here; the drift of a GPU's clock is not corrected."""
        start = time.perf_counter()
        share = max(1, -(-settings.min_runs // settings.blocks))
        seconds = settings.min_seconds / settings.blocks
        blocks, loads = [], []
        with alone(self.name):
            for _ in range(settings.blocks):
                began = time.perf_counter()
                infer = self._load(model, settings.batch)
                loads.append(1000.0 * (time.perf_counter() - began))
                blocks.append(block(infer, None, share, seconds))
        summary = summarise([b.bursts for b in blocks], None)
        reasons = objections(summary.cv, summary.drift, summary.count, settings.min_runs)
        return record(
            self,
            model,
            settings,
            summary,
            self.runtime(""),
            reasons,
            blocks=len(blocks),
            warmup=sum(b.warmup for b in blocks),
            load_ms=median(loads),
            cpu=self._hardware(),
            seconds=time.perf_counter() - start,
            conditions={
                "precision": "float32",
                "tf32_convolutions": self._tf32(),  # PyTorch's own choice, where the GPU has it
                "memory_format": "channels_last",
            },
        )

    def _load(self, model: Model, batch: int) -> Inference:
        import torch

        from candidates.network import build_network

        arch = model.architecture
        if arch is None:
            raise InputError(
                f"{model.name} is a file; {self.name} runs architectures by PyTorch, so give one"
            )
        net = build_network(arch.spec()).eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        shape = (batch, arch.channels_in, arch.resolution, arch.resolution)
        images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(
            self._device, memory_format=torch.channels_last
        )
        wait = torch.cuda.synchronize if self._device.type == "cuda" else None

        def infer() -> torch.Tensor:
            with torch.inference_mode():
                logits: torch.Tensor = net(images)
            if wait is not None:
                wait(self._device)
            return logits

        return infer

    def _tf32(self) -> bool:
        import torch

        newer = self._device.type == "cuda" and torch.cuda.get_device_capability(self._device) >= (8, 0)
        return newer and bool(torch.backends.cudnn.allow_tf32)

    def _hardware(self) -> str:
        import torch

        if self._device.type == "cuda":
            return torch.cuda.get_device_name(self._device)
        return machine.cpu_model()


def gpu(name: str) -> GpuDevice:
    """The GPU called `name`; InputError where PyTorch has no such."""
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = name.partition(":")[2] or "0"
    if not number.isdigit() or int(number) >= there:
        known = ", ".join(f"cuda:{n}" for n in range(there)) or "none"
        raise InputError(
            f"device {name!r} is not there: PyTorch {torch.__version__} sees these GPUs: {known}; "
            "measure on cpu, or install PyTorch for CUDA"
        )
    return GpuDevice(name)
