# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot log explained: as text, each message under its line in the log, and as `pfestubs/explain/1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pfestubs import __version__
from pfestubs.formats.findings import finding_message, finding_sentence
from pfestubs.formats.remedy import remedy_details, remedy_sentence, remedy_values
from pfestubs.formats.tables import paragraph
from pfestubs.formats.text import dump_json, escape_line, hex_address
from pfestubs.model import EXPLAIN_SCHEMA
from pfestubs.model.boot_log import MessageKind, Proof
from pfestubs.rules.analyses.explain import TOC_REACH, Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pfestubs.formats import RenderOptions
    from pfestubs.rules.analyses.explain import ExplainResult, Explanation

CONSEQUENCE: Final = (
    "ftrace was off after that, and with it the function tracer, live patching, kprobes on ftrace, and"
    " fentry/fexit BPF programs"
)
_MESSAGE_MAX: Final = 200
"""Characters of a message that are shown; JSON has the whole."""

MEANINGS: Final = {
    MessageKind.ALLOCATING: "the kernel found {count:,} functions to trace",
    MessageKind.ALLOCATED: "the kernel prepared every function that it can trace",
    MessageKind.NO_FUNCTIONS: "the kernel's location table, __start_mcount_loc to __stop_mcount_loc, is"
    " empty",
    MessageKind.NO_MEMORY: "the kernel had no memory for its records of the functions",
    MessageKind.MODULE_SKIPPED: "the kernel had no memory for its records of this module's functions",
    MessageKind.BUG: "the kernel could not prepare this function for tracing",
    MessageKind.BUG_WARNING: "the kernel disables ftrace here (ftrace_kill), after the first function"
    " that fails",
    MessageKind.ARCH_WARNING: "a test of the powerpc code failed that names no function",
    MessageKind.CORE_WARNING: "a test of the common ftrace code failed; not each of them disables ftrace",
    MessageKind.STUB_OUT_OF_RANGE: "the kernel tests that the branches from the function to its stub and back"
    " span less than 32 MiB",
    MessageKind.NO_TRAMPOLINE: "the kernel tests that the stub's call reaches the tracer, or a trampoline,"
    " with a branch of less than 32 MiB",
    MessageKind.WRONG_INSTRUCTION: "the kernel tests that the instruction is the one that it is about to"
    " replace: expected {expected}, found {found:#010x}",
    MessageKind.FETCH_FAILED: "the kernel could not read the instruction that it is about to replace",
    MessageKind.UNEXPECTED_TARGET: "the kernel was asked to call a tracer directly that is out of branch"
    " range",
    MessageKind.UNEXPECTED_CALL: "the instructions at a call in a module are not those that the kernel"
    " replaces",
    MessageKind.TRACER_TOO_FAR: "the kernel tests that a trampoline can compute the tracer's address",
    MessageKind.NO_MODULE: "the address belongs to no module and not to the kernel's text",
}
"""What each message says."""

_COMPARISONS: Final = {
    Comparison.AGREES: "log and replay agree",
    Comparison.NOT_PREDICTED: "log and replay disagree: the replay of this vmlinux gives every function a"
    " working stub",
    Comparison.OTHER_FUNCTION: "log and replay disagree: the replay ends at {predicted}",
    Comparison.OTHER_RULE: "log and replay disagree: the replay ends at {predicted}",
    Comparison.OTHER_COUNT: "log and file disagree: the file has {locations:,}",
    Comparison.OTHER_ADDRESS: "log and file disagree: the file has it at {location:#x}, the log"
    " at {logged:#x}",
    Comparison.NOT_LOGGED: "log and replay disagree: the replay ends at {predicted}, the log shows no"
    " failure",
    Comparison.FUNCTION_LOST: "the function is not in the log; the replay ends at {predicted}",
    Comparison.RULE_LOST: "it is the function where the replay ends; which test failed is not in the log",
    Comparison.AFTER_BOOT: "it happened after boot, which the replay does not cover",
    Comparison.MODULE: "the address is outside this vmlinux (a module, or exit text); the replay does not"
    " cover it",
    Comparison.NOT_SIMULATED: "the replay does not cover it",
}


