"""Measuring over ADB against measuring on this machine directly.

    python -m benchmarks.adb ADBD [--way server|direct] [--pairs 7] [--model mnasnet-a1]

ADBD is the program that tests/latency/build_adbd.sh makes; it is started on loopback, so that this machine is
the phone, and reached through an adb server or directly. Latencies are compared in alternating pairs; the
overhead is what a measurement takes beyond its runs of the models.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from candidates import zoo
from latency import build_runner
from latency.adb import keys
from latency.comparing import interval
from latency.model import model_of
from latency.registry import resolve
from latency.settings import Settings
from latency.summary import median
from tests.latency import adbd


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("adbd", type=Path)
    parser.add_argument("--way", choices=("server", "direct"), default="direct")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--model", default="mnasnet-a1")
    args = parser.parse_args()
    with phone_on_loopback(args.adbd, args.way) as serial:
        compare(serial, args)


@contextmanager
def phone_on_loopback(program: Path, way: str) -> Iterator[str]:
    """The serial of an adbd that this machine runs for a user with a home folder and keys of its own."""
    with tempfile.TemporaryDirectory() as home, ExitStack() as started:
        port = adbd.free_port()
        os.environ |= {"HOME": home, "XDG_CACHE_HOME": f"{home}/cache", "ANDROID_ADB_SERVER_PORT": str(port)}
        build_runner.build()
        key = keys.ensure_key(keys.key_path())
        adbd.KEYS.parent.mkdir(parents=True, exist_ok=True)
        adbd.ROOT.mkdir(parents=True, exist_ok=True)
        adbd.KEYS.write_text(key.with_name("adbkey.pub").read_text() + "\n")
        phone = adbd.Phone(program, Path(home)).start()
        started.callback(phone.stop)
        if way == "server":
            started.callback(adbd.adb_server(port).start().stop)
        yield phone.serial


def compare(serial, args):
    host, phone = resolve("cpu"), resolve(serial)
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
        f"{args.model}, by way of {args.way}: median ratio {median(ratios):.3f} (95 %: {low:.3f} to {high:.3f}, {len(ratios)} pairs)"
    )
    print(
        f"overhead per model, beyond the invocations of the runner: median {median(overheads):.2f} s, "
        f"largest {max(overheads):.2f} s"
    )


if __name__ == "__main__":
    main()
