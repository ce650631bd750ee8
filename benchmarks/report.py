"""How quick and how large a report is: written, opened in headless Chromium, and moved about in.

Made-up trials (`benchmarks.made_up_run`); nothing else about the page is special.
`python -m benchmarks.report --trials 1000,10000` prints a table.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.made_up_run import made_up_run
from nas.report import write_pictures, write_report
from nas.report.script import vega_script

REPEATS = 5
DRAWN = "return document.documentElement.dataset.drawn === String(document.querySelectorAll('[data-chart]').length)"
# A pointer that moves over the chart for 60 frames; the longest and the median time between two.
MOVES = """
const done = arguments[0], place = document.querySelector('[data-chart=front]');
const box = place.getBoundingClientRect(), target = place.querySelector('canvas, svg');
let last = performance.now(), frame = 0; const gaps = [];
const step = now => {
  if (frame > 0) gaps.push(now - last);
  last = now;
  if (frame++ >= 60) { gaps.sort((a, b) => a - b); done([gaps[30], gaps[gaps.length - 1]]); return; }
  const at = {bubbles: true, clientX: box.left + 60 + frame * 8, clientY: box.top + 60 + frame * 4};
  for (const kind of ['pointermove', 'mousemove']) target.dispatchEvent(new PointerEvent(kind, at));
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""
SORT = """
const start = performance.now();
document.querySelector('#table th[data-sort=accuracy] button').click();
document.body.getBoundingClientRect();
return performance.now() - start;
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", default="1000,10000", help="numbers of trials, such as 1000,10000")
    counts = [int(part) for part in parser.parse_args().trials.split(",")]
    start = time.perf_counter()
    vega_script()
    print(f"the charts' script: {time.perf_counter() - start:.1f} s (two seconds once for each machine)")
    print(
        "trials   write s   (min–max)     pictures s   MB    first picture ms   all charts ms   moving ms (longest)   sort ms"
    )
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            made_up_run(run, count)
            times = [_timed(write_report, run) for _ in range(REPEATS if count <= 2000 else 1)]
            pictures = _timed(write_pictures, run)
            size = (run / "report.html").stat().st_size / 1e6
            seen = _in_browser(run / "report.html")
        print(
            f"{count:>6}   {statistics.median(times):>7.2f}   ({min(times):.2f}–{max(times):.2f})      "
            f"{pictures:>10.1f}   {size:.2f}   {seen}"
        )


def _timed(work: Any, run: Path) -> float:
    start = time.perf_counter()
    work(run)
    return time.perf_counter() - start


def _in_browser(page: Path) -> str:
    if shutil.which("chromedriver") is None or importlib.util.find_spec("selenium") is None:
        return "no chromedriver or selenium here"
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1200,900",
    ):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        firsts, alls = [], []
        for _ in range(REPEATS):
            driver.get(page.as_uri())
            WebDriverWait(driver, 120, 0.02).until(lambda one: one.execute_script(DRAWN))
            marks = driver.execute_script(
                "return performance.getEntriesByType('mark').map(mark => [mark.name, mark.startTime])"
            )
            found = dict(marks)
            firsts.append(found["first-picture"])
            alls.append(found["all-pictures"])
        driver.execute_script("document.querySelector('[data-chart=front]').scrollIntoView()")
        moving, longest = driver.execute_async_script(MOVES)
        sort = driver.execute_script(SORT)
    finally:
        driver.quit()
    return (
        f"{statistics.median(firsts):>8.0f}   {statistics.median(alls):>17.0f}   "
        f"{moving:>12.1f} ({longest:.0f})   {sort:>13.0f}"
    )


if __name__ == "__main__":
    main()
