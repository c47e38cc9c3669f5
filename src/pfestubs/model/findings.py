# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be wrong with a linked kernel: the rules, and findings of them as facts."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Severity = Literal["error", "note"]
BranchName = Literal["stub", "return", "tracer"]


class Action(Enum):
    """What to change so that the kernel boots with tracing."""

    LOWER_RESERVE = "lower-reserve"
    RAISE_RESERVE = "raise-reserve"
    REGENERATE_AREAS = "regenerate-areas"
    RESTORE_LINK_ORDER = "restore-link-order"
    REBUILD = "rebuild"
    APPLY_RELOCATIONS = "apply-relocations"
    SHRINK_TEXT = "shrink-text"


class Remedy(NamedTuple):
    """What to change.

    Attributes:
        config, value: a setting; `value` alone is the bytes of text to remove.
        working: the least and the greatest value of the setting with which the kernel boots.
        growth: the bytes by which text can then grow, wherever that is; None without a limit, or
            where it is not known.
    """

    action: Action
    config: str | None = None
    value: int | None = None
    working: tuple[int, int] | None = None
    growth: int | None = None


class Scope(Enum):
    """What a rule of `check` is about."""

    FILE = "file"
    """The table or the areas as a whole; `check` reports these first."""
    LOCATION = "location"
    """One location, which has at most one finding of these: the first test of the boot that it fails."""
    SKIPPED = "skipped"
    """An entry of the table that is not a location."""
    THRESHOLD = "threshold"
    """A limit given on the command line; `check` reports these last."""


class Rule(NamedTuple):
    """A rule of `check`.

    Attributes:
        severity: the usual one; a finding may be less severe.
        option: of `check`, without which the rule is not tested, None if it always is.
    """

    name: str
    severity: Severity
    scope: Scope
    option: str | None = None


RULES: Final[dict[str, Rule]] = {
    rule.name: rule
    for rule in (
        Rule("table-damaged", "error", Scope.FILE),
        Rule("area-damaged", "error", Scope.FILE),
        Rule("count-mismatch", "error", Scope.FILE, option="--prelink"),
        Rule("location-not-nop", "error", Scope.LOCATION),
        Rule("area-exhausted", "error", Scope.LOCATION),
        Rule("stub-out-of-range", "error", Scope.LOCATION),
        Rule("return-out-of-range", "error", Scope.LOCATION),
        Rule("tracer-unreachable", "error", Scope.LOCATION),
        Rule("init-trampoline-only", "error", Scope.LOCATION),
        Rule("low-headroom", "error", Scope.THRESHOLD, option="--min-headroom"),
        Rule("growth", "error", Scope.THRESHOLD, option="--max-growth"),
        Rule("location-skipped", "note", Scope.SKIPPED),
        Rule("area-unused", "note", Scope.FILE),
    )
}
"""Every rule of `check` by its name, in the order of documents; `formats.findings.WORDS` has their words."""


class Finding(NamedTuple):
    """One finding of a rule, as facts: `formats.findings.SENTENCES` has the words of each case.

    Attributes:
        case: which of the rule's cases it is, "" for a rule that has one case.
        figures: of the case, by the names that its sentence uses; a finding about an area has the area.
        function: the symbol with its offset.
        location: address of the function's nop.
        stub: address of the stub's first instruction, or of an area.
        distance: bytes that a branch would have to span, signed as the kernel computes it.
        limit: the limit in that direction, signed likewise.
        remedy: what to change; the first finding of a rule has it.
    """

    rule: str
    case: str = ""
    figures: Mapping[str, Any] = MappingProxyType({})
    function: str | None = None
    location: int | None = None
    stub: int | None = None
    distance: int | None = None
    limit: int | None = None
    remedy: Remedy | None = None

    @property
    def severity(self) -> Severity:
        """The rule's severity, except that an area with more stubs than expected is a note."""
        if self.case == "area-count" and self.figures["stubs"] > self.figures["expected"]:
            return "note"
        return RULES[self.rule].severity
