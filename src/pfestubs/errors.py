# SPDX-License-Identifier: GPL-2.0-or-later
"""The exit status, and the family of errors: what failed, about which file, and what to do next.

Every member means exit status 2. Something wrong with the kernel itself is not an error of pfestubs but a
finding (`pfestubs.model.findings`), exit status 1.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit status of every command; 128 + signal where a signal ended it."""

    SUCCESS = 0
    """No problems found."""
    PROBLEMS = 1
    """Problems found in the kernel."""
    ERROR = 2
    """Usage, unreadable input, a missing dependency, a failed tool."""


class PfestubsError(Exception):
    """One sentence for a person.

    Attributes:
        subject: the file, option or tool that the sentence is about.
        problem: what was found and what was expected.
        advice: what to do next, or "" if the problem includes it.
    """

    exit_code = Exit.ERROR

    def __init__(self, subject: str, problem: str, advice: str = "") -> None:
        super().__init__(subject, problem, advice)
        self.subject = subject
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        sentence = f"{self.subject}: error: {self.problem}"
        return f"{sentence}; {self.advice}" if self.advice else sentence


class UnreadableError(PfestubsError):
    """A file cannot be opened, or its bytes contradict its own headers."""


class UnsuitableError(PfestubsError):
    """A valid file of the wrong kind for this command."""


class ContradictionError(PfestubsError):
    """An option and the file contradict each other."""


class UsageError(PfestubsError):
    """The command line or the environment does not make sense."""


class ToolError(PfestubsError):
    """A tool that was run for the user (the assembler, make) failed."""


class OutputError(PfestubsError):
    """The result could not be written."""


class InstallationError(PfestubsError):
    """A file that ships with pfestubs is missing."""

    def __init__(self, missing: str) -> None:
        super().__init__(
            "pfestubs", f"pfestubs is not installed completely: {missing} is missing", "install it again"
        )


# -- errors that the rules raise: facts in, the sentence is made here ----------------------------------------


class NoEntriesError(UnsuitableError):
    """An object has no entries."""

    def __init__(self, file: str) -> None:
        super().__init__(
            file,
            "has no entries in __patchable_function_entries",
            "was it built with -fpatchable-function-entry (CONFIG_FUNCTION_TRACER)? --allow-empty accepts it",
        )


class UnknownReserveError(UnsuitableError):
    """An object does not define the count of the reserve, and no option gives it."""

    def __init__(self, file: str, symbol: str) -> None:
        super().__init__(
            file,
            f"does not define {symbol}, so the reserve size is unknown",
            "give it with --reserve (the value of CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE)",
        )


class UntestableReserveError(UnsuitableError):
    """An object does not show whether its reserve is in range: no stub symbols, or not `symbol`."""

    def __init__(self, file: str, symbol: str | None = None) -> None:
        if symbol is None:
            super().__init__(
                file,
                "references neither ftrace_ool_stub_* nor ftrace_pfe_stub_* symbols, so its layout is"
                " unknown, and --fail-on-trap cannot test its reserve",
                "give the vmlinux.o of a kernel with CONFIG_PPC_FTRACE_OUT_OF_LINE",
            )
        else:
            super().__init__(
                file,
                f"does not define {symbol}, which --fail-on-trap needs",
                "give vmlinux.o as kbuild links it, with the reserve in it",
            )


class UnexpectedReserveError(ContradictionError):
    """A reserve was given for a layout that has none."""

    def __init__(self, file: str, given: int, layout: str) -> None:
        super().__init__(
            file, f"a reserve of {given:,} was given, but layout {layout} has none", "omit --reserve"
        )


class ReserveMismatchError(ContradictionError):
    """The reserve given is not the object's."""

    def __init__(self, file: str, given: int, symbol: str, found: int) -> None:
        super().__init__(
            file,
            f"a reserve of {given:,} was given, but {symbol} is {found:,}",
            "omit --reserve, or build again with the intended configuration",
        )


class MachineMismatchError(ContradictionError):
    """Two files that should be of one kernel differ in class or byte order."""

    def __init__(self, file: str, machine: str, other: str, other_machine: str) -> None:
        super().__init__(
            file,
            f"is {machine}, but {other} is {other_machine}",
            "give a file of the same kernel configuration",
        )


class LayoutMismatchError(ContradictionError):
    """Two files that should be of one kernel differ in layout."""

    def __init__(self, file: str, layout: str, other: str, other_layout: str) -> None:
        super().__init__(
            file,
            f"has layout {layout}, but {other} has layout {other_layout}",
            "give a file of the same kernel configuration",
        )


class NoStubsError(UnsuitableError):
    """A kernel that traces without stubs, for a command that is about stubs."""

    def __init__(self, file: str) -> None:
        super().__init__(
            file,
            "traces without stubs (no ftrace_ool_stub_* or ftrace_pfe_stub_* symbols)",
            "nothing to show",
        )


class UnprovenInlineError(UnsuitableError):
    """A kernel without stub symbols whose locations do not look like those of a kernel without stubs."""

    def __init__(self, file: str, symbols: str) -> None:
        super().__init__(
            file,
            f"has no symbols of stub areas ({symbols}), but its locations do not hold the instructions of a"
            " kernel that traces without stubs",
            "give the vmlinux with its full symbol table, or its System.map with --system-map",
        )


class MissingMemoryError(UnreadableError):
    """A dump lacks memory that was not freed: `missing` of `total` locations, the first one named."""

    def __init__(self, file: str, missing: int, total: int, first: str, address: int) -> None:
        super().__init__(
            file,
            f"lacks memory of {missing:,} of {total:,} functions or their stubs, first {first}"
            f" at {address:#x}",
            "dump with kernel memory included",
        )


class DamagedKernelError(UnsuitableError):
    """A kernel whose location table or areas are damaged, for a command that predicts its stubs."""

    def __init__(self, file: str, rule: str) -> None:
        super().__init__(
            file, f"is damaged ({rule}): its stubs cannot be predicted", f"see pfestubs check {file}"
        )


class PartialListingError(UnsuitableError):
    """A saved listing of some functions, to be compared with a whole kernel."""

    def __init__(self, file: str, listed: int) -> None:
        super().__init__(
            file,
            f"lists only some functions of its kernel ({listed:,})",
            "save all of them: pfestubs stubs VMLINUX --format json",
        )


class UnprovedLogError(UnsuitableError):
    """A boot log shows neither a failure of ftrace nor that this kernel has set it up."""

    def __init__(self, log: str, problem: str) -> None:
        super().__init__(log, problem, "give the whole log of the boot: dmesg, journalctl -k -b, a console")


class OtherKernelLogError(ContradictionError):
    """A boot log is of another kernel."""

    def __init__(self, log: str, found: str, file: str, own: str) -> None:
        super().__init__(
            log, f"is of another kernel: {found!r}, {file} is {own!r}", "give the vmlinux that was booted"
        )
