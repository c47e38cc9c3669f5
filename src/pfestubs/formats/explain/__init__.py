# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot log explained, one module per format; here are the sentences that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pfestubs import __version__
from pfestubs.formats.findings import finding_message
from pfestubs.formats.remedy import remedy_sentence
from pfestubs.formats.text import plural
from pfestubs.model.boot_log import MessageKind
from pfestubs.rules.analyses.explain import Comparison

if TYPE_CHECKING:
    from pfestubs.rules.analyses.explain import ExplainResult, Explanation

CONSEQUENCE: Final = (
    "ftrace was off after that, and with it the function tracer, live patching, kprobes on ftrace, and"
    " fentry/fexit BPF programs"
)

_TESTED: Final = {
    MessageKind.ALLOCATING: "the kernel counted the functions that it can trace",
    MessageKind.ALLOCATED: "the kernel prepared every function that it can trace",
    MessageKind.NO_FUNCTIONS: "the kernel's location table, __start_mcount_loc to __stop_mcount_loc, is"
    " empty",
    MessageKind.NO_MEMORY: "the kernel had no memory for its records of the functions",
    MessageKind.MODULE_SKIPPED: "the kernel had no memory for its records of this module's functions",
    MessageKind.BUG: "the kernel could not prepare this function for tracing",
    MessageKind.BUG_WARNING: "the kernel disables ftrace here (ftrace_kill), after the first function"
    " that fails",
    MessageKind.ARCH_WARNING: "a test of the powerpc code failed that names no function",
    MessageKind.CORE_WARNING: "a test of the common ftrace code failed",
    MessageKind.STUB_OUT_OF_RANGE: "the kernel tests that the branches from the function to its stub and back"
    " span less than 32 MiB",
    MessageKind.NO_TRAMPOLINE: "the kernel tests that the stub's call reaches the tracer, or a trampoline,"
    " with a branch of less than 32 MiB",
    MessageKind.WRONG_INSTRUCTION: "the kernel tests that the instruction is the one that it is about to"
    " replace",
    MessageKind.FETCH_FAILED: "the kernel could not read the instruction that it is about to replace",
    MessageKind.UNEXPECTED_TARGET: "the kernel was asked to call a tracer directly that is out of branch"
    " range",
    MessageKind.UNEXPECTED_CALL: "the instructions at a call in a module are not those that the kernel"
    " replaces",
    MessageKind.TRACER_TOO_FAR: "the kernel tests that a trampoline can compute the tracer's address",
    MessageKind.NO_MODULE: "the address belongs to no module and not to the kernel's text",
}
_AREA_COUNTER: Final = (
    "ftrace_init_ool_stub counts the stubs that it hands out of each area, and the area had none left: of the"
    " tests there, the replay fails this one"
)
_NOTHING_PREDICTED: Final = "the replay of this vmlinux gives every function a working stub"


def explanation_sentences(explanation: Explanation) -> list[str]:
    """Return what the kernel tested, the figures of the replay, and how log and replay compare."""
    sentences = [_tested(explanation)]
    finding = explanation.finding
    if finding is not None and not explanation.comparison.contradicts:
        sentences.append(f"{finding.rule}: {finding_message(finding)}")
    if explanation.toc is not None:
        toc = explanation.toc
        sentences.append(
            f"{explanation.function} is {abs(toc.distance):,} bytes from the TOC pointer"
            f" (limit {abs(toc.limit):,})"
        )
    sentences.append(_comparison(explanation))
    return sentences


def explanation_text(explanation: Explanation) -> str:
    """Return an explanation in one line."""
    return "; ".join(explanation_sentences(explanation))


def _tested(explanation: Explanation) -> str:
    message = explanation.message
    if message.kind is MessageKind.ALLOCATING and message.count is not None:
        return f"the kernel found {plural(message.count, 'function')} to trace"
    if message.kind is MessageKind.ARCH_WARNING and explanation.rule == "area-exhausted":
        return _AREA_COUNTER if explanation.finding is not None else "the kernel ran out of stubs in an area"
    if message.kind is MessageKind.WRONG_INSTRUCTION and message.found is not None:
        expected = "a bl" if message.expected is None else f"{message.expected:#010x}"
        return f"{_TESTED[message.kind]}: expected {expected}, found {message.found:#010x}"
    return _TESTED[message.kind]


