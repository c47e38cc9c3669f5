# SPDX-License-Identifier: GPL-2.0-or-later
"""Names in string tables: as text, and where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME_LIMIT: Final = 1024
"""Bytes of a name that are shown: twice the kernel's KSYM_NAME_LEN; bounds memory use for hostile files."""
_GROUP_PREFIX: Final = 7


def string_at(table: bytes, offset: int) -> str:
    """Return the string at `offset` of a string table as text."""
    return decode_name(raw_string_at(table, offset))


def raw_string_at(table: bytes, offset: int) -> bytes:
    """Return the bytes of the string at `offset` of a string table; of a long one the beginning."""
    end = table.find(b"\0", offset, offset + NAME_LIMIT)
    if end < 0:  # too long, or the table ends first
        end = offset + NAME_LIMIT if offset + NAME_LIMIT < len(table) else offset
    return table[offset:end]


def decode_name(name: bytes) -> str:
    r"""Return a name as text; bytes that are not ASCII as `\xNN` if they are not UTF-8 either.

    The codec's own handler (backslashreplace) takes 50 times as long, which hostile files can cause.
    """
    try:
        return name.decode()
    except UnicodeDecodeError:
        return repr(name)[2:-1]


def offsets_of_names(table: bytes, names: Sequence[str], start: int = 0) -> dict[int, str]:
    """Return where one of `names` can be read in a string table from `start` on, and which.

    Names that begin alike are searched for together: a table has megabytes.
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(name[:_GROUP_PREFIX], []).append(name)
    found: dict[int, str] = {}
    for group in groups.values():
        keys = {name.encode() + b"\0": name for name in group}
        every = tuple(keys)
        prefix = every[0] if len(every) == 1 else group[0][:_GROUP_PREFIX].encode()
        at = table.find(prefix, start)
        while at >= 0:
            if table.startswith(every, at):
                found[at] = keys[table[at : table.index(b"\0", at) + 1]]
            at = table.find(prefix, at + 1)
    return found
