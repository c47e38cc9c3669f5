# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a kernel's text, areas, tracers and trampolines are."""

from __future__ import annotations

from operator import sub
from typing import TYPE_CHECKING, Literal, NamedTuple

from pfestubs.model import ppc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pfestubs.rules.kernel.boot import Boot

PartKind = Literal["text", "area", "tracer", "trampoline"]


class MapPart(NamedTuple):
    """A part of the map.

    Attributes:
        name: of the area, or the symbol; "text" and "inittext" for the two texts.
        span: its addresses; of a tracer or a trampoline only the first instruction is known.
        stubs: of an area, None for other parts.
        reach: the addresses from which a function can branch to every stub of an area, None for other parts
            and for an area that is too large for that.
    """

    kind: PartKind
    name: str
    span: range
    stubs: int | None = None
    reach: range | None = None


class AddressMap(NamedTuple):
    """The two texts, ascending and apart (one span where they overlap), and what is in them."""

    spans: Sequence[range]
    parts: Sequence[MapPart]


class TextGap(NamedTuple):
    """A piece of kernel text without traced functions or stubs: its bytes, and the symbols around it."""

    bytes: int
    before: str
    after: str


def largest_gap(boot: Boot) -> TextGap | None:
    """Return the largest gap between traced functions and areas of kernel text, None if there is none."""
    kernel = boot.kernel
    areas = {area.address: area for area in kernel.areas if area.count and area.address in kernel.text}
    stops = {address + area.count * boot.stub_size: area for address, area in areas.items()}
    stops = {stop: area for stop, area in stops.items() if stop <= kernel.text.stop}
    marks = sorted([*boot.locations[boot.positions_in(kernel.text)], *areas, *stops])
    gaps = [
        0 if mark in areas else size for mark, size in zip(marks, map(sub, marks[1:], marks), strict=False)
    ]
    size = max(gaps, default=0)
    if not size:
        return None
    before, after = marks[gaps.index(size) :][:2]
    return TextGap(
        size,
        stops[before].spec.symbol if before in stops else kernel.name(before),
        areas[after].spec.symbol if after in areas else kernel.name(after),
    )


class TextSizes(NamedTuple):
    """The bytes of kernel text and of init text, and the largest gap in kernel text."""

    text: int
    inittext: int
    gap: TextGap | None


def measure_text(boot: Boot) -> TextSizes:
    """Return how large the two texts are."""
    text, inittext = map(ppc.span_size, (boot.kernel.text, boot.kernel.inittext))
    return TextSizes(text, inittext, largest_gap(boot))


def map_addresses(boot: Boot) -> AddressMap:
    """Return the map of a kernel."""
    kernel = boot.kernel
    parts = [MapPart("text", "text", kernel.text), MapPart("text", "inittext", kernel.inittext)]
    for area in kernel.areas:
        stop = area.address + area.count * boot.stub_size
        low = stop + ppc.BACKWARD_LIMIT
        high = area.address + ppc.FORWARD_LIMIT
        reach = range(max(0, low), high) if area.count and low < high else None
        parts.append(MapPart("area", area.name, range(area.address, stop), area.count, reach))
    symbols: tuple[tuple[PartKind, Mapping[str, int]], ...] = (
        ("tracer", kernel.tracers),
        ("trampoline", kernel.trampolines),
    )
    for kind, addresses in symbols:
        parts += [
            MapPart(kind, name, range(address, address + ppc.INSN_SIZE))
            for name, address in addresses.items()
        ]
    return AddressMap(_join(part.span for part in parts if part.kind == "text" and part.span), parts)


def _join(spans: Iterable[range]) -> Sequence[range]:
    """Return the spans in ascending order, those that overlap or touch as one."""
    joined: list[range] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and span.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, span.stop))
        else:
            joined.append(span)
    return joined
