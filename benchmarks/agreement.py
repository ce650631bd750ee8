"""Our LiteRT median against `litert-benchmark` on the same files, in alternating pairs.

    python -m benchmarks.agreement [--pairs 7]

For mnasnet-a1 at 224 and for a network of 1 to 2 ms (mnasnet-small at 160). Both run one thread with the
default XNNPACK delegate; the tool's own median is read from its JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import latency
from candidates import zoo
from candidates.tflite_writer import tflite_model
from latency.comparing import interval
from latency.summary import median

RUNS, WARMUP = 400, 50  # as long as ours


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    print(f"{'model':20}  ours ms  litert-benchmark ms  median ratio  95 % interval  pairs")
    with tempfile.TemporaryDirectory() as folder:
        for arch in (zoo.load("mnasnet-a1"), zoo.load("mnasnet-small").scaled(resolution=160)):
            path = Path(folder) / f"{arch.name}.tflite"
            path.write_bytes(tflite_model(arch))
            pairs = []
            for number in range(args.pairs):
                if number % 2:
                    theirs = litert_benchmark(path)
                    pairs.append((ours(path), theirs))
                else:
                    mine = ours(path)
                    pairs.append((mine, litert_benchmark(path)))
            ratios = [a / b for a, b in pairs]
            low, high = interval(ratios)
            print(
                f"{arch.name:20}  {median([a for a, _ in pairs]):>7.3f}  {median([b for _, b in pairs]):>19.3f}  "
                f"{median(ratios):>12.3f}  {low:.3f} to {high:.3f}  {len(pairs)}",
                flush=True,
            )


def ours(path):
    """Our median of one block, as the clock gave it: the other tool corrects nothing either."""
    return latency.measure(path, device="cpu:litert", blocks=1).raw_ms


def litert_benchmark(path):
    """The tool's median in milliseconds."""
    result = path.with_suffix(".json")
    tool = Path(sys.executable).with_name("litert-benchmark")
    command = [str(tool), "--model", str(path), "--num_threads", "1", "--num_runs", str(RUNS)]
    command += ["--warmup_runs", str(WARMUP), "--result_json", str(result)]
    subprocess.run(command, check=True, capture_output=True)
    return median_in(json.loads(result.read_text()))


def median_in(values):
    """The median wherever the tool's JSON keeps it; it has changed names between versions."""
    found = {}

    def walk(prefix, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}", inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix] = float(value)

    walk("", values)
    for name, value in found.items():
        if "median" in name or "p50" in name:
            return value / 1000 if "us" in name.split("_") or name.endswith("us") else value
    raise SystemExit(f"litert-benchmark's result has no median: {sorted(found)}")


if __name__ == "__main__":
    main()
