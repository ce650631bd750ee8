"""Which choices mattered: how much of what is good about a trial each choice explains, and what winners chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nas.report.run_data import RunData
from nas.trials import ranked

FEWEST = 10  # evaluated trials; with fewer the shares would be chance alone
WINNERS = 0.1  # of the evaluated trials, by reward
FEWEST_WINNERS = 5


@dataclass(frozen=True)
class ChoiceStory:
    """One choice: its share of all importance (0 to 1), and what the winners chose most, how often, by all."""

    block: str
    choice: str
    importance: float
    favourite: str
    among_winners: float
    among_all: float


def stories(data: RunData) -> list[ChoiceStory]:
    """Every choice with two values at least, in the space's order; empty with too few trials."""
    rows = ranked(data.rows)
    points = {row.number: data.point(row) for row in rows}
    rows = [row for row in rows if points[row.number]]
    if len(rows) < FEWEST:
        return []
    winners = rows[: max(FEWEST_WINNERS, round(WINNERS * len(rows)))]
    found: list[ChoiceStory] = []
    for name in points[rows[0].number]:
        chosen = Counter(str(points[row.number].get(name)) for row in winners)
        everywhere = Counter(str(points[row.number].get(name)) for row in rows)
        favourite, count = chosen.most_common(1)[0]
        if len(everywhere) > 1:
            block, _, choice = name.rpartition(".")
            among = (count / len(winners), everywhere[favourite] / len(rows))
            found.append(
                ChoiceStory(block or "all", choice, divergence(chosen, everywhere), favourite, *among)
            )
    total = sum(story.importance for story in found)
    return [replace(story, importance=story.importance / total) if total else story for story in found]


def divergence(winners: Mapping[str, int], everyone: Mapping[str, int]) -> float:
    """How differently the winners chose than all: Σ q · (p / q − 1)², less what chance alone would give.

    The Pearson divergence that PED-ANOVA (Watanabe et al., arXiv 2304.10255) takes for a choice's importance,
    for values without an order. Its mean over random winners is (values − 1) / winners, which is taken off.
    """
    count, total = sum(winners.values()), sum(everyone.values())
    shares = {value: number / total for value, number in everyone.items()}
    found = sum(q * (winners.get(value, 0) / count / q - 1) ** 2 for value, q in shares.items())
    return max(0.0, found - (len(shares) - 1) / count)
