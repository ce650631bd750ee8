"""The folder that an export goes into: what it may consist of, and what must not be written over."""

from __future__ import annotations

from pathlib import Path

from candidates.errors import InputError

# All that an export may consist of; what a caller puts beside the models has its name here too.
FILES = (
    "model.py", "architecture.json", "model.safetensors", "model.onnx", "model-int8.onnx", "model.tflite",
    "model-int8.tflite", "model-int8-weights.tflite", "README.md", "preprocessing.json", "labels.txt",
    "candidate.json",
)  # fmt: skip
_OTHERS = {"training.json": "a training's", "run.json": "a search's"}


def check_out(out: Path) -> bool:
    """Whether `out` holds an earlier export; InputError where what is there is somebody else's."""
    for name, whose in _OTHERS.items():
        if (out / name).exists():
            raise InputError(f"--out {out} is {whose} folder; choose another")
    if not out.is_dir():
        return False
    if any((out / name).exists() for name in ("architecture.json", "preprocessing.json")):
        return True
    for name in ("model.py", "README.md"):
        if (out / name).exists():
            raise InputError(f"{out / name} exists and is not an earlier export's; choose another --out")
    return False
