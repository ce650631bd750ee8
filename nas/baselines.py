"""Known architectures measured on a run's device, and trained with its proxy: what the search is held against."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from candidates import Architecture, checks, zoo
from candidates.errors import InputError, RunError
from candidates.files import read_text, write_text
from nas.candidate import Candidate
from nas.layer_times import add_layer_times
from nas.targets import Latencies, latencies_of

if TYPE_CHECKING:
    from nas.prepared import Prepared
    from nas.run_folder import RunFolder

FILE = "baselines.json"
FORMAT = 1
NAMES = ("mnasnet-a1", "mnasnet-b1", "mobilenet-v2")
WAYS = ("auto", "measure", "train", "none")
MANY_TRIALS = 60  # from here on three more trainings are at most a twentieth of the search


@dataclass(frozen=True)
class Baseline:
    """A named architecture with what was found out about it on the run's device."""

    name: str
    candidate: Candidate

    @property
    def latency_ms(self) -> float:
        """Milliseconds on the main device."""
        assert self.candidate.latency_ms is not None, "a baseline is kept once it is measured"
        return self.candidate.latency_ms

    @property
    def latencies(self) -> Latencies:
        """Milliseconds on each of the run's devices."""
        return latencies_of(self.latency_ms, self.candidate.measurement or {})

    @property
    def accuracy(self) -> float | None:
        """The proxy's, 0 to 1; None where it was not trained."""
        return self.candidate.accuracy


def read_baselines(folder: Path) -> tuple[Baseline, ...]:
    """The baselines that a run's folder keeps, none where it has no such file; InputError for a wrong one."""
    path = folder / FILE
    if not path.is_file():
        return ()
    values = checks.parsed_json(str(path), read_text(path))
    checks.format_number(str(path), values, FORMAT)
    found = []
    for number, value in enumerate(checks.sequence(f"{path}: baselines", values.get("baselines")), start=1):
        try:
            candidate = Candidate.from_json(json.dumps(value))
        except InputError as error:
            raise InputError(f"{path}: baseline {number}: {error}") from None
        if candidate.latency_ms is None or not candidate.architecture.name:
            raise InputError(f"{path}: baseline {number} has no latency_ms or no name; delete the file")
        found.append(Baseline(candidate.architecture.name, candidate))
    return tuple(found)


def write_baselines(folder: Path, baselines: Sequence[Baseline]) -> None:
    """Keep `baselines` in a run's folder."""
    document = {"format": FORMAT, "baselines": [one.candidate.to_dict() for one in baselines]}
    write_text(folder / FILE, json.dumps(document, indent=2) + "\n")


def wanted_way(way: str, trials: int) -> str:
    """`auto` as what it stands for: trained in long searches, measured in short ones."""
    checks.one_of("--baselines", way, WAYS)
    if way != "auto":
        return way
    return "train" if trials >= MANY_TRIALS else "measure"


def add_baselines(
    folder: RunFolder, prepared: Prepared, way: str, note: Callable[[str], None] = lambda text: None
) -> tuple[Baseline, ...]:
    """Measure, and with the way `train` train, what the folder does not have yet; return what it has then.

    A baseline that the data or the space's input size does not allow is left out, and `note` told why.
    """
    known = {one.name: one for one in read_baselines(folder.path)}
    for name in NAMES if way != "none" else ():
        try:
            arch = replace(prepared.deploy(zoo.architecture(name)), name=name)
        except InputError as error:
            note(f"{name} is no baseline here: {error}")
            continue
        before = known.get(name)
        if before is None or before.candidate.architecture != arch:
            note(f"measuring {name} to compare with")
            before = Baseline(name, _measured(arch, prepared))
        if way == "train" and before.accuracy is None:
            note(f"training {name} with the proxy to compare with")
            before = Baseline(name, _trained(before.candidate, name, prepared))
        known[name] = before
        write_baselines(folder.path, list(known.values()))
    return tuple(known.values())


def _measured(arch: Architecture, prepared: Prepared) -> Candidate:
    measured = prepared.measure_at_length(arch)
    return Candidate(arch, None, measured.latency_ms, measured.to_dict())


def _trained(candidate: Candidate, name: str, prepared: Prepared) -> Candidate:
    trained = prepared.proxy.train(zoo.architecture(name), prepared.settings.seed)
    measurement: dict[str, Any] = dict(candidate.measurement or {})
    latencies = latencies_of(candidate.latency_ms or 0.0, measurement)
    targets = prepared.settings.targets
    return replace(
        candidate,
        accuracy=trained.accuracy,
        reward=targets.reward(trained.accuracy, latencies),
        within_target=targets.within(latencies),
        found={"proxy": prepared.proxy.describe(), "validation_loss": trained.loss},
    )


def compare_with_known(
    folder: RunFolder, prepared: Prepared, best: Architecture, way: str, note: Callable[[str], None]
) -> None:
    """Add the baselines, and the latencies by layer of `best` and of the first baseline, to a run's folder.

    A device that fails here costs the comparison, not the search that has ended: `note` is told.
    """
    if way == "none":
        return
    try:
        known = add_baselines(folder, prepared, way, note)
        beside = [one.candidate.architecture for one in known[:1]]
        blocks = [arch for arch in beside if isinstance(arch, Architecture)]
        problem = add_layer_times(folder, [best, *blocks], prepared.device)
    except RunError as error:
        problem = f"not compared with known networks: {error}"
    if problem:
        note(problem)
