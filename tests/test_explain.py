# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs explain`: logs in every form, messages against a simulated boot, real boots."""

import gzip
import io
import json
import re
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfestubs.errors import PfestubsError, RefusedError
from pfestubs.formats import FORMATS, RenderOptions, render
from pfestubs.formats.explain import MEANINGS, explain_summary, explanation_sentences
from pfestubs.model.boot_log import BootLog, BugPhase, CodeAddress, Comparison, MessageKind, Proof
from pfestubs.model.findings import Action, Remedy
from pfestubs.read import boot_log, log_bytes
from pfestubs.read.boot_log import read_boot_log
from pfestubs.rules.analyses.explain import ExplainResult, explain_log
from pfestubs.rules.kernel.boot import Boot, Failure
from pfestubs.rules.kernel.simulation import simulate_boot
from support import FIXTURES, Kernels, call, json_of, printed, refusal, validator
from support.dressing import dress
from support.dumps import with_banner
from support.kernelwriter import BASE, MIB, LinkedKernel, NamedAddresses

LOGS = FIXTURES / "logs"
DOCUMENT = FIXTURES.parent / "docs" / "explain.md"
TRAP_LOGS = sorted(path.name for path in LOGS.glob("trap-*.log"))
BANNER = "Linux version 7.2.0-small (me@here) (cc 14, ld 2) #1 SMP Mon Nov  2 12:00:00 UTC 2026"
OTHER = "Linux version 7.2.1-other (me@here) (cc 14, ld 2) #7 SMP Tue Nov  3 12:00:00 UTC 2026"


def counted(count: int) -> list[str]:
    return [f"ftrace: allocating {count} entries in 1 pages"]


COUNTED = counted(5)
ALLOCATED = ["ftrace: allocated 1 pages with 1 groups"]


def bug(
    code: str, what: str = "failed to modify", phase: str = "Initializing ftrace call sites"
) -> list[str]:
    """The lines of `ftrace_bug` as 7.2 prints them."""
    return [
        "------------[ ftrace bug ]------------",
        f"ftrace {what} ",
        f"[<{code.split(' ', 1)[0]}>] {code.split(' ', 1)[1]}",
        " actual:   00:00:00:60",
        phase,
        "ftrace record flags: 0",
        " (0)    ",
        " expected tramp: c000000000000080",
    ]


FN1, FN2 = bug("c000000000001010 fn1+0x0/0x10"), bug("c000000000001020 fn2+0x0/0x10")


def save_log(path: Path, lines: Sequence[str], banner: str | None = BANNER) -> Path:
    texts = ([banner] if banner else []) + list(lines)
    path.write_text("".join(f"[    0.000000] {text}\n" for text in texts))
    return path


def read(tmp_path: Path, lines: Sequence[str], banner: str | None = BANNER) -> BootLog:
    return read_boot_log(str(save_log(tmp_path / "boot.log", lines, banner)))


def explain(
    tmp_path: Path, writer: LinkedKernel, lines: Sequence[str], banner: str | None = BANNER
) -> ExplainResult:
    result = explain_log(booted(writer), read(tmp_path, lines, banner))
    for format_ in FORMATS["explain"]:
        text = shown(result, format_)
        if format_ == "json":
            validator("explain").validate(json.loads(text))
    return result


def shown(result: ExplainResult, format_: str = "text") -> str:
    return "".join(render("explain", format_, result, RenderOptions()))


def booted(writer: LinkedKernel) -> Boot:
    return simulate_boot(replace(writer.kernel(), banner=BANNER))


def read_text(tmp_path: Path, text: str) -> BootLog:
    (tmp_path / "boot.log").write_text(text)
    return read_boot_log(str(tmp_path / "boot.log"))


def explain_text(tmp_path: Path, boot: Boot, text: str) -> ExplainResult:
    return explain_log(boot, read_text(tmp_path, text))


def healthy() -> LinkedKernel:
    return LinkedKernel()


def exhausted() -> LinkedKernel:
    """fn2 gets no stub: the end area has none."""
    return LinkedKernel(text=[0x1000, 0x1010, 0x1020, 0x1030], counts={"text_end": 0})


def too_far() -> LinkedKernel:
    """fn2 gets its stub in the end area, 40 MiB away."""
    return LinkedKernel(text=[0x1000, 0x1010, 0x1020], area_at={"text_end": 40 * MIB})


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAP_LOGS)
def test_every_form_of_a_log_gives_the_same_messages(name: str) -> None:
    log = read_boot_log(str(LOGS / name))
    (boot,) = log.boots
    assert boot.complete
    assert boot.banner is not None
    assert boot.banner.startswith("Linux version 7.2.13 (root@vm)")
    assert boot.banner.endswith("#3 SMP PREEMPT Mon Nov 23 09:03:55 UTC 2026")
    names = ["arch-warning", "ftrace-bug", "ftrace-bug-warning", "allocating", "allocated"]
    assert [m.row.name for m in boot.messages] == names
    warning, bug, _, allocating, _ = boot.messages
    assert (warning.caller, allocating.count) == ("ftrace_init_nop", 77026)
    assert bug.code == CodeAddress(0xC0000000034A4A38, "dev_create", 8)
    assert (bug.phase, bug.text) == (BugPhase.INIT, "ftrace failed to modify")
    lines = (LOGS / name).read_bytes().split(b"\n")
    for message in boot.messages:
        assert message.text.encode()[:20] in lines[message.line - 1]


