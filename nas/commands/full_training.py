"""nas-search's --train-best: the best candidates trained in full once the search is through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.prepared import Prepared
    from nas.run_folder import RunFolder
    from nas.trainer.recipe import Recipe
    from nas.trials import Row


@dataclass(frozen=True)
class FullTraining:
    """What is trained in full after the search: how many of the best, by which recipe."""

    count: int
    recipe: str
    epochs: int | None

    def check(self) -> None:
        """An InputError for what is wrong, before anything is begun."""
        from candidates import checks

        checks.integer("--train-best", self.count, 0, 1000)
        if self.count:
            self.resolved()

    def resolved(self) -> Recipe:
        """The recipe in the epochs that are asked for."""
        from candidates import checks
        from nas.trainer import recipe as recipes

        recipe = recipes.load(self.recipe)
        if self.epochs is None:
            return recipe
        return recipes.shortened(recipe, checks.integer("--train-epochs", self.epochs, 1, 1_000_000))

    def run(
        self, folder: RunFolder, prepared: Prepared, rows: list[Row], stream: Any
    ) -> list[dict[str, Any]] | None:
        """Train the best of a finished search and say what came of it; None where the user asked to stop."""
        from nas.commands.train_options import Machine
        from nas.progress import milliseconds, percent
        from nas.stopping import Stop
        from nas.train_best import SUMMARY, Plan, chosen, one_by_one, train_best
        from nas.workers.making import cluster, own_device

        settings = folder.settings
        options = replace(Machine("auto", None, None).options(), device=own_device(settings))
        plan = Plan(
            self.count, self.resolved(), options, cluster(settings).train if settings.ray else one_by_one
        )
        found = {"proxy": prepared.proxy.describe()}
        stop = Stop(
            lambda text: print("stopping after this update; Ctrl-C again stops now", file=stream, flush=True)
        )
        with stop.listening():
            trained = train_best(
                folder.path, settings.data, settings.seed, chosen(rows, settings.targets, self.count), found, plan,
                prepared.measure_at_length, stream, lambda: stop.asked,
            )  # fmt: skip
        if trained is not None:
            print("trained in full (validation, test, latency, after the proxy):", file=stream)
            for item in trained:
                print(
                    f"  {item['id']}  {percent(item['accuracy']):>8}  {percent(item['test_accuracy']):>8}  "
                    f"{milliseconds(item['latency_ms']):>8}  {percent(item['proxy_accuracy']):>8}",
                    file=stream,
                )
            best = trained[0]
            print(f"in {folder.path / SUMMARY}; next: nas-export {best['folder']} --out mynet", file=stream)
        return trained
