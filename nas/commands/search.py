"""nas-search: find networks that are as accurate as possible within a latency target."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from nas.commands.app import examples, new_app, run, was_given
from nas.commands.search_benchmark import say_benchmark
from nas.commands.search_options import comparable, targets, without_password
from nas.commands.search_status import say_status

if TYPE_CHECKING:
    from nas.commands.afterwards import Afterwards
    from nas.prepared import Prepared
    from nas.run_folder import RunFolder
    from nas.trials import Row

app = new_app()


@dataclass(frozen=True)
class _Showing:
    """What the user wants to see, and where."""

    stream: TextIO
    as_json: bool
    quiet: bool
    plain: bool
    after: Afterwards
    noted: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something to know before the search begins; its log begins with it."""
        self.noted.append(text)
        if not self.quiet:
            print(text, file=self.stream, flush=True)


def main() -> None:
    """The entry point."""
    run(app, "nas-search")


GROUPS = {
    "The goal": ("target_ms", "target", "device", "threads", "objective", "alpha", "beta", "data"),
    "The deployed network": ("space", "resolution", "classes", "max_parameters", "max_multiply_adds", "max_size_mb", "max_memory_mb"),
    "The search": ("trials", "sampler", "pruner", "warm_start", "latency", "max_latency_factor", "confirm", "baselines", "seed"),
    "The proxy": ("epochs", "proxy_resolution", "proxy_samples", "benchmark_proxy"),
    "Workers": ("workers", "measure_cores", "gpus", "per_gpu", "ray", "storage", "study", "retries", "trial_timeout", "device_timeout"),
    "The best in full": ("train_best", "train_recipe", "train_epochs"),
    "The run": ("out", "resume", "status", "as_json", "quiet", "plain"),
}  # fmt: skip


