"""How well latencies are predicted on this machine's CPU.

    python -m benchmarks.predictor [--samples 60] [--others 100] [--save FILE]

Calibrates on architectures that cover the mnasnet space, then measures random others twice, each time in
another order, and compares the predictor with a line through the multiply-adds and with a one-hot look-up
table fitted to the same samples, and with the noise floor: the difference between the two measurements. With
--save, measurements are kept in FILE and an interrupted benchmark goes on where it was.
"""

import argparse
import json
import time
from pathlib import Path
from random import Random

import numpy as np

from latency.calibration import BLOCKS, Measured, common_speed, covering, fit, measured, random_architectures
from latency.fitting import quality
from latency.measurement import Measurement
from latency.model import model_of
from latency.registry import resolve
from latency.settings import Settings
from search_space import load_space

SPACE = "mnasnet"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--others", type=int, default=100)
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    space = load_space(SPACE)
    chosen = covering(space, args.samples)
    others = random_architectures(space, args.others, seed=1, without=chosen)
    again = list(others)
    Random(2).shuffle(again)
    kept = Kept(args.save)
    fitted = [kept.measure("fit", arch, profiled=True) for arch in chosen]
    first = [kept.measure("first", arch) for arch in others]
    second = {arch.id: kept.measure("second", arch) for arch in again}
    report(space, fitted, first, [second[arch.id] for arch in others], kept.seconds("fit"))


class Kept:
    """Measurements by what they are for and the architecture; in a file where one is given."""

    def __init__(self, path):
        self.path, self.found, self.device = path, {}, resolve("cpu")
        for line in path.read_text().splitlines() if path and path.exists() else ():
            entry = json.loads(line)
            self.found[entry["use"], entry["id"]] = entry

    def measure(self, use, arch, profiled=False):
        if (use, arch.id) not in self.found:
            start = time.monotonic()
            settings = Settings(blocks=BLOCKS if profiled else 1)
            if profiled:
                (one,) = measured(self.device, [arch], settings)
            else:
                found = self.device.measure(model_of(arch), settings)
                if not found.valid:  # once more, as the search does it
                    found = self.device.measure(model_of(arch), settings)
                one = Measured(arch, found, {})
            self.keep(use, one, time.monotonic() - start)
        entry = self.found[use, arch.id]
        times = {int(k): v for k, v in entry["operations"].items()}
        return Measured(arch, Measurement.from_dict(entry["measurement"]), times)

    def keep(self, use, one, seconds):
        entry = {
            "use": use,
            "id": one.architecture.id,
            "measurement": one.measurement.to_dict(),
            "operations": {str(k): v for k, v in one.operation_ms.items()},
            "seconds": seconds,
        }
        self.found[use, one.architecture.id] = entry
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        print(f"{use} {one.measurement.latency_ms:.2f} ms", flush=True)

    def seconds(self, use):
        return sum(entry["seconds"] for (name, _), entry in self.found.items() if name == use)


def report(space, fitted, first, second, seconds):
    start = time.monotonic()
    predictor = fit(fitted, space=SPACE)
    fitting = time.monotonic() - start
    # Everything at the speed that the reference had over all of it.
    together, _ = common_speed([*fitted, *first, *second])
    n, m = len(fitted), len(first)
    y, a, b = np.array(together[:n]), np.array(together[n : n + m]), np.array(together[n + m :])
    base = np.median([x.measurement.reference_ms for x in [*fitted, *first, *second]])
    archs = [x.architecture for x in first]
    begin = time.perf_counter()
    found = [predictor.predict(arch) for arch in archs]
    each = (time.perf_counter() - begin) / len(archs)
    ours = np.array([p.latency_ms for p in found]) * base / predictor.reference_ms
    names = ("device", "runtime", "runtime_version", "cpu")
    print(", ".join(str(getattr(first[0].measurement, name)) for name in names))
    print(
        f"{n} samples in {seconds:.0f} s, fitted in {fitting:.1f} s; {m} others of {a.min():.1f} to {a.max():.1f} ms; "
        f"{1e3 * each:.2f} ms per prediction; {np.mean([p.inside for p in found]):.0%} inside; "
        f"{np.mean([x.measurement.valid for x in [*fitted, *first, *second]]):.0%} of measurements valid"
    )
    truth = (a + b) / 2
    rows = {
        "predictor": ours,
        "one-hot look-up table": one_hot(space, fitted, y, archs),
        "multiply-adds line": line(fitted, y, archs),
    }
    print(f"{'':24}  within ±5 %  within ±10 %  RMSPE  Spearman")
    for truths, label in ((a, "first measurement"), (truth, "mean of both")):
        print(f"against the {label}:")
        for name, predicted in rows.items():
            show(name, quality(predicted, truths))
    show("noise floor", quality(b, a))
    std = np.array([p.std_ms for p in found]) * base / predictor.reference_ms
    print(
        f"errors within two of the predictor's standard deviations: {np.mean(abs(ours - a) <= 2 * std):.0%}"
    )


def show(name, q):
    print(
        f"{name:24}  {q['within_5']:>11.1%}  {q['within_10']:>12.1%}  {q['rmspe']:>5.1%}  {q['spearman']:>8.3f}"
    )


def line(fitted, y, archs):
    x = np.array([[1.0, f.architecture.multiply_adds() / 1e6] for f in fitted])
    weights = np.linalg.lstsq(x / y[:, None], np.ones(len(y)), rcond=None)[0]
    return np.array([[1.0, arch.multiply_adds() / 1e6] for arch in archs]) @ weights


def one_hot(space, fitted, y, archs):
    """A column for each value of each choice; ridge regression on relative errors, the ridge by 5-fold CV."""
    points = [dict(space.encode(f.architecture)) for f in fitted]
    columns = sorted({(k, str(v)) for point in points for k, v in point.items()})

    def rows(many):
        return np.array([[1.0, *(float(str(p.get(k)) == v) for k, v in columns)] for p in many])

    def solve(x, y, ridge):
        penalty = ridge * np.eye(x.shape[1]) / np.mean(y) ** 2
        penalty[0, 0] = 0.0  # the common part is not drawn to nothing
        z = x / y[:, None]
        return np.linalg.solve(z.T @ z + penalty, z.T @ np.ones(len(y)))

    x, folds = rows(points), np.arange(len(y)) % 5

    def error(ridge):
        parts = [
            x[folds == f] @ solve(x[folds != f], y[folds != f], ridge) / y[folds == f] - 1 for f in range(5)
        ]
        return np.mean(np.concatenate(parts) ** 2)

    weights = solve(x, y, min((0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0), key=error))
    return rows([dict(space.encode(arch)) for arch in archs]) @ weights


if __name__ == "__main__":
    main()
