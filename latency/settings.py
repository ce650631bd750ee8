"""Settings: how much is measured."""

from __future__ import annotations

from dataclasses import dataclass

from candidates import checks


@dataclass(frozen=True)
class Settings:
    """How a model is measured.

    `blocks` separate invocations (load, warm-up, timed runs), three for what is reported, one while
    searching; each block goes on until it has its share of `min_runs` timed runs and `min_seconds` of them.
    `batch` images are run at once, and the times are the whole batch's.
    `reference` puts bursts of a reference model between the model's own and divides the drift out.
    """

    threads: int = 1
    blocks: int = 3
    min_runs: int = 50
    min_seconds: float = 0.5
    reference: bool = True
    batch: int = 1

    def __post_init__(self) -> None:
        checks.integer("threads", self.threads, maximum=1024)
        checks.integer("batch", self.batch, maximum=65_536)
        checks.integer("blocks", self.blocks, maximum=1000)
        checks.integer("min_runs", self.min_runs, maximum=1_000_000)
        checks.number("min_seconds", self.min_seconds, 0.0, 3600.0)
