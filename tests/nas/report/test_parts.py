"""The parts of a page, each on its own."""

from __future__ import annotations

import itertools
import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import zoo
from nas.report import charts, write_comparison, write_pictures
from nas.report.drawing import draw, scale_of
from nas.report.hypervolume import Corner, hypervolume
from nas.report.importance import divergence, stories
from nas.report.page import run_charts, script_json
from nas.report.palette import DARK, LIGHT, coloured
from nas.report.pictures import FOLDER
from nas.report.run_data import RunData, read_run
from nas.report.several import render
from nas.report.verdict import time_spent
from nas.trials import Row, front_of


@pytest.fixture(scope="module")
def data(made_up: Path) -> RunData:
    return read_run(made_up)


def row(number: int, latency: float, accuracy: float) -> Row:
    return Row(number, "COMPLETE", f"id{number}", accuracy, latency_ms=latency, reward=accuracy)


# ---- colours


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_can_be_told_from_the_page(theme: dict[str, str]) -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    for name in ("ink", "soft", "accent", "warn", "baseline"):  # text
        for ground in ("page", "panel"):
            assert contrast(theme[name], theme[ground]) >= 4.5, (name, ground)
    for name in set(theme) - {"page", "panel", "line"}:  # what is drawn
        assert contrast(theme[name], theme["page"]) >= 3, name


# ---- charts


def every_chart(data: RunData) -> Iterator[tuple[charts.Chart, dict[str, Any]]]:
    yield from run_charts(data).values()
    axis = charts.latency_axis([1.0, 2.0])
    yield charts.fronts(axis, ["a", "b"], ["@accent", "@best"], "the fronts of two runs"), {"fronts": []}
    yield charts.hypervolumes(["a"], ["@accent"], "the hypervolume of one run"), {"hypervolumes": []}


def test_every_chart_is_valid_vega_lite_with_a_description(data: RunData) -> None:
    import altair

    found = list(every_chart(data))
    assert len(found) == 7
    for chart, sets in found:
        assert len(chart["description"]) > 20
        whole = coloured(charts.with_data({**chart, "config": charts.config()}, {"trials": [], **sets}))
        altair.Chart.from_dict({**whole, "$schema": altair.SCHEMA_URL}, validate=True)
        assert '"@' not in str(whole).replace("'", '"')


@pytest.mark.parametrize(("latencies", "kind"), [([1.0, 2.0], None), ([1.0, 30.0], "log"), ([5.0], None)])
def test_latencies_far_apart_are_shown_on_a_logarithmic_axis(
    latencies: list[float], kind: str | None
) -> None:
    assert charts.latency_axis(latencies)["scale"].get("type") == kind


def test_json_ends_no_script_element() -> None:
    assert "<" not in script_json({"a": "</script><script>", "b": "<!--", "c": "&"})


# ---- the drawing


def test_a_drawing_has_a_bar_for_each_layer_and_keeps_its_scale() -> None:
    arch, other = zoo.load("mnasnet-a1"), zoo.load("mnasnet-d1")
    scale = scale_of(arch, other)
    for one in (arch, other):
        text = draw(one, scale)
        assert text.count("<rect") == sum(block.repeats for block in one.blocks) + 2
        width = float(text.split('width="')[1].split('"')[0])
        assert width <= 961
    assert draw(arch).count('class="se"') == sum(b.repeats for b in arch.blocks if b.se)
    assert draw(replace(arch, name="<b>")) == draw(arch)


# ---- hypervolume


def test_the_hypervolume_of_a_known_front() -> None:
    corner = Corner(slowest=10, fastest=0, lowest=0.0, highest=1.0)
    assert hypervolume([row(0, 5, 0.5)], corner) == pytest.approx(0.25)
    assert hypervolume([row(0, 5, 0.5), row(1, 8, 1.0)], corner) == pytest.approx(0.25 + 0.1)
    assert hypervolume([row(0, 0, 1.0)], corner) == pytest.approx(1.0)
    assert hypervolume([], corner) == 0.0