@app.command(
    groups=GROUPS,
    epilog=examples(
        "nas-search --target-ms 78",
        "nas-search --target-ms 9 --data ~/photos --trials 60 --out runs/photos",
        "nas-search --target pixel=78 --target cpu=9",
        "nas-search --resume runs/photos --trials 120",
    ),
)
def search(
    context: typer.Context,
    target_ms: Annotated[
        float | None, typer.Option(help="The latency to stay within, in milliseconds.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="DEVICE=MILLISECONDS, once for each of several devices, the main one first."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where latency is measured: auto, cpu, cpu:litert or a phone.")
    ] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of a measured inference.")] = 1,
    data: Annotated[
        str, typer.Option(help="digits, an image folder, CIFAR binary, idx files or an .npz.")
    ] = "digits",
    space: Annotated[str, typer.Option(help="A named space or a YAML file.")] = "mnasnet",
    trials: Annotated[int, typer.Option(help="Complete trials in all, a resumed run's included.")] = 30,
    objective: Annotated[str, typer.Option(help="soft, hard or pareto.")] = "soft",
    sampler: Annotated[
        str, typer.Option(help="How points are chosen: surrogate, evolution, ppo, tpe, nsga2 or random.")
    ] = "surrogate",
    alpha: Annotated[
        float | None, typer.Option(help="The reward's exponent within the target [the objective's].")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="The reward's exponent over the target [the objective's].")
    ] = None,
    max_latency_factor: Annotated[
        float, typer.Option(help="Times the target, above which a candidate is not trained.")
    ] = 2.0,
    resolution: Annotated[int, typer.Option(help="Input size of the deployed network, in pixels.")] = 224,
    classes: Annotated[int | None, typer.Option(help="Classes of the deployed network [the data's].")] = None,
    epochs: Annotated[int, typer.Option(help="Epochs of the proxy training.")] = 5,
    proxy_resolution: Annotated[
        int | None, typer.Option(help="Input size of the proxy [the data's own, at most 64].")
    ] = None,
    proxy_samples: Annotated[
        int | None, typer.Option(help="Training images of the proxy [all with a GPU, else 4000].")
    ] = None,
    benchmark_proxy: Annotated[
        bool,
        typer.Option(
            "--benchmark-proxy", help="Train a few candidates, say what --trials would take, and end."
        ),
    ] = False,
    confirm: Annotated[
        int, typer.Option(help="Best candidates trained again at the end, to tell the proxy's noise.")
    ] = 2,
    latency: Annotated[
        str,
        typer.Option(help="Latencies while searching: measure, predict or auto; the front's are measured."),
    ] = "measure",
    pruner: Annotated[
        str, typer.Option(help="Stop hopeless trainings after an epoch: none, median or hyperband.")
    ] = "none",
    warm_start: Annotated[
        str | None, typer.Option(help="An earlier run's folder, or zero-cost, to start the surrogate from.")
    ] = None,
    max_parameters: Annotated[int | None, typer.Option(help="The most parameters.")] = None,
    max_multiply_adds: Annotated[int | None, typer.Option(help="The most multiply-adds.")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="The most MB of float32 weights.")] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(help="The most MB of weights and activations at once.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Train on a Ray cluster: HOST:PORT, auto, or local for one of our own.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="postgresql://USER@HOST/DATABASE, a server that searches share, or journal:FILE [study.db]."
        ),
    ] = None,
    study: Annotated[
        str, typer.Option(help="The study's name on --storage; others join by the same name.")
    ] = "search",
    workers: Annotated[
        int,
        typer.Option(
            help="Trainings at once, each in a process of its own (with --gpus it is --per-gpu that counts)."
        ),
    ] = 1,
    measure_cores: Annotated[
        int, typer.Option(help="Cores set aside for measuring this machine's CPU while others train.")
    ] = 0,
    gpus: Annotated[
        str | None, typer.Option(help="Train on these GPUs: all, or numbers such as 0,1 [the first].")
    ] = None,
    per_gpu: Annotated[int, typer.Option(help="Trainings at once on each of --gpus.")] = 1,
    retries: Annotated[int, typer.Option(help="Times that a failed training is tried again.")] = 1,
    trial_timeout: Annotated[
        float | None, typer.Option(help="Seconds after which a training is ended as hanging.")
    ] = None,
    device_timeout: Annotated[
        float, typer.Option(help="Seconds to wait for a device, or its machine, that vanished.")
    ] = 60.0,
    train_best: Annotated[
        int, typer.Option(help="Train this many of the best in full when the search is through.")
    ] = 0,
    train_recipe: Annotated[str, typer.Option(help="The recipe of --train-best.")] = "sgd-cosine",
    train_epochs: Annotated[int | None, typer.Option(help="Epochs of --train-best [the recipe's].")] = None,
    seed: Annotated[int, typer.Option(help="Decides every random draw.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The run folder [runs/<date-time>].")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder.")] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Say how the study of --storage or --resume stands, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the best candidate as JSON.")] = False,
    baselines: Annotated[
        str,
        typer.Option(help="Known networks to compare with at the end: measure, train, none, or auto."),
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result alone.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print lines, not a live panel.")] = False,
) -> int:
    """Search for networks that are as accurate as possible within a latency target."""
    from candidates.errors import InputError
    from candidates.files import expanded
    from nas import cpu
    from nas.commands.afterwards import Afterwards
    from nas.settings import SearchSettings

    names = {each.name for each in fields(SearchSettings)}
    settings = {name: value for name, value in context.params.items() if name in names}
    given = {name: value for name, value in settings.items() if was_given(context, name)}
    given |= targets(target or [], given)
    if status:
        return say_status(storage, study, resume, as_json)
    if benchmark_proxy:
        cpu.prepare()
        return say_benchmark({**settings, **given}, given, resume, as_json)
    if resume is None and "target_ms" not in given:
        raise InputError("Missing option '--target-ms'; for example --target-ms 78")
    if resume is not None and out is not None:
        raise InputError("--out and --resume exclude each other; a resumed run stays in its folder")
    cpu.prepare()
    after = Afterwards.asked(baselines, train_best, train_recipe, train_epochs)
    after.check()
    show = _Showing(sys.stderr if as_json else sys.stdout, as_json, quiet, plain, after)
    if resume is not None:
        again = {name: value for name, value in asdict(after).items() if was_given(context, name)}
        return _go_on(resume, given, again, show)
    out = out or Path("runs") / time.strftime("%Y%m%d-%H%M%S")
    return _start({**settings, **given}, expanded("--out", out), show)


