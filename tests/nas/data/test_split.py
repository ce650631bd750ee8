"""A stratified choice keeps every class's share."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nas.data.split import stratified

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(lambda values: np.array(values, np.int64))


@given(LABELS, st.integers(0, 250), st.integers(0, 99))
def test_shares_are_kept(labels, count, seed):
    chosen = stratified(labels, count, np.random.default_rng(seed))
    assert len(chosen) == min(count, len(labels))
    assert (np.diff(chosen) > 0).all()
    for label in np.unique(labels):
        exact = (labels == label).sum() * min(count, len(labels)) / len(labels)
        assert abs((labels[chosen] == label).sum() - exact) < 1


@given(LABELS, st.integers(0, 250), st.integers(0, 99))
def test_the_seed_decides(labels, count, seed):
    first, again = (stratified(labels, count, np.random.default_rng(seed)) for _ in range(2))
    assert first.tolist() == again.tolist()
