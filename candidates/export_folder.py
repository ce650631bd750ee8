"""The folder that an export goes into: what it may consist of, and what must not be written over."""

from __future__ import annotations

from pathlib import Path

from candidates import checks
from candidates.errors import InputError
from candidates.files import read_text

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
    if any(_is_ours(out / name) for name in ("architecture.json", "preprocessing.json")):
        return True
    for path in sorted(out.iterdir()):
        if not path.name.startswith(".") and path.name != "lost+found":
            raise InputError(f"{path} exists and is not an earlier export's; choose another --out")
    return False


def _is_ours(path: Path) -> bool:
    """Whether this is one of the JSON files of which every export has one."""
    try:
        return "format" in checks.parsed_json(str(path), read_text(path))
    except InputError:
        return False