@given(st.lists(st.tuples(st.floats(1, 9), st.floats(0.1, 0.9)), min_size=1, max_size=12))
def test_the_hypervolume_counts_the_front_alone_and_each_grid_cell_once(
    pairs: list[tuple[float, float]],
) -> None:
    corner = Corner(slowest=10, fastest=0, lowest=0.0, highest=1.0)
    rows = [row(number, *pair) for number, pair in enumerate(pairs)]
    found = hypervolume(rows, corner)
    numbers = front_of(rows)
    front = [one for one in rows if one.number in numbers]
    assert hypervolume(front, corner) == pytest.approx(found)
    xs = sorted({latency for latency, _ in pairs} | {10.0})
    ys = sorted({accuracy for _, accuracy in pairs} | {0.0})
    area = sum(
        (right - left) * (high - low)
        for (left, right), (low, high) in itertools.product(itertools.pairwise(xs), itertools.pairwise(ys))
        if any(latency <= left and accuracy >= high for latency, accuracy in pairs)
    )
    assert found == pytest.approx(area / 10)


# ---- importance


def test_a_choice_that_all_winners_share_matters_and_one_that_they_draw_at_random_does_not() -> None:
    everyone = {"a": 500, "b": 500}
    assert divergence({"a": 100}, everyone) == pytest.approx(1 - 1 / 100)
    assert divergence({"a": 50, "b": 50}, everyone) == 0.0
    rng = random.Random(0)
    by_chance = [divergence(Counter(rng.choices("ab", k=100)), everyone) for _ in range(200)]
    assert sum(by_chance) / 200 < 0.01


def test_importances_agree_with_optunas_on_their_order() -> None:
    import optuna

    rng = random.Random(0)
    values = {"a": ("x", "y", "z"), "b": ("x", "y"), "c": ("x", "y")}
    points = [{name: rng.choice(of) for name, of in values.items()} for _ in range(400)]
    rewards = [3.0 * (p["a"] == "z") + 1.0 * (p["b"] == "x") + rng.random() for p in points]
    order = sorted(range(400), key=lambda n: -rewards[n])[:120]
    ours = {
        name: divergence(Counter(points[n][name] for n in order), Counter(p[name] for p in points))
        for name in values
    }
    study = optuna.create_study()
    kinds = {name: optuna.distributions.CategoricalDistribution(of) for name, of in values.items()}
    study.add_trials(
        [
            optuna.trial.create_trial(params=point, distributions=kinds, value=-reward)
            for point, reward in zip(points, rewards, strict=True)
        ]
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.3)
    assert sorted(ours, key=lambda n: -ours[n]) == list(evaluator.evaluate(study)) == ["a", "b", "c"]


def test_the_choices_shares_sum_to_one(data: RunData) -> None:
    found = stories(data)
    assert len(found) == 8
    assert sum(story.importance for story in found) == pytest.approx(1)
    assert all(0 <= story.among_winners <= 1 for story in found)


# ---- time, several runs, pictures


def test_the_time_of_the_trials_is_accounted_for(data: RunData) -> None:
    found = {what: share for what, share, _ in time_spent(data)}
    assert sum(found.values()) == pytest.approx(1)
    done = sum(row.state != "FAIL" for row in data.rows)
    assert found["failed"] == pytest.approx(1 - done / len(data.rows))
    assert found["training"] == pytest.approx(8 * len(data.evaluated) / (10 * len(data.rows)))


def test_runs_side_by_side_name_what_differs(data: RunData) -> None:
    settings = replace(data.run.settings, sampler="evolution", seed=7)
    record = {**data.run.record, "settings": settings.to_dict()}
    other = replace(data, run=replace(data.run, record=record), rows=data.rows[:20])
    text = render({"one": data, "<b>two": other})
    assert "<b>two" not in text
    assert "&lt;b&gt;two" in text
    assert "evolution" in text
    assert "The same in all of them: alpha" in text
    assert "different devices" not in text


def test_pictures_are_written_without_a_browser(made_up: Path) -> None:
    names = {path.name for path in write_pictures(made_up)}
    assert names == {path.name for path in (made_up / FOLDER).iterdir()}
    assert {"front.svg", "front.png", "architecture.png", "by-trial.svg", "layers.png"} <= names
    content = (made_up / FOLDER / "front.png").read_bytes()
    width, _ = struct.unpack(">II", content[16:24])
    assert content.startswith(b"\x89PNG")
    assert width >= 1600
    assert "mnasnet-a1" in (made_up / FOLDER / "front.svg").read_text()


def test_one_run_is_not_compared(made_up: Path, tmp_path: Path) -> None:
    from candidates import InputError

    with pytest.raises(InputError, match="1 runs were given; expected 2 to 6"):
        write_comparison([made_up], tmp_path / "comparison.html")
