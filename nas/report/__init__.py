"""report.html and its pictures: what a search found, and several searches side by side."""

from nas.report.page import Rewriter, write_report
from nas.report.pictures import write_pictures
from nas.report.several import write_comparison

__all__ = ["Rewriter", "write_comparison", "write_pictures", "write_report"]
