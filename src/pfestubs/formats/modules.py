# SPDX-License-Identifier: GPL-2.0-or-later
"""The stubs of modules as text, and as `pfestubs/modules/1`, one module per line."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.tables import Table, paragraph, table_text
from pfestubs.formats.text import dump_json_lines, escape_line, keys_of, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.modules import ModuleListing, ModuleStubs, TracingKind

_COLUMNS: Final = ("`module", ">locations", ">stub bytes", ">stub entries", "flags")
_KINDS: Final[dict[TracingKind, str]] = {
    "stubs": "out-of-line stubs",
    "32-bit": "no stubs (32 bits)",
    "elf-v1": "no stubs (ELFv1)",
    "mcount": "no stubs (calls of _mcount, __mcount_loc)",
    "two-nops": "no stubs (two nops at each function)",
}


def render_text(listing: ModuleListing, options: RenderOptions) -> Iterator[str]:
    """Yield a table, what kernels the modules are for, and the totals in the last line."""
    files = [row.module.file for row in listing.modules]
    parent = _common_directory(files)
    if parent:
        yield f"in {escape_line(parent)}:\n"
    names = [file.removeprefix(f"{parent}/") for file in files] if parent else files
    rows = [
        (name, *(f"{n:,}" for n in (row.locations, row.stub_bytes, row.stub_entries)), ", ".join(row.flags))
        for name, row in zip(names, listing.modules, strict=True)
    ]
    yield table_text(Table(_COLUMNS, rows), options)
    for line in _kernels(listing.modules):
        yield paragraph(line, options)
    yield paragraph(_totals(listing), options)


def _common_directory(files: Sequence[str]) -> str:
    """Return the directory that all files are below, "" for a single file or without one."""
    try:
        return os.path.commonpath([os.path.dirname(file) for file in files]) if len(files) > 1 else ""
    except ValueError:  # absolute and relative paths
        return ""


def _kernels(modules: Sequence[ModuleStubs]) -> Iterator[str]:
    """Yield a line for each kernel that files are for, and one for those of kernels without stubs."""
    kernels = Counter((row.module.vermagic, row.module.abi, row.kind) for row in modules if row.kind)
    for (vermagic, abi, kind), number in kernels.items():
        words = [f'vermagic "{escape_line(vermagic)}"' if vermagic else "an unknown vermagic"]
        words += [f"ELFv{abi}"] if abi else []
        yield f"for {', '.join(words)}, {_KINDS[kind]}: {plural(number, 'file')}"
    other = sum(row.kind not in {None, "stubs"} for row in modules)
    if other:
        files, they = plural(other, "file is", "files are"), "it" if other == 1 else "them"
        yield (
            f"{files} for another kind of kernel, which traces without stubs: nothing is reserved for {they}"
        )


def _totals(listing: ModuleListing) -> str:
    files, modules, locations, unseen, stub_bytes, stub_entries = listing.totals.values()
    sentence = (
        f"{plural(modules, 'module')}{f' in {files:,} files' if files != modules else ''}:"
        f" {plural(locations, 'location')}, {plural(stub_bytes, 'stub byte')},"
        f" {plural(stub_entries, 'stub entry', 'stub entries')}"
    )
    if unseen:
        sentence += f", {plural(unseen, 'entry', 'entries')} that the loader would not see"
    if listing.flags:
        sentence += "; " + ", ".join(f"{flag} {number:,}" for flag, number in listing.flags.items())
    if listing.unread:
        sentence += f"; {len(listing.unread):,} not read"
    return sentence


def render_json(listing: ModuleListing, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document, one module per line."""
    values = {
        "schema": "pfestubs/modules/1",
        "stub_size": listing.stub_size,
        "totals": {**listing.totals, "flags": listing.flags},
        "unread": [{"file": error.subject, "problem": error.problem} for error in listing.unread],
    }
    yield from dump_json_lines(values, "modules", map(_values, listing.modules))


def _values(row: ModuleStubs) -> dict[str, Any]:
    return {
        **keys_of(row.module, "file byte_order vermagic abi nops text_bytes"),
        **keys_of(row, "locations unseen stub_bytes stub_entries flags"),
        "class": row.module.bits,
        "mcount": row.module.has_mcount,
        "tracing": row.kind,
    }
