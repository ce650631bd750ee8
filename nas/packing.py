"""A candidate packed for shipping: models, preprocessing, labels and a model card in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from candidates import labels as label_file
from candidates import preprocessing as preprocessing_file
from candidates.errors import InputError
from candidates.export import Exported, Int8, export, load_foreign, load_network
from candidates.export.card import Facts, card
from candidates.export.running import quantisation
from candidates.export.samples import Samples
from candidates.export_folder import check_out
from candidates.layered import Layered
from candidates.layouts import OWN
from candidates.preprocessing import Preprocessing
from latency.registry import by_format, resolve
from nas.calibration import load_calibration, training_images
from nas.candidate import CANDIDATE, Candidate
from nas.qat import fine_tuned
from nas.words import counted


@dataclass(frozen=True)
class Packing:
    """What to write: `formats` into the folder `out`, checked on the data set `calibrate`.

    int8 files may lose `max_drop` of top-1 (0 to 1); `measure` is a device to measure the files on,
    `qat` the epochs of quantisation-aware fine-tuning before int8 files are made.
    """

    formats: list[str]
    out: Path
    calibrate: str | None = None
    max_drop: float = 0.01
    float_io: bool = False
    measure: str | None = None
    qat: int = 0


@dataclass(frozen=True)
class Packed:
    """The network as it was written (weights from elsewhere may change it a little), and the models' files."""

    architecture: Layered
    files: list[Exported]


