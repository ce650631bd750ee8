"""The documentation builds without a warning, its links lead somewhere, and its snippets run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.made_up_run import made_up_run
from candidates import zoo
from latency.model import Model
from tests.docs.snippets import PAGES, ROOT, snippets
from tests.nas.conftest import SPACE

LONGEST = 50  # lines of an example of how to add something


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return out


class Links(HTMLParser):
    """A page's addresses and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := given.get(name))]
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}


def test_every_link_within_the_site_leads_somewhere(site: Path) -> None:
    pages = {page: Links(page.read_text()) for page in site.rglob("*.html")}
    assert len(pages) >= len(list((ROOT / "docs").glob("*.md")))
    for page, found in pages.items():
        if page.name == "404.html":  # its links are from the root of a server
            continue
        for link in found.links:
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page.name}: {link}"
            if anchor and target.suffix == ".html":
                assert anchor in pages[target].anchors, f"{page.name}: {link}"


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    text = (site / "index.html").read_text()
    assert not re.findall(r'<(?:script|link rel="stylesheet")[^>]*(?:src|href)="https?:', text)


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)#]+)", text)
    assert links
    for link in links:
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_the_interface_is_written_down_from_its_docstrings(site: Path) -> None:
    text = (site / "python.html").read_text()
    for name in ("candidates.Architecture.scaled", "search_space.FactorizedSpace.decode", "latency.measure"):
        assert f'id="{name}"' in text


def test_an_example_of_how_to_add_something_is_short() -> None:
    examples = [s for s in snippets(ROOT / "docs" / "extending.md") if s.language == "python"]
    assert len(examples) >= 5
    assert all(len(example.code.splitlines()) < LONGEST for example in examples)


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with photos and a folder with runs, models and spaces of the names that the pages use."""
    from PIL import Image

    home, work = tmp_path / "home", tmp_path / "work"
    for kind, grey in (("cats", 40), ("dogs", 200)):
        for split, count in (("train", 20), ("val", 60)):  # int8 is checked on a hundred images
            folder = home / "photos" / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (16, 16), (grey, grey, 4 * number)).save(folder / f"{number}.png")
    work.mkdir()
    Image.new("RGB", (16, 16), (40, 40, 40)).save(work / "photo.jpg")
    for number, name in enumerate(("photos", "first", "second", "cifar")):
        made_up_run(work / "runs" / name, 12, seed=number, space_yaml=SPACE, resolution=64)
    (work / "little.yaml").write_text(SPACE)
    spaces = [s.code for s in snippets(ROOT / "docs" / "your-own.md") if s.language == "yaml"]
    (work / "my-space.yaml").write_text(spaces[0])
    small = Model("small", architecture=zoo.load("mnasnet-small").for_input(64))
    for name in ("model.onnx", "a.onnx", "b.onnx"):
        (work / name).write_bytes(small.content("onnx"))
    (work / "model.tflite").write_bytes(small.content("tflite"))
    shutil.copy(ROOT / "tests" / "latency" / "data" / "pixel1.csv", work / "pixel1.csv")
    monkeypatch.setenv("HOME", str(home))
    return work


def test_the_snippets_run(sandbox: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.run_page", *map(str, PAGES)],
        cwd=sandbox,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
