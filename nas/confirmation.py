"""What is done once the trials are through: longer measurements, and how noisy the proxy is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from candidates import Architecture
from nas.search import Search
from nas.stopping import Stop
from nas.trials import Row, best_of, kept_with, ranked


@dataclass(frozen=True)
class Confirmation:
    """What is done once the trials are through: longer measurements, and how noisy the proxy is."""

    measure: Callable[[Architecture], Any]
    train: Callable[[Architecture, int], float | None]
    seed: int
    again: int

    def measure_front(self, search: Search, stop: Stop) -> list[Row]:
        """Measure the front and the best at length until all of them have such a measurement."""
        rows = search.rows()
        targets = search.folder.settings.targets
        while not stop.asked:
            final = kept_with(search.study.user_attrs, "final")
            best = best_of(rows, targets)
            wanted = [row for row in rows if row.on_front or (best and row.number == best[0].number)]
            todo = [row for row in wanted if row.id not in final]
            if not todo:
                break
            search.keep_measurement("final", str(todo[0].id), self.measure(todo[0].arch()).to_dict())
            rows = search.rows()
            search.folder.write(rows, search.found)
        return rows

    def train_again(self, search: Search, rows: list[Row], stop: Stop) -> None:
        """Train the best `again` candidates once more with another seed, which tells the proxy's noise."""
        repeats = kept_with(search.study.user_attrs, "repeat")
        chosen = ranked(rows)[: self.again]
        for row in chosen:
            if row.id not in repeats and not stop.asked:
                params = search.study.get_trials(deepcopy=False)[row.number].params
                accuracy = self.train(search.space.decode(params), self.seed + 1)
                if accuracy is not None:
                    search.study.set_user_attr(f"repeat:{row.id}", accuracy)
