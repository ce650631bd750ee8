import numpy as np
import pytest

from benchmarks.pruning import _watched
from nas.samplers.halting import median


def test_what_is_saved_and_lost_is_counted() -> None:
    good = [[0.5, 0.6, 0.7, 0.8]] * 6
    bad = [0.1, 0.2, 0.3, 0.4]
    late = [0.1, 0.2, 0.3, 0.9]
    none = _watched(lambda curve, rivals, before: False, [*good, bad], np.random.default_rng(0))
    assert none == (0.0, False, 0.0)

    def last(rule, curves):
        """The order in which they are listed, the seventh last."""
        return _watched(rule, curves, InOrder())

    saved, stopped, lost = last(median, [*good, bad])
    assert (saved, stopped, lost) == (pytest.approx(3 / 28), False, 0.0)  # after one of its four epochs
    saved, stopped, lost = last(median, [*good, late])
    assert (saved, stopped, lost) == (pytest.approx(3 / 28), True, pytest.approx(0.1))


class InOrder:
    def permutation(self, count):
        return np.arange(count)
