# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot log explained: as text, each message under its line in the log, and as `pfestubs/explain/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pfestubs import __version__
from pfestubs.formats.findings import (
    finding_message,
    finding_sentence,
    remedy_details,
    remedy_sentence,
    remedy_values,
)
from pfestubs.formats.tables import paragraph
from pfestubs.formats.text import dump_json, escape_line, hex_address, keys_of, optional_address, plural
from pfestubs.model.boot_log import Comparison, MessageKind, Proof
from pfestubs.rules.analyses.explain import TOC_REACH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.explain import ExplainResult, Explanation

_MESSAGE_MAX: Final = 200
"""Characters of a message that are shown; JSON has the whole."""

MEANINGS: Final = {
    MessageKind.ALLOCATING: "the kernel found {:,} functions to trace",
    MessageKind.ALLOCATED: "the kernel prepared every function that it can trace",
    MessageKind.NO_FUNCTIONS: "the kernel's location table (from __start_mcount_loc) is empty",
    MessageKind.NO_MEMORY: "the kernel had no memory for its records of the functions",
    MessageKind.MODULE_SKIPPED: "the kernel had no memory for its records of this module's functions",
    MessageKind.BUG: "the kernel could not prepare this function for tracing",
    MessageKind.BUG_WARNING: "the kernel disables ftrace here (ftrace_kill), after the first failure",
    MessageKind.ARCH_WARNING: "a test of the powerpc code failed that names no function, for example that a"
    " stub is left in the area",
    MessageKind.CORE_WARNING: "a test of the common ftrace code failed; not every such test disables ftrace",
    MessageKind.STUB_OUT_OF_RANGE: "the branches to the stub and back have to span less than 32 MiB",
    MessageKind.NO_TRAMPOLINE: "the stub has to reach the tracer, or a trampoline, within 32 MiB",
    MessageKind.WRONG_INSTRUCTION: "the kernel tests that the instruction is the one it is about to replace",
    MessageKind.FETCH_FAILED: "the kernel could not read the instruction that it is about to replace",
    MessageKind.UNEXPECTED_TARGET: "the kernel was asked to call a tracer directly that is out of range",
    MessageKind.UNEXPECTED_CALL: "the instructions at a call in a module are not those that it replaces",
    MessageKind.TRACER_TOO_FAR: "the kernel tests that a trampoline can compute the tracer's address",
    MessageKind.NO_MODULE: "the address belongs to no module and not to the kernel's text",
}
"""What each message says."""

_DISAGREE: Final = "log and replay disagree: the replay ends at {predicted}"
_COMPARISONS: Final = {
    Comparison.AGREES: "log and replay agree",
    Comparison.NOT_PREDICTED: "log and replay disagree: nothing fails in this way in the replay",
    Comparison.OTHER_FUNCTION: _DISAGREE,
    Comparison.OTHER_RULE: _DISAGREE,
    Comparison.OTHER_COUNT: "log and file disagree: the file has {locations:,}",
    Comparison.OTHER_ADDRESS: "log and file disagree: the file has it at {location:#x}{logged}",
    Comparison.NOT_LOGGED: f"{_DISAGREE}, the log shows no failure",
    Comparison.FUNCTION_LOST: "the function is not in the log; the replay ends at {predicted}",
    Comparison.RULE_LOST: "it is the function where the replay ends; which test failed is not in the log",
    Comparison.AFTER_BOOT: "it happened after boot, which the replay does not cover",
    Comparison.MODULE: "the replay does not cover it: outside this vmlinux (a module, or exit text)",
    Comparison.NOT_SIMULATED: "the replay does not cover it",
}
_OUTCOMES: Final = {
    Proof.DISABLED: "ftrace disabled itself",
    Proof.FAILED: "a test of ftrace failed",
    Proof.WARNED: "a warning of ftrace",
    Proof.MODULE: "ftrace failed for a module",
}


def explanation_sentences(explanation: Explanation, *, with_remedy: bool = False) -> list[str]:
    """Return what the kernel tested, the figures of the replay, and how log and replay compare."""
    message, finding, toc = explanation.message, explanation.finding, explanation.toc
    sentences = [MEANINGS[message.kind].format(message.count)]
    if finding is not None and not explanation.comparison.contradicts:
        sentence = finding_message(finding) if with_remedy else finding_sentence(finding)
        sentences.append(f"{finding.rule}: {sentence}")
    if toc is not None:
        limit = TOC_REACH - (toc > 0)
        sentences.append(
            f"{explanation.function} is {abs(toc):,} bytes from the TOC pointer (limit {limit:,})"
        )
    comparison = _COMPARISONS[explanation.comparison].format(
        predicted=finding and f"{finding.function} at {finding.location or 0:#x}, {finding.rule}",
        locations=explanation.locations or 0,
        location=explanation.location or 0,
        logged=f", the log at {message.code.address:#x}" if message.code and message.code.address else "",
    )
    if explanation.comparison.contradicts and not explanation.proved:
        comparison += "; the log does not prove that it is of this kernel"
    return [*sentences, comparison]


