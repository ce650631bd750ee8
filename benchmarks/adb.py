"""Measuring over ADB against measuring on this machine directly.

    python -m benchmarks.adb SERIAL [--pairs 7] [--model mnasnet-a1]

SERIAL is a device that is this machine: an adbd on loopback (tests/latency/build_adbd.sh). Latencies are
compared in alternating pairs; the overhead is what a measurement takes beyond its runs of the models.
"""

import argparse
import time

from candidates import zoo
from latency.comparing import interval
from latency.model import model_of
from latency.registry import resolve
from latency.settings import Settings
from latency.summary import median


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("serial")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--model", default="mnasnet-a1")
    args = parser.parse_args()
    host, phone = resolve("cpu"), resolve(args.serial)
    model, settings = model_of(zoo.load(args.model)), Settings(blocks=1)
    ratios, overheads = [], []
    for number in range(args.pairs):
        if number % 2:
            here = host.measure(model, settings)
        start = time.monotonic()
        there = phone.measure(model, settings)
        overheads.append(time.monotonic() - start - there.conditions["in_runners_s"])
        if not number % 2:
            here = host.measure(model, settings)
        ratios.append(there.latency_ms / here.raw_ms)
        print(f"{there.latency_ms:.3f} ms over ADB, {here.raw_ms:.3f} ms here", flush=True)
    low, high = interval(ratios)
    print(
        f"{args.model}: median ratio {median(ratios):.3f} (95 %: {low:.3f} to {high:.3f}, {len(ratios)} pairs)"
    )
    print(
        f"overhead per model, beyond the invocations of the runner: median {median(overheads):.2f} s, "
        f"largest {max(overheads):.2f} s"
    )


if __name__ == "__main__":
    main()
