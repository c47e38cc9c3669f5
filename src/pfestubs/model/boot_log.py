# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of ftrace in a boot log, for `pfestubs explain`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class MessageKind(Enum):
    """What a message of ftrace is about; the value is its name in documents."""

    ALLOCATING = "allocating"
    ALLOCATED = "allocated"
    NO_FUNCTIONS = "no-functions"
    NO_MEMORY = "no-memory"
    MODULE_SKIPPED = "module-skipped"
    BUG = "ftrace-bug"
    BUG_WARNING = "ftrace-bug-warning"
    ARCH_WARNING = "arch-warning"
    CORE_WARNING = "core-warning"
    STUB_OUT_OF_RANGE = "stub-out-of-range"
    NO_TRAMPOLINE = "no-trampoline"
    WRONG_INSTRUCTION = "wrong-instruction"
    FETCH_FAILED = "fetch-failed"
    UNEXPECTED_TARGET = "unexpected-target"
    UNEXPECTED_CALL = "unexpected-call"
    TRACER_TOO_FAR = "tracer-too-far"
    NO_MODULE = "no-module"


class BugError(Enum):
    """What `ftrace_bug` was told."""

    REFUSED = "failed to modify"
    """EINVAL: a test failed."""
    READ = "faulted on modifying"
    """EFAULT: the instruction could not be read."""
    WRITE = "faulted on writing"
    """EPERM: the instruction could not be written."""
    UNKNOWN = "faulted on unknown error"


class BugPhase(Enum):
    """What ftrace was doing when it failed (`kernel/trace/ftrace.c: print_bug_type`)."""

    INIT = "init"
    NOP = "nop"
    CALL = "call"
    UPDATE = "update"


@dataclass(frozen=True)
class MessageSource:
    """Where the kernel prints a message: file, functions, and the versions that have it ("" for open)."""

    kind: MessageKind
    file: str
    functions: tuple[str, ...]
    since: str = ""
    until: str = ""


@dataclass(frozen=True)
class CodeAddress:
    """A code address as a log shows it: where it ran, and as symbol + offset of a module or the kernel.

    Each is None if the log does not contain it.
    """

    address: int | None
    symbol: str | None = None
    offset: int = 0
    module: str | None = None


@dataclass(frozen=True)
class LogMessage:
    """A message of ftrace in a log, with the lines that belong to it.

    Attributes:
        line: number in the log, from 1.
        text: as logged, without time stamp and the like.
        source: where the kernel prints it.
        code: the function that it is about.
        caller: the kernel's own function that a warning names.
        count: number of entries.
        expected, found: instructions, None where the message has none.
        error, phase: of a message BUG, None if the log does not contain them.
    """

    line: int
    text: str
    source: MessageSource
    code: CodeAddress | None = None
    caller: str | None = None
    count: int | None = None
    expected: int | None = None
    found: int | None = None
    error: BugError | None = None
    phase: BugPhase | None = None

    @property
    def kind(self) -> MessageKind:
        """What it is about."""
        return self.source.kind


@dataclass(frozen=True)
class LoggedBoot:
    """What a log has of one boot.

    Attributes:
        banner: the line "Linux version ...", None before the first.
        complete: `banner` has all parts of such a line, as far as its form shows.
        following: the texts of the next lines, over which a console may have wrapped the banner.
        messages: of ftrace.
        sightings: addresses with their symbols, from registers and stacks.
    """

    banner: str | None
    complete: bool
    messages: Sequence[LogMessage]
    sightings: Sequence[CodeAddress]
    following: Sequence[str] = ()


@dataclass(frozen=True)
class BootLog:
    """A log, taken apart.

    Attributes:
        lines: how many there are.
        has_kernel_lines: at least one of them is known to be the kernel's.
        omitted: messages of ftrace beyond those that are kept.
    """

    file: str
    lines: int
    has_kernel_lines: bool
    boots: Sequence[LoggedBoot]
    omitted: int = 0
