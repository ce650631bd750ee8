"""Limits that are checked without training."""

import random
from types import SimpleNamespace

import pytest

from candidates.errors import InputError
from nas import samplers
from nas.prepared import limited_view
from nas.samplers.limits import LimitedView, Limits
from nas.samplers.view import view_of
from nas.settings import SearchSettings
from search_space import load_space


def test_what_is_broken_is_said_with_value_and_limit(small):
    arch = small.decode(small.sample(random.Random(0)))
    count = arch.parameters()
    assert Limits(parameters=count).broken(arch) == ()
    assert Limits(parameters=count - 1).broken(arch) == (
        f"parameters {count:,} is over the limit of {count - 1:,}",
    )
    assert Limits(multiply_adds=arch.multiply_adds()).broken(arch) == ()
    assert len(Limits(multiply_adds=1, size_mb=1e-6, memory_mb=1e-6).broken(arch)) == 3
    assert Limits(size_mb=4 * count / 1e6).broken(arch) == ()
    more = (4 * count + arch.peak_activation_bytes()) / 1e6
    assert Limits(memory_mb=more).broken(arch) == ()
    assert Limits(memory_mb=more * 0.999).broken(arch) != ()


def test_a_limit_that_makes_no_sense_is_refused_by_its_option():
    with pytest.raises(InputError, match="--max-parameters is 0"):
        Limits(parameters=0)
    with pytest.raises(InputError, match="--max-size-mb is -1"):
        Limits(size_mb=-1)


@pytest.mark.parametrize("name", ["surrogate", "evolution", "random"])
def test_a_search_stays_within_the_limits(name, small, evaluate, new_study):
    rng = random.Random(0)
    middle = sorted(small.decode(small.sample(rng)).multiply_adds() for _ in range(50))[25]
    limits = Limits(multiply_adds=middle)
    view = LimitedView(view_of(small), lambda point: not limits.broken(small.decode(point)))
    study = new_study(samplers.make(name, view, seed=0))
    for _ in range(25):
        evaluate(study.ask(), small)
    assert all(small.decode(trial.params).multiply_adds() <= middle for trial in study.trials)


@pytest.mark.parametrize("name", ["surrogate", "evolution", "ppo"])
def test_once_all_within_the_limits_are_tried_they_are_tried_again_and_nothing_else(
    name, tiny, evaluate, new_study
):
    rng = random.Random(0)
    few = sorted({tiny.decode(tiny.sample(rng)).multiply_adds() for _ in range(100)})[3]
    view = LimitedView(view_of(tiny), lambda point: tiny.decode(point).multiply_adds() <= few)
    study = new_study(samplers.make(name, view, seed=0))
    for _ in range(20):
        evaluate(study.ask(), tiny)
    assert all(tiny.decode(trial.params).multiply_adds() <= few for trial in study.trials)
    assert len({view.identity(trial.params) for trial in study.trials}) >= 4


def test_tight_limits_are_met_by_a_walk():
    space = load_space("mnasnet")
    rng = random.Random(0)
    drawn = (space.sample(rng) for _ in range(1000))
    limit = sorted(space.decode(point).multiply_adds() for point in drawn)[2]
    view = LimitedView(view_of(space), lambda point: space.decode(point).multiply_adds() <= limit)
    points = [view.sample(random.Random(seed)) for seed in range(4)]
    assert all(space.decode(point).multiply_adds() <= limit for point in points)
    assert len({view.identity(point) for point in points}) == 4
    assert points[0] == view.sample(random.Random(0))
    rng = random.Random(0)  # one walk gives as many points as are asked for
    more = [view.sample(rng) for _ in range(60)]
    assert more[0] == points[0]
    assert all(space.decode(point).multiply_adds() <= limit for point in more)
    assert len({view.identity(point) for point in more}) > 50


@pytest.mark.parametrize(("resolution", "channels", "classes"), [(224, 3, 1000), (32, 1, 10)])
def test_limits_on_parameters_are_those_of_the_deployed_network(resolution, channels, classes):
    space, rng = load_space("mnasnet"), random.Random(0)

    def deploy(arch):
        return arch.for_input(resolution, channels, classes)

    points = [space.sample(rng) for _ in range(60)]
    counts = [deploy(space.decode(point)).parameters() for point in points]
    middle = sorted(counts)[30]
    for limits in ({"max_parameters": middle}, {"max_size_mb": 4 * middle / 1e6}):
        settings = SearchSettings(target_ms=1.0, **limits)
        view = limited_view(SimpleNamespace(space=space, deploy=deploy, settings=settings))
        assert [view.allowed(point) for point in points] == [count <= middle for count in counts]


def test_limits_that_nothing_keeps_are_an_error(small):
    view = LimitedView(view_of(small), lambda _: False)
    with pytest.raises(InputError, match="none of 2,000 random points is within the limits"):
        view.sample(random.Random(0))
