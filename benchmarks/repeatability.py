"""How well a latency repeats on this machine.

    python -m benchmarks.repeatability [--times 10] [--pause 60] [--model mnasnet-b1] [--save FILE]

The same model is measured again and again with a pause between, in one session, and a fixed workload that
has nothing to do with the model is timed beside each measurement, which tells whether the machine itself is
steady. With --save, measurements are kept in FILE and an interrupted benchmark goes on where it was.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from candidates import zoo
from latency.measurement import Measurement
from latency.model import model_of
from latency.registry import resolve
from latency.settings import Settings


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--pause", type=float, default=60.0)
    parser.add_argument("--model", default="mnasnet-b1")
    parser.add_argument("--save", type=Path)
    args = parser.parse_args()
    lines = args.save.read_text().splitlines() if args.save and args.save.exists() else []
    entries = [json.loads(line) for line in lines]
    device, model = resolve("cpu"), model_of(zoo.load(args.model))
    while len(entries) < args.times:
        if entries:
            time.sleep(args.pause)
        before = workload()
        found = device.measure(model, Settings())
        entry = {"measurement": found.to_dict(), "workload": (before + workload()) / 2}
        entries.append(entry)
        if args.save:
            with args.save.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        print(f"{found.latency_ms:.3f} ms, workload {entry['workload']:.2f} ms", flush=True)
    report(entries)


def report(entries):
    found = [Measurement.from_dict(entry["measurement"]) for entry in entries]
    # A process that went on where another was has another session's speed; all are brought to one.
    base = np.median([m.reference_ms for m in found])
    corrected = np.array([m.raw_ms * base / m.reference_ms for m in found])
    rows = {
        "reported (at the reference's speed)": corrected,
        "as the clock gave it": np.array([m.raw_ms for m in found]),
        "reference model": np.array([m.reference_ms for m in found]),
        "fixed workload": np.array([entry["workload"] for entry in entries]),
    }
    print(f"{found[0].model}, {len(found)} measurements, {sum(not m.valid for m in found)} flagged invalid")
    for name, values in rows.items():
        print(f"{name:36}  median {np.median(values):7.3f} ms  CV {values.std(ddof=1) / values.mean():6.2%}")


def workload():
    """Milliseconds of a fixed piece of arithmetic, the median of 40."""
    a = np.random.default_rng(0).standard_normal((320, 320), dtype=np.float32)
    times = []
    for _ in range(40):
        start = time.perf_counter()
        np.fft.rfft2(a) * 2.0
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


if __name__ == "__main__":
    main()
