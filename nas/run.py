"""A search from its settings: everything is checked and opened here, then handed to `nas.search`."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from candidates import Architecture
from candidates.errors import InputError, RunError
from candidates.files import check_folder, expanded
from nas.confirmation import Confirmation
from nas.evaluation import Evaluation, Evaluator, Measured, Train
from nas.heartbeat import Heartbeat
from nas.joining import agree
from nas.latency_source import predicting, predictor_for
from nas.progress import telling
from nas.reward import reward
from nas.run_folder import RunFolder, check_free, create, open_run
from nas.samplers import priors
from nas.samplers.encoding import Prior
from nas.samplers.halting import epochs_saved, rule_of
from nas.samplers.limits import LimitedView, Limits
from nas.samplers.recommend import estimated_accuracies
from nas.samplers.view import FactorizedView, View
from nas.search import Progress, Search, Workers
from nas.settings import SearchSettings
from nas.stopping import Stop
from nas.storage import opened, server_place
from nas.study import close, open_study, take_up_lost
from nas.targets import latencies_of, on_all
from nas.trials import Row
from nas.workers.inline import Inline
from nas.workers.making import on_gpus, training_on, workers_of
from nas.workers.training import ProxyTraining

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler

    from latency.device import Device
    from latency.predictor import Predictor
    from nas.proxy import Proxy
    from search_space import FactorizedSpace, Point

CPU_SAMPLES = 4_000  # images that a proxy trains on where there is no GPU, unless the user says otherwise
ZERO_COST = "zero-cost"  # scores at initialisation, in place of an earlier run
TRIED = 5  # random architectures that show what the target means on a device


@dataclass(frozen=True)
class Prepared:
    """A search's parts, all of them checked."""

    settings: SearchSettings
    space: FactorizedSpace
    space_yaml: str
    devices: tuple[Device, ...]
    proxy: Proxy
    training: ProxyTraining
    predictors: tuple[Predictor | None, ...]
    notes: tuple[str, ...]

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

        if is_host(device) and not self.settings.measure_cores:
            idle()
        return latency.measure(arch, device, self.settings.threads, blocks=blocks)


def prepare(settings: SearchSettings, space_yaml: str | None = None) -> Prepared:
    """Open the space, the device and the data; an InputError for whatever is wrong with them."""
    from latency.registry import AUTO, automatic, resolve
    from search_space import parse_space, space_text

    text = space_yaml if space_yaml is not None else space_text(settings.space)
    space = parse_space(text, settings.space)
    notes = []
    name = settings.device
    if name == AUTO:
        name, why = automatic()
        notes.append(why)
    devices = (resolve(name), *(resolve(other) for other in settings.also))
    _check_apart(devices)
    if settings.data != "digits":
        settings = replace(settings, data=absolute(settings.data))
    settings = replace(settings, device=name)
    if settings.warm_start not in (None, ZERO_COST):
        settings = replace(settings, warm_start=absolute(str(settings.warm_start)))
        open_run(Path(str(settings.warm_start)))
    predictors = tuple(predictor_for(device, settings.threads, settings.latency) for device in devices)
    for device, predictor in zip(devices, predictors, strict=True):
        if predictor is not None:
            spread = f"{100 * predictor.spread:.1f} % on held-out architectures"
            notes.append(
                f"latencies on {device.name} are predicted while searching ({predictor.samples} samples, {spread}), "
                "the front's measured"
            )
    if settings.storage is not None:
        opened(server_place(settings.storage, settings.study)).engine.dispose()
    training, settings = _training(settings)
    proxy = training.proxy()
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


def absolute(data: str) -> str:
    """The path `data` as a run keeps it."""
    return os.path.realpath(expanded("data", data))


def is_host(device: Device) -> bool:
    """Whether a device is this machine's CPU."""
    from latency.host import HostDevice

    return isinstance(device, HostDevice)


def _training(settings: SearchSettings) -> tuple[ProxyTraining, SearchSettings]:
    """The proxy, and the settings with what it decided: a resume then trains the same one, on any machine."""
    from nas.training import pick_device

    samples = settings.proxy_samples
    if samples is None and pick_device().type == "cpu":
        samples = CPU_SAMPLES
    training = ProxyTraining(settings.data, settings.proxy_resolution, samples, settings.epochs)
    data = training.proxy().data
    if settings.classes is not None and settings.classes < data.classes:
        raise InputError(f"--classes is {settings.classes}, but {data.name} has {data.classes} classes")
    decided = replace(
        settings,
        proxy_samples=samples or max(data.classes, len(data.train)),
        proxy_resolution=data.size,
        classes=settings.classes or data.classes,
    )
    return training, decided


