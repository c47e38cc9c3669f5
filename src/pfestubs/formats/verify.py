# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison of predicted stubs with memory: as text, and as the document `pfestubs/verify/1`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.text import dump_json_list, escape_line, hex_address, hex_word
from pfestubs.model import VERIFY_SCHEMA, ppc
from pfestubs.rules.analyses.stub_states import StubState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.stub_states import ComparedStub, Verification

SHOWN_PER_STATE: Final = 20
"""Stubs shown per state without --all."""


def render_text(result: Verification, options: RenderOptions) -> Iterator[str]:
    """Yield a line per stub that is not as predicted, all with --all, and the summary last."""
    file = escape_line(result.file)
    seen: Counter[StubState] = Counter()
    for stub in result.stubs:
        seen[stub.state] += 1
        if options.show_all or seen[stub.state] <= SHOWN_PER_STATE:
            yield f"{file}: {_sentence(stub)}\n"
    for state, count in seen.items():
        if count > SHOWN_PER_STATE and not options.show_all:
            yield f"{file}: {count - SHOWN_PER_STATE:,} more {state.value} (--all shows all)\n"
    yield f"{file}: {verify_summary(result)}\n"


def _sentence(stub: ComparedStub) -> str:
    where = f"{escape_line(stub.function)} at {hex_address(stub.location)}"
    place = "" if stub.area is None else f", stub {stub.index:,} of area {stub.area}"
    if stub.state is StubState.DIFFERENT:
        return f"error: stub-different: {where}{place}: {escape_line(_problem(stub))}"
    if stub.state is StubState.FREED:
        return f"freed: {where}{place}"
    target = "" if stub.target_name is None else f" calls {escape_line(stub.target_name)}"
    return f"{stub.state.value}: {where}{place}{target}"


def _problem(stub: ComparedStub) -> str:
    """Return what is different about a stub, and where; "" unless it is."""
    if stub.state is not StubState.DIFFERENT:
        return ""
    if stub.insns_address is None or stub.expected is None or stub.found is None:
        return "the boot has no stub for it"
    problems = []
    if stub.odd_location:
        problems.append(
            f"it holds {_optional(hex_word, stub.location_word) or 'nothing'}, expected nop"
            f" {hex_word(ppc.NOP)} or a branch to its stub, {_optional(hex_word, stub.traced) or 'nothing'}"
        )
    if not any(stub.found):
        problems.append(f"its stub at {stub.insns_address:#x} is empty")
    else:
        problems += [
            f"its stub has {_optional(hex_word, stub.found[i]) or 'nothing'} at"
            f" {ppc.add(stub.insns_address, 4 * i):#x}, expected {hex_word(stub.expected[i])}"
            for i in stub.odd_words
        ]
    return "; ".join(problems)


def verify_summary(result: Verification) -> str:
    """Return the outcome in one sentence, without the file's name."""
    counts = result.counts
    sentence = (
        f"{'ok' if result.ok else 'failed'}: {counts[StubState.AS_PREDICTED]:,} of {result.locations:,} stubs"
        " as predicted"
    )
    for state, words in (
        (StubState.IN_USE, "in use"),
        (StubState.FREED, "freed with init memory"),
        (StubState.DIFFERENT, "different"),
    ):
        sentence += f", {counts[state]:,} {words}" if counts[state] else ""
    if result.offset:
        sentence += f"; the kernel is relocated by {result.offset:+#x}"
    if result.stops_at is not None:
        function = escape_line(result.stops_at)
        sentence += f"; ftrace disables itself at boot, at {function} (see pfestubs check)"
    return sentence + ("; the kernel has disabled ftrace" if result.disabled else "")


def render_json(result: Verification, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; it holds every stub of the result."""
    counts = result.counts
    yield from dump_json_list(
        {
            "schema": VERIFY_SCHEMA,
            "file": result.file,
            "dump": result.dump,
            "layout": result.layout,
            "offset": f"{result.offset:#x}",
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
        "problem": _problem(stub) or None,
    }


def _optional(spell: Callable[[int], str], value: int | None) -> str | None:
    return None if value is None else spell(value)
