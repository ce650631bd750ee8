"""Devices that hang on a cluster's nodes, each measured by one Ray actor there.

A node says by its Ray resources what hangs on it: `device:pixel` for what it itself calls pixel, or
`device:pixel=SERIAL` where it calls it otherwise (`device:pi=cpu` is its own CPU). The actor is called after
the resource and the node, so that whoever asks gets the same one, and it does one thing at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from candidates import Architecture
from candidates.errors import InputError, RunError
from latency.device import Device, Lost
from latency.measurement import Measurement
from latency.model import Model
from latency.pool import Pool
from latency.settings import Settings
from nas.workers.connection import connected
from nas.workers.errors import plain

PREFIX = "device:"
NAMESPACE = "mobile-nas"
START_SECONDS = 60.0  # that an actor has to start and to find its device
AGAIN_SECONDS = 5.0  # after which one that did not is tried again
ANSWER_SECONDS = 0.5  # within which a free actor answers


@dataclass(frozen=True)
class Spot:
    """Where a device hangs: a node, the resource that says so, and what the node calls the device."""

    node: str
    host: str
    resource: str
    called: str
    amount: float
    trains: bool

    @property
    def key(self) -> str:
        """The actor's name."""
        return f"{self.resource}@{self.node}"


def spots(ray: Any, name: str) -> list[Spot]:
    """Every place in the cluster where a device called `name` hangs now."""
    found = []
    for node in ray.nodes():
        resources = node["Resources"] if node["Alive"] else {}
        for resource, amount in resources.items():
            device, _, called = resource.removeprefix(PREFIX).partition("=")
            if resource.startswith(PREFIX) and device == name:
                host, trains = str(node["NodeManagerHostname"]), resources.get("CPU", 0) > 0
                found.append(Spot(node["NodeID"], host, resource, called or name, amount, trains))
    return sorted(found, key=lambda spot: spot.key)


class Keeper:
    """The actor: it has the device of its node that it was made for, and measures on it."""

    def __init__(self, called: str, device_timeout: float) -> None:
        from nas import cpu

        cpu.prepare()  # as a search does on its own machine
        self._called, self._timeout = called, device_timeout

    def _device(self) -> Device:
        from latency.registry import resolve

        return resolve(self._called, device_timeout=self._timeout)

    def about(self) -> dict[str, Any]:
        """All that is fixed of the device."""
        from latency.host import HostDevice

        device = self._device()
        return {
            "formats": device.formats,
            "fingerprint": device.fingerprint(),
            "runtimes": {form: device.runtime(form) for form in device.formats},
            "host": isinstance(device, HostDevice),
        }

    def measure(self, model: Model, settings: Settings) -> dict[str, Any]:
        """A measurement as plain values."""
        return self._device().measure(model, settings).to_dict()

    def operation_times(self, arch: Architecture, threads: int) -> Mapping[int, float] | None:
        """As Device has it."""
        return self._device().operation_times(arch, threads)

    def predictor(self, threads: int) -> dict[str, Any] | None:
        """The predictor that this node keeps for the device, as plain values."""
        from latency.predictor import stored

        found = stored(self._device(), threads)
        return None if found is None else found.to_dict()

    def free(self) -> bool:
        """Answered when nothing else is being done."""
        return True


