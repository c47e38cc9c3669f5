# SPDX-License-Identifier: GPL-2.0-or-later
"""Change sound inputs where they have meaning: fields of ELF files, values of JSON, words of lines."""

import json
import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fuzz.choices import Choices
from fuzz.fields import ElfFields, elf_fields

_MUTATIONS = (1, 1, 1, 1, 2, 2, 3, 8)
"""How many changes are made: most files stay sound enough to be looked at further."""
_OFTEN = ("symbols", "content", "relocations")
"""Groups of fields that are changed more often than those of headers."""
_NUMBERS = (
    *(0, 1, 2, 3, 4, 7, 8, 16, 20, 21, 22, 24, 38, 43, 64, 0x7F, 0x80, 0xFF, 0xFF00, 0xFFF1, 0xFFFF),
    *(1 << 16, 1 << 24, 1 << 25, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 0x40000014, 0x60000000),
    *((1 << 63) - 1, 1 << 63, (1 << 64) - 4, (1 << 64) - 8, (1 << 64) - 24, (1 << 64) - 1),
    *(0xC000000000000000, 0xBFFFFFFFFFFFFFFC, 0xC000000002000000, 0xC000000001FFFFFC),
)
_TEXTS = (
    *(b"", b"-1", b"_", b"+1", b"0x10", b"1_000", b"ffffffffffffffff", b"fffffffffffffff8"),
    *(b"c000000000000000", b"123456789abcdef0123456789abcdef", b"9" * 4400, b"a" * 2000),
    *(b"\xff\xfe", b"\xe2\x80\xae", b"\0", b"\r"),
    *(b"\x1b[31m", b"::error ::x", b"ftrace_caller", b"_stext", b".L1", b"T", b"U", b"[mod]"),
    *(b"$(shell touch x)", b"endef", b"define x", b"ifdef A", b"endif", b"\\", b"#"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 32, 64, 1 << 32, 1 << 63, 1 << 64, -(1 << 64), 1.5, 1e308),
    *(float("nan"), float("inf"), "", "64", "little", "inline", "ool", "pfe", "x" * 2000, "\ud800"),
    *("\n::error ::x", "\x1b[31m", [], {}, [None], [[]], {"a": []}, "@huge@", "@deep@"),
)
_HUGE, _DEEP = b"9" * 4400, b"[" * 3000 + b"]" * 3000
_WORD = re.compile(rb"[^\s,:=()\[\]]+")


def mutate_elf(data: bytes, choices: Choices) -> bytes:
    """Return an ELF file with some of its fields changed."""
    fields = _fields(data)
    groups = sorted(fields.groups)
    groups += 3 * [group for group in groups if group in _OFTEN]
    image = bytearray(data)
    for _ in range(choices.of(_MUTATIONS)):
        if choices.exhausted:
            break
        kind = choices.below(16)
        if kind == 0:
            _damage(image, choices)
            continue
        field = choices.of(fields.groups[choices.of(groups)])
        if field.offset + field.size > len(image):
            continue
        code = fields.byte_order + {1: "B", 2: "H", 4: "I", 8: "Q"}[field.size]
        (old,) = struct.unpack_from(code, image, field.offset)
        new = _changed_number(old, len(image), field.size, choices)
        struct.pack_into(code, image, field.offset, new & (1 << 8 * field.size) - 1)
    return bytes(image)


@lru_cache(64)
def _fields(data: bytes) -> ElfFields:
    return elf_fields(data)


def _changed_number(old: int, length: int, size: int, choices: Choices) -> int:
    kind = choices.below(6)
    if kind == 0:
        return choices.of(_NUMBERS)
    if kind == 1:
        return old + choices.below(256) - 128
    if kind == 2:
        return old ^ 1 << choices.below(8 * size)
    if kind == 3:
        return length + choices.below(64) - 32
    if kind == 4:
        return old * choices.below(256)
    return choices.number(size)


def _damage(image: bytearray, choices: Choices) -> None:
    """Cut, move, overwrite or repeat bytes anywhere."""
    at, length = choices.below(len(image) + 1), choices.of((1, 4, 8, 24, 64, 256))
    kind = choices.below(5)
    if kind == 0:
        del image[at:]
    elif kind == 1:
        del image[at : at + length]
    elif kind == 2:
        image[at : at + length] = choices.of((b"\0", b"\xff")) * length
    elif kind == 3:
        source = choices.below(len(image) + 1)
        image[at : at + length] = image[source : source + length]
    else:
        image[at:at] = choices.text(length)


def mutate_lines(data: bytes, choices: Choices) -> bytes:
    """Return a map, a log or a makefile with some of its lines and words changed."""
    lines = data.split(b"\n")
    for _ in range(choices.of(_MUTATIONS)):
        if choices.exhausted:
            break
        at = choices.below(len(lines))
        kind = choices.below(10)
        if kind == 0:
            del lines[at]
            lines = lines or [b""]
        elif kind == 1:
            lines.insert(at, lines[choices.below(len(lines))])
        elif kind == 2:
            lines[at:at] = [lines[at]] * choices.of((2, 10, 100))
        elif kind == 3:
            other = choices.below(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 4:
            lines[at] += choices.of(_TEXTS)
        elif kind == 5:
            line = bytearray(lines[at])
            _damage(line, choices)
            lines[at] = bytes(line)
        else:
            lines[at] = _changed_word(lines[at], choices)
    return b"\n".join(lines)


def _changed_word(line: bytes, choices: Choices) -> bytes:
    words = list(_WORD.finditer(line))
    if not words:
        return choices.of(_TEXTS)
    word = choices.of(words)
    kind = choices.below(4)
    if kind == 0:
        new = choices.of(_TEXTS)
    elif kind == 1:
        new = b"%x" % choices.of(_NUMBERS)
    elif kind == 2:
        new = choices.of(words)[0]
    else:
        new = word[0] + choices.of(_TEXTS)
    return line[: word.start()] + new + line[word.end() :]


def mutate_json(data: bytes, choices: Choices) -> bytes:
    """Return a JSON document with some of its values changed, or its text damaged."""
    if choices.below(8) == 1:
        image = bytearray(data)
        _damage(image, choices)
        return bytes(image)
    document = json.loads(data)
    for _ in range(choices.of(_MUTATIONS)):
        if choices.exhausted:
            break
        # a value that is in two places would be changed in both
        document = json.loads(json.dumps(_changed_value(document, choices)))
    text = json.dumps(document).encode("utf-8", "backslashreplace")
    return text.replace(b'"@huge@"', _HUGE).replace(b'"@deep@"', _DEEP)


def _changed_value(document: Any, choices: Choices) -> Any:
    """Replace, remove or repeat one value, chosen by walking down from the root."""
    parent: Any = None
    key: Any = None
    value = document
    while isinstance(value, dict | list) and value and (parent is None or choices.below(4)):
        parent, key = value, choices.of(_keys(value))
        value = value[key]
    if parent is None:
        return choices.of(_VALUES)
    kind = choices.below(6)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.extend([value] * choices.of((1, 20)))
    elif kind == 2 and isinstance(value, int) and not isinstance(value, bool):
        parent[key] = value + choices.below(256) - 128
    elif kind == 3:
        parent[key] = parent[choices.of(_keys(parent))]
    else:
        parent[key] = choices.of(_VALUES)
    return document


def _keys(value: dict[str, Any] | list[Any]) -> Sequence[Any]:
    return sorted(value) if isinstance(value, dict) else range(len(value))