def pack(
    found: Candidate,
    weights: Path | None,
    packing: Packing,
    layout: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Packed:
    """Write `found` with the weights of the file `weights` (untrained without); all files or none.

    `layout` says whose names a file of weights from elsewhere has; see `candidates.layouts`.
    """
    check_out(packing.out)
    if packing.measure is not None:
        _check_measurable(packing.measure, packing.formats)
    arch: Layered = found.architecture
    if layout is None or weights is None:
        net = load_network(arch, weights)
    else:
        arch, net = load_foreign(arch, weights, layout)
    known = None if weights is None or layout not in (None, OWN) else weights.parent
    if layout is not None and known is not None and not (known / preprocessing_file.FILE).is_file():
        known = None  # --weights in no folder of ours: what is called labels.txt there may be of anything
    preprocessing, labels = _preprocessing(known), _labels(known, arch.classes)
    if layout not in (None, OWN):
        preprocessing = Preprocessing.imagenet(arch.resolution)
    samples: Samples | None = None
    if packing.calibrate is not None:
        loaded = load_calibration(packing.calibrate, arch, preprocessing, labels, trained=weights is not None)
        samples, preprocessing, labels = loaded.samples, loaded.preprocessing, loaded.class_names
    preprocessing = preprocessing or Preprocessing.usual(arch.resolution, arch.channels_in)
    if (preprocessing.resolution, len(preprocessing.mean)) != (arch.resolution, arch.channels_in):
        raise InputError(
            f"{preprocessing_file.FILE} is for {preprocessing.resolution}×{preprocessing.resolution}×"
            f"{len(preprocessing.mean)}; the network takes {arch.resolution}×{arch.resolution}×{arch.channels_in}"
        )
    int8_net = None
    if packing.qat and packing.calibrate is not None:
        count, images = training_images(packing.calibrate, preprocessing)
        int8_net = fine_tuned(net, images, count, packing.qat, note=note)

    def beside(written: list[Exported]) -> dict[str, str]:
        latencies = [] if packing.measure is None else _measured(written, packing.measure)
        facts = Facts(
            preprocessing,
            labels or (),
            _lines(found, weights, layout, packing.qat),
            [*_searched(found), *latencies],
        )
        texts = {
            "README.md": card(arch, written, facts),
            preprocessing_file.FILE: _with_scales(preprocessing, written),
        }
        if weights is None or (found.accuracy is not None and arch == found.architecture):
            texts[CANDIDATE] = replace(found, untrained=weights is None).to_json()
        return texts | ({label_file.FILE: label_file.labels_text(labels)} if labels else {})

    int8 = Int8(packing.max_drop, packing.float_io, int8_net)
    return Packed(arch, export(arch, net, packing.formats, packing.out, beside, samples, int8))


def _with_scales(preprocessing: Preprocessing, written: list[Exported]) -> str:
    """preprocessing.json, with the scales of the files that take or give int8."""
    scales = {item.path.name: quantisation(item.path) for item in written if item.path.suffix == ".tflite"}
    found = {name: values for name, values in scales.items() if values}
    values = preprocessing.to_dict() | ({"quantised": found} if found else {})
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def _preprocessing(folder: Path | None) -> Preprocessing | None:
    path = None if folder is None else folder / preprocessing_file.FILE
    return Preprocessing.load(path) if path is not None and path.is_file() else None


def _labels(folder: Path | None, classes: int) -> tuple[str, ...] | None:
    path = None if folder is None else folder / label_file.FILE
    return label_file.load_labels(path, classes) if path is not None and path.is_file() else None


def _lines(found: Candidate, weights: Path | None, layout: str | None, qat: int) -> Mapping[str, Any]:
    """Where weights and accuracy come from, for the card."""
    lines: dict[str, Any] = {"weights": "untrained (seed 0)"}
    if weights is not None:
        lines["weights"] = (
            f"from {weights.name}, {layout} layout" if layout else f"from {weights.absolute().parent.name}"
        )
    if qat:
        lines["int8 files"] = f"quantised after {qat} epochs of quantisation-aware fine-tuning"
    if found.accuracy is None:
        return lines
    training = found.found.get("training")
    if weights is not None and layout is None and isinstance(training, Mapping):
        return lines | dict(_trained(training))
    what = "accuracy" if weights is not None and layout is None else "accuracy of the proxy training"
    said = "; ".join(_spelled(found.found)) or "no record of the data set"
    return lines | {what: f"{found.accuracy:.2%} ({said})"}


def _trained(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The accuracies of a full training, with what they were measured on."""
    data = record.get("data")
    name = _shown(data.get("name")) if isinstance(data, Mapping) else "unknown data"
    for split in ("validation", "test"):
        scores = record.get(split)
        if isinstance(scores, Mapping) and isinstance(scores.get("top1"), int | float):
            said = f"{scores['top1']:.2%} top-1 on {scores.get('images')} {split} images of {name}"
            epochs = record.get("epochs")
            after = counted(epochs, "epoch") if isinstance(epochs, int) else "unknown epochs"
            yield f"{split} accuracy", f"{said}, after {after}"


def _spelled(values: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """`name value` for everything in a record, parts of parts too."""
    for name, value in values.items():
        words = f"{within} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from _spelled(value, words)
        elif value is not None:
            yield f"{words} {_shown(value)}"


def _shown(value: object) -> str:
    """A value without what is of this machine alone: a path's last part, four figures."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return Path(value).name if isinstance(value, str) and value.startswith("/") else str(value)


def _searched(found: Candidate) -> list[Mapping[str, Any]]:
    """The latencies that were measured during the search, on each of its devices; a predicted one is none."""
    if found.latency_ms is None or not found.measurement:
        return []
    main = {name: value for name, value in found.measurement.items() if name != "also"}
    others = found.measurement.get("also")
    records = [main, *(others.values() if isinstance(others, Mapping) else ())]
    return [
        {**record, "model": f"{found.architecture.id}, in the search"}
        for record in records
        if isinstance(record, Mapping) and not record.get("predicted")
    ]


def _measured(written: list[Exported], device: str) -> list[Mapping[str, Any]]:
    """Each file that `device` runs, measured on it."""
    import latency

    resolved = resolve(device)
    found: list[Mapping[str, Any]] = []
    for item in written:
        form = item.path.suffix[1:]
        where = by_format(resolved, (form,))
        if form in where.formats:
            found.append(latency.measure(item.path, where).to_dict())
    return found


def _check_measurable(device: str, formats: list[str]) -> None:
    """An InputError where none of `formats` would run on `device`."""
    where = resolve(device)
    if not where.formats:
        raise InputError(f"--measure {device}: it runs no files; expected cpu or a phone")
    kinds = [form.split("-")[0] for form in formats]
    if not any(kind in by_format(where, (kind,)).formats for kind in kinds):
        raise InputError(
            f"--measure {device} runs {' and '.join(where.formats)} files, and --format is {','.join(formats)}; "
            "add one that it runs"
        )