def explanation_sentences(explanation: Explanation, *, with_remedy: bool = False) -> list[str]:
    """Return what the kernel tested, the figures of the replay, and how log and replay compare."""
    sentences = [_meaning(explanation)]
    finding, toc = explanation.finding, explanation.toc
    if finding is not None and not explanation.comparison.contradicts:
        sentence = finding_message(finding) if with_remedy else finding_sentence(finding)
        sentences.append(f"{finding.rule}: {sentence}")
    if toc is not None:
        sentences.append(
            f"{explanation.function} is {abs(toc):,} bytes from the TOC pointer"
            f" (limit {TOC_REACH - (toc > 0):,})"
        )
    return [*sentences, _comparison(explanation)]


def explanation_text(explanation: Explanation) -> str:
    """Return an explanation in one line."""
    return "; ".join(explanation_sentences(explanation, with_remedy=True))


def _meaning(explanation: Explanation) -> str:
    message = explanation.message
    if message.kind is MessageKind.ARCH_WARNING and explanation.rule == "area-exhausted":
        agrees = explanation.agrees or explanation.comparison is Comparison.FUNCTION_LOST
        replay = "; the replay fails at the same test" if agrees else ""
        return f"ftrace_init_ool_stub ran out of stubs in an area{replay}"
    expected = "a bl" if message.expected is None else f"{message.expected:#010x}"
    return MEANINGS[message.kind].format(
        count=message.count or 0, expected=expected, found=message.found or 0
    )


def _comparison(explanation: Explanation) -> str:
    comparison, finding, code = explanation.comparison, explanation.finding, explanation.message.code
    sentence = _COMPARISONS[comparison].format(
        predicted=""
        if finding is None
        else f"{finding.function} at {finding.location or 0:#x}, {finding.rule}",
        locations=explanation.locations or 0,
        location=explanation.location or 0,
        logged=0 if code is None else code.address or 0,
    )
    if explanation.toc is not None and comparison is Comparison.NOT_PREDICTED:
        sentence = "log and file disagree: in the file it is in range"
    elif comparison is Comparison.AGREES and (
        explanation.toc is not None or explanation.locations is not None
    ):
        sentence = "log and file agree"
    if comparison.contradicts and not explanation.proved:
        sentence += "; the log does not prove that it is of this kernel"
    return sentence


def explain_summary(result: ExplainResult) -> str:
    """Return the outcome in one sentence, without the log's name; what to do is in it."""
    file = result.boot.kernel.file
    if not result.failed:
        logged = any(e.comparison is Comparison.NOT_LOGGED for e in result.explanations)
        agreement = f"but the replay of {file} ends at {result.stops_at}" if logged else f"as in {file}"
        count = next(
            e.message.count or 0 for e in reversed(result.explanations) if e.message.count is not None
        )
        return f"ok: no failure of ftrace in the log; allocating {count:,} entries, {agreement}"
    failures = [e for e in result.explanations if e.is_failure]
    named = next((e for e in failures if e.function is not None and e.rule is not None), None)
    named = named or next((e for e in failures if e.function is not None), failures[0])
    rule = "" if named.rule is None else f" ({named.rule})"
    where = f" at {named.function}{rule}" if named.function is not None else rule
    if named.function is None and named.message.caller is not None:
        where = f" in {named.message.caller}{rule}"
    agreement = "; log and replay agree" if any(e.agrees for e in failures) and not result.contradicts else ""
    if result.contradicts:
        agreement = "; log and replay disagree"
    remedy = next((e.remedy for e in failures if e.remedy is not None), None)
    advice = "" if remedy is None else f"; {remedy_sentence(remedy)}"
    doubt = "; ftrace may still be on" if result.proofs <= {Proof.WARNED, Proof.HEALTHY} else ""
    return f"failed: {_outcome(result)}{where}{doubt}{agreement}{_identity(result)}{advice}"


def _outcome(result: ExplainResult) -> str:
    outcomes = {
        Proof.DISABLED: "ftrace disabled itself",
        Proof.FAILED: "a test of ftrace failed",
        Proof.WARNED: "a warning of ftrace",
        Proof.MODULE: "ftrace failed for a module",
    }
    return next(words for proof, words in outcomes.items() if proof in result.proofs)


def _identity(result: ExplainResult) -> str:
    if result.proved:
        return ""
    if result.boot.kernel.banner is None:
        return (
            f"; {result.boot.kernel.file} has no linux_banner, so the log's kernel cannot be compared with it"
        )
    return '; without a complete "Linux version" line the log may be of another kernel'


