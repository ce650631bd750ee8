"""How a study stands: what is done, who works on it, what is best."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from nas.trials import best_of, study_rows

if TYPE_CHECKING:
    from optuna import Study

    from nas.settings import SearchSettings

RECENT_SECONDS = 600.0


def status_of(study: Study, settings: SearchSettings) -> dict[str, Any]:
    """Counts by state, workers with their trials in flight, trials an hour of late, and the best candidate."""
    rows = study_rows(study, settings)
    trials = study.get_trials(deepcopy=False)
    now = time.time()
    ended = [row.finished_at for row in rows if row.state == "COMPLETE" and row.finished_at]
    recent = [at for at in ended if now - at < RECENT_SECONDS]
    begun = min((trial.datetime_start.timestamp() for trial in trials if trial.datetime_start), default=now)
    window = max(1.0, min(RECENT_SECONDS, now - begun))
    working = Counter(
        str(trial.user_attrs.get("worker", "the search itself"))
        for trial in trials
        if trial.state.name == "RUNNING"
    )
    best = best_of(rows, settings.targets)
    return {
        "study": study.study_name,
        "states": dict(Counter(trial.state.name for trial in trials)),
        "wanted": settings.trials,
        "duplicates": sum(row.duplicate_of is not None for row in rows),
        "working": dict(working),
        "trials_per_hour": len(recent) * 3600 / window,
        "best": None
        if best is None
        else {
            "id": best[0].id,
            "accuracy": best[0].accuracy,
            "latency_ms": best[0].latency_ms,
            "reward": best[0].reward,
            "within_target": best[1],
        },
    }


def words(status: dict[str, Any]) -> str:
    """The status for people."""
    from nas.progress import milliseconds, percent

    states = ", ".join(f"{count} {state}" for state, count in sorted(status["states"].items())) or "no trials"
    lines = [
        f"study {status['study']}: {states}; {status['wanted']} COMPLETE wanted, "
        f"{status['duplicates']} duplicates, {status['trials_per_hour']:.0f} an hour of late"
    ]
    lines += [f"  {worker}: {count} in flight" for worker, count in sorted(status["working"].items())]
    best = status["best"]
    if best is not None:
        where = "within the target" if best["within_target"] else "not within the target, the nearest"
        lines.append(
            f"best: {best['id']}, {percent(best['accuracy'])}, {milliseconds(best['latency_ms'])}, {where}"
        )
    return "\n".join(lines)