def new_run(prepared: Prepared, out: Path) -> RunFolder:
    """Make the run's folder."""
    main, *others = [_record(device) for device in prepared.devices]
    record = {**main, "also": others} if others else main
    return create(out, prepared.settings, prepared.space_yaml, record)


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


def _record(device: Device) -> dict[str, str]:
    runtime, version = device.runtime(device.formats[0])
    return {
        "name": device.name,
        "fingerprint": device.fingerprint(),
        "runtime": runtime,
        "runtime_version": version,
    }


def check_out(out: Path) -> None:
    """Raise InputError where a new run cannot be put; nothing is made."""
    check_folder("--out", out)
    check_free(out)


def search(
    folder: RunFolder,
    prepared: Prepared,
    progress: Progress,
    stop: Stop,
    after_trial: Callable[[list[Row]], None] = lambda rows: None,
) -> list[Row]:
    """Run or go on with a search; returns its rows. The caller holds the folder's lock."""
    from nas.samplers import make

    settings = folder.settings
    view = limited_view(prepared)
    sampler = make(
        settings.sampler,
        view,
        seed=settings.seed,
        weight=_weight(settings),
        prior=_prior(prepared, view),
        limit=settings.target_ms * settings.max_latency_factor,
    )
    study = open_study(folder.database, sampler, settings.objective, create=True)
    try:
        if not folder.database.shared and take_up_lost(study, prepared.space):
            progress.note("taking up the trials that were in flight when the search ended")
        if folder.database.shared:
            agree(study, settings, _meaning(prepared))
        with workers_of(settings) as workers, _heart(folder, study) as heartbeat:
            work = _search(folder, prepared, study, workers, progress, after_trial)
            work.heartbeat = heartbeat
            rows = work.run(stop)
            if work.rule is not None:
                saved = epochs_saved(study.get_trials(deepcopy=False), settings.epochs)
                progress.note(f"stopping hopeless trainings early saved {saved} epochs")
            if not stop.asked:
                rows = _confirm(work, prepared, rows, stop)
                _recommend(work, sampler, rows)
        return rows
    finally:
        close(study)


def _meaning(prepared: Prepared) -> dict[str, Any]:
    """What decides a trial's numbers besides the settings."""
    described = prepared.proxy.data.describe()
    return {
        "space": prepared.space_yaml,
        "data": {name: value for name, value in described.items() if name != "data"},
        "device": [(device.name, device.fingerprint()) for device in prepared.devices if is_host(device)]
        or [device.name for device in prepared.devices],
    }


@contextmanager
def _heart(folder: RunFolder, study: Study) -> Iterator[Heartbeat | None]:
    """Signs of life for the trials of a shared study."""
    if not folder.database.shared:
        yield None
        return
    heartbeat = Heartbeat(study)
    try:
        yield heartbeat
    finally:
        heartbeat.close()


def _search(
    folder: RunFolder,
    prepared: Prepared,
    study: Study,
    workers: Workers,
    progress: Progress,
    after_trial: Callable[[list[Row]], None],
) -> Search:
    """The search, with all that it needs put together."""
    settings = folder.settings

    def idle() -> None:
        wait(work.flights)

    evaluate = Evaluator(
        deploy=prepared.deploy,
        measure=telling(progress, "measuring", lambda arch: prepared.latency(arch, idle)),
        train=_told(progress, workers, training_on(workers, prepared.proxy, prepared.training)),
        too_slow=too_slow(settings),
        seed=settings.seed,
        epoch_by_epoch=settings.pruner != "none",
    )
    work = Search(
        folder,
        study,
        prepared.space,
        evaluate,
        {"proxy": prepared.proxy.describe()},
        progress,
        after_trial,
        measure_front_now=(lambda arch: prepared.measure(arch, idle=idle))
        if settings.latency == "auto"
        else None,
        limits=limits_of(settings),
        rule=rule_of(settings.pruner, settings.epochs),
        workers=workers,
        patient=patient(prepared, workers),
        retries=settings.retries,
        trial_timeout=settings.trial_timeout,
    )
    return work


def _told(progress: Progress, workers: Workers, train: Train) -> Train:
    """Trainings in this process are shown as they run; what goes to another must be as it is."""
    return telling(progress, "training", train) if isinstance(workers, Inline) else train


def too_slow(settings: SearchSettings) -> Callable[[Evaluation], bool]:
    """Whether a latency is so far over a target that the candidate is not worth a training."""
    return lambda known: (
        settings.targets.worst(latencies_of(known.latency_ms, known.measurement))
        > settings.max_latency_factor
    )


