"""The problems that samplers are compared on, and how regret is counted."""

import itertools
import os

import numpy as np
import pytest

from benchmarks import search
from benchmarks.problems import Macro, hypervolume, macro_architecture
from benchmarks.synthetic import ChainView, Synthetic, _Chain

DATA = os.environ.get("NAS_BENCH_MACRO")
needs_data = pytest.mark.skipif(not DATA, reason="NAS_BENCH_MACRO, NAS-Bench-Macro's JSON file, is not set")


@needs_data
def test_the_macro_space_has_3969_networks_of_which_one_is_best():
    problem = Macro(DATA)
    names = [choice.name for choice in problem.view.choices]
    points = [dict(zip(names, map(int, key), strict=True)) for key in problem.table]
    assert len({problem.view.identity(point) for point in points}) == 3969
    for point in points[::50]:
        assert problem.view.identity(problem.view.canonical(point)) == problem.view.identity(point)
    assert 100 * problem.best("accuracy") == pytest.approx(93.127, abs=5e-4)
    assert 100 * problem.best("hard") == pytest.approx(92.167, abs=5e-4)


@needs_data
def test_the_networks_have_the_parameters_and_multiply_adds_of_the_table():
    problem = Macro(DATA)
    names = [choice.name for choice in problem.view.choices]
    for key in list(problem.table)[::97]:
        identity = problem.view.identity(dict(zip(names, map(int, key), strict=True)))
        arch, row = macro_architecture(identity), problem.table[identity]
        assert (arch.parameters(), arch.multiply_adds()) == (row["params"], row["flops"])


@needs_data
def test_a_run_counts_each_network_once_and_its_regret_is_none_at_the_best():
    result = search.run(search.Job("macro", DATA, "tpe", "soft", 1))
    assert set(result.regret) == set(search.EVALUATIONS)
    assert all(regret >= 0 for regret in result.regret.values())
    assert result.duplicates > 0
    rows = search.summary([result])
    assert [row["evaluations"] for row in rows] == [25, 50, 100]
    assert "macro, soft" in search.table(rows)


def test_the_best_of_a_chain_is_found_exactly():
    chain = _Chain(3, (3, 2))
    rows = list(itertools.product(range(6), repeat=3))
    for price in (0.0, 1e-7, 1e-6):
        values = [chain.merit(row) - price * chain.cost(row) for row in rows]
        best = chain.best_row(price)
        assert chain.merit(best) - price * chain.cost(best) == pytest.approx(max(values))
    assert chain.mean == pytest.approx(np.mean([chain.merit(row) for row in rows]))


@pytest.mark.parametrize(("name", "size"), [("synthetic-1e6", 4**10), ("synthetic-1e18", 432**7)])
def test_synthetic_spaces_are_the_same_every_time_and_nothing_beats_the_best(name, size):
    problem, again = Synthetic(name), Synthetic(name)
    view, rng = problem.view, np.random.default_rng(0)
    assert np.prod([float(len(choice.values)) for choice in view.choices]) == size
    points = [view.sample(rng) for _ in range(20)]
    assert [problem.observed(p, 1) for p in points] == [again.observed(p, 4) for p in points]
    assert problem.observed(points[0], 0) != problem.observed(points[0], 1)
    assert max(problem.accuracy(p) for p in points) < problem.best("accuracy") == pytest.approx(0.95)


def test_a_points_states_are_its_blocks_values():
    view = ChainView(2, (3, 2))
    chain = _Chain(2, (3, 2))
    point = {"b0.c0": 2, "b0.c1": 1, "b1.c0": 0, "b1.c1": 1}
    assert chain.states(point) == [5, 1]
    assert all(sum(other[k] != point[k] for k in point) == 1 for other in view.neighbours(point))


def test_the_area_of_a_front():
    worst, ideal = (0.0, 2.0), (1.0, 0.0)
    assert hypervolume(np.array([[1.0, 0.0]]), worst, ideal) == pytest.approx(1.0)
    pairs = np.array([[0.5, 0.5], [1.0, 1.0], [0.4, 1.5]])
    assert hypervolume(pairs, worst, ideal) == pytest.approx(0.25 * 0.5 + 0.5 * 1.0)
    assert hypervolume(np.empty((0, 2)), worst, ideal) == 0.0
