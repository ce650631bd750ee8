"""A search's parts, opened and checked before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from candidates import Architecture
from candidates.errors import InputError
from nas.data import absolute, known_as
from nas.devices import find_device, on_level, pool_of, share_scale, shares_cores
from nas.evaluation import Measured
from nas.latency_source import predicting, predictor_for
from nas.run_folder import RunFolder, open_run
from nas.samplers.limits import LimitedView, Limits
from nas.samplers.view import FactorizedView, View
from nas.settings import SearchSettings
from nas.storage import closed, opened, place_at
from nas.targets import on_all
from nas.workers.making import check_workers, own_device, sharing_note
from nas.workers.training import ProxyTraining

if TYPE_CHECKING:
    from latency.device import Device
    from latency.predictor import Predictor
    from nas.proxy import Proxy
    from search_space import FactorizedSpace, Point

CPU_SAMPLES = 4_000  # images that a proxy trains on where there is no GPU, unless the user says otherwise
ZERO_COST = "zero-cost"  # scores at initialisation, in place of an earlier run
TRIED = 5  # random architectures that show what the target means on a device


@dataclass(frozen=True)
class Prepared:
    """A search's parts, all of them checked. `pools` is what the run keeps of the devices that are pools."""

    settings: SearchSettings
    space: FactorizedSpace
    space_yaml: str
    devices: tuple[Device, ...]
    proxy: Proxy
    training: ProxyTraining
    predictors: tuple[Predictor | None, ...]
    notes: tuple[str, ...]
    pools: tuple[Mapping[str, Any] | None, ...] = ()

    def deploy(self, base: Architecture) -> Architecture:
        """`base` as it is deployed and measured."""
        data = self.proxy.data
        return base.for_input(self.settings.resolution, data.channels, self.settings.classes or data.classes)

    @property
    def device(self) -> Device:
        """The main device."""
        return self.devices[0]

    def latency(self, arch: Architecture, idle: Callable[[], None]) -> Measured:
        """The latency while searching: predicted where there is a predictor that knows its ground.

        Before this machine's CPU is measured, `idle` waits until nothing is trained on it.
        """
        ways = []
        for device, known in zip(self.devices, self.predictors, strict=True):
            measured = partial(self.measure_on, device, idle=idle)
            ways.append(measured if known is None else predicting(known, measured))
        return on_all(self.settings.devices, ways, arch)

    def measure_at_length(self, arch: Architecture) -> Any:
        """Three invocations, once more where they are not valid: what is reported."""
        measured = self.measure(arch, blocks=3)
        return measured if measured.valid else self.measure(arch, blocks=3)

    def measure(self, arch: Architecture, blocks: int = 1, idle: Callable[[], None] = lambda: None) -> Any:
        """A measurement on every device: one short block while searching."""
        ways = [partial(self.measure_on, device, blocks=blocks, idle=idle) for device in self.devices]
        return on_all(self.settings.devices, ways, arch)

    def measure_on(
        self,
        device: Device,
        arch: Architecture,
        blocks: int = 1,
        idle: Callable[[], None] = lambda: None,
    ) -> Any:
        """A measurement on one device."""
        import latency

        if shares_cores(device) and not self.settings.measure_cores:
            idle()
        return latency.measure(arch, device, self.settings.threads, blocks=blocks)


def prepare(settings: SearchSettings, space_yaml: str | None = None) -> Prepared:
    """Open the space, the device and the data; an InputError for whatever is wrong with them."""
    from latency.registry import AUTO, automatic
    from search_space import parse_space, space_text

    text = space_yaml if space_yaml is not None else space_text(settings.space)
    space = parse_space(text, settings.space)
    notes: list[str] = []
    check_workers(settings)
    name = settings.device
    if name == AUTO:
        name, why = automatic()
        notes.append(why)
    devices = tuple(find_device(one, settings, notes.append) for one in (name, *settings.also))
    _check_apart(devices)
    settings = replace(settings, device=name, data=known_as(settings.data))
    if settings.warm_start not in (None, ZERO_COST):
        settings = replace(settings, warm_start=absolute(str(settings.warm_start)))
        try:
            open_run(Path(str(settings.warm_start)))
        except InputError as error:
            raise InputError(f"--warm-start, which a resume needs too: {error}") from None
    predictors = tuple(predictor_for(device, settings.threads, settings.latency) for device in devices)
    for device, predictor in zip(devices, predictors, strict=True):
        if predictor is not None:
            spread = f"{100 * predictor.spread:.1f} % on held-out architectures"
            notes.append(
                f"latencies on {device.name} are predicted while searching ({predictor.samples} samples, {spread}), "
                "the front's measured"
            )
    shared = sharing_note(settings)
    if shared is not None:
        notes.append(shared)
    if settings.storage is not None:
        place = place_at(settings.storage, settings.study)
        if place.path is None or place.path.exists():
            closed(opened(place))
    training, settings = training_of(settings)
    proxy = replace(training, device=own_device(settings)).proxy()
    prepared = Prepared(settings, space, text, devices, proxy, training, predictors, tuple(notes))
    _check_agrees(space, settings)
    base = space.decode({choice.name: choice.values[0] for choice in space.choices})
    prepared.deploy(base), proxy.architecture(base)
    limited_view(prepared).sample(np.random.default_rng(settings.seed))  # some point is within the limits
    return prepared


def _check_apart(devices: Sequence[Device]) -> None:
    """Two names of one device would count it twice."""
    seen: dict[tuple[str, str], Device] = {}
    for device in devices:
        key = (device.name, device.fingerprint())
        if key in seen:
            raise InputError(f"two targets are for the same device, {device.name}; expected each device once")
        seen[key] = device