def patient(prepared: Prepared, workers: Workers) -> bool:
    """Whether measuring takes the cores that trainings run on, so that one waits for the other."""
    settings = prepared.settings
    measuring = any(
        is_host(device) and known is None
        for device, known in zip(prepared.devices, prepared.predictors, strict=True)
    )
    return measuring and workers.count > 1 and not settings.measure_cores and not on_gpus(settings)


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

    def allowed(point: Point) -> bool:
        key = view.identity(point)
        if key not in known:
            known[key] = not limits.broken(prepared.deploy(prepared.space.decode(point)))
        return known[key]

    return LimitedView(view, allowed)


def _prior(prepared: Prepared, view: View) -> Prior | None:
    """What is believed before the first trial: from an earlier run, or from zero-cost scores."""
    start = prepared.settings.warm_start
    if start is None:
        return None
    if start == ZERO_COST:
        size = prepared.proxy.data.size

        def score(point: Point) -> float:
            return priors.synflow(prepared.proxy.architecture(prepared.space.decode(point)), resolution=size)

        return priors.from_scores(view, score, seed=prepared.settings.seed)
    earlier = open_run(Path(start))
    study = open_study(earlier.database, None, earlier.settings.objective, create=False)
    try:
        return priors.from_study(study, view)
    finally:
        close(study)


def _weight(settings: SearchSettings) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """What an accuracy is multiplied by for the reward, from latencies in milliseconds.

    None with several devices: one latency does not decide it, and the sampler learns it from the trials.
    """
    if settings.also:
        return None
    alpha, beta = settings.exponents
    return lambda latencies: np.array(
        [reward(1.0, latency, settings.target_ms, alpha, beta) for latency in latencies], np.float64
    )


def _confirm(work: Search, prepared: Prepared, rows: list[Row], stop: Stop) -> list[Row]:
    """Train the best again and measure the front at length, once the trials are through."""
    if not any(row.evaluated for row in rows):
        raise RunError(f"no candidate could be trained; {work.folder.path}/trials.csv has each one's reason")
    settings = prepared.settings

    def train(arch: Architecture, seed: int) -> Any:
        return work.workers.submit(work.evaluate.train, arch, seed).result()

    confirmation = Confirmation(prepared.measure_at_length, train, settings.seed, settings.confirm)
    work.progress.note("measuring the front again, three invocations each, and the proxy's noise")
    confirmation.train_again(work, rows, stop)
    rows = confirmation.measure_front(work, stop)
    work.folder.write(rows, work.found)
    return rows


def _recommend(work: Search, sampler: BaseSampler, rows: list[Row]) -> None:
    """Keep with the study which candidate within the target is the best by the sampler's model.

    The best of many noisy accuracies is partly the luckiest; a model that knows its neighbours discounts that.
    """
    targets = work.folder.settings.targets
    estimates = estimated_accuracies(work.study, sampler)
    rated = [
        (targets.reward(estimates[row.number], row.latencies), row)
        for row in rows
        if row.evaluated and row.number in estimates and targets.within(row.latencies)
    ]
    if rated:
        _, row = max(rated, key=lambda pair: pair[0])
        work.study.set_user_attr("recommended", {"id": row.id, "accuracy": estimates[row.number]})


def target_notes(prepared: Prepared) -> list[str]:
    """A sentence for each device whose target does not bind, or lies below everything."""
    pairs = zip(prepared.devices, prepared.settings.targets.ms, strict=True)
    notes = [_target_note(prepared, device, target) for device, target in pairs]
    return [note for note in notes if note]


def _target_note(prepared: Prepared, device: Device, target: float) -> str | None:
    rng = np.random.default_rng(prepared.settings.seed)
    space = prepared.space
    times = []
    for _ in range(TRIED):
        arch = prepared.deploy(space.decode(space.sample(rng)))
        times.append(prepared.measure_on(device, arch).latency_ms)
    fastest, slowest, middle = min(times), max(times), sorted(times)[len(times) // 2]
    suggested = f"{float(f'{middle:.2g}'):g}"
    where = f"{TRIED} random architectures take {fastest:.3g} to {slowest:.3g} ms on {device.name}"
    if slowest < target / 2:
        return (
            f"the target of {target:g} ms does not bind: {where}, so accuracy alone will nearly decide; "
            f"for a trade-off try --target-ms {suggested}, or --device with the phone you ship on"
        )
    if fastest > target * prepared.settings.max_latency_factor:
        return (
            f"the target of {target:g} ms is far below what was tried: {where}; try --target-ms {suggested}"
        )
    return None