def _contradiction_advice(result: ExplainResult) -> str:
    """Return what to do where log and replay contradict each other, what to send; "" where they agree."""
    file = result.boot.kernel.file
    if any(e.comparison is Comparison.OTHER_ADDRESS for e in result.explanations):
        return (
            f"the functions of {file} are at other addresses: it is another link of this kernel, or another"
            " kernel; give the vmlinux that was booted"
        )
    if not result.contradicts:
        return ""
    return (
        "this log contradicts the replay: the log is of another build, kernel text was modified before ftrace"
        " started, or this is a bug in pfestubs; please report it with the whole log, vmlinux (or the output"
        f' of "pfestubs check --format json {file}"), .config, and the version of pfestubs ({__version__})'
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
    if result.log.omitted:
        yield paragraph(f"{log}: {result.log.omitted:,} more messages of ftrace are not explained", options)
    others = len(result.log.boots) - result.boots
    if others:
        yield paragraph(f"{log}: {others:,} boots of other kernels are left out", options)
    if result.offset:
        yield paragraph(f"{log}: the kernel is relocated by {result.offset:+#x}", options)
    if Proof.DISABLED in result.proofs:
        yield paragraph(f"{log}: {CONSEQUENCE}", options)
    advice = _contradiction_advice(result)
    if advice:
        yield paragraph(f"{log}: {escape_line(advice)}", options)
    remedy = next((e.remedy for e in result.explanations if e.remedy is not None), None)
    for detail in () if remedy is None else remedy_details(remedy):
        yield paragraph(f"    {detail}", options)
    state, style = ("failed:", "bad") if result.failed else ("ok:", "good")
    yield paragraph(f"{log}: {escape_line(explain_summary(result))}", options, state, style)


def _heading(explanation: Explanation) -> str:
    text = escape_line(explanation.message.text)
    if len(text) > _MESSAGE_MAX:
        text = f"{text[:_MESSAGE_MAX]}..."
    if explanation.function is None:
        return text
    where = "" if explanation.location is None else f" at {hex_address(explanation.location)}"
    return f"{text} ({escape_line(explanation.function)}{where})"


def render_json(result: ExplainResult, options: RenderOptions) -> Iterator[str]:  # noqa: ARG001 - JSON holds all
    """Yield the document."""
    kernel = result.boot.kernel
    offset = result.offset
    yield dump_json(
        {
            "schema": EXPLAIN_SCHEMA,
            "file": kernel.file,
            "log": result.log.file,
            "failed": result.failed,
            "disables_ftrace": Proof.DISABLED in result.proofs,
            "contradicts": result.contradicts,
            "same_kernel": True if result.proved else None,
            "locations": len(result.boot.locations),
            "stops_at": result.stops_at,
            "offset": None if offset is None else f"{offset:#x}",
            "lines": result.log.lines,
            "boots": result.boots,
            "other_boots": len(result.log.boots) - result.boots,
            "omitted": result.log.omitted,
            "summary": explain_summary(result),
            "explanations": [_values(explanation) for explanation in result.explanations],
            "kernel": {"release": kernel.release, "banner": kernel.banner, "build_id": kernel.build_id},
            "pfestubs": __version__,
        }
    )


def _values(explanation: Explanation) -> dict[str, Any]:
    message, row, finding = explanation.message, explanation.message.row, explanation.finding
    return {
        "line": message.line,
        "message": message.text,
        "kind": message.kind.value,
        "source": {
            "file": row.file,
            "functions": row.functions.split(),
            "since": row.since or None,
            "until": row.until or None,
        },
        "rule": explanation.rule,
        "function": explanation.function,
        "location": _address(explanation.location),
        "logged_address": _address(None if message.code is None else message.code.address),
        "agrees": explanation.agrees,
        "comparison": explanation.comparison.value,
        "predicted": None
        if finding is None
        else {
            "rule": finding.rule,
            "function": finding.function,
            "location": _address(finding.location),
            "distance": finding.distance,
            "limit": finding.limit,
        },
        "text": explanation_text(explanation),
        "remedy": remedy_values(explanation.remedy),
    }


def _address(address: int | None) -> str | None:
    return None if address is None else hex_address(address)
