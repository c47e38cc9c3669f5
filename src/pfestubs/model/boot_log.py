# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of ftrace, one row each, and a boot log as `pfestubs explain` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Proof(Enum):
    """What a message proves about ftrace; the value is the word of documents."""

    HEALTHY = "nothing is wrong"
    DISABLED = "ftrace is disabled"
    """The kernel calls `ftrace_kill`, or sets `ftrace_disabled`, in the same breath."""
    FAILED = "a test failed"
    """Whether ftrace is disabled, its caller's `ftrace_bug` says."""
    WARNED = "a warning"
    """Ftrace may still be on: `WARN_ON` does not disable it, `FTRACE_WARN_ON` does, and both print
    the same."""
    MODULE = "a module is not traced"


class MessageRow(NamedTuple):
    """A message of the kernel.

    Attributes:
        name: in documents.
        pattern: a regular expression over its text, from its first character on.
        file, functions: where the kernel prints it; function names are separated by blanks.
        since, until: the first and the last version that has it, "" for the newest.
        proof: what it proves.
        rules: the rules of `check` whose failure prints it.
    """

    name: str
    pattern: str
    file: str
    functions: str
    since: str
    proof: Proof
    rules: tuple[str, ...] = ()
    until: str = ""


_ARCH: Final = "arch/powerpc/kernel/trace/ftrace.c"
_CORE: Final = "kernel/trace/ftrace.c"
_PR_FMT: Final = "(?:ftrace-powerpc: )?(?:ftrace_init_ool_stub: )?"
"""The arch file's `pr_fmt`, and `__func__` where the format has it."""
_HEX: Final = "[0-9a-f]{8,16}"
SYMBOL: Final = (
    r"(?P<symbol>[A-Za-z_.$][\w.$]{0,500})\+0x(?P<offset>[0-9a-f]{1,8})/0x[0-9a-f]{1,8}"
    r"(?: \[(?P<module>[A-Za-z_][\w-]{0,60})\])?"
)
"""A symbol as `%pS` prints it."""
CODE: Final = rf"\[<(?P<ip>{_HEX})>\](?: {SYMBOL})?"
"""The function of an `ftrace_bug` (`print_ip_sym`)."""
_WARNING: Final = r"WARNING: (?:\[.{1,200}?\] )?(?:CPU: \d+ PID: \d+ )?(?:at )?(?:[^\s:]{0,200}/)?"
"""Up to the file: `WARNING: FILE:LINE at FUNCTION` since 6.18, "CPU: ... at FILE:LINE" since 3.12, before
that "at FILE:LINE"."""
_WARNED: Final = r"(?P<where>:\d+) (?:at )?(?P<caller>{})(?=\+0x)"
_ANY: Final = r"[A-Za-z_][\w.]*"
_P = Proof