def explain_summary(result: ExplainResult) -> str:
    """Return the outcome in one sentence, without the log's name; what to do is in it."""
    file = result.boot.kernel.file
    if not result.failed:
        logged = any(e.comparison is Comparison.NOT_LOGGED for e in result.explanations)
        stop = result.boot.stop_function
        agreement = f"but the replay of {file} ends at {stop}" if logged else f"as in {file}"
        count = next(e.message.count for e in reversed(result.explanations) if e.message.count is not None)
        return f"ok: no failure of ftrace in the log; allocating {count:,} entries, {agreement}"
    failures = [e for e in result.explanations if e.is_failure]
    named = min(failures, key=lambda e: (e.function is None, e.rule is None))
    parts = [f"failed: {next(words for proof, words in _OUTCOMES.items() if proof in result.proofs)}"]
    if named.function or named.message.caller:
        parts[0] += f" at {named.function}" if named.function else f" in {named.message.caller}"
    if named.rule:
        parts[0] += f" ({named.rule})"
    if result.proofs <= {Proof.WARNED, Proof.HEALTHY}:
        parts.append("ftrace may still be on")
    if result.contradicts or any(e.agrees for e in failures):
        parts.append(f"log and replay {'disagree' if result.contradicts else 'agree'}")
    if not result.proved and result.boot.kernel.banner is None:
        parts.append(f"{file} has no linux_banner, so the log's kernel cannot be compared with it")
    elif not result.proved:
        parts.append('without a complete "Linux version" line the log may be of another kernel')
    parts += [remedy_sentence(e.remedy) for e in failures if e.remedy][:1]
    return "; ".join(parts)


def _notes(result: ExplainResult) -> Iterator[str]:
    """Yield what concerns the whole log: what was left out, what follows, what to do where they disagree."""
    file, others = result.boot.kernel.file, len(result.log.boots) - result.boots
    if result.log.omitted:
        yield f"left out: {plural(result.log.omitted, 'more message')} of ftrace"
    if others:
        yield f"left out: {plural(others, 'boot')} of other kernels"
    if result.offset:
        yield f"the kernel is relocated by {result.offset:+#x}"
    if Proof.DISABLED in result.proofs:
        yield (
            "ftrace was off after that, and with it the function tracer, live patching, kprobes on ftrace,"
            " and fentry/fexit BPF programs"
        )
    if any(e.comparison is Comparison.OTHER_ADDRESS for e in result.explanations):
        yield (
            f"the functions of {file} are at other addresses: it is another link of this kernel, or another"
            " kernel; give the vmlinux that was booted"
        )
    elif result.contradicts:
        yield (
            "this log contradicts the replay: the log is of another build, kernel text was modified before"
            " ftrace started, or this is a bug in pfestubs; please report it with the whole log, vmlinux (or"
            f' the output of "pfestubs check --format json {file}"), .config, and the version of pfestubs'
            f" ({__version__})"
        )


def render_text(result: ExplainResult, options: RenderOptions) -> Iterator[str]:
    """Yield the lines for a terminal or a log; the cause and its remedy are said once."""
    log = escape_line(result.log.file)
    said: set[str] = set()
    for explanation in result.explanations:
        yield paragraph(f"{log}:{explanation.message.line}: {_heading(explanation)}", options)
        for sentence in explanation_sentences(explanation):
            if sentence not in said or len(sentence) < _MESSAGE_MAX // 2:
                yield paragraph(f"    {escape_line(sentence)}", options)
            said.add(sentence)
    for note in _notes(result):
        yield paragraph(f"{log}: {escape_line(note)}", options)
    for detail in remedy_details(next((e.remedy for e in result.explanations if e.remedy), None)):
        yield paragraph(f"    {detail}", options)
    state, style = ("failed:", "bad") if result.failed else ("ok:", "good")
    yield paragraph(f"{log}: {escape_line(explain_summary(result))}", options, state, style)


def _heading(explanation: Explanation) -> str:
    text = escape_line(explanation.message.text)
    text = text if len(text) <= _MESSAGE_MAX else f"{text[:_MESSAGE_MAX]}..."
    where = "" if explanation.location is None else f" at {hex_address(explanation.location)}"
    return text if explanation.function is None else f"{text} ({escape_line(explanation.function)}{where})"


def render_json(result: ExplainResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document."""
    kernel = result.boot.kernel
    yield dump_json(
        {
            "schema": "pfestubs/explain/1",
            "file": kernel.file,
            "log": result.log.file,
            **keys_of(result, "failed contradicts boots offset"),
            "disables_ftrace": Proof.DISABLED in result.proofs,
            "same_kernel": True if result.proved else None,
            "locations": len(result.boot.locations),
            "other_boots": len(result.log.boots) - result.boots,
            "stops_at": result.boot.stop_function,
            **keys_of(result.log, "lines omitted"),
            "summary": explain_summary(result),
            "explanations": [_values(explanation) for explanation in result.explanations],
            "kernel": keys_of(kernel, "release banner build_id"),
            "pfestubs": __version__,
        }
    )


def _values(explanation: Explanation) -> dict[str, Any]:
    message, row, finding = explanation.message, explanation.message.row, explanation.finding
    return {
        **keys_of(explanation, "rule function location agrees comparison"),
        "line": message.line,
        "message": message.text,
        "kind": row.name,
        "source": {
            **keys_of(row, "file since"),
            "functions": row.functions.split(),
            "until": row.until or None,
        },
        "logged_address": optional_address(message.code.address if message.code else None),
        "predicted": finding and keys_of(finding, "rule function location distance limit"),
        "text": "; ".join(explanation_sentences(explanation, with_remedy=True)),
        "remedy": remedy_values(explanation.remedy),
    }
