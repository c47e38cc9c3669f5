# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison with memory as the JSON document `pfestubs/verify/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pfestubs.formats.text import dump_json_list, hex_address, hex_word
from pfestubs.formats.verify import problem_sentence
from pfestubs.model import VERIFY_SCHEMA
from pfestubs.rules.analyses.stub_states import StubState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.stub_states import ComparedStub, Verification


def render(result: Verification, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; it holds every stub of the result."""
    counts = result.counts
    yield from dump_json_list(
        {
            "schema": VERIFY_SCHEMA,
            "file": result.file,
            "dump": result.dump,
            "layout": result.layout,
            "offset": _signed(result.offset),
            "ok": result.ok,
            "stub_size": result.stub_size,
            "stubs": result.locations,
            "as_predicted": counts[StubState.AS_PREDICTED],
            "in_use": counts[StubState.IN_USE],
            "freed": counts[StubState.FREED],
            "different": counts[StubState.DIFFERENT],
            "stops_at": result.stops_at,
            "ftrace_disabled": result.disabled,
            "findings": [],
        },
        "findings",
        map(_values, result.stubs),
    )


def _values(stub: ComparedStub) -> dict[str, Any]:
    return {
        "state": stub.state.value,
        "function": stub.function,
        "location": hex_address(stub.location),
        "location_word": _optional(hex_word, stub.location_word),
        "area": stub.area,
        "index": stub.index,
        "address": _optional(hex_address, stub.address),
        "insns_address": _optional(hex_address, stub.insns_address),
        "expected": None if stub.expected is None else [hex_word(value) for value in stub.expected],
        "found": None if stub.found is None else [_optional(hex_word, value) for value in stub.found],
        "target": _optional(hex_address, stub.target),
        "target_symbol": stub.target_name,
        "problem": problem_sentence(stub) or None,
    }


def _optional(spell: Callable[[int], str], value: int | None) -> str | None:
    return None if value is None else spell(value)


def _signed(value: int) -> str:
    return f"-{hex_address(-value)}" if value < 0 else hex_address(value)
