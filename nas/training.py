"""The proxy's training loop, and the steps that full training (nas/trainer) shares with it.

Images stay on the training device as bytes; a step is: gather, crop, normalise, forward, backward, update.
On a GPU it runs in bfloat16 and is replayed as a CUDA graph. Nothing inside an epoch waits for the device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from candidates.errors import InputError
from nas.augment import crop_flip, draw_crops
from nas.data import DataSet, Images
from nas.graphs import graphed
from nas.recipe import Recipe


@dataclass(frozen=True)
class Outcome:
    """What a training came to: validation accuracy from 0 to 1, validation loss, seconds, speed."""

    accuracy: float
    loss: float
    seconds: float
    images_per_second: float
    stopped: bool = False


@dataclass(frozen=True)
class DeviceData:
    """A data set on a device: uint8 images, labels, and the training pixels' mean and deviation."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    mean: Tensor
    std: Tensor

    @classmethod
    def put(cls, data: DataSet, device: torch.device) -> DeviceData:
        """Copy `data` to `device`; mean and deviation are per channel, of pixels scaled to 0–1."""

        def tensors(images: Images) -> tuple[Tensor, Tensor]:
            return torch.from_numpy(images.pixels).to(device), torch.from_numpy(images.labels).to(device)

        # uint8 sums in int64 are exact, so the statistics do not depend on the machine.
        pixels = torch.from_numpy(data.train.pixels)
        count = pixels.numel() / pixels.shape[1]
        total = pixels.sum((0, 2, 3), dtype=torch.int64).double() / count
        squares = torch.stack(
            [(pixels[:, c].int() ** 2).sum(dtype=torch.int64) for c in range(pixels.shape[1])]
        )
        std = (squares.double() / count - total**2).clamp(min=1.0).sqrt()
        return cls(
            tensors(data.train),
            tensors(data.validation),
            (total / 255).float().view(1, -1, 1, 1).to(device),
            (std / 255).float().view(1, -1, 1, 1).to(device),
        )

    def normalised(self, pixels: Tensor) -> Tensor:
        """Bytes to float32 with mean 0 and deviation 1, channels last in memory."""
        images = (pixels.float() / 255 - self.mean) / self.std
        return images.contiguous(memory_format=torch.channels_last)


