from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from candidates import InputError
from nas.report import write_report
from nas.report.axes import Axis
from nas.report.drawing import draw
from nas.trials import Row
from tests.nas.conftest import Lab


class Page(HTMLParser):
    """Collects what a test looks at; a tag left open fails it."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input", "line", "polyline", "circle", "rect"})

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
        self.text.append(data)


@pytest.fixture
def page(lab: Lab) -> Page:
    lab.search(lab.settings(trials=12))
    return Page(write_report(lab.path).read_text())


def test_the_page_needs_nothing_but_itself(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "img"}
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith("candidates/"), value


def test_it_shows_the_front_the_target_the_progress_and_the_top_architectures(page: Page, lab: Lab) -> None:
    classes = [attributes.get("class") for _, attributes in page.tags]
    front = [row for row in lab.progress.rows if row.on_front]
    assert front
    assert "target" in classes
    assert classes.count("plot") == 2
    assert classes.count("drawing") == 5
    assert classes.count("best") == 1
    text = " ".join(page.text)
    assert "target 3 ms" in text
    assert "max_latency_factor" in text


def test_what_came_from_a_file_is_escaped(lab: Lab) -> None:
    search = lab.open(lab.settings(trials=3, data="/<script>alert(1)</script>"))
    from nas.stopping import Stop

    search.run(Stop(print))
    text = write_report(lab.path).read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_run_without_a_finished_trial_has_a_report_too(lab: Lab) -> None:
    lab.open(lab.settings())
    assert "No candidate has been trained yet" in write_report(lab.path).read_text()


def test_differences_below_the_proxys_noise_are_called_that(lab: Lab) -> None:
    search = lab.open(lab.settings(trials=8))
    from nas.stopping import Stop

    rows = search.run(Stop(print))
    best = max((r for r in rows if r.evaluated), key=lambda r: r.reward or 0)
    search.study.set_user_attr(f"repeat:{best.id}", (best.accuracy or 0) - 0.2)
    text = write_report(lab.path).read_text()
    assert "standard deviation of\n14.14 points" in text
    assert "the difference is noise" in text


def test_the_models_own_choice_is_told_where_it_is_another(lab: Lab) -> None:
    search = lab.open(lab.settings(trials=8))
    from nas.stopping import Stop

    rows = [row for row in search.run(Stop(print)) if row.evaluated]
    worst = min(rows, key=lambda r: r.reward or 0)
    search.study.set_user_attr("recommended", {"id": worst.id, "accuracy": 0.4321})
    text = write_report(lab.path).read_text()
    assert f"<code>{worst.id}</code> is the better" in text
    assert "43.21 % estimated" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a run folder: it has no run\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize("values", [[1.0], [0.0], [1e-9, 2e-9], [0.1, 0.9], [-5.0, 1e6], [3.0, 3.0]])
def test_ticks_are_round_and_within(values: list[float]) -> None:
    axis = Axis.around(values, 0, 100)
    ticks = list(axis.ticks())
    assert 2 <= len(ticks) <= 14
    assert all(axis.low <= tick <= axis.high + 1e-9 for tick in ticks)


def test_a_drawing_has_a_bar_for_each_layer(lab: Lab) -> None:
    row: Row = lab.search(lab.settings(trials=1))[-1]
    arch = row.arch()
    named = replace(arch, name="<b>")
    assert draw(named).count("<rect") == sum(block.repeats for block in arch.blocks) + 2
