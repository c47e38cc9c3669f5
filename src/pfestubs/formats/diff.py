# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kernels compared, figures first: text, a comment on a pull request, the document `pfestubs/diff/1`."""

from __future__ import annotations

from itertools import islice, starmap
from typing import TYPE_CHECKING, Any, Final

from pfestubs import __version__
from pfestubs.formats import markdown
from pfestubs.formats.markdown import sentence
from pfestubs.formats.tables import Table, paragraph, styled, table_text
from pfestubs.formats.text import (
    bytes_text,
    dump_json,
    escape_line,
    growth_left,
    keys_of,
    machine_words,
    plural,
)
from pfestubs.rules.analyses.relink import GrowthShape

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.model import KernelFigures
    from pfestubs.rules.analyses.diff import DiffResult

SHOWN: Final = 20
"""Symbols shown of those added, and of those removed, without --all."""
_OTHER_KIND: Final = "the kernels are of different kinds: figures of different layouts mean different things"


def render_text(result: DiffResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines; a single one without differences."""
    old, new = escape_line(result.old.kernel.file), escape_line(result.new.kernel.file)
    if not result.same:
        for title, side in (("old", result.old), ("new", result.new)):
            yield paragraph(f"{title}: {escape_line(side.kernel.file)} ({_describe(side)})", options)
        if not result.same_kind:
            yield paragraph(_OTHER_KIND, options)
        yield table_text(_figures(result), options)
        yield from _functions("added", result.added, options)
        yield from _functions("removed", result.removed, options)
        for reason in _without_names(result):
            yield paragraph(reason, options)
    yield paragraph(f"{new}: {diff_summary(result)}; compared with {old}", options)


def _functions(verb: str, functions: Counter[str] | None, options: RenderOptions) -> Iterator[str]:
    if not functions:
        return
    sign, style = ("+", "good") if verb == "added" else ("-", "bad")
    yield f"{_heading(functions, verb)}:\n"
    shown = list(islice(functions.items(), None if options.show_all else SHOWN))
    lines = "".join(f"  {sign} {_function_label(*function)}\n" for function in shown)
    yield styled(lines, style, options)
    if len(functions) > len(shown):
        names = "" if len(functions) == functions.total() else " names"
        yield f"  ... and {len(functions) - len(shown):,} more{names} (--all shows all)\n"


def render_markdown(result: DiffResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - always as much as fits
    """Yield the document, at most `markdown.LIMIT` characters."""
    sides = [
        f"- {title}: {markdown.code(side.kernel.file)} ({markdown.code(_describe(side))})"
        for title, side in (("old", result.old), ("new", result.new))
    ]
    blocks = ["### Out-of-line ftrace stubs", f"**{sentence(diff_summary(result))}**", "\n".join(sides)]
    if not result.same:
        blocks += [] if result.same_kind else [sentence(_OTHER_KIND)]
        blocks.append(markdown.table_block(_figures(result)))
        blocks += map(sentence, _without_names(result))
    lists = [
        markdown.FoldedList(_heading(functions, verb), list(starmap(_function_label, functions.items())))
        for verb, functions in (("added", result.added), ("removed", result.removed))
        if functions and not result.same
    ]
    yield from markdown.document(blocks, lists)


def render_json(result: DiffResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; null for what is unknown."""
    old, new = sides = result.old, result.new
    yield dump_json(
        {
            "schema": "pfestubs/diff/1",
            **_pair(old.kernel.file, new.kernel.file),
            "same": result.same,
            **_pairs(old, new, "source stub_size unserved headroom growth damage"),
            **_pairs(old.kernel, new.kernel, "byte_order layout"),
            "class": _pair(*(side.kernel.bits for side in sides)),
            "kernel": _pair(*(keys_of(side.kernel, "release build_id") for side in sides)),
            "text": _pair(*(keys_of(side, "text inittext gap") for side in sides)),
            "entries": _pair(*(side.entries and side.entries._asdict() for side in sides)),
            "locations": {
                **_pair(*result.locations),
                "added": None if result.added is None else list(result.added.elements()),
                "removed": None if result.removed is None else list(result.removed.elements()),
            },
            "areas": [
                {"name": name, **_pairs(*both, "reserved used")} for name, both in result.areas.items()
            ],
            "pfestubs": __version__,
        }
    )


def _pair(old: Any, new: Any) -> dict[str, Any]:
    return {"old": old, "new": new}


def _pairs(old: object, new: object, names: str) -> dict[str, Any]:
    """Return attributes of both sides as keys of the document."""
    before, after = keys_of(old, names), keys_of(new, names)
    return {name: _pair(before[name], after[name]) for name in before}


def _figures(result: DiffResult) -> Table:
    """Return the figures that at least one source holds; "-" for what the other does not."""
    return Table(("", ">old", ">new", ">change"), list(_rows(result)))


def _rows(result: DiffResult) -> Iterator[tuple[str, ...]]:
    old, new = result.old, result.new
    yield from _row("locations", *result.locations)
    if old.entries is not None and new.entries is not None:
        for kind in ("text", "inittext", "exittext"):
            yield from _row(f"entries in {kind}", getattr(old.entries, kind), getattr(new.entries, kind))
    for name, (one, other) in result.areas.items():
        yield from _row(f"area {name}, reserved", one.reserved, other.reserved)
        yield from _row(f"area {name}, used", one.used, other.used)
    yield from _row("locations that fail", old.unserved, new.unserved)
    yield from _row("bytes of a stub", old.stub_size, new.stub_size)
    yield from _row("headroom", old.headroom, new.headroom, _headroom(old), _headroom(new))
    for shape in GrowthShape:
        before, after = ((side.growth or {}).get(shape.value) for side in (old, new))
        yield from _row(f"growth left, {shape.value}", before, after, growth_left(before), growth_left(after))
    for label, name in (("kernel text", "text"), ("init text", "inittext"), ("largest gap", "gap")):
        before, after = getattr(old, name), getattr(new, name)
        yield from _row(label, before, after, growth_left(before), growth_left(after))


def _row(label: str, old: int | None, new: int | None, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield a row unless both are unknown; `words` for figures that are not plain counts."""
    if old is None and new is None:
        return
    change = ""
    if old is not None and new is not None:
        by = new - old
        change = f"{by / (1 << 20):+,.1f} MiB" if words and abs(by) > 999_999 else f"{by:+,}" if by else "0"
    yield label, *(words or ("-" if value is None else f"{value:,}" for value in (old, new))), change


def _headroom(side: KernelFigures) -> str:
    if side.headroom is None:
        return "none" if side.unserved and side.source != "stubs" else "-"
    return bytes_text(side.headroom, unit="")


def diff_summary(result: DiffResult) -> str:
    """Return the outcome in one sentence."""
    old, new = result.locations
    if result.same:
        summary = f"no differences ({plural(new, 'location')})"
    else:
        summary = plural(new, "location") + (f", {new - old:+,}" if new != old else " in both")
        if result.added is not None and result.removed is not None:
            summary += f": {result.added.total():,} added, {result.removed.total():,} removed"
    if result.new.damage is not None:
        summary += f"; the new kernel is damaged ({result.new.damage}): see pfestubs check"
    elif result.new.unserved:
        summary += f"; {plural(result.new.unserved, 'location')} of the new kernel would fail at boot"
    return summary


def _heading(functions: Counter[str], verb: str) -> str:
    """Return how many locations were added or removed, and of how many names where that differs."""
    heading = f"{plural(functions.total(), 'location')} {verb}"
    return heading if functions.total() == len(functions) else f"{heading} ({plural(len(functions), 'name')})"


def _function_label(name: str, number: int) -> str:
    """Return a function's symbol, and how many of that name, as part of one line."""
    return escape_line(name) + ("" if number == 1 else f" ({number:,} of this name)")


def _describe(figures: KernelFigures) -> str:
    """Return which kernel it is, as far as known: "kernel 7.2.13, 64-bit, little-endian, ..."."""
    words = ["kernel" if figures.source == "kernel" else f"saved {figures.source}"]
    if figures.kernel.release is not None:
        words.append(escape_line(figures.kernel.release))
    return ", ".join([*words, *machine_words(figures.kernel)])


def _without_names(result: DiffResult) -> list[str]:
    """Return why functions are not named, nothing if they are."""
    totals = [side.source for side in (result.old, result.new) if side.functions is None]
    return [f"functions are not named: a saved {source} holds only totals" for source in totals[:1]]
