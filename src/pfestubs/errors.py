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


class _RuleError(PfestubsError):
    """A sentence of its class, filled with the facts in the order of its docstring."""

    template: str
    hint: str

    def __init__(self, subject: str, *facts: object) -> None:
        super().__init__(subject, self.template.format(*facts), self.hint.format(subject=subject))


class NoEntriesError(_RuleError, UnsuitableError):
    """An object has no entries."""

    template = "has no entries in __patchable_function_entries"
    hint = "was it built with -fpatchable-function-entry (CONFIG_FUNCTION_TRACER)? --allow-empty accepts it"


class UnknownReserveError(_RuleError, UnsuitableError):
    """An object does not define the count of the reserve, a symbol, and no option gives it."""

    template = "does not define {}, so the reserve size is unknown"
    hint = "give it with --reserve (the value of CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE)"


class UntestableLayoutError(_RuleError, UnsuitableError):
    """An object does not show whether its reserve is in range: it has no stub symbols."""

    template = (
        "references neither ftrace_ool_stub_* nor ftrace_pfe_stub_* symbols, so its layout is unknown,"
        " and --fail-on-trap cannot test its reserve"
    )
    hint = "give the vmlinux.o of a kernel with CONFIG_PPC_FTRACE_OUT_OF_LINE"


class UntestableReserveError(_RuleError, UnsuitableError):
    """An object does not show whether its reserve is in range: a symbol is missing."""

    template = "does not define {}, which --fail-on-trap needs"
    hint = "give vmlinux.o as kbuild links it, with the reserve in it"


class UnexpectedReserveError(_RuleError, ContradictionError):
    """A reserve was given for a layout that has none."""

    template = "a reserve of {:,} was given, but layout {} has none"
    hint = "omit --reserve"


class ReserveMismatchError(_RuleError, ContradictionError):
    """The reserve given is not the object's: the symbol that counts it, and its value."""

    template = "a reserve of {:,} was given, but {} is {:,}"
    hint = "omit --reserve, or build again with the intended configuration"


class MachineMismatchError(_RuleError, ContradictionError):
    """Two files that should be of one kernel differ in class or byte order: machine, file, its machine."""

    template = "is {}, but {} is {}"
    hint = "give a file of the same kernel configuration"


class LayoutMismatchError(_RuleError, ContradictionError):
    """Two files that should be of one kernel differ in layout: layout, other file, its layout."""

    template = "has layout {}, but {} has layout {}"
    hint = "give a file of the same kernel configuration"


class NoStubsError(_RuleError, UnsuitableError):
    """A kernel that traces without stubs, for a command that is about stubs."""

    template = "traces without stubs (no ftrace_ool_stub_* or ftrace_pfe_stub_* symbols)"
    hint = "nothing to show"


class UnprovenInlineError(_RuleError, UnsuitableError):
    """A kernel without stub symbols whose locations do not look like those of a kernel without stubs."""

    template = (
        "has no symbols of stub areas ({}), but its locations do not hold the instructions of a kernel"
        " that traces without stubs"
    )
    hint = "give the vmlinux with its full symbol table, or its System.map with --system-map"


class MissingMemoryError(_RuleError, UnreadableError):
    """A dump lacks memory that was not freed: of how many of all locations, and the first one."""

    template = "lacks memory of {:,} of {:,} functions or their stubs, first {} at {:#x}"
    hint = "dump with kernel memory included"


class DamagedKernelError(_RuleError, UnsuitableError):
    """A kernel whose table or areas are damaged, by a rule, for a command that predicts its stubs."""

    template = "is damaged ({}): its stubs cannot be predicted"
    hint = "see pfestubs check {subject}"


class PartialListingError(_RuleError, UnsuitableError):
    """A saved listing of some functions, and how many, to be compared with a whole kernel."""

    template = "lists only some functions of its kernel ({:,})"
    hint = "save all of them: pfestubs stubs VMLINUX --format json"


class UnprovedLogError(_RuleError, UnsuitableError):
    """A boot log shows neither a failure of ftrace nor that this kernel has set it up."""

    template = "{}"
    hint = "give the whole log of the boot: dmesg, journalctl -k -b, a console"


class OtherKernelLogError(_RuleError, ContradictionError):
    """A boot log is of another kernel: what it shows, the kernel's file, what that has."""

    template = "is of another kernel: {!r}, {} is {!r}"
    hint = "give the vmlinux that was booted"