SAMPLES = """\
ALLOCATING ftrace: allocating 42648 entries in 250 pages
ALLOCATED ftrace: allocated 250 pages with 6 groups
NO_FUNCTIONS ftrace: No functions to be traced?
NO_MEMORY ftrace: FAILED to allocate memory for functions
NO_MEMORY ftrace: failed to allocate entries for functions
MODULE_SKIPPED ftrace: failed to allocate entries for module 'ext4' functions
BUG ------------[ ftrace bug ]------------
BUG ftrace failed to modify
BUG ftrace failed to modify [<c000000000001020>] fn2+0x0/0x10
BUG ftrace faulted on modifying
BUG ftrace faulted on writing
BUG ftrace faulted on unknown error
BUG_WARNING WARNING: CPU: 0 PID: 0 at kernel/trace/ftrace.c:2180 ftrace_bug+0x3c0/0x424
BUG_WARNING WARNING: kernel/trace/ftrace.c:2287 at ftrace_bug+0x31c/0x384, CPU#0: swapper/0
CORE_WARNING WARNING: kernel/trace/ftrace.c:3000 at ftrace_bugs+0x3/0x4
CORE_WARNING WARNING: CPU: 3 PID: 9 at /build/linux/kernel/trace/ftrace.c:9 f+0x3/0x4
ARCH_WARNING WARNING: arch/powerpc/kernel/trace/ftrace.c:252 at ftrace_init_nop+0xf8/0x420
ARCH_WARNING WARNING: [*ool_stub_index > ool_stub_count] arch/powerpc/kernel/trace/ftrace.c:252 at ftrace_init_ool_stub+0xf8/0x420, CPU#0: swapper/0
ARCH_WARNING WARNING: CPU: 0 PID: 0 at arch/powerpc/kernel/trace/ftrace.c:252 ftrace_init_nop+0xf8/0x420
STUB_OUT_OF_RANGE ftrace-powerpc: ftrace_init_ool_stub: ftrace ool stub out of range ((____ptrval____) -> (____ptrval____)).
STUB_OUT_OF_RANGE ftrace-powerpc: ftrace_init_ool_stub: ftrace ool stub out of range (000000001f2e3d4c -> 00000000aabbccdd).
NO_TRAMPOLINE ftrace-powerpc: 0xc000000002800024 (0xc000000000001020): No ftrace stubs reachable
NO_TRAMPOLINE ftrace-powerpc: 0xc000000002800024: No ftrace stubs reachable
WRONG_INSTRUCTION ftrace-powerpc: 0xc000000000001020: expected (60000000) != found (7c0802a6)
WRONG_INSTRUCTION ftrace-powerpc: 0xc000000000001020: expected (bl) != found (7c0802a6)
FETCH_FAILED ftrace-powerpc: 0xc000000000001020: fetching instruction failed
UNEXPECTED_TARGET ftrace-powerpc: 0xc0000000001 (0xc000000000001020): Unexpected target address 0xc0080000001
UNEXPECTED_CALL ftrace-powerpc: Unexpected call sequence at c008000000001020: 7c0802a6 60000000
TRACER_TOO_FAR ftrace-powerpc: Address of ftrace_regs_caller out of range of kernel_toc.
TRACER_TOO_FAR ftrace-powerpc: Address of ftrace_regs_caller out of range of pcrel address.
NO_MODULE ftrace-powerpc: 0xc0000000020b3d5c: No module provided for non-kernel address
NO_MODULE ftrace-powerpc: No module loaded at addr=c008000000001020
"""


@pytest.mark.parametrize(("name", "text"), [line.split(" ", 1) for line in SAMPLES.splitlines()])
def test_every_message_is_known(tmp_path: Path, name: str, text: str) -> None:
    kind = MessageKind[name]
    (message,) = read(tmp_path, [f"{text} "]).boots[0].messages
    assert (message.kind, message.line, message.text) == (kind, 2, text)
    if message.row.proof is Proof.HEALTHY:
        return
    explained = explain(tmp_path, healthy(), [text])
    (explanation,) = explained.explanations
    assert explained.failed
    assert explanation.message.kind is kind
    summary = explain_summary(explained)
    assert ("ftrace disabled itself" in summary) is (message.row.proof is Proof.DISABLED)
    assert ("ftrace may still be on" in summary) is (message.row.proof is Proof.WARNED)


def test_every_kind_of_message_has_a_sample() -> None:
    sampled = {MessageKind[line.split()[0]] for line in SAMPLES.splitlines()}
    assert sampled == set(MessageKind) == set(MEANINGS)


def test_the_document_has_the_rows_of_the_messages() -> None:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.count(" | ") == 4]
    rows = []
    for row in (kind.value for kind in MessageKind):
        functions = ", ".join(f"`{name}`" for name in row.functions.split()) or "-"
        versions = f"{row.since} to {row.until}" if row.until else f"since {row.since}"
        rules = ", ".join(f"`{rule}`" for rule in row.rules) or "-"
        rows.append([functions, versions, row.proof.value, f"{rules} |"])
    assert [line.split(" | ")[1:] for line in lines[1:]] == rows


def test_the_announced_banner_counts_too(tmp_path: Path) -> None:
    damaged = BANNER[:34] + "[drm] (cc 14) #2 x" + BANNER[34:]
    for line in (BANNER, BANNER[:60], damaged[:60]):
        lines = [line, *COUNTED]
        result = explain(tmp_path, healthy(), lines, f"Preparing to boot {BANNER}")
        assert (result.boots, result.proved) == (1, True)


def test_a_line_of_another_processor_in_between_costs_nothing(tmp_path: Path) -> None:
    mixed = [text for line in FN2 for text in (line, "smp: another processor says something")]
    (message,) = read(tmp_path, mixed).boots[0].messages
    assert message.code == CodeAddress(0xC000000000001020, "fn2", 0)
    assert message.phase is BugPhase.INIT


@pytest.mark.parametrize("lost", range(8))
def test_a_lost_line_costs_that_line(tmp_path: Path, lost: int) -> None:
    lines = [*FN2]
    lines[lost] = lines[lost][:6] + "[drm] something else"
    result = explain(tmp_path, exhausted(), lines)
    (explanation,) = result.explanations
    assert result.failed
    assert explanation.rule == "area-exhausted"
    assert explanation.agrees is (None if lost == 2 else True)