# fmt: off
class MessageKind(Enum):
    """What a message of ftrace is about: every message that is explained."""

    ALLOCATING = MessageRow(
        "allocating", r"ftrace: allocating (?P<count>\d{1,12}) entries in \d+ pages", _CORE,
        "ftrace_process_locs ftrace_init", "2.6.28", _P.HEALTHY
    )
    ALLOCATED = MessageRow(
        "allocated", r"ftrace: allocated \d+ pages with \d+ groups", _CORE, "ftrace_init", "5.6", _P.HEALTHY
    )
    NO_FUNCTIONS = MessageRow(
        "no-functions", r"ftrace: No functions to be traced\?", _CORE, "ftrace_init", "2.6.28", _P.DISABLED
    )
    NO_MEMORY = MessageRow(
        "no-memory", r"ftrace: (?:FAILED to allocate memory|failed to allocate entries) for functions",
        _CORE, "ftrace_allocate_pages ftrace_init", "3.3", _P.DISABLED
    )
    MODULE_SKIPPED = MessageRow(
        "module-skipped", r"ftrace: failed to allocate entries for module '(?P<module>[\w-]+)' functions",
        _CORE, "ftrace_module_init", "6.3", _P.MODULE
    )
    BUG = MessageRow(
        "ftrace-bug", r"-{12}\[ ftrace bug \]-{12}|ftrace (?P<error>failed to modify|faulted on"
        rf" (?:modifying|writing|unknown error))(?: {CODE})?", _CORE, "ftrace_bug", "2.6.30", _P.DISABLED
    )
    ARCH_WARNING = MessageRow(
        "arch-warning", _WARNING + r"arch/powerpc/kernel/(?:trace/)?ftrace\.c" + _WARNED.format(_ANY), _ARCH,
        "ftrace_init_nop ftrace_init_ool_stub", "6.13", _P.WARNED, ("area-exhausted",)
    )
    BUG_WARNING = MessageRow(
        "ftrace-bug-warning", _WARNING + r"kernel/trace/ftrace\.c" + _WARNED.format("ftrace_bug"), _CORE,
        "ftrace_bug", "2.6.30", _P.DISABLED
    )
    CORE_WARNING = MessageRow(
        "core-warning", _WARNING + r"kernel/trace/ftrace\.c" + _WARNED.format(_ANY), _CORE, "", "2.6.30",
        _P.WARNED
    )
    STUB_OUT_OF_RANGE = MessageRow(
        "stub-out-of-range", rf"{_PR_FMT}ftrace (?:ool|pfe) stub out of range"
        rf" \((?:0x)?(?:(?P<ip>{_HEX})|\S{{1,40}}) -> [^\s)]{{1,40}}\)", _ARCH, "ftrace_init_ool_stub",
        "6.13", _P.FAILED, ("stub-out-of-range", "return-out-of-range")
    )
    NO_TRAMPOLINE = MessageRow(
        "no-trampoline", rf"{_PR_FMT}0x{_HEX}(?: \(0x(?P<ip>{_HEX})\))?: No ftrace stubs reachable", _ARCH,
        "ftrace_get_call_inst", "6.6", _P.FAILED, ("tracer-unreachable",)
    )
    WRONG_INSTRUCTION = MessageRow(
        "wrong-instruction", rf"{_PR_FMT}0x(?P<ip>{_HEX}): expected \((?:{_HEX}|bl)\)"
        rf" != found \({_HEX}\)", _ARCH, "ftrace_validate_inst ftrace_init_nop", "6.6", _P.FAILED,
        ("location-not-nop",)
    )
    FETCH_FAILED = MessageRow(
        "fetch-failed", rf"{_PR_FMT}0x(?P<ip>{_HEX}): fetching instruction failed", _ARCH,
        "ftrace_read_inst", "6.6", _P.FAILED, ("location-not-nop",)
    )
    UNEXPECTED_TARGET = MessageRow(
        "unexpected-target", rf"{_PR_FMT}(?:0x{_HEX}(?: \(0x(?P<ip>{_HEX})\))?: )?Unexpected target address",
        _ARCH, "ftrace_get_call_inst", "6.13", _P.FAILED
    )
    UNEXPECTED_CALL = MessageRow(
        "unexpected-call", rf"{_PR_FMT}Unexpected call sequence(?: at (?:0x)?(?P<ip>{_HEX}))?", _ARCH,
        "__ftrace_make_call", "3.14", _P.FAILED, until="6.5"
    )
    TRACER_TOO_FAR = MessageRow(
        "tracer-too-far", rf"{_PR_FMT}Address of (?P<caller>[\w.]{{1,200}}) out of range of"
        r" (?:kernel_toc|pcrel address)", _ARCH, "ftrace_dyn_arch_init", "4.20", _P.DISABLED
    )
    NO_MODULE = MessageRow(
        "no-module", rf"{_PR_FMT}(?:No module loaded at addr=|0x(?=[0-9a-f]+: No module provided for"
        rf" non-kernel address))(?P<ip>{_HEX})", _ARCH, "ftrace_init_nop ftrace_lookup_module_stub", "6.6",
        _P.MODULE
    )
# fmt: on


