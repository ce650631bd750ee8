"""A search's devices: attached here, hanging on a cluster's nodes, or several of one kind as a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from candidates import Architecture
from candidates.errors import InputError

if TYPE_CHECKING:
    from latency.device import Device
    from latency.pool import Pool
    from latency.predictor import Predictor
    from nas.settings import SearchSettings


def find_device(name: str, settings: SearchSettings, note: Callable[[str], None]) -> Device:
    """The device called `name`: on the nodes of the search's cluster where it hangs there, else here."""
    from latency.registry import resolve
    from nas.workers.connection import START

    if settings.ray in (None, START):
        return resolve(name, device_timeout=settings.device_timeout)
    from nas.workers.cluster_devices import PREFIX, cluster_pool

    pool = cluster_pool(str(settings.ray), name, settings.device_timeout)
    if pool is not None:
        members = len(pool.members)
        note(f"{name} is measured on the cluster, where {members} hang{'s' if members == 1 else ''}")
        return pool
    why = f"no node of the cluster has the resource {PREFIX}{name}"
    try:
        found = resolve(name, device_timeout=settings.device_timeout)
    except InputError as error:
        remedy = f"""start the one that it hangs on by ray start --resources '{{"{PREFIX}{name}": 1}}'"""
        raise InputError(f"{error}; {why}: {remedy}") from None
    note(f"{name} is measured by this machine: {why}")
    return found


def pool_of(device: Device) -> Pool | None:
    """The device as a pool, where it is one."""
    from latency.pool import Pool

    return device if isinstance(device, Pool) else None


def is_host(device: Device) -> bool:
    """Whether a device is this machine's CPU."""
    from latency.host import HostDevice

    return isinstance(device, HostDevice)


def shares_cores(device: Device) -> bool:
    """Whether trainings may run on the very cores that are measured."""
    pool = pool_of(device)
    if pool is None:
        return is_host(device)
    return any(getattr(member, "shares_cores", False) for member in pool.members.values())


def at_once(devices: Sequence[Device]) -> int:
    """How many architectures can be measured at the same time."""
    pools = [pool_of(device) for device in devices]
    return max(1, *(len(pool.members) if pool else 1 for pool in pools))


def stored_predictor(device: Device, threads: int) -> Predictor | None:
    """The predictor that was made for a device, or for a member of a pool; kept where that was done."""
    from latency.predictor import Predictor, stored

    pool = pool_of(device)
    if pool is None:
        return stored(device, threads)
    for member in pool.members.values():
        ask = getattr(member, "predictor", None)  # on another machine
        values = ask(threads) if ask else None
        if values:
            return Predictor.from_dict(values)
        found = None if ask else stored(member, threads)
        if found:
            return found
    return None


def share_scale(
    device: Device, archs: Sequence[Architecture], threads: int, known: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Put a pool's members on one scale; what the run keeps of it, None for a single device.

    `known` is what an earlier search in the same run kept.
    """
    pool = pool_of(device)
    if pool is None:
        return None
    pool.level = None  # this process may have searched with it before
    if known:
        pool.take_up(known)
    return pool.share(archs, threads).to_dict()


def on_level(
    predictor: Predictor, pool: Pool, archs: Sequence[Architecture]
) -> tuple[Predictor, dict[str, float]]:
    """The predictor moved to the pool's level, and how many times its predictions each member takes."""
    from latency.summary import median

    assert pool.level is not None, "the pool's members are on one scale"
    predicted = [(predictor.predict(arch), ms) for arch, ms in zip(archs, pool.level.ms, strict=True)]
    ratios = [ms / found.latency_ms for found, ms in predicted if found.inside]
    if not ratios:
        return predictor, {}
    offset = median(ratios)
    return slower(predictor, offset), {key: offset * scale for key, scale in pool.level.scales.items()}


def relevelled(predictor: Predictor | None, pool: Pool, known: Mapping[str, Any]) -> Predictor | None:
    """Put the pool on the level `known`; the predictor, which was on the pool's own, moved to it."""
    from latency.summary import median

    before = pool.level
    pool.take_up(known)
    if before is None or pool.level is None or predictor is None:
        return predictor
    ratios = [then / now for then, now in zip(pool.level.ms, before.ms, strict=False)]
    return slower(predictor, median(ratios)) if ratios else predictor


def slower(predictor: Predictor, factor: float) -> Predictor:
    """The predictor of a device that takes `factor` times as long."""
    low, high = predictor.range_ms
    scales = {kind: scale * factor for kind, scale in predictor.scales.items()}
    return replace(predictor, scales=scales, range_ms=(low * factor, high * factor))
