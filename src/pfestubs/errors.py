# SPDX-License-Identifier: GPL-2.0-or-later
"""The one family of errors: what could not be done, about which file, and what to do next.

Every member means "could not look" (exit code 2). Something wrong with the kernel itself is not an
error of pfestubs but a finding (`pfestubs.rules.findings`), exit code 1.
"""

from __future__ import annotations


class PfestubsError(Exception):
    """One sentence for a person.

    Attributes:
        subject: the file, option or tool that the sentence is about.
        problem: what was found and what was expected.
        advice: what to do next, or "" where the problem says it.
    """

    exit_code = 2

    def __init__(self, subject: str, problem: str, advice: str = "") -> None:
        super().__init__(subject, problem, advice)
        self.subject = subject
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        sentence = f"{self.subject}: error: {self.problem}"
        return f"{sentence}; {self.advice}" if self.advice else sentence


class UnreadableError(PfestubsError):
    """A file cannot be opened, or its bytes are not what its own headers promise."""


class UnsuitableError(PfestubsError):
    """A sound file of the wrong kind for this command."""


class ContradictionError(PfestubsError):
    """An option says one thing and the file another."""


class UsageError(PfestubsError):
    """The command line or the environment does not make sense."""


class ToolError(PfestubsError):
    """A tool that was run for the user (the assembler, make) failed."""


class OutputError(PfestubsError):
    """The result could not be written."""
