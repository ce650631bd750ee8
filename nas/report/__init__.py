"""report.html: one page, offline, that shows what a search found."""

from nas.report.page import write_report

__all__ = ["write_report"]
