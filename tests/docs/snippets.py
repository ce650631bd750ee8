"""The code in a page of documentation: fenced blocks, and what a comment before one says about running it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>needs|not run): (?P<reason>[^\n]*) -->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    """A fenced block; `reason` says why it is not run, and is empty where it is."""

    language: str
    code: str
    line: int
    reason: str = ""


def snippets(page: Path) -> Iterator[Snippet]:
    """The blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield Snippet(found["language"], textwrap.dedent(found["code"]), line, found["reason"] or "")


def commands(snippet: Snippet) -> list[str]:
    """The commands of a shell block, or of a recorded session; continued lines joined, comments left out."""
    lines = snippet.code.replace("\\\n", " ").splitlines()
    if snippet.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
