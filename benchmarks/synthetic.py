"""Synthetic spaces with interactions between blocks, whose best points are known.

A point's merit is a sum over its blocks of the block's own merit and of one for each pair of neighbouring
blocks, u(x) = Σ m_b(x_b) + Σ p_b(x_b, x_{b+1}), so that the greatest one is found exactly from block to block.
With t the distance from it in units of that between it and the mean, accuracy = 0.95 − 0.25 · t^1.5. A block's
own merit is a sum over its choices plus one table for each pair of them; all tables are drawn from a normal
distribution with the space's sizes as seed, main effects rising with cost on average. Cost is a sum over
blocks of a base times a factor for each value. One training adds normal noise of 0.15 points, drawn by point
and training seed.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.problems import Array, hypervolume, soft_weight
from nas.samplers.acquisition import pareto_front
from search_space import Choice, Point

MOST_LOOKED_AT = 2_000_000  # points of a space whose every one is looked at for the best
NOISE = 0.0015
PAIRS = 0.5  # standard deviation of interactions, where that of main effects is 1
SHAPES: dict[str, tuple[int, tuple[int, ...]]] = {
    "synthetic-1e6": (10, (4,)),
    "synthetic-1e18": (7, (4, 2, 2, 3, 3, 3)),
}


@dataclass(frozen=True)
class _Block:
    """Merit (s) and cost (s) of each of a block's s states."""

    merit: Array
    cost: Array


@dataclass(frozen=True)
class ChainView:
    """Blocks of choices named b<block>.<choice> with the values 0, 1, …"""

    blocks: int
    sizes: tuple[int, ...]

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(
            Choice(f"b{block}.c{i}", tuple(range(size)))
            for block in range(self.blocks)
            for i, size in enumerate(self.sizes)
        )

    def sample(self, rng: np.random.Generator) -> Point:
        return {c.name: c.values[int(rng.random() * len(c.values))] for c in self.choices}

    def neighbours(self, point: Point) -> Iterator[Point]:
        for choice in self.choices:
            for value in choice.values:
                if value != point[choice.name]:
                    yield {**point, choice.name: value}

    def canonical(self, point: Point) -> Point:
        return point

    def identity(self, point: Point) -> tuple[int, ...]:
        return tuple(int(value) for value in point.values())

    def features(self, point: Point) -> tuple[float, ...]:
        return (float(np.log(_chain(self.blocks, self.sizes).costs([point])[0])),)


class _Chain:
    def __init__(self, blocks: int, sizes: tuple[int, ...]) -> None:
        rng = np.random.default_rng([blocks, *sizes])
        self.sizes = sizes
        states = list(itertools.product(*(range(size) for size in sizes)))
        self.blocks = [_block(rng, sizes, states) for _ in range(blocks)]
        first = np.array([state[0] for state in states])
        last = np.array([state[-1] for state in states])
        self.pairs = [
            PAIRS * rng.normal(size=(sizes[-1], sizes[0]))[last[:, None], first[None, :]]
            for _ in range(blocks - 1)
        ]
        self.mean = float(sum(b.merit.mean() for b in self.blocks) + sum(p.mean() for p in self.pairs))
        self.most = self.merit(self.best_row(0.0))

    def states(self, point: Point) -> list[int]:
        values = [int(value) for value in point.values()]
        width = len(self.sizes)
        return [
            int(np.ravel_multi_index(tuple(values[i : i + width]), self.sizes))
            for i in range(0, len(values), width)
        ]

    def merit(self, row: Sequence[int] | np.ndarray) -> float:
        own = sum(block.merit[state] for block, state in zip(self.blocks, row, strict=True))
        return float(own + sum(p[a, b] for p, a, b in zip(self.pairs, row[:-1], row[1:], strict=True)))

    def accuracy(self, merit: float | Array) -> Array:
        away = (self.most - np.asarray(merit)) / (self.most - self.mean)
        return np.asarray(0.95 - 0.25 * np.maximum(away, 0.0) ** 1.5)

    def costs(self, points: Sequence[Point]) -> Array:
        return np.array([self.cost(self.states(point)) for point in points])

    def cost(self, row: Sequence[int]) -> float:
        return float(sum(block.cost[state] for block, state in zip(self.blocks, row, strict=True)))

    def best_row(self, price: float) -> list[int]:
        """The states with the greatest merit − price · cost: exact, from block to block (Viterbi)."""
        value = self.blocks[0].merit - price * self.blocks[0].cost
        back = []
        for block, pair in zip(self.blocks[1:], self.pairs, strict=True):
            total = value[:, None] + pair
            back.append(total.argmax(axis=0))
            value = total.max(axis=0) + block.merit - price * block.cost
        row = [int(value.argmax())]
        for choice in reversed(back):
            row.append(int(choice[row[-1]]))
        return row[::-1]