def _start(values: dict[str, Any], out: Path, show: _Showing) -> int:
    from candidates.errors import InputError
    from nas.prepared import levelled, prepare, target_notes
    from nas.run import check_out, new_run
    from nas.settings import SearchSettings

    settings = SearchSettings(**without_password(values))
    check_out(out)
    prepared = prepare(settings)
    for note in [*prepared.notes, *_data_notes(prepared)]:
        show.note(note)
    prepared = levelled(prepared, {})
    for note in target_notes(prepared):
        show.note(note)
    folder = new_run(prepared, out, asdict(show.after))
    with folder.locked():
        try:
            return _search(folder, prepared, show)
        except InputError:  # refused by the study that it was to join, or by what it was to start from
            folder.remove_unbegun()
            raise


def _go_on(path: Path, given: Mapping[str, Any], again: Mapping[str, Any], show: _Showing) -> int:
    """Resume with `given` settings and what else is to follow this time, `again`; the rest is as it was."""
    from nas.commands.afterwards import Afterwards
    from nas.prepared import check_devices, levelled, prepare
    from nas.run import device_record
    from nas.run_folder import open_run

    folder = open_run(path)
    given = dict(given)
    if "space" in given:
        _check_same_space(given.pop("space"), folder)
    settings = folder.settings.resumed(comparable(given))
    show = replace(show, after=Afterwards.of({**folder.record.get("afterwards", {}), **again}))
    show.noted.append(f"going on with this search, to {settings.trials} trials")
    with folder.locked():
        prepared = prepare(settings, folder.record["space_yaml"])
        check_devices(prepared, folder)
        prepared = levelled(prepared, folder.record["device"])
        devices = {"device": device_record(prepared)} if any(prepared.pools) else {}
        folder = folder.with_record(settings=settings.to_dict(), afterwards=asdict(show.after), **devices)
        return _search(folder, prepared, show)


def _check_same_space(name: str, folder: RunFolder) -> None:
    """An InputError where the space `name` says something else than the run's own copy, whatever the file is called."""
    from candidates.errors import InputError
    from search_space import parse_space, space_text

    before = folder.settings.space
    wanted, kept = parse_space(space_text(name), name), parse_space(folder.record["space_yaml"], before)
    if (wanted.blocks, wanted.settings) != (kept.blocks, kept.settings):
        other = "what this file said then" if name == before else repr(before)
        raise InputError(
            f"--space is {name!r}, but the run was started with {other}; "
            "leave --space out to go on with the run's copy, or start a new run"
        )


def _data_notes(prepared: Prepared) -> list[str]:
    from nas.words import counted

    data = prepared.proxy.data
    notes = [
        f"{data.name}: {len(data.train)} images to train, {len(data.validation)} held out to validate, "
        f"{data.classes} classes, proxy at {data.size}×{data.size} on {prepared.proxy.placed.train[0].device}"
    ]
    if data.skipped:
        left_out = counted(len(data.skipped), "unreadable image")
        notes.append(f"{left_out} left out, the first: {data.skipped[0]}")
    size = prepared.space.size
    notes.append(f"space {prepared.space.name}: {size:.2g} points in {len(prepared.space.choices)} choices")
    return notes


