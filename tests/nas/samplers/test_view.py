"""What the samplers see of a space is what the space says."""

import math
import random

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nas.samplers.distributions import LEVELS, DistributionView, values_of
from nas.samplers.encoding import Encoding
from nas.samplers.view import FactorizedView
from search_space import load_space


def test_identity_is_the_networks():
    space = load_space("mnasnet")
    view, rng = FactorizedView(space), random.Random(0)
    for _ in range(30):
        point = space.sample(rng)
        for other in [space.canonical(point), *list(space.neighbours(point))[::9]]:
            same = space.decode(other).id == space.decode(point).id
            assert (view.identity(other) == view.identity(point)) == same
        assert space.decode(view.canonical(point)).id == space.decode(point).id


def test_features_are_the_blocks_share_of_the_costs():
    space = load_space("mnasnet")
    view, rng = FactorizedView(space), random.Random(1)

    def rest(point):
        arch, (depth, _, adds, parameters) = space.decode(point), view.features(point)
        assert depth == sum(block.repeats for block in arch.blocks)
        return arch.multiply_adds() - math.exp(adds), arch.parameters() - math.exp(parameters)

    last = {choice.name for choice in space.choices if choice.name.startswith("b7.width")}
    first = space.sample(rng)
    # Stem and classifier are the same in all; the head depends on the last block's width alone.
    fixed = {name: first[name] for name in last}
    found = [rest({**space.sample(rng), **fixed}) for _ in range(10)]
    for adds, parameters in found[1:]:
        assert math.isclose(adds, found[0][0], rel_tol=1e-6)
        assert math.isclose(parameters, found[0][1], rel_tol=1e-6)


def test_long_ranges_are_thinned_and_stay_in_bounds():
    assert values_of(IntDistribution(1, 4)) == (1, 2, 3, 4)
    assert len(values_of(IntDistribution(1, 10_000, log=True))) <= LEVELS
    rates = values_of(FloatDistribution(1e-4, 1e-1, log=True))
    assert len(rates) == LEVELS
    assert rates[0] == 1e-4
    assert rates[-1] == 1e-1
    assert values_of(FloatDistribution(0.0, 1.0, step=0.25)) == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_encoding_keeps_the_order_of_numbers_and_treats_words_alike():
    view = DistributionView(
        {
            "number": CategoricalDistribution([0, -1, 1]),
            "word": CategoricalDistribution(["a", "b", "c"]),
            "one": CategoricalDistribution(["only"]),
        }
    )
    encoding = Encoding(view)
    rows = encoding.rows([{"number": n, "word": w, "one": "only"} for n in (-1, 0, 1) for w in "abc"])
    assert rows.shape == (9, 4)
    assert rows[0, 0] < rows[3, 0] < rows[6, 0]
    gaps = {round(float(((rows[i, 1:] - rows[j, 1:]) ** 2).sum()), 9) for i in range(3) for j in range(i)}
    assert len(gaps) == 1
    assert encoding.groups.count == 2
