"""A candidate packed for shipping: models, preprocessing, labels and a model card in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from candidates import labels as label_file
from candidates import preprocessing as preprocessing_file
from candidates.errors import InputError
from candidates.export import Exported, check_out, export, load_foreign, load_network
from candidates.export.card import Facts, card
from candidates.export.running import quantisation
from candidates.export.samples import Samples
from candidates.layered import Layered
from candidates.layouts import OWN
from candidates.preprocessing import Preprocessing
from nas.calibration import load_calibration
from nas.candidate import Candidate


@dataclass(frozen=True)
class Packing:
    """What to write: `formats` into the folder `out`, checked on the data set `calibrate`.

    int8 files may lose `max_drop` of top-1 (0 to 1); `measure` is a device to measure the files on.
    """

    formats: list[str]
    out: Path
    calibrate: str | None = None
    max_drop: float = 0.01
    float_io: bool = False
    measure: str | None = None


def pack(
    found: Candidate, weights: Path | None, packing: Packing, layout: str | None = None
) -> list[Exported]:
    """Write `found` with the weights of the file `weights` (untrained without); all files or none.

    `layout` says whose names a file of weights from elsewhere has; see `candidates.layouts`.
    """
    check_out(packing.out)
    arch: Layered = found.architecture
    if layout is None or weights is None:
        net = load_network(arch, weights)
    else:
        arch, net = load_foreign(arch, weights, layout)
    known = None if weights is None or layout not in (None, OWN) else weights.parent
    preprocessing, labels = _preprocessing(known), _labels(known, arch.classes)
    if layout not in (None, OWN):
        preprocessing = Preprocessing.imagenet(arch.resolution)
    samples: Samples | None = None
    if packing.calibrate is not None:
        loaded = load_calibration(packing.calibrate, arch, preprocessing, labels)
        samples, preprocessing, labels = loaded.samples, loaded.preprocessing, loaded.class_names
    preprocessing = preprocessing or Preprocessing.usual(arch.resolution, arch.channels_in)
    if (preprocessing.resolution, len(preprocessing.mean)) != (arch.resolution, arch.channels_in):
        raise InputError(
            f"{preprocessing_file.FILE} is for {preprocessing.resolution}×{preprocessing.resolution}×"
            f"{len(preprocessing.mean)}; the network takes {arch.resolution}×{arch.resolution}×{arch.channels_in}"
        )

    def beside(written: list[Exported]) -> dict[str, str]:
        latencies = [] if packing.measure is None else _measured(written, packing.measure)
        facts = Facts(preprocessing, labels or (), _lines(found, weights), [*_searched(found), *latencies])
        texts = {
            "README.md": card(arch, written, facts),
            preprocessing_file.FILE: _with_scales(preprocessing, written),
        }
        return texts | ({label_file.FILE: label_file.labels_text(labels)} if labels else {})

    return export(
        arch,
        net,
        packing.formats,
        packing.out,
        beside,
        samples,
        None if weights is None else packing.max_drop,
        packing.float_io,
    )


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


def _lines(found: Candidate, weights: Path | None) -> Mapping[str, Any]:
    """Where weights and accuracy come from, for the card."""
    lines: dict[str, Any] = {"weights": "untrained (seed 0)" if weights is None else f"from {weights}"}
    if found.accuracy is not None:
        said = json.dumps(found.found, ensure_ascii=False) if found.found else "no record of the data set"
        what = "accuracy of the proxy training" if weights is None else "accuracy"
        lines[what] = f"{found.accuracy:.2%} ({said})"
    return lines


def _searched(found: Candidate) -> list[Mapping[str, Any]]:
    """The latency that was measured during the search."""
    if found.latency_ms is None or not found.measurement:
        return []
    return [{**found.measurement, "model": f"{found.architecture.id}, in the search"}]


def _measured(written: list[Exported], device: str) -> list[Mapping[str, Any]]:
    """Each file measured on `device`, `.tflite` files on `cpu` by LiteRT."""
    import latency
    from latency.registry import resolve

    found: list[Mapping[str, Any]] = []
    for item in written:
        if item.path.suffix not in (".onnx", ".tflite"):
            continue
        name = "cpu:litert" if device == "cpu" and item.path.suffix == ".tflite" else device
        where = resolve(name)
        if item.path.suffix[1:] in where.formats:
            found.append(latency.measure(item.path, where).to_dict())
    return found
