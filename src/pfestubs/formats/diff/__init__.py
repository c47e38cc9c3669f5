# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kernels compared, one module per format; here is what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.formats.text import escape_line, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.model.figures import KernelFigures
    from pfestubs.rules.analyses.diff import DiffResult, FunctionCount

_GROWTH_SHAPES: Final = ("early", "even", "late")


class Row(NamedTuple):
    """A figure of the old and of the new kernel, as text: "-" if unknown."""

    label: str
    old: str
    new: str
    change: str


def rows(result: DiffResult) -> Iterator[Row]:
    """Yield the figures that at least one source holds."""
    old, new = result.old, result.new
    yield from _row("locations", *result.locations)
    if old.entries is not None and new.entries is not None:
        for kind in ("text", "inittext", "exittext"):
            yield from _row(f"entries in {kind}", getattr(old.entries, kind), getattr(new.entries, kind))
    for area in result.areas:
        yield from _row(f"area {area.name}, reserved", area.old.reserved, area.new.reserved)
        yield from _row(f"area {area.name}, used", area.old.used, area.new.used)
    yield from _row("locations that fail", old.unserved, new.unserved)
    yield from _row("bytes of a stub", old.stub_size, new.stub_size)
    yield from _row("headroom, bytes", old.headroom, new.headroom)
    for shape in _GROWTH_SHAPES:
        growths = ((side.growth or {}).get(shape) for side in (old, new))
        yield from _row(f"growth left, {shape}, bytes", *growths)


def _row(label: str, old: int | None, new: int | None) -> Iterator[Row]:
    if old is None and new is None:
        return
    change = ""
    if old is not None and new is not None:
        change = f"{new - old:+,}" if new != old else "0"
    yield Row(label, _number(old), _number(new), change)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def summary(result: DiffResult) -> str:
    """Return the outcome in one sentence."""
    old, new = result.locations
    if result.same:
        return f"no differences ({plural(new, 'location')})"
    sentence = (
        f"{plural(new, 'location')}, {new - old:+,}" if new != old else f"{plural(new, 'location')} in both"
    )
    if result.added is not None and result.removed is not None:
        sentence += f": {total(result.added):,} added, {total(result.removed):,} removed"
    if result.new.unserved:
        sentence += f"; {plural(result.new.unserved, 'location')} of the new kernel would fail at boot"
    return sentence


def total(functions: Sequence[FunctionCount]) -> int:
    """Return the number of locations of `functions`."""
    return sum(function.number for function in functions)


def function_label(function: FunctionCount) -> str:
    """Return a function's symbol, and how many of that name, as part of one line."""
    name = escape_line(function.name)
    return name if function.number == 1 else f"{name} ({function.number:,} of this name)"


def describe(figures: KernelFigures) -> str:
    """Return which kernel it is, as far as known: "kernel 7.2.13, 64-bit, little-endian, ..."."""
    words = ["kernel" if figures.source == "kernel" else f"saved {figures.source}"]
    if figures.release is not None:
        words.append(escape_line(figures.release))
    if figures.bits is not None:
        words.append(f"{figures.bits}-bit")
    if figures.byte_order is not None:
        words.append(f"{figures.byte_order.value}-endian")
    words.append(f"layout {figures.layout or 'unknown'}")
    return ", ".join(words)


def without_names(result: DiffResult) -> str:
    """Return why functions are not named, "" if they are."""
    totals = [side.source for side in (result.old, result.new) if side.functions is None]
    if not totals:
        return ""
    return f"functions are not named: a saved {totals[0]} holds only totals"
