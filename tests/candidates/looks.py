"""Networks that look as if they had been trained, for tests of what is made from their weights."""

from __future__ import annotations

import torch
from torch import nn

from candidates import Architecture, Baseline, build


def trained_looking(arch: Architecture | Baseline) -> nn.Module:
    """A network whose batch normalisations have the statistics of what passes through, as after training.

    Arbitrary statistics would make deep networks so ill-conditioned that PyTorch in float32 is itself 1e-3
    away from what it computes in float64. The slopes of PReLU differ from channel to channel.
    """
    net = build(arch, seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                module.weight.uniform_(0.8, 1.2, generator=generator)
                module.bias.normal_(0.0, 0.2, generator=generator)
            elif isinstance(module, nn.PReLU):
                module.weight.uniform_(-0.2, 0.5, generator=generator)
        net(torch.randn(16, arch.channels_in, arch.resolution, arch.resolution, generator=generator))
    return net.eval()