@pytest.mark.timeout(20)
def test_many_messages_do_not_take_long(tmp_path: Path) -> None:
    lines = ["ftrace failed to modify [<c000000000001020>] fn2+0x0/0x10", DISABLED] * 2000
    assert len(explain_log(booted(exhausted()), read(tmp_path, lines)).explanations) == 4000


def test_messages_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    log = read(tmp_path, ["ftrace: No functions to be traced?"] * (boot_log.PLACES_MAX + 233))
    assert len(log.boots[0].messages) == boot_log.PLACES_MAX - 1  # the banner is one
    assert log.omitted == 234
    with pytest.raises(RefusedError, match=r"has more messages of ftrace than are read \(2 more\)"):
        explain(tmp_path, healthy(), COUNTED * (boot_log.PLACES_MAX + 1))


def test_memory_is_bounded_for_long_lines_and_many_boots(tmp_path: Path) -> None:
    banners = "".join(f"{BANNER} {number}\n" for number in range(20000))
    log = read_text(tmp_path, "[    0.000000] x\n" + "ftrace " * 3_000_000 + "\n" + banners * 2)
    assert log.lines == 40002
    assert len(log.boots) <= boot_log.PLACES_MAX


def test_the_last_of_many_boots_is_read(tmp_path: Path) -> None:
    boot = f"{BANNER}\n{COUNTED[0]}\n"
    bug = "ftrace failed to modify [<c000000000001020>] fn2+0x0/0x10\n"
    log = read_text(tmp_path, boot * 3000 + f"{BANNER}\n{bug}")
    assert [len(boot.messages) for boot in log.boots] == [1] * 3001
    assert (log.omitted, log.boots[-1].messages[0].line) == (0, 6002)


@pytest.mark.parametrize(
    "line",
    [
        "Linux version 1 " + "(a) (b) " * 450,
        "WARNING: [" + "] [x" * 900 + " kernel/trace/ftrace.c",
        "ftrace " + "> <1>[" * 600,
        "\x1b]" * 2000 + "ftrace",
        "[" * 2000 + "ftrace " + "[1 " * 500,
    ],
)
@pytest.mark.timeout(20)
def test_no_line_takes_long(tmp_path: Path, line: str) -> None:
    assert read_text(tmp_path, f"[    0.000000] {BANNER}\n{(line + chr(10)) * 1000}").lines == 1001


@given(st.binary(max_size=400))
def test_any_bytes_are_a_log_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.log"
    path.write_bytes(data)
    try:
        read_boot_log(str(path))
    except PfestubsError as e:
        assert e.exit_code == 2  # noqa: PT017 - either outcome is right


@pytest.mark.slow
@given(st.data())
def test_damaged_logs_are_explained(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = (LOGS / data.draw(st.sampled_from(TRAP_LOGS))).read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in pairwise([0, *cuts, len(whole)])]
    junk = data.draw(st.lists(st.binary(max_size=8), min_size=len(pieces), max_size=len(pieces)))
    path = tmp_path_factory.getbasetemp() / "damaged.log"
    path.write_bytes(b"".join(p + j for p, j in zip(pieces, junk, strict=True)))
    boot = simulate_boot(exhausted().kernel())
    try:
        result = explain_log(boot, read_boot_log(str(path)))
    except PfestubsError as e:
        assert e.exit_code == 2  # noqa: PT017 - either outcome is right
        return
    validator("explain").validate(json.loads(shown(result, "json")))
    with redirect_stdout(io.StringIO()) as out:
        print(shown(result))
    assert "\x1b" not in out.getvalue()


# -- comparing -----------------------------------------------------------------------------------------------


def test_a_log_that_contradicts_the_replay(tmp_path: Path) -> None:
    line = "ftrace-powerpc: 0xc000000000001010: expected (60000000) != found (00000000)"
    result = explain(tmp_path, healthy(), [line, *FN1])
    assert result.contradicts
    for explanation in result.explanations:
        assert (explanation.comparison, explanation.agrees) == (Comparison.NOT_PREDICTED, False)
        assert explanation.remedy is None
    for words in (
        "log and replay disagree",
        "this log contradicts the replay",
        "report it with the whole log",
    ):
        assert words in shown(result)


NOT_A_NOP = "ftrace-powerpc: 0xc000000000001020: expected (60000000) != found (00000000)"
OUT_OF_STUBS = (
    "WARNING: CPU: 0 PID: 0 at arch/powerpc/kernel/trace/ftrace.c:252 ftrace_init_ool_stub+0xf8/0x420"
)
WRONG = "ftrace-powerpc: 0xc000000000001010: expected (60000000) != found (7c0802a6)"
OUT_OF_RANGE = (
    "ftrace-powerpc: ftrace_init_ool_stub: ftrace ool stub out of range (000000001f2e3d4c -> 00000000aa).)"
)
OUT_OF_STUBS_NOW = (
    "WARNING: arch/powerpc/kernel/trace/ftrace.c:252 at ftrace_init_nop+0xf8/0x420, CPU#0: swapper/0"
)
DISABLED = "WARNING: kernel/trace/ftrace.c:2287 at ftrace_bug+0x31c/0x384, CPU#0: swapper/0"
SHORTAGE = "area text_end has 0 stubs, 2 functions need one: 2 functions get no stub"
AWAY = f"{40 * MIB + 8 - 0x1020:,} bytes from its stub"
C = Comparison
LATER = bug("c000000000001010 fn1+0x0/0x10", phase="Setting ftrace call site to call ftrace function")
MODULE = bug("c008000000001020 ext4_sync+0x8/0x40 [ext4]")


def not_a_nop() -> LinkedKernel:
    return LinkedKernel(words={BASE + 0x1010: 0x7C0802A6})


def inline() -> LinkedKernel:
    return LinkedKernel(layout=None, words={BASE + 0x1010: 0x7C0802A6})


def fn2(what: str) -> list[str]:
    return bug("c000000000001020 fn2+0x0/0x10", what)


