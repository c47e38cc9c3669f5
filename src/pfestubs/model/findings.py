# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be wrong with a linked kernel: the rules, and findings of them as facts."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

    from pfestubs.layouts import AreaSpec

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


# -- facts: what a finding's message is made from ------------------------------------------------------------


class _NoFigures:
    """Facts without figures: all of a class are equal."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class TableLength(NamedTuple):
    """The table's length in bytes is not a multiple of a word."""

    address: int
    bytes: int
    word: int


class TableEmpty(NamedTuple):
    """All slots of the table are 0."""

    address: int
    entries: int


class TableWithoutLocations(NamedTuple):
    """None of the table's entries, if it has any, is in kernel text or init text."""

    address: int
    entries: int


class TableSkipped(NamedTuple):
    """The kernel skips more of the table's entries than it takes for locations."""

    address: int
    skipped: int
    locations: int


class TableShort(NamedTuple):
    """Nearly all entries that something was sized or counted for are not in the table.

    `source` is the file that counts them, None for the areas; `in_init`: those of init text alone.
    """

    address: int
    found: int
    expected: int
    source: str | None = None
    in_init: bool = False


class TableContinues(NamedTuple):
    """The value right before or after the table is a location, too: the table's symbols are wrong."""

    location: int


class EntryMisaligned(_NoFigures):
    """An entry is not aligned to an instruction."""


class EntryRepeated(_NoFigures):
    """An entry is in the table more than once."""


class AreaSize(NamedTuple):
    """An area's bytes are not its count times the size of a stub."""

    area: AreaSpec
    address: int
    bytes: int
    stubs: int
    stub_size: int


class AreaOutside(NamedTuple):
    """An area is not within its text, `outer`."""

    area: AreaSpec
    span: range
    outer: range


class AreaMisaligned(NamedTuple):
    """An area's address is not a multiple of `alignment` bytes."""

    area: AreaSpec
    address: int
    alignment: int


class AreaOverlap(NamedTuple):
    """An area ends, at `end`, after the next one starts."""

    area: AreaSpec
    end: int
    other: AreaSpec
    other_address: int


class AreaOccupied(NamedTuple):
    """An area is not empty: the boot would overwrite what the file holds in its `size` bytes."""

    area: AreaSpec
    address: int
    size: int


class TextsOverlap(NamedTuple):
    """Kernel text and init text overlap."""

    text: range
    inittext: range


class TargetMisplaced(NamedTuple):
    """A tracer or a trampoline is not at an instruction of text that stays."""

    name: str
    address: int


class AreaCountMismatch(NamedTuple):
    """An area does not have as many stubs as the object's counts say."""

    area: AreaSpec
    stubs: int
    expected: int
    source: str


class EntryCountMismatch(NamedTuple):
    """The table has more entries than the object, or no location at all."""

    entries: int
    expected: int
    source: str


class WordFound(NamedTuple):
    """The word at a location; None where the file holds none."""

    word: int | None


class AreaShortage(NamedTuple):
    """An area that ran out: stubs it has, and stubs requested.

    `reserve` and `usable` are stubs of the reserve and how many of them are in range, where some are not.
    """

    area: AreaSpec
    stubs: int
    needed: int
    reserve: int | None = None
    usable: int | None = None


class StubTooFar(_NoFigures):
    """A function and its stub are too far apart."""


class TracerTooFar(NamedTuple):
    """A call does not reach its tracer, nor a trampoline that it may use."""

    tracer: str


class HeadroomBelow(NamedTuple):
    """The headroom is less than requested; None where there is none to measure."""

    bytes: int | None
    branch: BranchName | None
    minimum: int


class Grown(NamedTuple):
    """There are more locations than in the baseline by more than `allowed`, a number or a percentage."""

    locations: int
    baseline: int
    source: str
    allowed: Decimal
    unit: Literal["locations", "percent"]


class EntrySkipped(_NoFigures):
    """The kernel skips the entry: it is 0, or outside kernel text and init text."""


class AreaUnused(NamedTuple):
    """Stubs of an area that no function uses."""

    area: AreaSpec
    unused: int
    stubs: int


Facts = (
    TableLength
    | TableEmpty
    | TableWithoutLocations
    | TableSkipped
    | TableShort
    | TableContinues
    | EntryMisaligned
    | EntryRepeated
    | AreaSize
    | AreaOutside
    | AreaMisaligned
    | AreaOverlap
    | AreaOccupied
    | TextsOverlap
    | TargetMisplaced
    | AreaCountMismatch
    | EntryCountMismatch
    | WordFound
    | AreaShortage
    | StubTooFar
    | TracerTooFar
    | HeadroomBelow
    | Grown
    | EntrySkipped
    | AreaUnused
)


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
    """One finding of a rule.

    Attributes:
        function: the symbol with its offset.
        location: address of the function's nop.
        stub: address of the stub's first instruction, or of an area.
        distance: bytes that a branch would have to span, signed as the kernel computes it.
        limit: the limit in that direction, signed likewise.
        remedy: what to change; the first finding of a rule has it.
    """

    rule: str
    facts: Facts
    function: str | None = None
    location: int | None = None
    stub: int | None = None
    distance: int | None = None
    limit: int | None = None
    remedy: Remedy | None = None

    @property
    def severity(self) -> Severity:
        """The rule's severity, except that an area with more stubs than expected is a note."""
        if isinstance(self.facts, AreaCountMismatch) and self.facts.stubs > self.facts.expected:
            return "note"
        return RULES[self.rule].severity
