# SPDX-License-Identifier: GPL-2.0-or-later
"""What values the documents of earlier runs hold: the shipped schemas, as far as a reader depends on them.

Every value that a document may hold is checked, also those that no command uses: a document with one wrong
value was not written by pfestubs. Keys that a schema does not know may come from a later version and are
accepted, keys that earlier versions did not write may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pfestubs.layouts import LAYOUTS
from pfestubs.model import ByteOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

INTEGER_LIMIT: Final = 1 << 64


class Mismatch(NamedTuple):
    """The first value that is not as expected: its name, the value (None if missing), what was expected."""

    name: str
    found: object
    expected: str


Check = Callable[[object, str], Mismatch | None]
"""Returns what is wrong with a value, given its name."""


def _test(expected: str, accepts: Callable[[Any], bool]) -> Check:
    def check(value: object, name: str) -> Mismatch | None:
        return None if accepts(value) else Mismatch(name, value, expected)

    return check


def one_of(*allowed: object) -> Check:
    """Accept these values only; a number is not a truth value."""
    kinds = {(type(value), value) for value in allowed}
    expected = ", ".join("null" if value is None else str(value) for value in allowed)

    def accepts(value: object) -> bool:
        return isinstance(value, str | int | None) and (type(value), value) in kinds

    return _test(f"one of {expected}", accepts)


def text_like(pattern: str, expected: str) -> Check:
    """Accept text that matches."""
    match = re.compile(pattern).fullmatch
    return _test(expected, lambda value: isinstance(value, str) and match(value) is not None)


def nullable(check: Check) -> Check:
    """Accept null too."""

    def check_nullable(value: object, name: str) -> Mismatch | None:
        return None if value is None else check(value, name)

    return check_nullable


def list_of(check: Check, length: int | None = None) -> Check:
    """Accept a list of such values."""

    def check_list(value: object, name: str) -> Mismatch | None:
        if not isinstance(value, list):
            return Mismatch(name, value, "a list")
        if length is not None and len(value) != length:
            return Mismatch(name, value, f"a list of {length}")
        for i, item in enumerate(value):
            found = check(item, "")
            if found is not None:  # the name is made only now: a list has tens of thousands of items
                return found._replace(name=f"{name}[{i}]{found.name and '.'}{found.name}")
        return None

    return check_list


def object_of(
    required: Mapping[str, Check],
    optional: Mapping[str, Check] | None = None,
) -> Check:
    """Accept an object with these keys."""
    rows = [(key, check, True) for key, check in required.items()]
    rows += [(key, check, False) for key, check in (optional or {}).items()]

    def check_object(value: object, name: str) -> Mismatch | None:
        if not isinstance(value, dict):
            return Mismatch(name, value, "an object")
        for key, check, is_required in rows:
            if key in value:
                found = check(value[key], key)
            else:
                found = Mismatch(key, None, "it") if is_required else None
            if found is not None:
                return found._replace(name=f"{name}{name and '.'}{found.name}")
        return None

    return check_object


def _is_integer(value: object) -> bool:
    return type(value) is int and abs(value) < INTEGER_LIMIT  # a bool is an int, too


TEXT: Final = _test("text", lambda value: isinstance(value, str))
FLAG: Final = _test("true or false", lambda value: isinstance(value, bool))
COUNT: Final = _test("a count", lambda value: _is_integer(value) and value >= 0)
BYTES: Final = _test("a number of bytes", _is_integer)
OPTIONAL_BYTES: Final = _test("a number of bytes or null", lambda value: value is None or _is_integer(value))
ADDRESS: Final = text_like("0x[0-9a-f]{1,16}", "an address such as 0xc000000000001000")
WORD: Final = text_like("0x[0-9a-f]{8}", "an instruction word such as 0x60000000")
AREA_NAMES: Final = sorted({area.name for layout in LAYOUTS.values() for area in layout.areas})

_MACHINE: Final = {
    "machine": one_of("ppc64", "ppc"),
    "class": one_of(64, 32),
    "byte_order": one_of(*(order.value for order in ByteOrder)),
}
_HEADROOM: Final = {"function": nullable(TEXT), "location": nullable(ADDRESS)}
_BRANCHES: Final = ("stub", "return", "tracer")

COUNT_SHAPE: Final = object_of(
    {
        **_MACHINE,
        "relocation": one_of("R_PPC64_ADDR64", "R_PPC_ADDR32"),
        "layout": one_of(*LAYOUTS, None),
        "entries": object_of(dict.fromkeys(("text", "inittext", "exittext", "total"), COUNT)),
        "stubs": nullable(object_of({}, dict.fromkeys(AREA_NAMES, COUNT))),
    },
    {"file": TEXT},
)
CHECK_SHAPE: Final = object_of(
    {
        "layout": one_of(*LAYOUTS, "inline"),
        "locations": COUNT,
        "headroom": object_of(
            {"bytes": OPTIONAL_BYTES},
            {
                **_HEADROOM,
                "branch": one_of(*_BRANCHES, None),
                "by_branch": list_of(
                    object_of({"bytes": BYTES}, {**_HEADROOM, "branch": one_of(*_BRANCHES)})
                ),
            },
        ),
    },
    {
        **_MACHINE,
        "file": TEXT,
        "ok": FLAG,
        "areas": list_of(
            object_of(
                {"name": one_of(*AREA_NAMES), "reserved": COUNT, "used": COUNT},
                {"address": ADDRESS, "needed": COUNT},
            )
        ),
        "findings": list_of(
            object_of(
                {"rule": TEXT},
                {
                    "severity": one_of("error", "note"),
                    "function": nullable(TEXT),
                    "location": nullable(ADDRESS),
                    "stub": nullable(ADDRESS),
                    "distance": OPTIONAL_BYTES,
                    "limit": OPTIONAL_BYTES,
                    "message": TEXT,
                    "remedy": nullable(object_of({"action": TEXT}, {"config": TEXT, "value": COUNT})),
                },
            )
        ),
        "stub_size": nullable(COUNT),
        "baseline": nullable(object_of({}, {"file": TEXT, "locations": COUNT, "headroom": OPTIONAL_BYTES})),
        "kernel": nullable(object_of({}, dict.fromkeys(("release", "banner", "build_id"), nullable(TEXT)))),
        "pfestubs": TEXT,
    },
)
STUBS_SHAPE: Final = object_of(
    {
        "layout": one_of(*LAYOUTS),
        "stub_size": COUNT,
        "stubs": list_of(
            object_of(
                {"function": TEXT},
                {
                    "area": one_of(*AREA_NAMES, None),
                    "index": nullable(COUNT),
                    "location": ADDRESS,
                    "address": nullable(ADDRESS),
                    "insns_address": nullable(ADDRESS),
                    "insns": nullable(list_of(WORD, 4)),
                    "traced": nullable(WORD),
                },
            )
        ),
    },
    {"file": TEXT},
)