@pytest.mark.parametrize(
    ("writer", "lines", "comparison", "agrees", "function", "rule", "text"),
    [
        (exhausted, FN2, C.AGREES, True, "fn2", "area-exhausted", "log and replay agree"),
        (exhausted, [OUT_OF_STUBS_NOW, *FN2, DISABLED], C.AGREES, True, "fn2", "area-exhausted", SHORTAGE),
        (too_far, [OUT_OF_RANGE, *FN2], C.AGREES, True, "fn2", "stub-out-of-range", AWAY),
        (not_a_nop, [WRONG, *FN1], C.AGREES, True, "fn1", "location-not-nop", "; build with -fpatch"),
        (inline, [WRONG, *FN1], C.OTHER_FUNCTION, False, "fn1", "location-not-nop", "the replay ends at"),
        (exhausted, fn2("faulted on modifying"), C.OTHER_RULE, False, "fn2", "location-not-nop", ""),
        (exhausted, fn2("faulted on writing"), C.NOT_SIMULATED, None, "fn2", None, ""),
        (exhausted, fn2("faulted on unknown error"), C.NOT_SIMULATED, None, "fn2", None, ""),
        (exhausted, FN1, C.OTHER_FUNCTION, False, "fn1", None, "ends at fn2 at 0xc000000000001020"),
        (exhausted, bug("c000000000009990 other+0x8/0x10"), C.OTHER_FUNCTION, False, "other+0x8", None, ""),
        (exhausted, MODULE, C.MODULE, None, "ext4_sync+0x8 [ext4]", None, "outside this vmlinux"),
        (exhausted, [NOT_A_NOP, *FN2], C.OTHER_RULE, False, "fn2", "location-not-nop", ""),
        (exhausted, [OUT_OF_STUBS], C.FUNCTION_LOST, None, None, "area-exhausted", "is not in the log"),
        (too_far, [OUT_OF_STUBS], C.OTHER_RULE, False, None, "area-exhausted", ""),
        (too_far, FN2, C.RULE_LOST, None, "fn2", "stub-out-of-range", "which test failed"),
        (healthy, [*ALLOCATED, *LATER], C.AFTER_BOOT, None, "fn1", None, "happened after boot"),
        (healthy, ["ftrace: No functions to be traced?"], C.OTHER_COUNT, False, None, None, "has 5"),
    ],
)
def test_how_a_failure_compares(
    tmp_path: Path,
    writer: Callable[[], LinkedKernel],
    lines: list[str],
    comparison: Comparison,
    agrees: bool | None,
    function: str | None,
    rule: str | None,
    text: str,
) -> None:
    result = explain(tmp_path, writer(), lines)
    assert result.failed
    for e in result.explanations:
        assert (e.comparison, e.agrees, e.function, e.rule) == (comparison, agrees, function, rule)
        assert text in "; ".join(explanation_sentences(e, with_remedy=True))
        assert text != AWAY or "(limit 33,554,432)" in "; ".join(explanation_sentences(e, with_remedy=True))
        lost = comparison in {Comparison.FUNCTION_LOST, Comparison.RULE_LOST}
        assert (e.remedy is not None) is (agrees is True or lost)
    if comparison is Comparison.RULE_LOST:
        assert explain(tmp_path, writer(), lines, None).explanations[0].remedy is None


def test_a_failure_that_the_log_should_have(tmp_path: Path) -> None:
    lines = [*counted(6), *ALLOCATED]
    result = explain(tmp_path, exhausted(), lines)
    assert [e.comparison for e in result.explanations] == [Comparison.AGREES, Comparison.NOT_LOGGED]
    assert (result.failed, result.contradicts) == (False, True)
    with pytest.raises(RefusedError, match="allocated"):  # the log may end before the failure
        explain(tmp_path, exhausted(), lines[:1])


@pytest.mark.parametrize("offset", [0x400000, 0x2000000, 0x10000000])
def test_a_relocated_kernel(tmp_path: Path, offset: int) -> None:
    lines = bug(f"{BASE + 0x1020 + offset:x} fn2+0x0/0x10")[:-1]
    result = explain(tmp_path, exhausted(), [*lines, f" expected tramp: {BASE + 0x80 + offset:x}"])
    (explanation,) = result.explanations
    assert result.offset == offset
    assert (explanation.location, explanation.agrees) == (BASE + 0x1020, True)
    assert f"the kernel is relocated by +{offset:#x}" in shown(result)


def test_a_kernel_without_kallsyms(tmp_path: Path) -> None:
    code = f"{BASE + 0x1020:x}"
    (explanation,) = explain(tmp_path, exhausted(), bug(f"{code} 0x{code}")).explanations
    assert (explanation.function, explanation.agrees) == ("fn2", True)
    code = f"{BASE + 0x1020 + 0x400000:x}"
    result = explain(tmp_path, exhausted(), bug(f"{code} 0x{code}"))
    assert result.contradicts is False


def test_another_link_of_the_same_kernel(tmp_path: Path) -> None:
    result = explain(tmp_path, exhausted(), [OUT_OF_STUBS_NOW, *bug("c000000000101028 fn2+0x0/0x10")])
    warning, explanation = result.explanations
    assert (warning.comparison, warning.message.code) == (Comparison.OTHER_ADDRESS, None)
    assert "the file has it at 0xc000000000001020\n" in shown(result)
    assert (explanation.comparison, explanation.agrees) == (Comparison.OTHER_ADDRESS, False)
    assert "the file has it at 0xc000000000001020, the log at 0xc000000000101028" in shown(result)
    assert "another link of this kernel, or another kernel; give the vmlinux that was booted" in shown(result)


