"""Quantisation-aware fine-tuning: a trained network learns to give the same answers in int8.

During the fine-tuning every kernel is rounded to int8 per output channel and every activation to 256 levels,
as the exported files do (arXiv 1712.05877); gradients pass the rounding as if it were not there. The float
network is the teacher, so that no label, recipe or augmentation of the training is needed. Batch normalisation
keeps its statistics: folded into a kernel it scales whole output channels, which rounding per channel does
not notice.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from candidates import network as modules
from nas.training import pick_device

BATCH = 64
LEARNING_RATE = 0.05  # for a batch of 64; a cosine to zero
RANGE_MOMENTUM = 0.05  # of the moving average of activations' ranges
# What gives one quantised tensor each in an exported file: fused convolutions, and what sums or scales.
QUANTISED = (
    modules.Conv, modules.SqueezeExcite, modules.ConvLayer, modules.InvertedBottleneck, modules.ResidualBlock,
    modules.EnetInitial, modules.EnetBottleneck, modules.Dense, nn.Linear,
)  # fmt: skip


class RoundedKernel(nn.Module):
    """A kernel as int8 holds it: symmetric, a scale for each output channel."""

    def forward(self, kernel: Tensor) -> Tensor:
        largest = kernel.detach().abs().flatten(1).amax(1).clamp(min=1e-12)
        zeros = torch.zeros_like(largest, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(kernel, largest / 127, zeros, 0, -127, 127)


class RoundedActivation(nn.Module):
    """Activations on 256 levels between a least and a greatest value that follow what is seen."""

    least: Tensor
    greatest: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("least", torch.tensor(math.inf))
        self.register_buffer("greatest", torch.tensor(-math.inf))

    def forward(self, values: Tensor) -> Tensor:
        with torch.no_grad():
            least, greatest = (
                v.clamp(max=0) if i == 0 else v.clamp(min=0) for i, v in enumerate(values.aminmax())
            )
            if math.isinf(self.least):
                self.least.copy_(least)
                self.greatest.copy_(greatest)
            else:
                self.least.lerp_(least, RANGE_MOMENTUM)
                self.greatest.lerp_(greatest, RANGE_MOMENTUM)
            scale = ((self.greatest - self.least) / 255).clamp(min=1e-12)
            zero = (-128 - self.least / scale).round().clamp(-128, 127).int()
        return torch.fake_quantize_per_tensor_affine(values, scale, zero, -128, 127)


def fine_tuned(
    net: nn.Module,
    images: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    count: int,
    epochs: int,
    seed: int = 0,
    note: Callable[[str], None] = lambda text: None,
) -> nn.Module:
    """A copy of `net`, in eval mode, whose answers change little when it is quantised.

    `images` gives normalised images N×C×H×W for N indices below `count`. On a CPU, `seed` and the number of
    threads decide the outcome.
    """
    device = pick_device()
    teacher = copy.deepcopy(net).to(device).eval()
    student = copy.deepcopy(teacher)
    handles = _rounded(student, device)
    parameters = [p for p in student.parameters() if p.requires_grad]
    batch = min(BATCH, count)
    steps = epochs * (count // batch)
    optimizer = torch.optim.SGD(parameters, lr=LEARNING_RATE * batch / BATCH, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        order = torch.randperm(count, generator=generator)
        total = 0.0
        for start in range(0, count - batch + 1, batch):
            inputs = torch.from_numpy(images(order[start : start + batch].numpy())).to(device)
            with torch.no_grad():
                expected = teacher(inputs)
            loss = _divergence(student(inputs), expected)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        note(f"int8 fine-tuning, epoch {epoch + 1}/{epochs}: divergence {total / max(1, count // batch):.4f}")
    _unrounded(student, handles)
    return student.cpu().eval()


def _divergence(found: Tensor, expected: Tensor) -> Tensor:
    """How far the student's probabilities are from the teacher's."""
    return F.kl_div(found.log_softmax(1), expected.log_softmax(1), reduction="batchmean", log_target=True)


def _rounded(net: nn.Module, device: torch.device) -> list[Any]:
    """Round `net`'s kernels, and what its modules give and take in; returns what undoes the latter."""
    handles: list[Any] = []
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(module, "weight", RoundedKernel())
        if isinstance(module, QUANTISED):
            handles.append(module.register_forward_hook(_output_hook(RoundedActivation().to(device))))
    entrance = RoundedActivation().to(device)
    handles.append(net.register_forward_pre_hook(lambda module, inputs: (entrance(inputs[0]),)))
    return handles


def _output_hook(rounded: RoundedActivation) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    return lambda module, inputs, output: rounded(output)


def _unrounded(net: nn.Module, handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()
    for module in net.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
