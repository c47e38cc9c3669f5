# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of `report`: a page, its tables and its pictures; here is its outcome in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.check import summary
from pfestubs.formats.text import bytes_text

if TYPE_CHECKING:
    from pfestubs.rules.analyses.report import ReportResult


def outcome(result: ReportResult) -> str:
    """Return the outcome in one sentence without the file: that of the check, or too little growth."""
    least = result.min_growth
    if not result.check.ok or least is None or result.ok:
        return summary(result.check)
    growth = result.growth
    found = "cannot be told" if growth is None else f"is {bytes_text(growth)}, wherever it is added"
    return f"failed: the growth of text that still works {found}; {bytes_text(least)} are required"