class BugPhase(Enum):
    """What ftrace was doing when it failed, as `kernel/trace/ftrace.c: print_bug_type` prints it."""

    INIT = "Initializing ftrace call sites"
    NOP = "Setting ftrace call site to NOP"
    CALL = "Setting ftrace call site to call ftrace function"
    UPDATE = "Updating ftrace call site to call a different ftrace function"


@dataclass(frozen=True)
class CodeAddress:
    """A code address as a log shows it: where it ran, and as symbol + offset of a module or the kernel.

    Each is None if the log does not contain it.
    """

    address: int | None
    symbol: str | None = None
    offset: int = 0
    module: str | None = None


@dataclass
class LogMessage:
    """A message of ftrace in a log, with the lines that belong to it.

    Attributes:
        line: number in the log, from 1.
        text: as logged, without what stands before it.
        code: the function that it is about.
        caller: the kernel's own function that a warning names.
        count: number of entries.
        error, phase: of a message BUG, None if the log does not contain them. `failed to modify` (EINVAL): a
            test failed; `faulted on modifying`: the instruction could not be read, `on writing`: written.
    """

    line: int
    text: str
    kind: MessageKind
    code: CodeAddress | None = None
    caller: str | None = None
    count: int | None = None
    error: str | None = None
    phase: BugPhase | None = None

    @property
    def row(self) -> MessageRow:
        """What is known of such messages."""
        return self.kind.value


@dataclass
class LoggedBoot:
    """What a log has of one boot.

    Attributes:
        banner: the text from "Linux version ..." to the end of the line, None without one.
        following: the texts of the next lines, over which a console may have wrapped the banner.
        announced: only the firmware's console has shown the banner so far (`prom_init`).
        messages: of ftrace.
        sightings: addresses with their symbols, from registers and stacks.
        releases: of the kernel, as register dumps name it.
        lost: number and text of the lines that say that messages are missing.
        doubtful: the line of a failure that another program may have printed, or of a part of a failure.
        mentioned: the line in which another program, as it looks, speaks of a failure.
    """

    banner: str | None = None
    following: Sequence[str] = ()
    announced: bool = False
    messages: list[LogMessage] = field(default_factory=list)
    sightings: list[CodeAddress] = field(default_factory=list)
    releases: list[str] = field(default_factory=list)
    lost: list[tuple[int, str]] = field(default_factory=list)
    doubtful: int | None = None
    mentioned: int | None = None

    @property
    def complete(self) -> bool:
        """Whether the banner has a builder, a compiler and a build number, in this order."""
        return re.search(r"\) \(.*\) #\d+ ", self.banner or "") is not None


@dataclass(frozen=True)
class BootLog:
    """A parsed log.

    Attributes:
        lines: how many there are.
        boots: in their order.
        omitted: messages of ftrace beyond those that are kept.
    """

    file: str
    lines: int
    boots: Sequence[LoggedBoot]
    omitted: int = 0


class Comparison(Enum):
    """How a message compares with the simulated boot; `formats.explain` says it in words."""

    AGREES = "agrees"
    NOT_PREDICTED = "not-predicted"
    OTHER_FUNCTION = "other-function"
    OTHER_RULE = "other-rule"
    OTHER_COUNT = "other-count"
    OTHER_ADDRESS = "other-address"
    """The file has the function elsewhere: the log is of another link."""
    NOT_LOGGED = "not-logged"
    """The simulation fails, the logged boot does not."""
    FUNCTION_LOST = "function-lost"
    RULE_LOST = "rule-lost"
    AFTER_BOOT = "after-boot"
    MODULE = "module"
    NOT_SIMULATED = "not-simulated"

    @property
    def contradicts(self) -> bool:
        """Whether log and simulation cannot both be right."""
        return self in _CONTRADICTIONS


_CONTRADICTIONS: Final = frozenset(
    {
        Comparison.NOT_PREDICTED,
        Comparison.OTHER_FUNCTION,
        Comparison.OTHER_RULE,
        Comparison.OTHER_COUNT,
        Comparison.OTHER_ADDRESS,
        Comparison.NOT_LOGGED,
    }
)
