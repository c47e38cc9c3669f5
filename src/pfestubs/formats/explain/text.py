# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot log explained as text: each message under its line in the log, the summary last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs.formats.explain import CONSEQUENCE, contradiction_advice, explain_summary, explanation_sentences
from pfestubs.formats.text import escape_line, hex_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.explain import ExplainResult, Explanation

_MESSAGE_MAX: Final = 200
"""Characters of a message that are shown; JSON has the whole."""


def render(result: ExplainResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - no variants
    """Yield the lines for a terminal or a log."""
    log = escape_line(result.log)
    said: set[str] = set()
    for explanation in result.explanations:
        yield f"{log}:{explanation.message.line}: {_heading(explanation)}\n"
        for sentence in explanation_sentences(explanation):
            if sentence not in said or len(sentence) < _MESSAGE_MAX // 2:
                yield f"    {escape_line(sentence)}\n"
            said.add(sentence)
    if result.omitted:
        yield f"{log}: {result.omitted:,} more messages of ftrace are not explained\n"
    if result.other_boots:
        yield f"{log}: {result.other_boots:,} boots of other kernels are left out\n"
    if result.offset:
        yield f"{log}: the kernel is relocated by {result.offset:+#x}\n"
    if result.disables_ftrace:
        yield f"{log}: {CONSEQUENCE}\n"
    advice = contradiction_advice(result)
    if advice:
        yield f"{log}: {escape_line(advice)}\n"
    yield f"{log}: {escape_line(explain_summary(result))}\n"


def _heading(explanation: Explanation) -> str:
    text = escape_line(explanation.message.text)
    if len(text) > _MESSAGE_MAX:
        text = f"{text[:_MESSAGE_MAX]}..."
    if explanation.function is None:
        return text
    where = "" if explanation.location is None else f" at {hex_address(explanation.location)}"
    return f"{text} ({escape_line(explanation.function)}{where})"
