"""Named architectures: each a JSON file in this folder, or a function for those not made of blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from candidates import checks
from candidates.architecture import Architecture
from candidates.baseline import Baseline
from candidates.zoo.enet import enet_v2, enet_v3, enet_v7
from candidates.zoo.small_images import resnet_18_reduced, resnet_like, vgg_like

_FOLDER = Path(__file__).parent
_BASELINES: dict[str, Callable[[], Baseline]] = {
    "enet-v2": enet_v2,
    "enet-v3": enet_v3,
    "enet-v7": enet_v7,
    "vgg-like": vgg_like,
    "resnet-like": resnet_like,
    "resnet-18-reduced": resnet_18_reduced,
}


@cache
def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(sorted([*(path.stem for path in _FOLDER.glob("*.json")), *_BASELINES]))


def load(name: str) -> Architecture | Baseline:
    """The network called `name`; an InputError lists the names there are."""
    checks.one_of("the architecture", name, names())
    return _BASELINES[name]() if name in _BASELINES else architecture(name)


def architecture(name: str) -> Architecture:
    """The architecture called `name`, where it is made of blocks."""
    found = [path.stem for path in _FOLDER.glob("*.json")]
    return Architecture.load(_FOLDER / f"{checks.one_of('the architecture', name, found)}.json")
