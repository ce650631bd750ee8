"""The GPU's benchmark runs on a CPU too, on a machine that has torch and numpy but not what the search needs."""

import json
import subprocess
import sys

import numpy as np

CODE = """
import sys
for name in ("optuna", "PIL", "ray", "sklearn", "onnx", "sqlalchemy"):
    sys.modules[name] = None  # as if it were not installed
from pathlib import Path
from benchmarks.gpu_proxy import main
folder = Path(sys.argv[1])
parts = [folder / "0.json", folder / "1.json"]
for number, part in enumerate(parts):
    data = [str(folder / "tiny.npz")]
    main(data, images=128, epochs=4, loaders=0, architectures=1, first=number, json_file=part)
main([str(part) for part in parts], merge=True)
"""


def test_both_loops_train_on_a_cpu_and_parts_are_summed_up(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    pixels = (rng.integers(0, 20, (200, 8, 8, 3)) + 200 * labels[:, None, None, None]).astype(np.uint8)
    arrays = {"x_train": pixels, "y_train": labels, "x_val": pixels[:60], "y_val": labels[:60]}
    np.savez(tmp_path / "tiny.npz", **arrays)
    found = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, timeout=240, check=False
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout.startswith("CPU (")
    lines = [json.loads((tmp_path / f"{part}.json").read_text())["lines"][0] for part in (0, 1)]
    assert lines[0]["id"] != lines[1]["id"]
    # Dark and bright images: whichever loop trains, most of them are told apart.
    assert all(line[loop] > 0.7 for line in lines for loop in ("ours", "plain"))
    merged = found.stdout[found.stdout.rindex("CPU (") :]
    assert all(line["id"] in merged for line in lines)
    assert "points on average over 2" in merged
