# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` as the summary of a CI step: verdict, remedy, areas and headroom, the findings folded by rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pfestubs.formats.check import area_table, branch_table, causes, facts, summary
from pfestubs.formats.findings import WORDS, finding_message
from pfestubs.formats.markdown import LIMIT, FoldedList, code, folded_lists, sentence, table_lines
from pfestubs.formats.remedy import remedy_details, remedy_sentence, setting_line
from pfestubs.formats.text import machine_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.model import KernelIdentity
    from pfestubs.model.findings import Remedy
    from pfestubs.rules.check.check import CheckResult


def render(result: CheckResult, options: RenderOptions) -> Iterator[str]:
    """Yield the document, at most `LIMIT` characters."""
    head = "\n".join(_head(result)) + "\n"
    yield head
    yield from folded_lists(_lists(result, options), LIMIT - len(head))


def _head(result: CheckResult) -> Iterator[str]:
    yield f"### Out-of-line ftrace stubs: {code(result.kernel.file)}"
    yield ""
    yield f"**{sentence(summary(result, code))}**"
    yield ""
    yield sentence(_kernel(result.kernel))
    for remedy in dict.fromkeys(error.remedy for error in result.errors if error.remedy):
        yield from _remedy(remedy)
    for table in (area_table(result), branch_table(result)):
        if table.rows:
            yield ""
            yield from table_lines(table)
    for fact in facts(result):
        yield from ("", sentence(fact))


def _kernel(kernel: KernelIdentity) -> str:
    words = ["kernel" if kernel.release is None else f"kernel {code(kernel.release)}", *machine_words(kernel)]
    if kernel.build_id is not None:
        words.append(f"build ID {code(kernel.build_id)}")
    return ", ".join(words)


def _remedy(remedy: Remedy) -> Iterator[str]:
    setting = setting_line(remedy)
    yield ""
    if setting is None:
        yield sentence(remedy_sentence(remedy))
    else:
        yield sentence(remedy_sentence(remedy, "this line"))
        command, *reasons = remedy_details(remedy)
        yield from ("", "```", setting, "```", "", f"As a command: `{command}`.", *map(sentence, reasons))


def _lists(result: CheckResult, options: RenderOptions) -> list[FoldedList]:
    lines: dict[tuple[str, str], list[str]] = {}
    more: Counter[tuple[str, str]] = Counter()
    for cause in causes([f for f in result.findings if options.verbose or f.severity == "error"], options):
        key = cause.shown[0].rule, cause.shown[0].severity
        lines.setdefault(key, []).extend(map(finding_message, cause.shown))
        more[key] += cause.more
    return [
        FoldedList(
            f"{key[0]}: {WORDS[key[0]].title} ({plural(len(found) + more[key], key[1])})", found, more[key]
        )
        for key, found in lines.items()
    ]
