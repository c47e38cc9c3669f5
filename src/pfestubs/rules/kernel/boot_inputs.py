# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be known of a kernel before its boot can be simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.errors import NoStubsError, UnprovenInlineError
from pfestubs.layouts import LAYOUTS
from pfestubs.rules.kernel.inline_sites import InlineSites

if TYPE_CHECKING:
    from pfestubs.model import Kernel

_EXPECTED_SYMBOLS: Final = ", ".join(f"{layout.areas[0].symbol}*" for layout in LAYOUTS.values())


def require_known_kind(kernel: Kernel) -> None:
    """Refuse a kernel without stub symbols unless its instructions prove that it traces without stubs.

    Absent symbols are not evidence: `strip` removes them too.

    Raises:
        UnprovenInlineError: most locations do not have an inline shape.
    """
    if kernel.layout is None and not InlineSites(kernel).are_evident():
        raise UnprovenInlineError(kernel.file, _EXPECTED_SYMBOLS)


def require_stubs(kernel: Kernel) -> None:
    """Refuse a kernel that traces without stubs.

    Raises:
        NoStubsError: it does.
        UnprovenInlineError: it has no stub symbols, and no inline shape either.
    """
    if kernel.layout is None:
        require_known_kind(kernel)
        raise NoStubsError(kernel.file)
