# SPDX-License-Identifier: GPL-2.0-or-later
"""The exit status, and the family of errors: what failed, about which file, and what to do next.

Every member means exit status 2. Something wrong with the kernel itself is not an error of pfestubs but a
finding (`pfestubs.model.findings`), exit status 1.
"""

from enum import Enum, IntEnum


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


class InputError(PfestubsError):
    """A file cannot be used: unreadable, damaged, of the wrong kind, contradicting an option or another file.

    Each function that reads raises it where the file does not hold what is read, and each function named
    `require_...` or `refuse_...` where it does not find what it requires, or finds what it refuses.
    """


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


# -- what the rules refuse: facts in, the sentence is made here ----------------------------------------------


class Refusal(Enum):
    """Why the rules refuse a file: the problem, filled with the facts that a comment names; the advice."""

    NO_ENTRIES = (
        "has no entries in __patchable_function_entries",
        "was it built with -fpatchable-function-entry (CONFIG_FUNCTION_TRACER)? --allow-empty accepts it",
    )
    # The symbol that counts the reserve: the object does not define it, and no option gives the value.
    RESERVE_UNKNOWN = (
        "does not define {}, so the reserve size is unknown",
        "give it with --reserve (the value of CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE)",
    )
    LAYOUT_UNTESTABLE = (
        "references no ftrace_ool_stub_* or ftrace_pfe_stub_* symbols: --fail-on-trap has no reserve to test",
        "give the vmlinux.o of a kernel with CONFIG_PPC_FTRACE_OUT_OF_LINE",
    )
    # A symbol.
    RESERVE_UNTESTABLE = (
        "does not define {}, which --fail-on-trap needs",
        "give vmlinux.o as kbuild links it, with the reserve in it",
    )
    # The reserve given, the layout.
    RESERVE_UNEXPECTED = ("a reserve of {:,} was given, but layout {} has none", "omit --reserve")
    # The reserve given, the symbol that counts the object's, and its value.
    RESERVE_DIFFERS = (
        "a reserve of {:,} was given, but {} is {:,}",
        "give that, or build again with the intended configuration",
    )
    # The file's class and byte order, another file of the same kernel, that of the other.
    MACHINE_DIFFERS = ("is {}, but {} is {}", "give a file of the same kernel configuration")
    # The same for the layout.
    LAYOUT_DIFFERS = ("has layout {}, but {} has layout {}", "give a file of the same kernel configuration")
    # For a command that is about stubs.
    NO_STUBS = ("traces without stubs (no ftrace_ool_stub_* or ftrace_pfe_stub_* symbols)", "nothing to show")
    # The patterns of stub symbols: there are none, and the locations are not of a kernel without stubs.
    INLINE_UNPROVEN = (
        "has no symbols of stub areas ({}), but its locations do not hold the instructions of a kernel"
        " that traces without stubs",
        "give the vmlinux with its full symbol table, or its System.map with --system-map",
    )
    # Locations whose memory the dump lacks although it was not freed, all locations, name and address of one.
    MEMORY_MISSING = (
        "lacks memory of {:,} of {:,} functions or their stubs, the first is {} at {:#x}",
        "dump with kernel memory included",
    )
    # The rule of `check` that is broken, for a command that predicts stubs.
    KERNEL_DAMAGED = ("is damaged ({}): its stubs cannot be predicted", "see pfestubs check {subject}")
    # The functions listed, to be compared with a whole kernel.
    LISTING_PARTIAL = (
        "lists only some functions of its kernel ({:,})",
        "save all of them: pfestubs stubs VMLINUX --format json",
    )
    # What the log lacks: it shows neither a failure of ftrace nor that this kernel has set it up.
    LOG_UNPROVED = ("{}", "give the whole log of the boot: dmesg, journalctl -k -b, a console")
    # What the log shows, the kernel's file, what that has.
    LOG_OF_OTHER_KERNEL = ("is of another kernel: {!r}, {} has {!r}", "give the vmlinux that was booted")


class RefusedError(InputError):
    """A file that the rules refuse."""

    def __init__(self, refusal: Refusal, subject: str, *facts: object) -> None:
        problem, advice = refusal.value
        super().__init__(subject, problem.format(*facts), advice.format(subject=subject))
        self.refusal = refusal
