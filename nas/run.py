"""A search from its settings: what was prepared is put together, run, confirmed and written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from candidates import Architecture
from candidates.errors import RunError
from candidates.files import check_folder
from nas.confirmation import Confirmation
from nas.devices import at_once, is_host, pool_of, relevelled, shares_cores
from nas.evaluation import Evaluation, Evaluator, Train
from nas.flights import Progress, Workers, result_within
from nas.heartbeat import Heartbeat
from nas.joining import agree
from nas.prepared import ZERO_COST, Prepared, limited_view, limits_of
from nas.progress import telling
from nas.reward import reward
from nas.run_folder import RunFolder, check_free, create, open_run
from nas.samplers import priors
from nas.samplers.encoding import Prior
from nas.samplers.halting import epochs_saved, rule_of
from nas.samplers.recommend import estimated_accuracies
from nas.samplers.view import View
from nas.search import Search
from nas.settings import SearchSettings
from nas.stopping import Stop
from nas.storage import alone_with, first_line, in_turn
from nas.study import close, open_study, take_up_lost
from nas.targets import latencies_of
from nas.trials import Row
from nas.workers.inline import Inline
from nas.workers.making import on_gpus, training_on, watch_on, workers_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler

    from latency.device import Device
    from search_space import Point


def new_run(prepared: Prepared, out: Path, afterwards: Mapping[str, Any] | None = None) -> RunFolder:
    """Make the run's folder; `afterwards` is what follows the search, as the user asked for it."""
    return create(out, prepared.settings, prepared.space_yaml, device_record(prepared), afterwards)


def device_record(prepared: Prepared) -> dict[str, Any]:
    """What the run keeps of its devices: the main one's record, the others' under `also`."""
    pools = prepared.pools or (None,) * len(prepared.devices)
    main, *others = [
        _record(device) | ({"pool": dict(pool)} if pool else {})
        for device, pool in zip(prepared.devices, pools, strict=True)
    ]
    return {**main, "also": others} if others else main


def _record(device: Device) -> dict[str, Any]:
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
    with alone_with(folder.database):
        return _searched(folder, prepared, sampler, progress, stop, after_trial)


def _searched(
    folder: RunFolder,
    prepared: Prepared,
    sampler: BaseSampler,
    progress: Progress,
    stop: Stop,
    after_trial: Callable[[list[Row]], None],
) -> list[Row]:
    from optuna.trial import TrialState

    settings = folder.settings
    study = open_study(folder.database, sampler, settings.objective, create=True)
    try:
        if not folder.database.shared and take_up_lost(study, prepared.space):
            progress.note("taking up the trials that were in flight when the search ended")
        if settings.storage is not None:
            with in_turn(study, folder.database):
                agree(study, settings, _meaning(prepared))
                prepared = share_levels(study, prepared)
            if any(prepared.pools):
                folder = folder.with_record(device=device_record(prepared))
        tell = getattr(progress, "doing", lambda worker, what: None)
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(done) >= settings.trials:
            progress.note(
                f"{len(done)} trials are complete, and --trials is {settings.trials}: none is left to do"
            )
        with workers_of(settings, tell) as workers, _heart(folder, study) as heartbeat:
            work = _search(folder, prepared, study, workers, heartbeat, progress, after_trial)
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


def share_levels(study: Study, prepared: Prepared) -> Prepared:
    """The parts on the level that the study's first search found for a pool, the predictors and the record too.

    Searches that begin together come here in turn.
    """
    predictors, pools = list(prepared.predictors), list(prepared.pools) or [None] * len(prepared.devices)
    for index, device in enumerate(prepared.devices):
        pool, key = pool_of(device), f"pool:{device.name}"
        if pool is None or pool.level is None:
            continue
        if key not in study.user_attrs:
            study.set_user_attr(key, pool.level.to_dict())
        kept = study.user_attrs[key]
        predictors[index] = relevelled(predictors[index], pool, kept)
        pools[index] = {**(pools[index] or {}), **kept}
    return replace(prepared, predictors=tuple(predictors), pools=tuple(pools))


def _meaning(prepared: Prepared) -> dict[str, Any]:
    """What decides a trial's numbers besides the settings."""
    described = prepared.proxy.data.describe()
    return {
        "space": prepared.space_yaml,
        "data": {name: value for name, value in described.items() if name != "data"},
        # In their order, which the latencies have too; of a phone each machine may have its own.
        "devices": [
            [device.name, device.fingerprint() if is_host(device) else None] for device in prepared.devices
        ],
        "targets": [list(pair) for pair in prepared.settings.also.items()],
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
    heartbeat: Heartbeat | None,
    progress: Progress,
    after_trial: Callable[[list[Row]], None],
) -> Search:
    """The search, with all that it needs put together."""
    settings = folder.settings

    def idle() -> None:
        """Wait until nothing that runs here takes the cores."""
        if not on_gpus(settings):
            work.wait_for_all()

    evaluate = Evaluator(
        deploy=prepared.deploy,
        measure=telling(progress, "measuring", lambda arch: prepared.latency(arch, idle)),
        train=_told(progress, workers, training_on(workers, prepared.proxy, prepared.training)),
        too_slow=too_slow(settings),
        seed=settings.seed,
        epoch_by_epoch=settings.pruner != "none",
        relayed=watch_on(workers),
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
        measured_at_once=lambda: at_once(prepared.devices),
        patient=patient(prepared, workers),
        retries=settings.retries,
        trial_timeout=settings.trial_timeout,
        heartbeat=heartbeat,
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
        shares_cores(device) and known is None
        for device, known in zip(prepared.devices, prepared.predictors, strict=True)
    )
    return measuring and workers.count > 1 and not settings.measure_cores and not on_gpus(settings)


def _prior(prepared: Prepared, view: View) -> Prior | None:
    """What is believed before the first trial: from an earlier run, or from zero-cost scores."""
    start = prepared.settings.warm_start
    if start is None:
        return None
    if start == ZERO_COST:
        proxy, seed = prepared.proxy, prepared.settings.seed
        images, labels = proxy.first_images(priors.BATCH)

        def trained(point: Point) -> Architecture:
            return proxy.architecture(prepared.space.decode(point))

        def flow(point: Point) -> float:
            return priors.synflow(trained(point), seed)

        def slope(point: Point) -> float:
            return priors.gradient_norm(trained(point), images, labels, seed)

        return priors.from_scores(view, flow, slope, seed=seed)
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

    def train(arch: Architecture, seed: int) -> float | None:
        for _ in range(1 + settings.retries):
            future = work.workers.submit(work.evaluate.train, arch, seed)
            try:
                return float(result_within(settings.trial_timeout, future, work.workers).accuracy)
            except Exception as error:  # the search is through; that it ends well matters more
                work.progress.note(f"training {arch.id} once more came to nothing: {first_line(error)}")
        return None

    confirmation = Confirmation(prepared.measure_at_length, train, settings.seed, settings.confirm)
    noise = ", and the proxy's noise" if settings.confirm else ""
    work.progress.note(f"measuring the front again, three invocations each{noise}")
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