def _search(folder: RunFolder, prepared: Prepared, show: _Showing) -> int:
    """Search in a folder that the caller has locked; return the exit status."""
    from nas.baselines import compare_with_known, wanted_way
    from nas.progress import LOG, log_lines, progress_on
    from nas.report import Rewriter, write_report
    from nas.run import search as run_search
    from nas.stopping import Stop
    from nas.trials import best_of

    settings = folder.settings
    report = Rewriter(folder.path)

    def after_trial(rows: list[Row]) -> None:
        report.write_if_due()

    interrupted = False
    rows: list[Row] = []
    with _disk_errors(folder):
        log = folder.path / LOG
        with progress_on(show.stream, settings, log, plain=show.plain, quiet=show.quiet) as progress:
            log_lines(log, show.noted)
            stop = Stop(progress.note)
            try:
                with stop.listening():
                    rows = run_search(folder, prepared, progress, stop, after_trial)
                    best = best_of(rows, settings.targets)
                    if best is not None and not stop.asked:
                        way = wanted_way(show.after.baselines, settings.trials)
                        compare_with_known(folder, prepared, best[0].arch(), way, progress.note)
            except KeyboardInterrupt:
                interrupted = True
            finally:
                report.close()
        if not interrupted:
            write_report(folder.path)
    if interrupted or stop.asked:
        print(f"interrupted; go on with: nas-search --resume {folder.path}", file=show.stream)
        return 130
    _say_result(folder, rows, show)
    trained = None
    if show.after.train_best:
        trained = show.after.full_training().run(folder, prepared, rows, show.stream)
        if trained is None:
            print(f"interrupted; go on with: nas-search --resume {folder.path}", file=show.stream)
            return 130
    if show.as_json:
        best = json.loads((folder.path / "best.json").read_text(encoding="utf-8"))
        print(json.dumps(best if trained is None else {**best, "trained": trained}, indent=2))
    return 0


@contextmanager
def _disk_errors(folder: RunFolder) -> Iterator[None]:
    """Where the disk fails, say that the trials so far are safe and how to go on."""
    from candidates.errors import RunError
    from nas.storage import storage_errors
    from nas.study import how_to_go_on

    remedy = how_to_go_on(folder.path)
    try:
        with storage_errors(folder.database, remedy):
            yield
    except BrokenPipeError:  # about our output, not the folder
        raise
    except OSError as error:
        raise RunError(f"{error.filename or folder.path}: {error.strerror or error}; {remedy}") from None


def _say_result(folder: RunFolder, rows: list[Row], show: _Showing) -> None:
    from nas.progress import LOG, log_lines, percent, times
    from nas.trials import best_of
    from nas.words import figures

    settings = folder.settings
    study = "study.db, " if settings.storage is None else ""
    best = best_of(rows, settings.targets)
    assert best is not None, "a search that completes has an evaluated trial"
    row, within = best
    verdict = f"within {settings.goal}" if within else f"NONE WITHIN {settings.goal}, the nearest"
    front = sorted((r for r in rows if r.on_front), key=lambda r: r.latency_ms or 0.0)
    lines = [
        "",
        f"best {verdict}: {row.id}, {percent(row.accuracy)} on the validation images after the proxy training, "
        f"{times(row)} on {' and '.join(settings.devices)}",
        "front (accuracy, latency, M multiply-adds):",
        *(
            f"  {r.id}  {percent(r.accuracy):>8}  {times(r):>8}  {figures((r.multiply_adds or 0) / 1e6):>6}"
            for r in front
        ),
        f"in {folder.path}: report.html, best.json, candidates/, trials.csv, {study}search.log",
        f"next: nas-export {folder.path} --format onnx,torch --out mynet",
    ]
    print("\n".join(lines), file=show.stream, flush=True)
    with suppress(OSError):  # a full disk: what was found has been said
        log_lines(folder.path / LOG, [line for line in lines if line])


if __name__ == "__main__":
    main()
