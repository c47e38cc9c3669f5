# SPDX-License-Identifier: GPL-2.0-or-later
"""The layouts as data, for every layer: which names and areas each generation of kernels uses.

A new generation with the known roles is a new row of `LAYOUTS` and a template of its name.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

RESERVE_CONFIG: Final = "CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"


class AreaRole(Enum):
    """Which locations an area serves; the kernel's rules go by this, never by the area's name."""

    RESERVE = "reserve"
    """Text, tried first: part of the kernel's own `ftrace_entry.S`, near the tracer."""
    END = "end"
    """Stubs of the text functions that get none in the reserve: after all text."""
    INIT = "init"
    """Init text."""


class AreaSpec(NamedTuple):
    """An area as a layout names it: `name` in documents, `symbol` of the array of stubs."""

    role: AreaRole
    name: str
    symbol: str

    @property
    def count_symbol(self) -> str:
        """The symbol of the 4-byte stub count."""
        return self.symbol + "_count"


class Layout(NamedTuple):
    """The names and sizes of one generation of kernels; `areas` in the order of their addresses."""

    name: str
    areas: tuple[AreaSpec, ...]
    stub_size: int
    """Bytes of a stub if the file does not define them (`sizeof(struct ftrace_ool_stub)`)."""
    word_aligned: bool
    """Whether areas start at a word (`.balign SZL`); else at an instruction (`SYM_CODE_START`)."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol by which the layout is recognised."""
        return tuple(s for area in self.areas for s in (area.symbol, area.count_symbol))

    def alignment(self, bits: int) -> int:
        """Bytes that an area's address is a multiple of, for a kernel of 32 or 64 bits."""
        return bits // 8 if self.word_aligned else 4

    @property
    def reserve(self) -> AreaSpec | None:
        """The area inside .text, if the layout has one."""
        return next((area for area in self.areas if area.role is AreaRole.RESERVE), None)


LAYOUTS: Final = {
    layout.name: layout
    for layout in (
        # The RFC patch (June 2024): one area after all text, one after init text.
        Layout(
            "pfe",
            (
                AreaSpec(AreaRole.END, "text_end", "ftrace_pfe_stub_text"),
                AreaSpec(AreaRole.INIT, "inittext", "ftrace_pfe_stub_inittext"),
            ),
            stub_size=16,
            word_aligned=False,
        ),
        # Mainline since 6.13: also a reserve inside .text.
        Layout(
            "ool",
            (
                AreaSpec(AreaRole.RESERVE, "text", "ftrace_ool_stub_text"),
                AreaSpec(AreaRole.END, "text_end", "ftrace_ool_stub_text_end"),
                AreaSpec(AreaRole.INIT, "inittext", "ftrace_ool_stub_inittext"),
            ),
            stub_size=24,
            word_aligned=True,
        ),
    )
}


STUB_SYMBOLS: Final = tuple(s for layout in LAYOUTS.values() for s in layout.symbols)
"""The symbols of every layout."""


def detect_layout(
    file: str, symbols: Collection[str], asked: str | None, *, has_option: bool = False
) -> Layout | None:
    """Return the layout of a file by its stub symbols, checked against the one requested.

    Args:
        file: the file, for messages.
        symbols: names of the stub symbols that the file defines or refers to.
        asked: a layout's name from the command line; None to detect.
        has_option: whether the command has --layout, to choose between two layouts.

    Returns:
        None if the file references no stub symbol and none was requested.

    Raises:
        InputError: the file has symbols of another layout than asked, or of two.
    """
    found = [layout for layout in LAYOUTS.values() if any(s in symbols for s in layout.symbols)]
    if asked is not None:
        if found and LAYOUTS[asked] not in found:
            raise InputError(
                file,
                f"layout {asked} was requested, but the file references the stub symbols of layout"
                f" {found[0].name} ({_first_symbol(found[0], symbols)})",
                f"omit --layout, or give the {asked} kernel's own file",
            )
        return LAYOUTS[asked]
    if len(found) > 1:
        names = " and ".join(f"{layout.name} ({_first_symbol(layout, symbols)})" for layout in found)
        advice = "choose one with --layout" if has_option else ""
        raise InputError(file, f"references the stub symbols of two layouts: {names}", advice)
    return found[0] if found else None


def _first_symbol(layout: Layout, symbols: Collection[str]) -> str:
    return next(s for s in layout.symbols if s in symbols)
