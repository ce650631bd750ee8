"""Headless Chromium for the tests of pages, with what it was asked for and what it complained about."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NEEDED = "NAS_BROWSER"  # set where the tests have to run: there a missing browser fails them


def missing() -> str | None:
    """Why no browser can be driven here, None where one can."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: chromium, chromium-driver)"
    for package in ("selenium", "axe_core_python"):
        if importlib.util.find_spec(package) is None:
            return f"the Python package {package} is not installed (the extra dev has it)"
    return None


def required() -> None:
    """Skip with the reason where there is no browser, or fail where there has to be one."""
    reason = missing()
    if reason and os.environ.get(NEEDED):
        pytest.fail(f"{NEEDED} is set, but {reason}")
    if reason:
        pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[Any]:
    """A driver; its logs hold the console and every request."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        yield driver
    finally:
        driver.quit()


def show(driver: Any, page: Path, width: int = 1200, dark: bool = False) -> None:
    """Open a page at a width in a theme, and wait until all its charts are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
    driver.get(page.as_uri())
    drawn = "return document.documentElement.dataset.drawn === String(document.querySelectorAll('[data-chart]').length)"
    WebDriverWait(driver, 60).until(lambda one: one.execute_script(drawn))


def requests(driver: Any) -> list[str]:
    """The addresses that were asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "blob:"))]


def violations(driver: Any) -> list[str]:
    """What axe-core finds wrong for people who do not see, or use the keyboard."""
    from axe_core_python.selenium import Axe

    return [
        f"{found['id']}: {found['help']}: {[node['html'][:120] for node in found['nodes'][:3]]}"
        for found in Axe().run(driver)["violations"]
    ]