@pytest.mark.parametrize(
    ("toc", "where", "agrees"),
    [
        (0x80000041, "kernel_toc", True),
        (0x80000040, "kernel_toc", False),
        (0x40 - (1 << 31), "kernel_toc", True),
        (0x44 - (1 << 31), "kernel_toc", False),
        (0x80000041, "pcrel address", None),
        (None, "kernel_toc", None),
    ],
)
def test_the_tracer_against_the_toc(tmp_path: Path, toc: int | None, where: str, agrees: bool | None) -> None:
    """ftrace_regs_caller is at 0x40; 2 GiB are in range on either side."""
    names = healthy().function_names() | ({} if toc is None else {".TOC.": BASE + toc})
    kernel = replace(healthy().kernel(), banner=BANNER, symbols=NamedAddresses(names))
    line = f"ftrace-powerpc: Address of ftrace_regs_caller out of range of {where}."
    result = explain_log(simulate_boot(kernel), read(tmp_path, [line]))
    (explanation,) = result.explanations
    assert explanation.agrees is agrees
    assert explanation.function == "ftrace_regs_caller"
    if agrees:
        assert explanation.remedy == Remedy(Action.SHRINK_TEXT)
        above, below = "2,147,483,648 bytes", "2,147,483,649 bytes"
        figures = f"{below} from the TOC pointer (limit 2,147,483,648)"
        if toc is not None and toc < 0:
            figures = f"{above} from the TOC pointer (limit 2,147,483,647)"
        assert figures in "; ".join(explanation_sentences(explanation, with_remedy=True))


@pytest.mark.parametrize("chunk", range(1, 20))
def test_an_escape_over_the_border_of_two_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_bytes, "CHUNK", chunk)
    text = io.BytesIO(b"a \x1b[31mb\\u003cc &lt;d\\ne\n")
    assert b"".join(log_bytes.clean_chunks(text, "log", 100)) == b"a b<c <d\re\n"


OTHER_KERNEL = r"boot\.log: error: is of another kernel: '7\.2\.1-other #7 SMP Tue Nov  3 12:00:00 UTC 2026', .* '7\.2\.0-small #1 SMP Mon Nov  2 12:00:00 UTC 2026'"
TAINTED = "CPU: 1 UID: 0 PID: 9 Comm: a b Tainted: G           OE       7.2.0-small #1"
REGISTERS = "REGS: c000000005d5fb00 TRAP: 0700   Tainted: G        W            (7.2.0-small)"
DROPPED = "** 7 printk messages dropped **"


def skipping() -> LinkedKernel:
    """Its table has an entry that boot skips."""
    return LinkedKernel(table=[0, *LinkedKernel().locations])


@pytest.mark.parametrize(
    ("writer", "banner", "lines", "answer"),
    [
        (healthy, BANNER, [*COUNTED, *ALLOCATED], "ok"),
        (skipping, BANNER, counted(5), "ok"),
        (skipping, BANNER, counted(6), "ok"),
        (skipping, BANNER, counted(7), "allocating 7 entries"),
        (partial(LinkedKernel, [], [], reserve=0), BANNER, ["ftrace: No functions to be traced?"], "table-damaged"),
        (healthy, OTHER, COUNTED, OTHER_KERNEL),
        (healthy, OTHER[:40], COUNTED, "is of another kernel"),
        (healthy, BANNER[:40], COUNTED, "ok"),  # by its release and its number of functions
        (healthy, BANNER[:20], COUNTED, "not that the kernel is vmlinux"),
        (healthy, None, [*COUNTED, *ALLOCATED], 'it has no complete "Linux version" line'),
        (healthy, None, [*COUNTED, *ALLOCATED, TAINTED], "ok"),
        (exhausted, None, [*FN2, TAINTED.replace("7.2.0-small", "5.11.0")], r"'5\.11\.0', vmlinux has '7\.2\.0-small'"),
        (exhausted, None, [*FN2, REGISTERS], "failed"),
        (healthy, BANNER, [*COUNTED, *ALLOCATED, DROPPED], "ok"),
        (healthy, BANNER, ["Missed 3 kernel messages", *COUNTED], 'line 2, "Missed 3 kernel messages"'),
        (exhausted, BANNER, [DROPPED, *FN2], "failed"),
    ],
)  # fmt: skip
def test_what_a_log_proves(
    tmp_path: Path, writer: Callable[[], LinkedKernel], banner: str | None, lines: list[str], answer: str
) -> None:
    """Which kernel it is of, and whether that one failed."""
    if answer not in {"ok", "failed"}:
        with pytest.raises(RefusedError, match=answer):
            explain(tmp_path, writer(), lines, banner)
        return
    result = explain(tmp_path, writer(), lines, banner)
    assert (result.failed, result.contradicts) == (answer == "failed", False)
    assert result.proved is (banner is not None or answer == "ok")
    assert result.explanations[0].agrees is True


def test_other_boots_in_the_log_are_left_out(tmp_path: Path) -> None:
    lines = [*FN1, BANNER, *COUNTED]
    result = explain(tmp_path, healthy(), lines, OTHER)
    assert (result.boots, len(result.log.boots) - result.boots, result.failed) == (1, 1, False)
    assert "boot.log: left out: 1 boot of other kernels\n" in shown(result)


@pytest.mark.parametrize("builder", ["(me@here) ", "(builder@host) ", "(redacted) ", ""])
@pytest.mark.parametrize("width", [30, 40, 70, 80, 200])
def test_who_built_the_kernel_may_be_removed_and_the_banner_wrapped(
    tmp_path: Path, builder: str, width: int
) -> None:
    banner = BANNER.replace("(me@here) ", builder)
    lines = [banner[i : i + width] for i in range(width, len(banner), width)]
    result = explain(tmp_path, healthy(), [*lines, *COUNTED], banner[:width])
    assert (result.proved, result.failed) == (True, False)
    other = banner.replace("12:00:00", "12:00:01")
    if builder and width > len(other):
        with pytest.raises(RefusedError, match="is of another kernel"):
            explain(tmp_path, healthy(), COUNTED, other)


