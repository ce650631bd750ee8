"""A pool's predictor: moved to the pool's level, with an offset for each member."""

from __future__ import annotations

import optuna
import pytest

from candidates import RunError
from latency.fitting import fit_predictor, sample
from latency.model import model_of
from latency.pool import Pool
from latency.predictor import stored_path
from nas.devices import at_once, on_level, share_scale, shares_cores, stored_predictor
from nas.prepared import Prepared
from nas.run import share_levels
from tests.latency.test_pool import ONE, Phone, pool_of, true_ms
from tests.latency.test_predictor import archs


def test_the_predictor_is_moved_to_the_pools_level() -> None:
    known = archs(40, 1)
    fitted = fit_predictor(
        [sample(arch, 0.9 * true_ms(model_of(arch))) for arch in known], device="two", threads=1,
        fingerprint="print-two",
    )  # fmt: skip
    phones = Phone("one", 1.0), Phone("two", 1.21)
    pool, shared = pool_of(*phones), known[:5]
    share_scale(pool, shared, 1, None)
    path = stored_path(phones[1], 1)
    path.parent.mkdir(exist_ok=True)
    fitted.save(path)
    assert stored_predictor(pool, 1) == fitted
    moved, offsets = on_level(fitted, pool, shared)
    assert offsets["print-two"] / offsets["print-one"] == pytest.approx(1.21)
    assert offsets["print-two"] == pytest.approx(1.21 / 0.9, rel=0.05)
    for arch in known[10:20]:
        before, after = fitted.predict(arch), moved.predict(arch)
        assert after.latency_ms == pytest.approx(1.1 / 0.9 * before.latency_ms, rel=0.05)
        assert after.inside == before.inside
        assert after.std_ms / after.latency_ms == pytest.approx(before.std_ms / before.latency_ms)


def test_what_a_run_keeps_of_a_pool_is_taken_up_again() -> None:
    kept = share_scale(pool_of(Phone("one")), archs(3, 2), 1, None)
    later = pool_of(Phone("other", 1.3))
    assert share_scale(later, archs(3, 2), 1, kept) == kept
    arch = archs(1, 5)[0]
    assert later.measure(model_of(arch), ONE).latency_ms == pytest.approx(true_ms(model_of(arch)))
    assert later.level is not None
    assert dict(later.level.scales) == pytest.approx({"print-one": 1.0, "print-other": 1.3})


def test_searches_of_one_study_count_on_the_level_of_the_first() -> None:
    """The second search's only phone is 1.3 times as slow, and so it is on the first one's level."""
    known, study = archs(30, 1), optuna.create_study()
    samples = [sample(arch, true_ms(model_of(arch))) for arch in known]
    fitted = fit_predictor(samples, device="kind", threads=1)
    pools = [pool_of(Phone("one")), pool_of(Phone("other", 1.3))]
    predicted = []
    for pool in pools:
        share_scale(pool, known[:5], 1, None)
        predictor, _ = on_level(fitted, pool, known[:5])
        prepared = Prepared(*[None] * 3, (pool,), *[None] * 2, (predictor,), ())  # type: ignore[arg-type]
        (moved,) = share_levels(study, prepared).predictors
        assert moved is not None
        predicted.append(moved.predict(known[9]).latency_ms)
    assert predicted[1] == pytest.approx(predicted[0], rel=1e-6)
    model = model_of(known[9])
    first, second = (pool.measure(model, ONE).latency_ms for pool in pools)
    assert second == pytest.approx(first)


def test_a_pool_measures_as_many_at_once_as_it_has_members() -> None:
    pool = pool_of(Phone("one"), Phone("two"))
    assert at_once([Phone("alone")]) == 1
    assert at_once([Phone("alone"), pool]) == 2
    assert not shares_cores(pool)
    empty = Pool("kind", dict, 0.0)
    with pytest.raises(RunError, match="no device kind was there"):
        share_scale(empty, archs(1, 3), 1, None)
