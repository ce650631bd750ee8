"""A run's folder: what is in it, and that only one search works in it at a time."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from candidates import checks
from candidates.errors import InputError
from candidates.files import expanded, made_folders, read_text, write_text
from nas import folders
from nas.folders import held
from nas.settings import SearchSettings
from nas.storage import Place, file_place, place_at
from nas.trials import Row, best_of, candidate_of, ranked

FORMAT = 1
TOP = 10  # candidates kept besides the front
COLUMNS = (
    "number",
    "state",
    "id",
    "accuracy",
    "latency_ms",
    "parameters",
    "multiply_adds",
    "reward",
    "on_front",
    "duplicate_of",
)
_PACKAGES = ("mobile-nas", "torch", "numpy", "onnx", "onnxruntime", "ai-edge-litert", "optuna")


@dataclass(frozen=True)
class RunFolder:
    """A run's folder at `path`; `record` is what run.json holds."""

    path: Path
    record: Mapping[str, Any]

    @cached_property
    def settings(self) -> SearchSettings:
        """The settings that the run was started, or last resumed, with."""
        try:
            return SearchSettings.from_dict(self.record["settings"])
        except InputError as error:
            raise InputError(f"{self.path / 'run.json'}: {error}") from None

    @property
    def database(self) -> Place:
        """Where the study is: in this folder, or where the settings say."""
        settings = self.settings
        if settings.storage is not None:
            return place_at(settings.storage, settings.study)
        return file_place(self.path / "study.db")

    def save_record(self) -> None:
        """Write run.json."""
        write_text(self.path / "run.json", json.dumps(self.record, indent=2) + "\n")

    def with_record(self, **changes: Any) -> RunFolder:
        """The folder with parts of its record replaced, and saved."""
        changed = RunFolder(self.path, {**self.record, **changes})
        changed.save_record()
        return changed

    def write(self, rows: Sequence[Row], found: Mapping[str, Any]) -> None:
        """Write trials.csv, candidates/ and best.json for the trials so far."""
        write_text(self.path / "trials.csv", _csv(rows))
        kept = {row.id: row for row in [*ranked(rows)[:TOP], *(row for row in rows if row.on_front)]}
        folder = self.path / "candidates"
        folder.mkdir(exist_ok=True)
        targets = self.settings.targets
        for name, row in kept.items():
            file = folder / f"{name}.json"
            text = candidate_of(row, found, targets.within(row.latencies)).to_json()
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                write_text(file, text)
        for file in folder.glob("*.json"):
            if file.stem not in kept:
                file.unlink()
        best = best_of(rows, targets)
        if best is not None:
            row, within = best
            candidate = candidate_of(row, found, within)
            if not within:
                times = " and ".join(f"{latency:.3g}" for latency in row.latencies)
                warning = f"no candidate is within {self.settings.goal}; this is the nearest, at {times} ms"
                candidate = replace(candidate, warning=warning)
            candidate.save(self.path / "best.json")

    def remove_unbegun(self) -> None:
        """Take a folder away again in which no trial has ended, so that the corrected command may have it."""
        if (self.path / "trials.csv").exists():
            return
        for name in (
            "run.json",
            "search.log",
            "report.html",
            "study.db",
            "study.db-wal",
            "study.db-shm",
            ".lock",
        ):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it
            self.path.rmdir()

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder; raises InputError where another search holds it."""
        return held(self.path, "search")


def check_free(path: Path) -> None:
    """Raise InputError unless a new run can be put at `path`."""
    folders.check_free(path, "run.json", "--resume")


def create(
    path: Path,
    settings: SearchSettings,
    space: str,
    device: Mapping[str, Any],
    afterwards: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Make the folder and its run.json; `space` is the YAML of the space, kept so that a resume has it.

    `afterwards` is what follows the search, as the user asked for it.
    """
    check_free(path)
    record = {
        "format": FORMAT,
        "settings": settings.to_dict(),
        "device": dict(device),
        "space_yaml": space,
        "versions": versions(),
        **({"afterwards": dict(afterwards)} if afterwards else {}),
    }
    folder = RunFolder(path, record)
    with made_folders(path):
        folder.save_record()
    return folder


def open_run(path: Path) -> RunFolder:
    """An existing run's folder; raises InputError for anything else, a newer format included."""
    path = expanded("the run folder", path)
    if not (path / "run.json").is_file():
        raise InputError(f"{path} is not a run folder: it has no run.json; give the --out of a search")
    where = f"{path / 'run.json'}"
    record = checks.parsed_json(where, read_text(path / "run.json"))
    checks.format_number(where, record, FORMAT)
    for name in ("settings", "device", "versions"):
        checks.mapping(f"{where}: {name}", record.get(name))
    checks.mapping(f"{where}: afterwards", record.get("afterwards", {}))
    device = checks.mapping(f"{where}: device", record["device"])
    checks.text(f"{where}: device's name", device.get("name"))
    checks.text(f"{where}: space_yaml", record.get("space_yaml"))
    folder = RunFolder(path, record)
    others = checks.sequence(f"{where}: device's also", device.get("also", []))
    if len(others) != len(folder.settings.also):  # the settings are refused here too where they are wrong
        raise InputError(
            f"{where} has {1 + len(others)} devices and {1 + len(folder.settings.also)} targets; expected as many"
        )
    for other in others:
        checks.mapping(f"{where}: another device", other)
    return folder


def versions() -> dict[str, str]:
    """The versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _csv(rows: Sequence[Row]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(getattr(row, column)) for column in COLUMNS])
    return file.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value