@pytest.mark.parametrize("stamp", ["", "6,{n},{n}000,-;", "host kernel: "])
def test_an_address_that_was_taken_for_a_stamp_costs_nothing(tmp_path: Path, stamp: str) -> None:
    for function, comparison in (("fn2", Comparison.AGREES), ("fn1", Comparison.OTHER_FUNCTION)):
        texts = [BANNER, *bug(f"c000000000001020 {function}+0x0/0x10"), "NIP ftrace_bug+0x1/0x2"]
        lines = [stamp.format(n=n) + re.sub(r"^\[.*?\] ", "", text) for n, text in enumerate(texts, 8)]
        (explanation,) = explain_text(tmp_path, booted(exhausted()), "\n".join(lines)).explanations
        assert (explanation.function, explanation.comparison) == (function, comparison)


def test_a_log_without_identity_proves_no_contradiction(tmp_path: Path) -> None:
    result = explain(tmp_path, exhausted(), FN1, None)
    assert (result.proved, result.failed, result.contradicts) == (False, True, False)
    assert result.explanations[0].agrees is None
    assert 'without a complete "Linux version" line the log may be of another kernel' in shown(result)
    assert explain(tmp_path, exhausted(), FN2, None).explanations[0].agrees is True


# -- logs in other clothing ----------------------------------------------------------------------------------

TRAP, TINY, DEBIAN = "pseries-7.2.13-trap", "tiny-7.3-grown", "debian-7.2.13-ppc64le"
BARE = {TRAP: "trap-dmesg.log", TINY: "tiny-serial.log", DEBIAN: "debian-serial.log"}
FIELD = (
    ("e1-escaped-newlines", TRAP, 1),
    ("e1-newlines-lost", TINY, 1),
    ("e2-tail-br", TRAP, 1),
    ("e2-tail-quote-brace", TRAP, 1),
    ("e3-journal-fr", TINY, 1),
    ("e3-dmesg-de", TINY, 1),
    ("e3-dmesg-delta", TINY, 1),
    ("e3-no-hostname", TINY, 1),
    ("e3-journal-fr-boots", DEBIAN, 0),
    ("e3-journal-fr-foreign", DEBIAN, "is of another kernel: '7.3.0-rc7 #1 SMP PREEMPT 2024-01-01'"),
    ("e3-bracket-iso", TRAP, 1),
    ("e4-console-grep", DEBIAN, 0),
    ("e5-unregister-twice", DEBIAN, "ftrace may still be on"),
    ("e7-dropped", TRAP, 'line 9, "** 58 printk messages dropped **"'),
    ("e7-journal-missed", TRAP, 'line 9, "Missed 60 kernel messages"'),
)
"""Logs as people have them, what kernel they are of, and the exit status or what is said."""


def of_stand_in(log: bytes, kernel: str) -> bytes:
    """A real kernel's log as that of a small kernel which fails, or not, at the same test."""
    code = rb"c0000000034a4a38>] dev_create\+0x8/0x150|c000000002074ca4>] __mutex_lock_killable_slowpath\+0x8/0x14"
    log = re.sub(code, b"c000000000001020>] fn2+0x0/0x10", log)
    log = re.sub(rb"expected tramp: c0[0-9a-f]{14}", b"expected tramp: c000000000000080", log)
    return re.sub(rb"allocating \d+ entries", b"allocating %d entries" % (5 if kernel == DEBIAN else 6), log)


@pytest.fixture(scope="module")
def stand_ins() -> dict[str, Boot]:
    found = {}
    for kernel, name in BARE.items():
        banner = re.search("Linux version .*", (LOGS / name).read_text())
        assert banner
        writer = healthy() if kernel == DEBIAN else exhausted()
        found[kernel] = simulate_boot(replace(writer.kernel(), banner=banner[0].strip()))
    return found


def answer(path: Path, log: bytes, boot: Boot) -> tuple[int, Any]:
    """The exit status, and what is claimed of each message, or the error."""
    path.write_bytes(log)
    try:
        result = explain_log(boot, read_boot_log(str(path)))
    except PfestubsError as e:
        return 2, str(e)
    claims = {(e.message.kind, e.function, e.comparison) for e in result.explanations}
    return int(result.failed), claims | {result.proved}


@pytest.mark.parametrize(("name", "kernel", "expected"), FIELD)
def test_logs_from_the_field(
    tmp_path: Path, stand_ins: dict[str, Boot], name: str, kernel: str, expected: int | str
) -> None:
    log = (LOGS / "field" / name).read_bytes()
    if name != "e3-journal-fr-foreign":
        log = of_stand_in(log, kernel)
    if name == "e5-unregister-twice":
        result = explain_text(tmp_path, stand_ins[kernel], log.decode())
        assert "ftrace disabled itself" not in shown(result)
        assert str(expected) in explain_summary(result)
        return
    status, claims = answer(tmp_path / "boot.log", log, stand_ins[kernel])
    if isinstance(expected, str):
        assert (status, expected in claims) == (2, True)
    else:
        assert (status, True in claims) == (expected, True)
        assert expected == 0 or (MessageKind.BUG, "fn2", Comparison.AGREES) in claims


@pytest.mark.parametrize("seed", range(400))
def test_clothing_changes_no_answer(tmp_path: Path, stand_ins: dict[str, Boot], seed: int) -> None:
    """The answer is the bare log's; if lines are cut, as much of it as is left, or that it cannot be told."""
    random = Random(seed)
    kernel = random.choice(list(BARE))
    bare = of_stand_in((LOGS / BARE[kernel]).read_bytes(), kernel)
    expected = answer(tmp_path / "bare.log", bare, stand_ins[kernel])
    dressed = dress(bare.decode(), random)
    status, claims = answer(tmp_path / "boot.log", dressed.data, stand_ins[kernel])
    if dressed.keeps_lines:
        assert (status, claims) == expected
    else:
        assert status in {expected[0], 2}
        assert status == 2 or not any(isinstance(c, tuple) and c[2].contradicts for c in claims)