def _check_agrees(space: FactorizedSpace, settings: SearchSettings) -> None:
    """A space that names an input size or classes means them; they are not overruled in silence."""
    for name in ("resolution", "classes"):
        wanted = space.settings.get(name)
        if wanted is not None and wanted != getattr(settings, name):
            raise InputError(
                f"the space {space.name} sets {name} {wanted}, but the search would use "
                f"{getattr(settings, name)}; give --{name} {wanted}, or leave it out of the space"
            )


def levelled(prepared: Prepared, record: Mapping[str, Any]) -> Prepared:
    """The parts with the members of each pool on one scale, and the predictors moved to its level.

    `record` is what the run's folder holds of its devices, empty for a new run.
    """
    archs = _tried(prepared, seed=0)  # searches with other seeds may share a study, and with it the level
    threads = prepared.settings.threads
    records = [record, *record.get("also", [])] if record else [{} for _ in prepared.devices]
    kept: list[Mapping[str, Any] | None] = []
    predictors: list[Predictor | None] = []
    for device, predictor, before in zip(prepared.devices, prepared.predictors, records, strict=True):
        level, pool = share_scale(device, archs, threads, before.get("pool")), pool_of(device)
        if level is not None and pool is not None and predictor is not None:
            predictor, offsets = on_level(predictor, pool, archs)
            level = {**level, "predictor_offsets": offsets}
        kept.append(level)
        predictors.append(predictor)
    return replace(prepared, predictors=tuple(predictors), pools=tuple(kept))


def _tried(prepared: Prepared, seed: int) -> list[Architecture]:
    """A few random architectures, the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    space = prepared.space
    return [prepared.deploy(space.decode(space.sample(rng))) for _ in range(TRIED)]


def training_of(settings: SearchSettings) -> tuple[ProxyTraining, SearchSettings]:
    """The proxy, and the settings with what it decided: a resume then trains the same one, on any machine."""
    from nas.training import pick_device

    samples = settings.proxy_samples
    if samples is None and pick_device().type == "cpu":
        samples = CPU_SAMPLES
    training = ProxyTraining(settings.data, settings.proxy_resolution, samples, settings.epochs)
    data = replace(training, device=own_device(settings)).proxy().data
    if settings.classes is not None and settings.classes < data.classes:
        raise InputError(f"--classes is {settings.classes}, but {data.name} has {data.classes} classes")
    decided = replace(
        settings,
        proxy_samples=samples or max(data.classes, len(data.train)),
        proxy_resolution=data.size,
        classes=settings.classes or data.classes,
    )
    return training, decided


def check_devices(prepared: Prepared, folder: RunFolder) -> None:
    """Latencies of two devices called the same have no place in one run."""
    record = folder.record.get("device", {})
    for before, device in zip([record, *record.get("also", [])], prepared.devices, strict=False):
        now = device.fingerprint()
        if before.get("fingerprint", now) != now:
            raise InputError(
                f"the run was measured on another device called {before.get('name')} (fingerprint "
                f"{before['fingerprint']}, here {now}); go on with it there, or start a new run"
            )


def limits_of(settings: SearchSettings) -> Limits:
    """The limits, besides latency, that candidates are held to."""
    return Limits(
        settings.max_parameters, settings.max_multiply_adds, settings.max_size_mb, settings.max_memory_mb
    )


def limited_view(prepared: Prepared) -> View:
    """The space as the samplers see it: only what is within the limits, where there are any."""
    view = FactorizedView(prepared.space)
    limits = limits_of(prepared.settings)
    if limits == Limits():
        return view
    known: dict[Hashable, bool] = {}
    # Parameters of stem, head and classifier, by the channels that leave the blocks.
    besides: dict[int, int] = {}

    def allowed(point: Point) -> bool:
        count, channels = view.parameters(point)
        if channels not in besides:
            besides[channels] = prepared.deploy(prepared.space.decode(point)).parameters() - count
        if not limits.allows_parameters(count + besides[channels]):
            return False
        if limits.multiply_adds is None and limits.memory_mb is None:
            return True
        key = view.identity(point)
        if key not in known:
            known[key] = not limits.broken(prepared.deploy(prepared.space.decode(point)))
        return known[key]

    return LimitedView(view, allowed)


def target_notes(prepared: Prepared) -> list[str]:
    """A sentence for each device whose target does not bind, or lies below everything."""
    pairs = zip(prepared.devices, prepared.settings.targets.ms, strict=True)
    notes = [_target_note(prepared, device, target) for device, target in pairs]
    return [note for note in notes if note]


def _target_note(prepared: Prepared, device: Device, target: float) -> str | None:
    times = [
        prepared.measure_on(device, arch).latency_ms for arch in _tried(prepared, prepared.settings.seed)
    ]
    fastest, slowest, middle = min(times), max(times), sorted(times)[len(times) // 2]
    option = f"--target {device.name}=" if prepared.settings.also else "--target-ms "
    suggested = f"{option}{float(f'{middle:.2g}'):g}"
    where = f"{TRIED} random architectures take {fastest:.3g} to {slowest:.3g} ms on {device.name}"
    if slowest < target / 2:
        return (
            f"the target of {target:g} ms does not bind: {where}, so accuracy alone will nearly decide; "
            f"for a trade-off try {suggested}, or the phone you ship on"
        )
    if fastest > target * prepared.settings.max_latency_factor:
        return f"the target of {target:g} ms is far below what was tried: {where}; try {suggested}"
    return None
