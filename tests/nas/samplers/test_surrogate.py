"""The surrogate: what it uses of what is known, and what it recommends."""

import random

import numpy as np
import optuna
import pytest

from candidates.errors import InputError
from nas import samplers
from nas.samplers.priors import from_scores, from_study, synflow
from nas.samplers.recommend import estimated_accuracies, recommended
from nas.samplers.view import view_of


def test_it_beats_random_search(small, run):
    def best(name, seed):
        return run(name, small, 30, seed=seed).best_value

    gains = [best("surrogate", seed) - best("random", seed) for seed in range(4)]
    assert np.mean(gains) > 0


def test_what_it_recommends_by_is_nearer_to_the_truth_than_what_was_observed(small, evaluate, new_study):
    clean = new_study(samplers.make("random", small, seed=0))
    for _ in range(60):
        evaluate(clean.ask(), small)
    sampler = samplers.make("surrogate", small, seed=0)
    noisy, rng = new_study(sampler), np.random.default_rng(0)
    for trial in clean.trials:
        accuracy = trial.user_attrs["accuracy"] + 0.01 * rng.normal()
        trial.value *= accuracy / trial.user_attrs["accuracy"]
        trial.user_attrs = {**trial.user_attrs, "accuracy": accuracy}
        noisy.add_trial(trial)
    estimates = estimated_accuracies(noisy, sampler)
    truth, seen = ([s.trials[n].user_attrs["accuracy"] for n in estimates] for s in (clean, noisy))
    errors = np.array([list(estimates.values()), seen]) - np.array(truth)
    assert np.std(errors[0]) < 0.9 * np.std(errors[1])
    # Where the noise is known, more of what the model does not explain is put down to it.
    knowing = estimated_accuracies(noisy, samplers.make("surrogate", small, noise=0.01))
    assert np.std(np.array(list(knowing.values())) - np.array(truth)) < np.std(errors[0])
    assert recommended(noisy, sampler) is not None


def test_without_a_model_the_best_seen_is_recommended(small, run):
    study = run("random", small, 10)
    chosen = recommended(study, samplers.make("random"))
    assert chosen is not None
    assert chosen.number == study.best_trial.number


def test_a_known_latency_is_used_before_anything_was_measured(small, evaluate, new_study):
    asked = []

    def latency(points):
        asked.extend(points)
        return np.array([small.decode(point).multiply_adds() / 1e6 for point in points])

    study = new_study(samplers.make("surrogate", small, latency=latency, weight=lambda ms: ms**-0.07))
    for _ in range(8):
        evaluate(study.ask(), small)
    assert asked


def test_three_objectives_are_refused(small):
    study = optuna.create_study(directions=["maximize"] * 3, sampler=samplers.make("surrogate", small))
    with pytest.raises(InputError, match="number of objectives is 3"):
        small.suggest(study.ask())


def test_an_earlier_run_is_a_prior(small, run, evaluate, new_study):
    view = view_of(small)
    prior = from_study(run("surrogate", small, 30, seed=5), view)
    study = new_study(samplers.make("surrogate", small, seed=0, prior=prior))
    for _ in range(5):
        evaluate(study.ask(), small)
    cold = run("surrogate", small, 5)
    warm, without = ([t.user_attrs["accuracy"] for t in s.trials] for s in (study, cold))
    assert np.mean(warm) > np.mean(without) + 0.002
    with pytest.raises(InputError, match="the earlier run has 0 trained candidates"):
        from_study(new_study(samplers.make("random")), view)


def test_zero_cost_scores_are_a_prior(small):
    view, rng = view_of(small), random.Random(0)
    scores = (
        lambda point: small.decode(point).parameters() / 1e3,
        lambda point: -float(small.decode(point).multiply_adds()),
    )
    prior = from_scores(view, *scores, count=40)
    assert not prior.leads
    points = [small.sample(rng) for _ in range(30)]
    truth = [small.decode(point).parameters() for point in points]
    columns = prior.columns(points)
    assert columns.shape == (len(points), 2)
    assert np.corrcoef(columns[:, 0], truth)[0, 1] > 0.95
    assert columns[:, 1] == pytest.approx([scores[1](point) for point in points], rel=0.2)


def test_synflow_is_decided_by_the_architecture_and_the_seed(small):
    rng = random.Random(0)
    first, second = (small.decode(small.sample(rng)).for_input(32) for _ in range(2))
    assert synflow(first) == synflow(first)
    assert synflow(first) != synflow(second)
