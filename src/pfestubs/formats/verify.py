# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison of predicted stubs with memory: as text, and as the document `pfestubs/verify/1`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from pfestubs.formats.stubs import place_values
from pfestubs.formats.tables import paragraph
from pfestubs.formats.text import dump_json_list, escape_line, hex_address, hex_word, keys_of
from pfestubs.model import ppc
from pfestubs.rules.analyses.stubs import StubState
from pfestubs.rules.kernel.stubs import stub_words, traced_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.stubs import ComparedStub, Verification

SHOWN_PER_STATE: Final = 20
"""Stubs shown per state without --all."""


def render_text(result: Verification, options: RenderOptions) -> Iterator[str]:
    """Yield a line per stub that is not as predicted, all with --all, and the summary last."""
    file = escape_line(result.boot.kernel.file)
    seen: Counter[StubState] = Counter()
    for stub in result.stubs:
        seen[stub.state] += 1
        if options.show_all or seen[stub.state] <= SHOWN_PER_STATE:
            yield paragraph(f"{file}: {_sentence(stub)}", options)
    for state, count in seen.items():
        if count > SHOWN_PER_STATE and not options.show_all:
            yield f"{file}: {count - SHOWN_PER_STATE:,} more {state.value} (--all shows all)\n"
    yield paragraph(f"{file}: {verify_summary(result)}", options)


def _sentence(stub: ComparedStub) -> str:
    boot, position = stub.boot, stub.position
    where, place = f"{escape_line(boot.function(position))} at {hex_address(stub.location)}", ""
    if stub.found is not None:
        place = f", stub {boot.index[position]:,} of area {boot.area_of(position).name}"
    if stub.state is StubState.DIFFERENT:
        return f"error: stub-different: {where}{place}: {escape_line(_problem(stub))}"
    if stub.state is StubState.FREED:
        return f"freed: {where}{place}"
    target = "" if stub.target is None else f" calls {escape_line(boot.kernel.name(stub.target))}"
    return f"{stub.state.value}: {where}{place}{target}"


def _problem(stub: ComparedStub) -> str:
    """Return what is different about a stub, and where; "" unless it is."""
    boot, position = stub.boot, stub.position
    if stub.state is not StubState.DIFFERENT:
        return ""
    if stub.found is None:
        return "the boot has no stub for it"
    problems, traced, insns = [], traced_word(boot, position), boot.insns[position]
    if stub.word not in {ppc.NOP, traced}:
        problems.append(
            f"it holds {hex_word(stub.word) or 'nothing'}, expected nop {hex_word(ppc.NOP)} or a branch to"
            f" its stub, {hex_word(traced)}"
        )
    if not any(stub.found):
        problems.append(f"its stub at {insns:#x} is empty")
    else:
        expected = stub_words(boot, position)
        problems += [
            f"its stub has {hex_word(stub.found[i]) or 'nothing'} at"
            f" {ppc.add(insns, 4 * i):#x}, expected {hex_word(expected[i])}"
            for i in stub.odd_words
        ]
    return "; ".join(problems)


def verify_summary(result: Verification) -> str:
    """Return the outcome in one sentence, without the file's name."""
    counts, boot = result.counts, result.boot
    outcome, predicted = "ok" if result.ok else "failed", counts[StubState.AS_PREDICTED]
    sentence = f"{outcome}: {predicted:,} of {counts.total():,} stubs as predicted"
    for state in (StubState.IN_USE, StubState.FREED, StubState.DIFFERENT):
        words = "freed with init memory" if state is StubState.FREED else state.value
        sentence += f", {counts[state]:,} {words}" if counts[state] else ""
    if result.offset:
        sentence += f"; the kernel is relocated by {result.offset:+#x}"
    if boot.stop_function is not None:
        function = escape_line(boot.stop_function)
        sentence += f"; ftrace disables itself at boot, at {function} (see pfestubs check)"
    return sentence + ("; the kernel has disabled ftrace" if result.disabled else "")


def render_json(result: Verification, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document; it holds every stub of the result."""
    counts, boot = result.counts, result.boot
    yield from dump_json_list(
        {
            "schema": "pfestubs/verify/1",
            **keys_of(boot.kernel.identity, "file layout"),
            **keys_of(result, "dump ok offset"),
            "stub_size": boot.stub_size,
            "stubs": counts.total(),
            **{state.value.replace(" ", "_"): counts[state] for state in StubState},
            "stops_at": boot.stop_function,
            "ftrace_disabled": result.disabled,
            "findings": [],
        },
        "findings",
        map(_values, result.stubs),
    )


def _values(stub: ComparedStub) -> dict[str, Any]:
    boot, position, target, words = stub.boot, stub.position, stub.target, stub.found
    expected = None if words is None else stub_words(boot, position)
    return {
        **keys_of(stub, "state target"),
        **place_values(boot, position),
        "location_word": hex_word(stub.word),
        "target_symbol": None if target is None else boot.kernel.name(target),
        "expected": expected and [hex_word(word) for word in expected],
        "found": words and [hex_word(word) for word in words],
        "problem": _problem(stub) or None,
    }
