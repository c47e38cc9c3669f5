# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be wrong with a linked kernel: the rules, and one finding of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "note"]


@dataclass(frozen=True)
class Rule:
    """A rule of `check`: its name in the contract, its severity, and what it says in one sentence."""

    name: str
    severity: Severity
    about: str


RULES: Final = {
    rule.name: rule
    for rule in (
        Rule("table-damaged", "error", "The location table has a whole number of distinct, aligned entries."),
        Rule("area-damaged", "error", "Each area is count x stub size, inside its text, aligned, apart."),
        Rule("count-mismatch", "error", "The areas and the table are what the object promised."),
        Rule("location-not-nop", "error", "Each location holds what the compiler puts there: a nop."),
        Rule("area-exhausted", "error", "Each function gets a stub."),
        Rule("stub-out-of-range", "error", "Each function reaches its stub."),
        Rule("return-out-of-range", "error", "Each stub reaches back to its function."),
        Rule("tracer-unreachable", "error", "Each stub reaches the tracer or a trampoline."),
        Rule("init-trampoline-only", "error", "No stub of text depends on the trampoline in init memory."),
        Rule("low-headroom", "error", "The headroom is at least what was asked for."),
        Rule("growth", "error", "The locations have not grown more than was allowed."),
        Rule("location-skipped", "note", "An entry that the kernel does not take for a location."),
        Rule("area-unused", "note", "An area with stubs that no function uses."),
    )
}


@dataclass(frozen=True)
class Finding:
    """One finding; addresses and signed bytes as the contract defines them, None where there is none.

    `function` is the symbol with its offset, `location` the address of the nop, `stub` that of the stub.
    """

    rule: str
    message: str
    function: str | None = None
    location: int | None = None
    stub: int | None = None
    distance: int | None = None
    limit: int | None = None

    @property
    def severity(self) -> Severity:
        """The rule's severity."""
        return RULES[self.rule].severity


def symbolic(name: str, offset: int) -> str:
    """A function as findings name it: the symbol and, where it is not 0, the offset in bytes."""
    return f"{name}+{offset:#x}" if offset else name
