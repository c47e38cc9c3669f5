# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison with memory as text: one line when all is as predicted and idle, else one per stub."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pfestubs.formats.text import escape_line, hex_address
from pfestubs.formats.verify import problem_sentence
from pfestubs.rules.analyses.stub_states import StubState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.stub_states import ComparedStub, Verification

SHOWN_PER_STATE: Final = 20
"""Stubs shown per state without --all."""


def render(result: Verification, options: RenderOptions) -> Iterator[str]:
    """Yield the lines for a terminal or a log, the summary last."""
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
        return f"error: stub-different: {where}{place}: {escape_line(problem_sentence(stub))}"
    if stub.state is StubState.FREED:
        return f"freed: {where}{place}"
    target = "" if stub.target_name is None else f" calls {escape_line(stub.target_name)}"
    return f"{stub.state.value}: {where}{place}{target}"


def verify_summary(result: Verification) -> str:
    """Return the outcome in one sentence, without the file's name."""
    counts = result.counts
    sentence = (
        f"{'ok' if result.ok else 'failed'}: {counts[StubState.AS_PREDICTED]:,} of {result.locations:,} stubs"
        " as predicted"
    )
    if counts[StubState.IN_USE]:
        sentence += f", {counts[StubState.IN_USE]:,} in use"
    if counts[StubState.FREED]:
        sentence += f", {counts[StubState.FREED]:,} freed with init memory"
    if counts[StubState.DIFFERENT]:
        sentence += f", {counts[StubState.DIFFERENT]:,} different"
    if result.offset:
        sentence += f"; the kernel is relocated by {result.offset:+#x}"
    if result.stops_at is not None:
        function = escape_line(result.stops_at)
        sentence += f"; ftrace disables itself at boot, at {function} (see pfestubs check)"
    if result.disabled:
        sentence += "; the kernel has disabled ftrace"
    return sentence
