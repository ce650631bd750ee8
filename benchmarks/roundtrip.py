"""Whether what is exported is what was measured: a run's best, rebuilt by its model.py alone, timed again.

    python -m benchmarks.roundtrip RUN

Exports the best candidate, writes ONNX from the exported folder in a process that has torch and no part of
this toolkit, and measures that file in turn with the architecture as the search measured it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import typer

import latency
from candidates.export import export, load_network
from nas.find_candidate import find_candidate

_WRITE = """
import sys; sys.path.insert(0, ".")
import torch; from model import load
torch.onnx.export(load(), (torch.zeros({shape}),), "again.onnx", dynamo=True, verbose=False, external_data=False)
"""


def main(run: str, pairs: int = 7) -> None:
    """Export RUN's best candidate, rebuild it without the toolkit, and compare latencies in alternating pairs."""
    found = find_candidate(run)
    arch = found.architecture
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "net"
        export(arch, load_network(arch, None), ["torch"], folder)
        code = _WRITE.format(shape=(1, arch.channels_in, arch.resolution, arch.resolution))
        command = [sys.executable, "-I", "-W", "ignore", "-c", code]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        again = folder / "again.onnx"
        ratios = []
        print(f"{arch.id}: {found.latency_ms:.3f} ms in the run" if found.latency_ms else arch.id)
        print("pair   as searched ms   rebuilt ms   ratio")
        for pair in range(pairs):
            if pair % 2:
                rebuilt, searched = latency.measure(again, blocks=1), latency.measure(arch, blocks=1)
            else:
                searched, rebuilt = latency.measure(arch, blocks=1), latency.measure(again, blocks=1)
            ratios.append(rebuilt.latency_ms / searched.latency_ms)
            print(
                f"{pair + 1:4d}   {searched.latency_ms:14.3f}   {rebuilt.latency_ms:10.3f}   {ratios[-1]:5.3f}",
                flush=True,
            )
        print(f"median ratio {statistics.median(ratios):.3f} (0.90 to 1.10 wanted)")


if __name__ == "__main__":
    typer.run(main)
