# SPDX-License-Identifier: GPL-2.0-or-later
"""Classify sections of code by the linker script's own rules, those of 7.2.

`include/asm-generic/vmlinux.lds.h`: INIT_TEXT, EXIT_TEXT and TEXT_MAIN. A name matches exactly or by its
`name.` prefix, as the script's patterns do: `.text.startup_pirq` is ordinary text.
"""

from __future__ import annotations

from typing import Final, Literal

SectionKind = Literal["text", "inittext", "exittext"]

_INIT_EXACT: Final = frozenset({".init.text", ".text.startup"})
_INIT_PREFIXES: Final = (".init.text.", ".text.startup.")
_EXIT_EXACT: Final = frozenset({".exit.text", ".text.exit"})
_EXIT_PREFIXES: Final = (".text.exit.",)


def classify_section(section: str) -> SectionKind:
    """Return the kind of an entry whose location is in the section of that name."""
    if section in _INIT_EXACT or section.startswith(_INIT_PREFIXES):
        return "inittext"
    if section in _EXIT_EXACT or section.startswith(_EXIT_PREFIXES):
        return "exittext"
    return "text"
