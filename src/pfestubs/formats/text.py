# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers, names and JSON as every format writes them."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pfestubs.model import KernelIdentity

_ADDRESSES: Final = frozenset({"address", "location", "stub", "target", "offset"})
"""The attributes that are addresses."""


def hex_address(value: int) -> str:
    """Return an address: lower case, unpadded."""
    return f"{value:#x}"


def optional_address(value: int | None) -> str | None:
    """Return an address as documents have it, None where there is none."""
    return None if value is None else hex_address(value)


def hex_word(value: int | None) -> str | None:
    """Return an instruction word: eight digits; None where there is none."""
    return None if value is None else f"{value:#010x}"


def escape(text: str) -> str:
    """Return `text` with everything spelled out that is not printable, except newlines."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def escape_line(text: str) -> str:
    """Return `text` from a file as part of one line: nothing unprintable, no newline, no command of GitHub.

    GitHub takes a line that starts with "::", after white space, for a command, and "##[" anywhere.
    """
    line = escape(text).replace("\n", "\\n")
    if line.lstrip().startswith("::"):
        line = line.replace("::", "\\x3a:", 1)
    return line.replace("##[", "#\\x23[")


def plural(number: int, singular: str, several: str = "") -> str:
    """Return a count with its noun: "1 stub", "14,885 functions"."""
    return f"{number:,} {singular if number == 1 else several or singular + 's'}"


def wrap(text: str, width: int | None) -> str:
    """Return `text` in lines of at most `width` columns that break between words, or a longer word alone."""
    if width is None or len(text) <= width:
        return text
    from textwrap import fill  # 3 ms

    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def machine_words(kernel: KernelIdentity) -> list[str]:
    """Return what kind of kernel it is, as far as known: "64-bit", "little-endian", "layout ool"."""
    words = [] if kernel.bits is None else [f"{kernel.bits}-bit"]
    if kernel.byte_order is not None:
        words.append(f"{kernel.byte_order}-endian")
    return [*words, f"layout {kernel.layout or 'unknown'}"]


def bytes_text(size: int, remark: str = "", *, unit: str = "byte") -> str:
    """Return a count of bytes, with more than six digits in MiB too: "6,649,412 bytes (6.3 MiB, remark)"."""
    remarks = [f"{size / (1 << 20):,.1f} MiB"] if abs(size) > 999_999 else []
    remarks += [remark] if remark else []
    number = plural(size, unit) if unit else f"{size:,}"
    return number + (f" ({', '.join(remarks)})" if remarks else "")


def growth_left(size: int | None, unknown: str = "-") -> str:
    """Return bytes by which text can grow, "3,148,788 (3.0 MiB)", or that it must lose some."""
    if size is None:
        return unknown
    if size < 0:
        return f"must lose {size_text(-size)}"
    return "more than 1 GiB" if size > 1 << 30 else bytes_text(size, unit="")


def size_text(size: int) -> str:
    """Return bytes in the unit that people read: "17.5 MiB", "-512 bytes"."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if abs(size) >= unit:
            return f"{size / unit:,.1f} {name}"
    return plural(size, "byte")


def keys_of(value: object, names: str) -> dict[str, Any]:
    """Return some attributes of `value` as keys of a document; null for all of them if it is None.

    Args:
        value: what the document is about.
        names: of the attributes, separated by blanks; an address is text, an enumeration its value.
    """
    keys: dict[str, Any] = {name: None if value is None else getattr(value, name) for name in names.split()}
    for name, found in keys.items():
        if name in _ADDRESSES:
            keys[name] = optional_address(found)
        elif isinstance(found, Enum):
            keys[name] = found.value
    return keys


def dump_json_list(value: Any, key: str, items: Iterable[Any], depth: int = 1) -> Iterator[str]:
    """Yield what `dump_json` returns for `value` with `items` at `key`, item by item: a list can be long.

    Args:
        value: holds an empty list there.
        key: of an object, the first one of that depth.
        items: the list's.
        depth: how many objects and lists enclose the key.
    """
    indent = "\n" + 2 * depth * " "
    head, empty, tail = dump_json(value).partition(f'{indent}"{key}": []')
    yield head + empty[:-1]
    separator = ""
    for item in items:
        yield f"{separator}{indent}  " + dump_json(item)[:-1].replace("\n", f"{indent}  ")
        separator = ","
    yield (f"{indent}]" if separator else "]") + tail


def dump_json_lines(value: Mapping[str, Any], key: str, items: Iterable[Any]) -> Iterator[str]:
    """Yield a compact document with `items` at `key`, each in a line of its own; keys sorted, no NaN."""
    encode = json.JSONEncoder(sort_keys=True, allow_nan=False).encode
    head, empty, tail = encode({**value, key: []}).partition(f'"{key}": []')
    yield head + empty[:-1]
    separator = "\n"
    for item in items:
        yield separator + encode(item)
        separator = ",\n"
    yield f"\n]{tail}\n"


def dump_json(value: Any) -> str:
    """Return a JSON document: keys sorted, no NaN, no colour, one final newline."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=True) + "\n"
