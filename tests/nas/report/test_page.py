"""The page as a text: what is in it, in which order, and that nothing from a file is more than text."""

from __future__ import annotations

import json
import re
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from candidates import InputError
from nas.report import Rewriter, write_report
from nas.report.page import _progress_charts
from nas.report.trial_table import COLUMNS
from nas.run_folder import open_run
from nas.search import Stop
from tests.nas.conftest import Lab


class Page(HTMLParser):
    """Collects what a test looks at; a tag left open fails it."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input", "rect", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "img", "hr", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split()).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def text(made_up: Path) -> str:
    return (made_up / "report.html").read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def carried(text: str) -> dict[str, object]:
    """The data that a page carries for its script."""
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, object] = json.loads(found[1])
    return data


def test_the_page_needs_nothing_but_itself(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "img"}
        assert "src" not in attributes
        value = attributes.get("href")
        assert value is None or value.startswith("candidates/") or value in ("trials.csv", "best.json"), value
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy


def test_the_sections_come_in_their_order(page: Page) -> None:
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
    assert ids == ["front", "architecture", "layers", "progress", "choices", "time", "trials", "settings"]


def test_the_verdict_names_accuracy_latency_device_target_and_baselines(made_up: Path, page: Page) -> None:
    best = json.loads((made_up / "best.json").read_text())
    verdict = page.words[page.words.index(best["id"]) :].split(". ")[0]
    assert f"{100 * best['accuracy']:.2f} % accurate" in verdict
    assert "on cpu" in verdict
    assert "within the target of 0.5 ms" in verdict
    for name in ("mnasnet-a1", "mnasnet-b1", "mobilenet-v2"):
        assert re.search(rf"{name} \([\d.]+ ms\) and [\d.]+ points (more|less) accurate", verdict)


def test_every_trial_is_carried_with_its_blocks(made_up: Path, text: str) -> None:
    data = carried(text)
    assert data["columns"] == list(COLUMNS)
    rows = data["trials"]
    assert isinstance(rows, list)
    assert len(rows) == len((made_up / "trials.csv").read_text().splitlines()) - 1
    blocks = {row[COLUMNS.index("id")] for row in rows if row[COLUMNS.index("blocks")]}
    assert blocks == {row[COLUMNS.index("id")] for row in rows}
    for row in rows:
        kept = (made_up / "candidates" / f"{row[COLUMNS.index('id')]}.json").exists()
        assert row[COLUMNS.index("file")] == kept


def test_what_came_from_a_file_is_escaped(page: Page, text: str) -> None:
    assert "<script>window.hacked" not in text
    assert "<script>window.hacked = 1</script>" in page.words


def test_a_run_without_a_finished_trial_has_a_report_too(lab: Lab) -> None:
    lab.open(lab.settings())
    assert "No candidate has been trained yet" in write_report(lab.path).read_text()


def test_differences_below_the_proxys_noise_are_called_that(lab: Lab) -> None:
    search = lab.open(lab.settings(trials=8))
    rows = search.run(Stop(print))
    best = max((r for r in rows if r.evaluated), key=lambda r: r.reward or 0)
    search.study.set_user_attr(f"repeat:{best.id}", (best.accuracy or 0) - 0.2)
    text = write_report(lab.path).read_text()
    assert "standard deviation of 14.14 points" in text
    assert "the difference is noise" in text


def test_the_models_own_choice_is_told_where_it_is_another(lab: Lab) -> None:
    search = lab.open(lab.settings(trials=8))
    rows = [row for row in search.run(Stop(print)) if row.evaluated]
    worst = min(rows, key=lambda r: r.reward or 0)
    search.study.set_user_attr("recommended", {"id": worst.id, "accuracy": 0.4321})
    words = Page(write_report(lab.path).read_text()).words
    assert f"{worst.id} is the better choice" in words
    assert "43.21 % estimated" in words


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a run folder: it has no run\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize("name", ["baselines.json", "layers.json"])
@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "baselines": [1], "profiles": {"a": 1}}'],
)
def test_a_wrong_file_of_a_run_is_named(lab: Lab, name: str, content: str) -> None:
    lab.open(lab.settings())
    (open_run(lab.path).path / name).write_text(content)
    with pytest.raises(InputError, match=re.escape(name)):
        write_report(lab.path)


def test_a_running_search_writes_its_report_when_it_is_due(lab: Lab) -> None:
    search = lab.open(lab.settings(trials=3))
    rewriter = Rewriter(lab.path, seconds=3600)
    assert not rewriter.write_if_due()
    rewriter = Rewriter(lab.path, seconds=0)
    with closing(rewriter):
        assert rewriter.write_if_due()
        assert "No candidate has been trained yet" in (lab.path / "report.html").read_text()
        search.run(Stop(print))
        rewriter._next = 0
        assert rewriter.write_if_due()
        assert "of 3 trained candidates" in (lab.path / "report.html").read_text()
        assert not rewriter.write_if_due()  # not before twenty times what it took


def test_the_best_over_time_is_what_was_known_by_then() -> None:
    """Of trainings at the same time a later trial may end first."""
    hours = {0: 0.05, 1: 0.2, 2: 0.1, 3: None}
    rewards = {0: 0.5, 1: 0.9, 2: 0.6, 3: 0.95}
    rows: list[Any] = [SimpleNamespace(number=number, reward=reward) for number, reward in rewards.items()]
    found = _progress_charts(cast(Any, SimpleNamespace(hours=lambda row: hours[row.number])), rows)
    over_time = found["by-time"][1]["progress"]
    assert [(point["trial"], point["time"], point["best"]) for point in over_time] == [
        (0, 3.0, 0.5), (2, 6.0, 0.6), (1, 12.0, 0.9),
    ]  # fmt: skip
    assert [point["best"] for point in found["by-trial"][1]["progress"]] == [0.5, 0.9, 0.9, 0.95]