@pytest.mark.parametrize(
    "line",
    [
        "host sudo[77]: user : TTY=pts/0 ; COMMAND=/usr/bin/grep 'ftrace failed to modify' /var/log/kern.log",
        "host logger: ftrace failed to modify",
        "host test[5]: [    0.000000] WARNING: kernel/trace/ftrace.c:2287 at ftrace_bug+0x31c/0x384, CPU#0",
        "host kernel: module_64: foo: Address of ftrace_caller out of range of kernel_toc.",
        "host cat[9]: ------------[ ftrace bug ]------------",
        "host bash[9]: Linux version 6.1.0 (me@there) (cc 12, ld 2) #9 SMP 2020",
    ],
)
def test_other_programs_are_not_the_kernel(tmp_path: Path, line: str) -> None:
    for stamp in ("Nov 23 09:03:55 ", "2026-11-23T09:03:55+0000 ", "nov. 23 09:03:55 "):
        texts = [f"host kernel: {BANNER}", "host kernel: ftrace: allocating 5 entries in 1 pages", line]
        result = explain_text(tmp_path, booted(healthy()), "".join(f"{stamp}{text}\n" for text in texts))
        assert (result.failed, result.proved, len(result.log.boots) - result.boots) == (False, True, 0)


@pytest.mark.parametrize(
    "line",
    [
        "Linux version 6.1.0 (me@there) (cc 12, ld 2) #9 SMP 2020",
        "ftrace failed to modify",
        "root@host:~# dmesg | grep -E 'ftrace failed to modify|ftrace faulted on writing'",
        "+ grep -q ftrace failed to modify",
        "ok 3 - ftrace failed to modify",
        "[    9.000000] module_64: foo: Address of ftrace_caller out of range of kernel_toc.",
        "[    9.000000] systemd[1]: ftrace faulted on writing",
    ],
)
def test_what_is_typed_or_printed_on_the_console_is_not_the_kernels(tmp_path: Path, line: str) -> None:
    for count, writer, failure, found in ((6, exhausted(), FN2, [2, 5]), (5, healthy(), [], [2])):
        texts = [BANNER, *counted(count), line, *failure]
        text = "".join(text + "\n" if text == line else f"[    0.000000] {text}\n" for text in texts)
        result = explain_text(tmp_path, booted(writer), text)
        assert [e.message.line for e in result.explanations] == found


def test_fields_of_a_journal_name_the_program(tmp_path: Path) -> None:
    texts = (("kernel", BANNER), ("kernel", COUNTED[0]), ("bash", "ftrace failed to modify"))
    entries: list[dict[str, Any]] = [
        {"PRIORITY": "6", "MESSAGE": text, "SYSLOG_IDENTIFIER": name, "_TRANSPORT": name}
        for name, text in texts
    ]
    entries[1]["MESSAGE"] = list(COUNTED[0].encode())
    lines = [json.dumps(entry) + "\n" for entry in entries]
    pretty = [json.dumps(entry, indent=8) + "\n" for entry in (entries[0], entries[2], entries[0])]
    export = ["".join(f"{k}={v}\n" for k, v in entry.items()) + "\n" for entry in (entries[0], entries[2])]
    export.append("MESSAGE=ftrace: allocating 5 entries in 1 pages\nSYSLOG_IDENTIFIER=kernel\n\n")
    for document in (lines, export):
        result = explain_text(tmp_path, booted(healthy()), "".join(document))
        assert (result.failed, result.proved) == (False, True)
    assert [len(boot.messages) for boot in read_text(tmp_path, "".join(pretty)).boots] == [0, 0]


@pytest.mark.parametrize("width", [20, 40, 60, 72, 80, 100, 132, 10_000])
@pytest.mark.parametrize("stamp", ["", "[    0.000000] ", "Nov 23 09:03:55 host kernel: "])
def test_no_failure_becomes_a_success(
    tmp_path: Path, stand_ins: dict[str, Boot], stamp: str, width: int
) -> None:
    """Without its newlines, in lines of one width, a log is as damaged as text gets."""
    for kernel, name in BARE.items():
        log = of_stand_in((LOGS / name).read_bytes(), kernel).decode()
        text = "".join(f"{stamp}{line}" for line in log.splitlines())
        lines = "\n".join(text[i : i + width] for i in range(0, len(text), width))
        status, _ = answer(tmp_path / "boot.log", lines.encode(), stand_ins[kernel])
        assert status in {0 if kernel == DEBIAN else 1, 2}


def test_one_address_does_not_move_a_kernel(tmp_path: Path) -> None:
    """A relocation needs most of the addresses, and two; a kernel does not move down."""
    code = f"{BASE + 0x101020:x} fn2+0x0/0x10"
    seen = [f"NIP [{BASE + 0x1000 + 16 * i:016x}] fn{i}+0x0/0x10" for i in range(4)]
    dump = ["REGS: c000000005d5fb00 TRAP: 0700   Not tainted  (7.2.0-small)", *seen]
    for lines in ([*bug(code)[:-1]], [*dump, *bug(code)], [*dump, *bug(code), *bug(code)[1:3]]):
        result = explain(tmp_path, exhausted(), lines)
        assert result.offset in {None, 0}
        assert result.explanations[0].comparison is Comparison.OTHER_ADDRESS
    below = [line.replace("c000000000", "bfffffff0f") for line in bug(f"{BASE + 0x1020:x} fn2+0x0/0x10")]
    assert explain(tmp_path, exhausted(), below).offset is None


def test_a_tracer_that_only_the_freed_trampoline_reaches(tmp_path: Path) -> None:
    """It boots; enabling a tracer after boot fails."""
    boot = replace(
        booted(healthy()),
        failures=[Failure(1, "init-trampoline-only", 40 * MIB, 32 * MIB, tracer="ftrace_caller")],
    )
    phase = BugPhase.CALL.value
    for position, comparison in ((1, Comparison.AGREES), (0, Comparison.AFTER_BOOT)):
        code = f"{boot.locations[position]:x} {boot.function(position)}+0x0/0x10"
        lines = [*COUNTED, *ALLOCATED, *bug(code, phase=phase)]
        explanations = explain_log(boot, read(tmp_path, lines)).explanations
        assert explanations[-1].comparison is comparison
        assert explanations[-1].rule == ("init-trampoline-only" if comparison is Comparison.AGREES else None)