def _comparison(explanation: Explanation) -> str:  # noqa: C901, PLR0912 - one case per comparison
    comparison, message = explanation.comparison, explanation.message
    unproved = ""
    if comparison.contradicts and not explanation.proved:
        unproved = "; the log does not prove that it is of this kernel"
    finding = explanation.finding
    predicted = "" if finding is None else f"{finding.function} at {finding.location or 0:#x}, {finding.rule}"
    match comparison:
        case Comparison.AGREES if message.kind is MessageKind.ALLOCATING:
            sentence = "log and file agree"
        case Comparison.AGREES if message.kind is MessageKind.NO_FUNCTIONS or explanation.toc is not None:
            sentence = "log and file agree"
        case Comparison.AGREES:
            sentence = "log and replay agree"
        case Comparison.NOT_PREDICTED if explanation.toc is not None:
            sentence = "log and file disagree: in the file it is in range"
        case Comparison.NOT_PREDICTED:
            sentence = f"log and replay disagree: {_NOTHING_PREDICTED}"
        case Comparison.OTHER_FUNCTION | Comparison.OTHER_RULE:
            sentence = f"log and replay disagree: the replay ends at {predicted}"
        case Comparison.OTHER_COUNT:
            sentence = f"log and file disagree: the file has {explanation.locations or 0:,}"
        case Comparison.OTHER_ADDRESS:
            sentence = f"log and file disagree: the file has it at {explanation.location or 0:#x}"
            if message.code is not None and message.code.address is not None:
                sentence += f", the log at {message.code.address:#x}"
        case Comparison.NOT_LOGGED:
            sentence = f"log and replay disagree: the replay ends at {predicted}, the log shows no failure"
        case Comparison.FUNCTION_LOST:
            sentence = "the line with the function is missing from the log or damaged; the replay names it"
        case Comparison.AFTER_BOOT:
            sentence = "it happened after boot, which the replay does not cover"
        case Comparison.MODULE:
            sentence = (
                "it is not code of this vmlinux (a module's, or exit text); the replay does not cover it"
            )
        case Comparison.NOT_SIMULATED:
            sentence = "the replay does not cover it"
    return sentence + unproved


def explain_summary(result: ExplainResult) -> str:
    """Return the outcome in one sentence, without the log's name; what to do is in it."""
    if result.failed:
        return _failure_summary(result)
    counted = [e for e in result.explanations if e.message.kind is MessageKind.ALLOCATING]
    identity = "" if result.proved else f"; {_identity(result)}"
    if not result.explanations:
        return (
            f"ok: nothing about ftrace in the log ({plural(result.lines, 'line')}); a kernel with ftrace logs"
            f' "ftrace: allocating ... entries" early in its boot: is that part missing?{identity}'
        )
    count = f"; allocating {counted[-1].message.count or 0:,} entries" if counted else ""
    comparisons = {e.comparison for e in result.explanations}
    if Comparison.NOT_LOGGED in comparisons:
        agreement = f"but the replay of {result.file} ends at {result.stops_at}"
    elif Comparison.OTHER_COUNT in comparisons:
        agreement = f"but {result.file} has {result.entries:,}"
    else:
        agreement = f"as in {result.file}"
    return f"ok: no failure of ftrace in the log{count}, {agreement}{identity}"


def _failure_summary(result: ExplainResult) -> str:
    failures = [e for e in result.explanations if e.is_failure]
    named = next((e for e in failures if e.function is not None and e.rule is not None), None)
    named = named or next((e for e in failures if e.function is not None), failures[0])
    rule = "" if named.rule is None else f" ({named.rule})"
    where = f" at {named.function}{rule}" if named.function is not None else rule
    agreement = "; log and replay agree" if any(e.agrees for e in failures) and not result.contradicts else ""
    if result.contradicts:
        agreement = "; log and replay disagree"
    identity = "" if result.proved else f"; {_identity(result)}"
    remedy = next((e.remedy for e in failures if e.remedy is not None), None)
    advice = "" if remedy is None else f"; {remedy_sentence(remedy)}"
    what = "ftrace disabled itself" if result.disables_ftrace else "ftrace failed for a module"
    return f"failed: {what}{where}{agreement}{identity}{advice}"


def _identity(result: ExplainResult) -> str:
    if result.banner is None:
        return f"{result.file} has no linux_banner, so the log's kernel cannot be compared with it"
    return 'without a complete "Linux version" line the log may be of another kernel'


def contradiction_advice(result: ExplainResult) -> str:
    """Return what to do where log and replay contradict each other, what to send; "" where they agree."""
    if result.is_other_link:
        return (
            f"the functions of {result.file} are at other addresses: it is another link of this kernel, or"
            " another kernel; give the vmlinux that was booted"
        )
    if not result.contradicts:
        return ""
    return (
        "this log contradicts the replay: either it is not the log of this very vmlinux, memory was changed"
        f" before ftrace started, or pfestubs is wrong. Please report it with the whole log, vmlinux (or the"
        f' output of "pfestubs check --format json {result.file}"), .config, and the version of pfestubs'
        f" ({__version__})"
    )
