# SPDX-License-Identifier: GPL-2.0-or-later
"""The layouts as data, for every layer: which names and areas each generation of kernels uses.

A new kernel generation is a new row of `LAYOUTS` and a template of its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pfestubs.errors import ContradictionError

if TYPE_CHECKING:
    from collections.abc import Collection

RESERVE_CONFIG: Final = "CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"


@dataclass(frozen=True)
class Area:
    """A run of stubs: the array's symbol; its count's symbol has the suffix `_count`.

    `name` is the contract's word for it. `generated` tells the areas that the generated assembly reserves
    from the one that is part of the kernel's own `ftrace_entry.S`.
    """

    name: str
    symbol: str
    generated: bool

    @property
    def count_symbol(self) -> str:
        """The symbol of the 4-byte stub count."""
        return self.symbol + "_count"


@dataclass(frozen=True)
class Layout:
    """One generation of names: its areas, in the order in which the kernel tries them for text."""

    name: str
    areas: tuple[Area, ...]
    stub_size: int
    """Bytes of a stub where the file does not tell (`sizeof(struct ftrace_ool_stub)`)."""
    word_aligned: bool
    """Whether areas begin at a word (`.balign SZL`); else at an instruction (`SYM_CODE_START`)."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol by which the layout is recognised."""
        return tuple(s for area in self.areas for s in (area.symbol, area.count_symbol))

    def alignment(self, bits: int) -> int:
        """Bytes that an area's address is a multiple of, for a kernel of 32 or 64 bits."""
        return bits // 8 if self.word_aligned else 4

    @property
    def reserve(self) -> Area | None:
        """The area inside .text that the kernel reserves itself, if the layout has one."""
        return next((area for area in self.areas if not area.generated), None)


LAYOUTS: Final = {
    layout.name: layout
    for layout in (
        # The RFC patch (June 2024): one area after all text, one after init text.
        Layout(
            "pfe",
            (
                Area("text_end", "ftrace_pfe_stub_text", generated=True),
                Area("inittext", "ftrace_pfe_stub_inittext", generated=True),
            ),
            stub_size=16,
            word_aligned=False,
        ),
        # Mainline since 6.13: a reserve inside .text as well.
        Layout(
            "ool",
            (
                Area("text", "ftrace_ool_stub_text", generated=False),
                Area("text_end", "ftrace_ool_stub_text_end", generated=True),
                Area("inittext", "ftrace_ool_stub_inittext", generated=True),
            ),
            stub_size=24,
            word_aligned=True,
        ),
    )
}


def detect_layout(file: str, symbols: Collection[str], asked: str | None, advice: str = "") -> Layout | None:
    """The layout of a file from the stub symbols it names, checked against the one asked for.

    Args:
        file: the file, for messages.
        symbols: names of the stub symbols that the file defines or refers to.
        asked: a layout's name from the command line; None to detect.
        advice: what to do about a file that speaks of two layouts.

    Returns:
        None if the file names no stub symbol and none was asked for.

    Raises:
        ContradictionError: the file speaks of another layout than asked, or of two.
    """
    found = [layout for layout in LAYOUTS.values() if any(s in symbols for s in layout.symbols)]
    if asked is not None:
        if found and LAYOUTS[asked] not in found:
            raise ContradictionError(
                file,
                f"layout {asked} was asked for, but the file names the symbols of layout {found[0].name}"
                f" ({_first_symbol(found[0], symbols)})",
                f"leave the layout out, or give the {asked} kernel's own file",
            )
        return LAYOUTS[asked]
    if len(found) > 1:
        names = " and ".join(f"{layout.name} ({_first_symbol(layout, symbols)})" for layout in found)
        raise ContradictionError(file, f"names the symbols of two layouts: {names}", advice)
    return found[0] if found else None


def _first_symbol(layout: Layout, symbols: Collection[str]) -> str:
    return next(s for s in layout.symbols if s in symbols)
