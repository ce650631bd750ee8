"""The pages in a real browser: drawn without complaint, alone on the network, and answering to mouse and keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_up_run import made_up_run
from nas.report import write_comparison
from nas.report.palette import DARK, LIGHT
from tests.nas.conftest import SPACE
from tests.nas.report.browser import chromium, requests, required, show, violations


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    required()
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page(made_up: Path) -> Path:
    return made_up / "report.html"


@pytest.fixture(scope="module")
def comparison(made_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    made_up_run(
        folder / "other", 30, seed=1, space_yaml=SPACE, resolution=64, target_ms=0.5, sampler="random"
    )
    return write_comparison([made_up, folder / "other"], folder / "comparison.html")


@pytest.fixture
def opened(driver: Any, page: Path) -> Any:
    show(driver, page)
    return driver


def words(driver: Any, selector: str) -> str:
    return " ".join(str(driver.find_element("css selector", selector).text).split())


def points(driver: Any) -> list[Any]:
    """The points of trials in the front's chart; Vega keeps what each stands for with its element."""
    script = """return [...document.querySelectorAll('[data-chart=front] .mark-symbol path')]
      .filter(path => path.__data__ && path.__data__.datum && path.__data__.datum.trial !== undefined)"""
    return list(driver.execute_script(script))


@pytest.mark.parametrize("which", ["page", "comparison"])
def test_it_is_drawn_without_complaint_and_asks_for_nothing(
    driver: Any, which: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    driver.get_log("browser"), requests(driver)
    show(driver, path)
    assert requests(driver) == [path.as_uri()]
    assert driver.get_log("browser") == []
    for chart in driver.find_elements("css selector", "[data-chart]"):
        assert chart.find_elements("css selector", "svg, canvas"), chart.get_attribute("data-chart")
    assert driver.execute_script("return window.hacked") is None


@pytest.mark.parametrize("which", ["page", "comparison"])
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1200, True)])
def test_axe_finds_nothing_wrong_and_nothing_sticks_out(
    driver: Any, which: str, width: int, dark: bool, request: pytest.FixtureRequest
) -> None:
    show(driver, request.getfixturevalue(which), width, dark)
    assert violations(driver) == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_hovering_shows_the_architecture(opened: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    point = points(opened)[-1]
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    card = opened.find_element("css selector", "#card")

    def hovered(driver: Any) -> bool:  # scrolling hides the card, and may still be going on
        ActionChains(driver).move_by_offset(1, 1).move_to_element(point).perform()
        return bool(card.is_displayed())

    WebDriverWait(opened, 20).until(hovered)
    assert "accurate" in card.text
    assert len(card.find_elements("css selector", "li")) == 2  # the little space has two blocks


def test_clicking_pins_two_and_compares_them(opened: Any) -> None:
    from selenium.webdriver import ActionChains

    for point in (points(opened)[0], points(opened)[-1]):
        opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
        ActionChains(opened).move_to_element(point).click().perform()
    heads = opened.find_elements("css selector", "#pinned thead th code")
    assert len({head.text for head in heads}) == 2
    assert opened.find_elements("css selector", "#pinned tr.differs")
    opened.find_element("css selector", "#pinned thead button").click()
    assert len(opened.find_elements("css selector", "#pinned thead th code")) == 1


def test_the_keyboard_pins_from_the_table(opened: Any) -> None:
    from selenium.webdriver import Keys

    button = opened.find_element("css selector", "button[data-pin]")
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-pressed") == "true"
    assert button.get_attribute("aria-label") == "pin " + words(opened, "#pinned thead th code")


def column(driver: Any, number: int) -> list[float]:
    cells = driver.find_elements("css selector", f"#table tbody td:nth-child({number})")
    texts = [cell.text.split()[0] for cell in cells]
    return [float(text) for text in texts if text != "—"]


def test_a_click_on_a_head_sorts_and_a_second_turns_it_round(opened: Any) -> None:
    head = opened.find_element("css selector", "#table th[data-sort=accuracy]")
    head.find_element("css selector", "button").click()
    assert head.get_attribute("aria-sort") == "descending"
    falling = column(opened, 3)
    assert falling == sorted(falling, reverse=True)
    head.find_element("css selector", "button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(opened, 3) == sorted(falling)


def test_the_filter_leaves_what_it_names(opened: Any, made_up: Path) -> None:
    from selenium.webdriver.support.ui import Select

    front = (made_up / "trials.csv").read_text().count(",true,")
    Select(opened.find_element("css selector", "#which")).select_by_value("front")
    assert words(opened, "#count") == f"{front} of {front} shown"
    id = words(opened, "#table tbody code")
    opened.find_element("css selector", "#filter").send_keys(id)
    assert words(opened, "#count") == "1 of 1 shown"
    link = opened.find_element("css selector", "#table tbody a").get_attribute("href")
    assert link == (made_up / "candidates" / f"{id}.json").as_uri()


def test_it_prints_in_light_colours(driver: Any, page: Path) -> None:
    show(driver, page, dark=True)
    colour = (
        "return getComputedStyle(document.querySelector('[data-chart=front] .role-axis-label text')).fill"
    )
    theme = [{"name": "prefers-color-scheme", "value": "dark"}]
    found = []
    for media in ("screen", "print"):
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": theme})
        found.append(driver.execute_script(colour))
    assert found == [rgb(DARK["soft"]), rgb(LIGHT["soft"])]
    printed = driver.execute_cdp_cmd("Page.printToPDF", {})["data"]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert len(printed) > 20_000


def rgb(colour: str) -> str:
    """A colour as a browser tells it."""
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"