def pick_device(name: str = "auto") -> torch.device:
    """CUDA where there is one, else the CPU; or the device of that name, InputError where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.device(name)
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise InputError(f"--device is {name}, but PyTorch finds no such GPU here; use --device cpu")
    return found


def train(
    network: nn.Module,
    data: DeviceData,
    recipe: Recipe,
    seed: int,
    watch: Callable[[Sequence[float]], bool] | None = None,
) -> Outcome:
    """Train `network` on the training split and score it on the validation split.

    On a CPU the same seed and number of threads give the same outcome, bit for bit. `watch` is told
    after each epoch the accuracies so far; the training stops where it answers True.
    """
    images, labels = data.train
    device = images.device
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    if recipe.zero_classifier:
        zero_classifier(network)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout draws from the global generator
    # With fewer images than a batch, one smaller batch is trained on in each epoch.
    batch = min(recipe.batch, len(labels))
    steps = recipe.epochs * (len(labels) // batch)
    optimizer = _optimizer(network, recipe, device)
    padding = round(recipe.crop_padding * images.shape[-1])
    flip = images.shape[1] == 3 if recipe.flip is None else recipe.flip

    def one_step(chosen: Tensor, offsets: Tensor, mirrored: Tensor) -> None:
        crops = crop_flip(images[chosen], padding, offsets, mirrored)
        with _precision(device):
            logits = network(data.normalised(crops))
            loss = F.cross_entropy(logits.float(), labels[chosen], label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    take_step = graphed(one_step, device)
    start = time.perf_counter()
    done, curve = 0, []
    for epoch in range(recipe.epochs):
        for drawn in _batches(len(labels), batch, padding, flip, generator, device):
            set_rate(optimizer, _peak(recipe) * one_cycle(done / steps, recipe.warmup))
            take_step(*drawn)
            done += 1
        if watch is not None and epoch < recipe.epochs - 1:
            reestimate_statistics(network, data)
            accuracy, loss_value = evaluate(network, data)
            curve.append(accuracy)
            if watch(curve):
                return Outcome(accuracy, loss_value, time.perf_counter() - start, 0.0, stopped=True)
            network.train()
    _wait(device)
    seconds = time.perf_counter() - start
    reestimate_statistics(network, data)
    accuracy, loss_value = evaluate(network, data)
    if watch is not None:
        watch([*curve, accuracy])
    return Outcome(accuracy, loss_value, time.perf_counter() - start, steps * batch / seconds)


def reestimate_statistics(network: nn.Module, data: DeviceData, images: int = 1024, batch: int = 128) -> None:
    """Replace batch normalisation's running statistics by means over training images.

    With the reference's momentum of 0.01 they need thousands of steps to follow the weights, and a short
    training has about a hundred: it would be evaluated with statistics of weights long gone.
    """
    # Images are often stored class by class; statistics of the first classes would fit no other.
    every = data.train[0]
    mixed = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:images]
    pixels = every[mixed.to(every.device)]
    parts = [
        part
        for part in torch.split(pixels, batch)
        if len(part) > batch // 2 or len(part) == len(pixels)  # a last small batch would weigh too much
    ]
    average_statistics(network, (data.normalised(part) for part in parts))


@torch.no_grad()
def average_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set batch normalisation's running statistics to their plain means over `batches` of inputs."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    for inputs in batches:
        with _precision(inputs.device):
            network(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def evaluate(network: nn.Module, data: DeviceData, batch: int = 256) -> tuple[float, float]:
    """Top-1 accuracy from 0 to 1 and mean cross-entropy on the validation split."""
    images, labels = data.validation
    network.eval()
    correct = torch.zeros((), device=images.device, dtype=torch.int64)
    loss = torch.zeros((), device=images.device, dtype=torch.float64)
    for start in range(0, len(labels), batch):
        expected = labels[start : start + batch]
        with _precision(images.device):
            logits = network(data.normalised(images[start : start + batch])).float()
        correct += (logits.argmax(1) == expected).sum()
        loss += F.cross_entropy(logits, expected, reduction="sum").double()
    return correct.item() / len(labels), loss.item() / len(labels)


@torch.no_grad()
def zero_classifier(network: nn.Module) -> None:
    """Set the last linear layer's weights to zero, so that training starts from equal logits."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    last.weight.zero_()
    last.bias.zero_()


def one_cycle(progress: float, warmup: float) -> float:
    """The learning rate's factor: a cosine up from 1/25 to 1 over `warmup`, then down to nearly 0."""
    if progress < warmup:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * progress / warmup)) / 2
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup + 1e-12))) / 2


def _batches(
    count: int, batch: int, padding: int, flip: bool, generator: torch.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch in a new order: each batch's indices, crops and mirrors; the last, smaller batch is dropped.

    Everything is drawn on the CPU and goes to the device once.
    """
    order = torch.randperm(count, generator=generator)
    drawn = [draw_crops(batch, padding, flip, generator) for _ in range(count // batch)]
    offsets, mirrored = (torch.stack(parts) for parts in zip(*drawn, strict=True))
    order, offsets, mirrored = (part.to(device, non_blocking=True) for part in (order, offsets, mirrored))
    return zip(torch.split(order, batch), offsets, mirrored)  # noqa: B905 # a last, smaller batch has no crops


def _optimizer(network: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups,
        # A recorded step reads its learning rate from the device's memory.
        lr=torch.tensor(_peak(recipe), device=device) if device.type == "cuda" else _peak(recipe),
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        fused=True,
    )


def _peak(recipe: Recipe) -> float:
    """The highest learning rate."""
    return recipe.peak_lr * recipe.batch / 64


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate, in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _precision(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU; on a CPU it is slower than float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