@dataclass
class RemoteDevice:
    """A Device on another machine, reached through its actor. `Lost` where that machine is gone."""

    name: str
    spot: Spot
    actor: Any
    about: Mapping[str, Any]
    lost: bool = False

    @property
    def formats(self) -> tuple[str, ...]:
        return tuple(self.about["formats"])

    @property
    def key(self) -> str:
        """The device, wherever it hangs; two machines' CPUs of one model are two devices."""
        return f"{self.fingerprint()}@{self.spot.node}" if self.about["host"] else self.fingerprint()

    @property
    def shares_cores(self) -> bool:
        """Whether trainings of the cluster may run on the cores that are measured."""
        return bool(self.about["host"]) and self.spot.trains

    def fingerprint(self) -> str:
        return str(self.about["fingerprint"])

    def runtime(self, form: str) -> tuple[str, str]:
        name, version = self.about["runtimes"][form]
        return name, version

    def opened(self) -> AbstractContextManager[None]:
        return nullcontext()

    def operation_times(self, arch: Architecture, threads: int) -> Mapping[int, float] | None:
        times: Mapping[int, float] | None = self._ask("operation_times", arch, threads)
        return times

    def measure(self, model: Model, settings: Settings) -> Measurement:
        return Measurement.from_dict(self._ask("measure", model, settings))

    def predictor(self, threads: int) -> dict[str, Any] | None:
        """The predictor that the device's machine keeps for it, as plain values."""
        found: dict[str, Any] | None = self._ask("predictor", threads)
        return found

    def _ask(self, what: str, *arguments: Any) -> Any:
        import ray

        try:
            return ray.get(getattr(self.actor, what).remote(*arguments))
        except Exception as error:
            problem = plain(error)
            if isinstance(error, ray.exceptions.RayTaskError):
                raise problem from None
            self.lost = True
            raise Lost(f"{self.name} on {self.spot.host} is lost: {problem}") from None


@dataclass
class Keepers:
    """The devices called `name` in the cluster; those that hang there now are what a call gives."""

    ray: Any
    name: str
    device_timeout: float
    known: dict[str, RemoteDevice] = field(default_factory=dict)
    failed: dict[str, float] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def __call__(self) -> Mapping[str, Device]:
        """Those that answer. One that is found for the first time is asked what it is, which takes seconds."""
        with self.lock:
            there = {spot.key: spot for spot in spots(self.ray, self.name)}
            self.known = {key: found for key, found in self.known.items() if key in there and not found.lost}
            for key, spot in there.items():
                if key in self.known or time.monotonic() < self.failed.get(key, 0.0):
                    continue
                try:
                    self.known[key] = self._met(spot)
                except (InputError, RunError) as error:
                    if not isinstance(error, Lost) and not self.known:
                        raise
                    self.failed[key] = time.monotonic() + AGAIN_SECONDS
            return {device.key: device for device in self.known.values()}

    def first_free(self, free: Mapping[str, Device]) -> str:
        """The one whose actor answers first; where all are busy for others, the first."""
        actors = {
            device.actor.free.remote(): key
            for key, device in free.items()
            if isinstance(device, RemoteDevice)
        }
        if len(actors) > 1:
            done, _ = self.ray.wait(list(actors), num_returns=1, timeout=ANSWER_SECONDS)
            if done:
                return actors[done[0]]
        return next(iter(free))

    def _met(self, spot: Spot) -> RemoteDevice:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray = self.ray
        actor = (
            ray.remote(Keeper)
            .options(
                name=spot.key,
                namespace=NAMESPACE,
                get_if_exists=True,
                num_cpus=0,
                resources={spot.resource: spot.amount},
                scheduling_strategy=NodeAffinitySchedulingStrategy(spot.node, soft=False),
            )
            .remote(spot.called, self.device_timeout)
        )
        try:
            about = ray.get(actor.about.remote(), timeout=START_SECONDS)
        except Exception as error:
            problem = plain(error)
            if isinstance(problem, InputError):
                raise InputError(f"{self.name} on {spot.host}: {problem}") from None
            if isinstance(error, ray.exceptions.RayTaskError):
                raise RunError(f"{self.name} on {spot.host}: {problem}") from None
            raise Lost(f"{self.name} on {spot.host}: {problem}") from None
        return RemoteDevice(self.name, spot, actor, about)


def cluster_pool(address: str, name: str, device_timeout: float) -> Pool | None:
    """The devices called `name` that hang on the nodes of the cluster at `address`, or None where none does."""
    ray = connected(address)
    if not spots(ray, name):
        return None
    keepers = Keepers(ray, name, device_timeout)
    return Pool(name, keepers, device_timeout, keepers.first_free)
