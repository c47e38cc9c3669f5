# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a kernel or of a document saved of one, for `pfestubs diff`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pfestubs.model import ByteOrder, EntryCounts


class AreaFigures(NamedTuple):
    """Stubs that an area has, and those handed out; None if unknown."""

    reserved: int | None
    used: int | None


@dataclass(frozen=True)
class KernelFigures:
    """What a kernel, or a document saved of one, contains for a comparison; None where unknown.

    Attributes:
        source: what the file is: a kernel, or the command that saved the document.
        layout: a layout's name or "inline".
        locations: for `count` the entries of text and init text: a kernel skips those of exit text.
        entries: by kind, for `count`.
        functions: count of locations by symbol; static functions can share a name.
        areas: by name.
        unserved: count of locations that fail a test of the boot.
        headroom: bytes of the tightest branch.
        growth: bytes of text that can be added before the boot fails, by where it is added (the shapes of
            `pfestubs plan`); a shape is None where nothing limits it.
        partial: the document lists only some of the functions.
    """

    file: str
    source: Literal["kernel", "check", "count", "stubs"]
    layout: str | None
    locations: int
    bits: int | None = None
    byte_order: ByteOrder | None = None
    stub_size: int | None = None
    entries: EntryCounts | None = None
    functions: Mapping[str, int] | None = None
    areas: Mapping[str, AreaFigures] = field(default_factory=dict)
    unserved: int | None = None
    headroom: int | None = None
    growth: Mapping[str, int | None] | None = None
    release: str | None = None
    build_id: str | None = None
    partial: bool = False