def _block(rng: np.random.Generator, sizes: tuple[int, ...], states: list[tuple[int, ...]]) -> _Block:
    rows = np.array(states)
    merit = np.zeros(len(states))
    cost = np.full(len(states), 10e6 * rng.uniform(0.5, 2.0))
    for i, size in enumerate(sizes):
        # Larger values cost more and are a little better on average.
        merit += (rng.normal(size=size) + 0.5 * np.arange(size))[rows[:, i]]
        cost *= (1.0 + rng.uniform(0.1, 1.0) * np.arange(size))[rows[:, i]]
    for i, j in itertools.combinations(range(len(sizes)), 2):
        merit += PAIRS * rng.normal(size=(sizes[i], sizes[j]))[rows[:, i], rows[:, j]]
    return _Block(merit, cost)


_CHAINS: dict[tuple[int, tuple[int, ...]], _Chain] = {}


def _chain(blocks: int, sizes: tuple[int, ...]) -> _Chain:
    if (blocks, sizes) not in _CHAINS:
        _CHAINS[blocks, sizes] = _Chain(blocks, sizes)
    return _CHAINS[blocks, sizes]


class Synthetic:
    """A space of SHAPES. The target is the median cost of random points."""

    def __init__(self, name: str) -> None:
        if name not in SHAPES:
            raise SystemExit(f"the space is {name!r}; expected one of macro, {', '.join(SHAPES)}")
        self.name = name
        self.view = ChainView(*SHAPES[name])
        self._chain = _chain(*SHAPES[name])
        rng = np.random.default_rng(1)
        self.target = float(np.median(self.costs([self.view.sample(rng) for _ in range(1000)])))

    def observed(self, point: Point, seed: int) -> float:
        key = zlib.crc32(repr(self.view.identity(point)).encode())
        return self.accuracy(point) + NOISE * float(np.random.default_rng([key, seed % 3]).normal())

    def accuracy(self, point: Point) -> float:
        return float(self._chain.accuracy(self._chain.merit(self._chain.states(point))))

    def costs(self, points: Sequence[Point]) -> Array:
        return self._chain.costs(points)

    def best(self, objective: str) -> float:
        """Exact for `accuracy`, and for all where every point can be looked at.

        Elsewhere the best on the convex hull of merit over cost, which single points may exceed a little.
        """
        pairs = self._known
        if objective == "accuracy":
            return float(pairs[:, 0].max())
        if objective == "front":
            return self.area(pairs)
        if objective == "hard":
            return float(pairs[pairs[:, 1] <= self.target, 0].max())
        return float((pairs[:, 0] * soft_weight(pairs[:, 1], self.target)).max())

    def area(self, pairs: Array) -> float:
        known = self._known
        return hypervolume(pairs, (0.7, self._dearest), (known[:, 0].max(), known[:, 1].min()))

    @cached_property
    def _known(self) -> Array:
        """(accuracy, cost) of the best points."""
        states = int(np.prod([block.merit.size for block in self._chain.blocks], dtype=float))
        return pareto_front(self._all()) if states <= MOST_LOOKED_AT else self._hull

    def _all(self) -> Array:
        """(accuracy, cost) of every point, from block to block."""
        merit, cost = (
            self._chain.blocks[0].merit[None],
            self._chain.blocks[0].cost[None],
        )  # n × last block's states
        for block, pair in zip(self._chain.blocks[1:], self._chain.pairs, strict=True):
            merit = (merit[..., None] + pair + block.merit).reshape(-1, block.merit.size)
            cost = (cost[..., None] + block.cost).reshape(-1, block.cost.size)
        return np.stack([self._chain.accuracy(merit.ravel()), cost.ravel()], axis=1)

    @cached_property
    def _hull(self) -> Array:
        top = (self._chain.most - self._chain.mean) / self.target
        rows = {
            tuple(self._chain.best_row(price)) for price in [0.0, *np.geomspace(top / 1e4, top * 100, 300)]
        }
        merits = np.array([self._chain.merit(row) for row in rows])
        costs = np.array([self._chain.cost(row) for row in rows])
        return np.stack([self._chain.accuracy(merits), costs], axis=1)

    @cached_property
    def _dearest(self) -> float:
        return float(sum(block.cost.max() for block in self._chain.blocks))
