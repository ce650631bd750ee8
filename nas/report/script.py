"""Vega, Vega-Lite and Vega-Embed as one script to put into a page, so that the page needs nothing else."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.metadata import version

from candidates.files import write_text
from latency.folders import cache_folder

VEGA_LITE = "6.4"


@cache
def vega_script() -> str:
    """The script. Making it takes two seconds, so the user's cache keeps it, by vl-convert's version."""
    path = None
    with suppress(OSError):  # no cache, or none that can be read: the script is made again
        path = cache_folder() / f"vega-{version('vl-convert-python')}-{VEGA_LITE}.js"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    import vl_convert

    text = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg] # its stub is wrong
    text = text.replace("</script", "<\\/script")
    with suppress(OSError):
        if path is not None:
            write_text(path, text)
    return text