# -- the command ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vmlinux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`exhausted` as a file, with its banner."""
    kernel = with_banner(exhausted(), BANNER.encode() + b"\n\0")
    return kernel.save(tmp_path_factory.mktemp("explain") / "vmlinux")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return save_log(tmp_path / "boot.log", FN2)


def test_the_command(vmlinux: Path, log: Path) -> None:
    out = printed("explain", vmlinux, log, code=1)
    assert f"{log}:3: ftrace failed to modify (fn2 at 0xc000000000001020)\n" in out
    assert "log and replay agree" in out
    assert "live patching, kprobes on ftrace, and fentry/fexit BPF programs" in out
    assert out.splitlines()[-1].startswith(f"{log}: failed: ftrace disabled itself at fn2 (area-exhausted); ")
    document = json_of("explain", vmlinux, log, code=1)
    assert document["log"] == str(log)
    assert document["explanations"][0]["agrees"] is True


def test_standard_input(vmlinux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = save_log(tmp_path / "boot.log", FN2).read_bytes()
    for words in ((), ("-",)):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(log)))
        assert printed("explain", vmlinux, *words, code=1).startswith("standard input:3: ")
    terminal = type("Terminal", (io.BytesIO,), {"isatty": lambda _: True})(log)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=terminal))
    outcome = call("explain", vmlinux)
    assert (outcome.code, outcome.err) == (1, "standard input: reading the boot log; Ctrl-D ends it\n")
    monkeypatch.setattr("sys.stdin", None)
    assert refusal("explain", vmlinux).startswith("standard input: error: cannot be read: ")


def test_output_file(vmlinux: Path, log: Path, tmp_path: Path) -> None:
    outcome = call("explain", vmlinux, log, "-o", tmp_path / "out")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"{log}: failed: ")
    assert call("explain", vmlinux, log, "-o", log).code == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n", "holds no kernel message"),
        (b"hello\nworld\n", "holds no kernel message"),
        (bytes(range(256)) * 40, "holds no kernel message"),
        (b"\x7fELF" + bytes(100), "is an ELF file, not a log"),
        (gzip.compress(BANNER.encode()), "is compressed with gzip, not a log; pipe it: zcat"),
        (OTHER.encode() + b"\n", "is of another kernel"),
        (BANNER.encode() + b"\nrandom: crng init done\n", "shows nothing of ftrace (2 lines)"),
    ],
)
def test_files_that_are_no_log_of_this_kernel(
    vmlinux: Path, tmp_path: Path, content: bytes, problem: str
) -> None:
    log = tmp_path / "boot.log"
    log.write_bytes(content)
    assert problem in refusal("explain", vmlinux, log, about=log)


def test_what_is_given_in_place_of_a_log_or_a_kernel(vmlinux: Path, log: Path, tmp_path: Path) -> None:
    explains = f"{log}: error: is a boot log, not an ELF file; pfestubs explain VMLINUX {log}"
    rows: list[tuple[list[str | Path], str]] = [
        (["explain", vmlinux, tmp_path], f"{tmp_path}: error: cannot be read: "),
        (["explain", vmlinux, tmp_path / "missing"], f"{tmp_path}/missing: error: cannot be read: "),
        (
            ["explain", log, vmlinux],
            f"{vmlinux} is: the kernel comes first; pfestubs explain {vmlinux} {log}",
        ),
        (["explain", vmlinux, vmlinux], "is an ELF file, not a log; give the log after the kernel"),
        (["check", log], explains),
        (["diff", vmlinux, log], explains),
        (["diff", log, vmlinux], explains),
        (["verify", vmlinux, log], explains),
    ]
    for words, problem in rows:
        assert problem in refusal(*words)


def test_untrusted_text_is_escaped(vmlinux: Path, tmp_path: Path) -> None:
    log = tmp_path / "boot.log"
    log.write_bytes(BANNER.encode() + b"\nftrace failed to modify \x07\xff\x1b[31m\xe2\x80\xae\x9b\n")
    assert all(c.isprintable() or c == "\n" for c in printed("explain", vmlinux, log, code=1))


# -- real kernels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize(
    ("kernel", "log", "function"),
    [
        (TRAP, "trap-journal.log", "dev_create+0x8"),
        (TINY, "tiny-serial.log", "__mutex_lock_killable_slowpath+0x8"),
    ],
)
def test_boots_that_failed(kernels: Kernels, kernel: str, log: str, function: str, saved: bool) -> None:
    path = LOGS / log if saved else kernels(f"{kernel}/boot.log")
    document = json_of("explain", kernels(f"{kernel}/vmlinux"), path, code=1)
    failures = [e for e in document["explanations"] if e["kind"] == "ftrace-bug"]
    assert [(e["rule"], e["function"], e["agrees"]) for e in failures] == [("area-exhausted", function, True)]
    assert failures[0]["remedy"]["action"] == "lower-reserve"
    assert str(failures[0]["remedy"]["value"]) in failures[0]["text"]
    assert all(e["agrees"] for e in document["explanations"])
    assert (document["same_kernel"], document["offset"]) == (True, "0x0")


def test_a_boot_that_succeeded(kernels: Kernels) -> None:
    log = LOGS / "debian-serial.log"
    assert "ok: no failure of ftrace in the log; allocating 42,648 entries, as in" in printed(
        "explain", kernels(f"{DEBIAN}/vmlinux"), log
    )
    other = call("explain", kernels(f"{DEBIAN}/vmlinux"), kernels(f"{TRAP}/boot.log"))
    assert other.code == 2
    assert "'7.2.13 #3 SMP PREEMPT" in other.err
    assert "'7.2.13+deb14-powerpc64le #1 SMP PREEMPT" in other.err
