# SPDX-License-Identifier: GPL-2.0-or-later
"""What the messages of ftrace in a boot log mean for a kernel: the log against the simulated boot."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from pfestubs.errors import DamagedKernelError, OtherKernelLogError, UnprovedLogError
from pfestubs.model import ppc, symbolic
from pfestubs.model.boot_log import BugError, BugPhase, MessageKind, Proof
from pfestubs.model.findings import Action, Remedy
from pfestubs.rules.check.check import failure_finding
from pfestubs.rules.check.remedy import Remedies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.model import Kernel
    from pfestubs.model.boot_log import BootLog, CodeAddress, LoggedBoot, LogMessage
    from pfestubs.model.findings import Finding
    from pfestubs.rules.kernel.boot import Boot, Failure

TOC_SYMBOL: Final = ".TOC."
TOC_REACH: Final = 1 << 31
"""Bytes on either side of the TOC pointer that a trampoline reaches (`ftrace_dyn_arch_init`)."""
_TOC_TARGET: Final = "ftrace_regs_caller"
_RELOCATION_UNIT: Final = 0x1000
"""A kernel is relocated by whole pages; any other difference comes from two symbols of one name."""
_INIT_CALLERS: Final = frozenset({"ftrace_init_nop", "ftrace_init_ool_stub"})

_OTHER_ERRORS: Final = frozenset({BugError.WRITE, BugError.UNKNOWN})
"""Failures that depend on the running machine, not on the file."""
_AFTER_BOOT_RULES: Final = frozenset({"tracer-unreachable", "init-trampoline-only"})
"""Failures that a boot can survive: they show when a tracer is enabled."""


class Comparison(Enum):
    """How a message compares with the simulated boot."""

    AGREES = "agrees"
    NOT_PREDICTED = "not-predicted"
    """The simulation gives every function a working stub."""
    OTHER_FUNCTION = "other-function"
    """The simulation ends at another function."""
    OTHER_RULE = "other-rule"
    """The simulation fails another test."""
    OTHER_COUNT = "other-count"
    """The file has another number of locations."""
    OTHER_ADDRESS = "other-address"
    """The file has the function elsewhere: the log is of another link."""
    NOT_LOGGED = "not-logged"
    """The simulation fails, the logged boot does not."""
    FUNCTION_LOST = "function-lost"
    """The function is not in the log."""
    RULE_LOST = "rule-lost"
    """The function is the one where the simulation ends; which test it failed is not in the log."""
    AFTER_BOOT = "after-boot"
    """It happened after what is simulated."""
    MODULE = "module"
    """It is about code outside the file."""
    NOT_SIMULATED = "not-simulated"
    """The simulation has no part in it."""

    @property
    def contradicts(self) -> bool:
        """Whether log and simulation cannot both be right."""
        return self.value.startswith(("not-predicted", "not-logged", "other"))


@dataclass(frozen=True)
class TocDistance:
    """Bytes from the TOC pointer to a tracer, and the limit in that direction, signed."""

    distance: int
    limit: int


@dataclass(frozen=True)
class Explanation:
    """One message of the log, explained.

    Attributes:
        rule: the rule that the kernel tested, None if no rule applies or it is unknown.
        function: the symbol with its offset.
        location: as linked, None for code outside the file.
        comparison: with the simulated boot.
        proved: the log's boot is known to be of this kernel.
        finding: the simulation's figures: for the same function if they agree, else where it ends.
        locations: how many the file has, for a message that counts them.
        toc: for a tracer too far from the TOC pointer, where the file tells.
        remedy: what to change.
    """

    message: LogMessage
    comparison: Comparison
    proved: bool
    rule: str | None = None
    function: str | None = None
    location: int | None = None
    finding: Finding | None = None
    toc: TocDistance | None = None
    locations: int | None = None
    remedy: Remedy | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether log and simulation agree; None where that cannot be told."""
        if self.comparison is Comparison.AGREES:
            return True
        return False if self.comparison.contradicts and self.proved else None

    @property
    def is_failure(self) -> bool:
        """Whether the message says that ftrace failed."""
        return self.message.row.proof is not Proof.HEALTHY


@dataclass(frozen=True)
class ExplainResult:
    """Everything that `explain` prints.

    Attributes:
        boot: the simulated one.
        proved: the log shows that it is of this kernel.
        boots: how many of this kernel, or of an unknown one, the log has.
        other_boots: how many of other kernels it has; their messages are not explained.
        explanations: in the order of the log.
        offset: bytes by which the kernel ran above its linked address, in the last boot that tells.
    """

    boot: Boot
    log: BootLog
    proved: bool
    boots: int
    other_boots: int
    explanations: Sequence[Explanation]
    offset: int | None

    @property
    def stops_at(self) -> str | None:
        """The function at which the simulated boot disables ftrace, None if it does not."""
        return None if self.boot.stops_at is None else self.boot.function(self.boot.stops_at)

    @property
    def failed(self) -> bool:
        """Whether the log shows that ftrace failed."""
        return any(explanation.is_failure for explanation in self.explanations)

    @property
    def proofs(self) -> set[Proof]:
        """What the messages prove."""
        return {explanation.message.row.proof for explanation in self.explanations}

    @property
    def contradicts(self) -> bool:
        """Whether the log and the simulation cannot both be right."""
        return any(explanation.agrees is False for explanation in self.explanations)

    @property
    def is_other_link(self) -> bool:
        """Whether functions are elsewhere than in the file: it is not the one that was booted."""
        return any(e.comparison is Comparison.OTHER_ADDRESS for e in self.explanations)


def explain_log(boot: Boot, log: BootLog) -> ExplainResult:
    """Explain the messages of ftrace in `log` in terms of a kernel's simulated boot.

    Raises:
        DamagedKernelError: the kernel's table or areas are damaged: nothing is predicted.
        OtherKernelLogError: the log is of other kernels only.
        UnprovedLogError: it shows no failure, and not that ftrace was set up by this kernel either.
    """
    kernel = boot.kernel
    if boot.damage:
        raise DamagedKernelError(kernel.file, boot.damage[0].rule)
    differences = [_difference(boot, log, logged) for logged in log.boots]
    own = [logged for logged, other in zip(log.boots, differences, strict=True) if other is None]
    others = [other for other in differences if other is not None]
    if others and not any(logged.banner or logged.releases for logged in own):
        raise OtherKernelLogError(log.file, others[0][0], kernel.file, others[0][1])
    symbols = _Symbols(boot, own)
    explainers = [_Explainer(boot, log, logged, symbols) for logged in own]
    explanations = [explanation for explainer in explainers for explanation in explainer.explanations()]
    offsets = [explainer.offset for explainer in explainers if explainer.offset is not None]
    result = ExplainResult(
        boot=boot,
        log=log,
        proved=any(_is_proved(boot, log, logged) for logged in own),
        boots=sum(logged.times for logged in own),
        other_boots=sum(logged.times for logged in log.boots) - sum(logged.times for logged in own),
        explanations=explanations,
        offset=offsets[-1] if offsets else None,
    )
    if not result.failed:
        _require_proof(boot, log, own)
    return result


def _require_proof(boot: Boot, log: BootLog, own: Sequence[LoggedBoot]) -> None:
    """Refuse a log without a failure that does not show either that ftrace was set up by this kernel.

    Raises:
        UnprovedLogError: it is refused.
    """
    for logged in own:
        lost = next(
            (lost for lost in logged.lost if lost.before < len(logged.messages) or not logged.messages), None
        )
        if lost is not None:
            raise UnprovedLogError(
                log.file, f'line {lost.line:,}, "{lost.text}", stands where ftrace is set up'
            )
        line = logged.doubtful or (None if boot.stops_at is None else logged.mentioned)
        if line is not None:
            problem = (
                f"line {line:,} is of a failure, but not whole, or not in the form of the kernel's lines"
            )
            raise UnprovedLogError(log.file, problem)
    if log.omitted:
        raise UnprovedLogError(log.file, f"has {log.omitted:,} more messages of ftrace than are read")
    set_up = [logged for logged in own if _count(logged) is not None]
    if not set_up:
        raise UnprovedLogError(
            log.file,
            f'shows nothing of ftrace ({log.lines:,} lines); a kernel with ftrace logs "ftrace: allocating'
            ' ... entries" early in its boot: the log may be incomplete',
        )
    if not any(_is_proved(boot, log, logged) for logged in set_up):
        raise UnprovedLogError(
            log.file,
            f"shows that ftrace was set up, but not that the kernel is {boot.kernel.file}: it has no complete"
            ' "Linux version" line',
        )


# -- which kernel it is --------------------------------------------------------------------------------------


def _count(logged: LoggedBoot) -> int | None:
    """Return the number of functions that a boot has found, None if the log does not tell."""
    counts = [m.count for m in logged.messages if m.kind is MessageKind.ALLOCATING]
    return counts[-1] if counts else None


def _releases(logged: LoggedBoot) -> set[str]:
    """Return the releases that a boot's lines name; that of a banner which ends in it may be cut short."""
    words = (logged.banner or "").split(" ")[2:]
    return {*logged.releases, *words[: 1 if len(words) > 1 else 0]}


def _has_banner(kernel: Kernel, log: BootLog, logged: LoggedBoot) -> bool:
    """Return whether a boot has the kernel's banner, wrapped or not, whatever follows it in its line."""
    own, banner = kernel.banner, logged.banner
    if own is None or banner is None:
        return False
    tail = banner[len(own) :]
    if banner.startswith(own) and (not tail[:1].isalnum() or tail.strip() == log.tail):
        return True
    return _squeeze(own) in accumulate(map(_squeeze, (banner, *logged.following)))


def _is_proved(boot: Boot, log: BootLog, logged: LoggedBoot) -> bool:
    """Return whether a boot is of the kernel: by its banner, or its release and number of functions."""
    release = boot.kernel.release
    by_count = release is not None and release in _releases(logged) and _count(logged) is not None
    return _difference(boot, log, logged) is None and (by_count or _has_banner(boot.kernel, log, logged))


def _difference(boot: Boot, log: BootLog, logged: LoggedBoot) -> tuple[str, str] | None:
    """Return what a boot of another kernel has and what the kernel has instead, None if nothing differs."""
    kernel, count, counts = boot.kernel, _count(logged), {len(boot.locations), len(boot.kernel.table)}
    if kernel.banner is not None and not _has_banner(kernel, log, logged):
        banner = logged.banner or ""
        if logged.complete and not _squeeze(kernel.banner).startswith(_squeeze(banner)):  # not only cut short
            return _shortest_difference(banner, kernel.banner)
        other = sorted(_releases(logged) - {kernel.release})
        if other:
            return other[0], kernel.release or ""
    if count is not None and count not in counts:  # before 6.15 the kernel counts the entries that it skips
        return f"allocating {count:,} entries", f"one with {len(boot.locations):,}"
    return None


def _squeeze(text: str) -> str:
    """Return `text` without white space, which a console changes where it wraps."""
    return "".join(text.split())


def _shortest_difference(found: str, own: str) -> tuple[str, str]:
    """Return two banners, by release and build where that tells them apart."""
    brief = _release_and_build(found), _release_and_build(own)
    return brief if brief[0] != brief[1] else (found, own)


def _release_and_build(banner: str) -> str:
    words = banner.removeprefix("Linux version ")
    build = words.rfind("#")
    return f"{words.split(' ', 1)[0]} {words[build:]}" if build > 0 else words


def _rules_of(cause: LogMessage) -> tuple[str, ...] | None:
    """Return the rules whose failure makes the kernel print a message, None if the message does not tell."""
    if cause.kind is MessageKind.BUG and cause.error is BugError.READ:
        return ("location-not-nop",)
    return cause.row.rules or None


# -- addresses -----------------------------------------------------------------------------------------------


class _Symbols:
    """The addresses of the symbols that a log names; a static function's name can have several."""

    def __init__(self, boot: Boot, boots: Sequence[LoggedBoot]) -> None:
        kernel = boot.kernel
        self.remedies = Remedies(boot)
        wanted = {code.symbol for logged in boots for code in logged.sightings}
        wanted |= {m.code.symbol for logged in boots for m in logged.messages if m.code is not None}
        self._addresses = {name: {address} for name, address in kernel.tracers.items()}
        for name, address in kernel.symbols.code_names() if wanted - {None} else ():
            if name in wanted:
                self._addresses.setdefault(name, set()).add(address)

    def of(self, code: CodeAddress) -> Sequence[int]:
        """Return the linked addresses that a logged symbol and offset can mean."""
        if code.symbol is None or code.module is not None:
            return ()
        return sorted(base + code.offset for base in self._addresses.get(code.symbol, ()))

    def relocation(self, logged: LoggedBoot) -> int | None:
        """Return the bytes by which the kernel ran above its linked address, None if the log does not tell.

        Each address with a symbol of the kernel votes; more than half, and two for a kernel that has moved,
        have to agree.
        """
        votes: Counter[int] = Counter()
        voters = 0
        for code in logged.sightings:
            linked = self.of(code)
            if code.address is not None and linked:
                voters += 1
                votes.update({code.address - address for address in linked})
        offset, count = max(votes.items(), key=lambda vote: (vote[1], -abs(vote[0])), default=(-1, 0))
        moved = offset > 0 and offset % _RELOCATION_UNIT == 0 and count > 1
        return offset if (moved or offset == 0) and 2 * count > voters else None


# -- messages ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a message's code is in the file.

    `position` is that of its location, None if it is none; `outside`: it is not in the file; `moved`: the log
    has the function at another address than the file, relocated or not.
    """

    function: str | None = None
    location: int | None = None
    position: int | None = None
    outside: bool = False
    moved: bool = False


class _Explainer:
    """The messages of one boot of the log."""

    def __init__(self, boot: Boot, log: BootLog, logged: LoggedBoot, symbols: _Symbols) -> None:
        self._boot = boot
        self._logged = logged
        self._symbols = symbols
        self._proved = _is_proved(boot, log, logged)
        self._remedies = symbols.remedies
        self._bugs = [n for n, m in enumerate(logged.messages) if m.kind is MessageKind.BUG]
        kinds = [message.kind for message in logged.messages]
        self._completed = kinds.index(MessageKind.ALLOCATED) if MessageKind.ALLOCATED in kinds else None
        self.offset = symbols.relocation(logged)

    @cached_property
    def _stop(self) -> Failure | None:
        """Where the simulated boot disables ftrace."""
        return None if self._boot.stops_at is None else self._boot.failure_at.get(self._boot.stops_at)

    def explanations(self) -> list[Explanation]:
        """Return an explanation of each message, and of a failure that the log should have."""
        messages = self._logged.messages
        done = [
            self._explain(number, message)
            for number, message in enumerate(messages)
            if message.kind is not MessageKind.ALLOCATED
        ]
        succeeded = all(message.row.proof is Proof.HEALTHY for message in messages)
        if self._completed is not None and succeeded and self._stop is not None:
            completed = messages[self._completed]
            done.append(self._compared(completed, Comparison.NOT_LOGGED, _Place(), self._stop))
        return done

    def _explain(self, number: int, message: LogMessage) -> Explanation:
        kind = message.kind
        if kind in {MessageKind.ALLOCATING, MessageKind.NO_FUNCTIONS}:
            comparison = Comparison.AGREES if message.count else Comparison.OTHER_COUNT
            return Explanation(message, comparison, self._proved, locations=len(self._boot.locations))
        if kind is MessageKind.TRACER_TOO_FAR:
            return self._explain_toc(message)
        bug_number = self._bug_of(number)
        bug = None if bug_number is None else self._logged.messages[bug_number]
        place = self._place(message, bug)
        if place.outside:
            return self._compared(message, Comparison.MODULE, place)
        if place.moved:
            return self._compared(message, Comparison.OTHER_ADDRESS, place)
        if self._is_after_boot(number, bug):
            return self._explain_after_boot(message, place)
        if kind is MessageKind.ARCH_WARNING and message.caller not in _INIT_CALLERS:
            return self._compared(message, Comparison.NOT_SIMULATED, place)
        if kind in {MessageKind.BUG, MessageKind.BUG_WARNING} or message.row.rules:
            cause = self._cause_of(number, bug_number)
            if cause.kind is MessageKind.BUG and cause.error in _OTHER_ERRORS:
                return self._compared(message, Comparison.NOT_SIMULATED, place)
            return self._explain_init(message, place, _rules_of(cause))
        return self._compared(message, Comparison.NOT_SIMULATED, place)

    def _bug_of(self, number: int) -> int | None:
        """Return the number of the `ftrace_bug` that a message belongs to.

        It follows its cause. Its warning follows it; before 5.8 it is the other way round.
        """
        at = bisect_left(self._bugs, number)
        earlier, later = self._bugs[at - 1 : at] if at else [], self._bugs[at : at + 1]
        is_warning = self._logged.messages[number].kind is MessageKind.BUG_WARNING
        return next(iter(earlier + later if is_warning else later), None)

    def _cause_of(self, number: int, bug: int | None) -> LogMessage:
        """Return the message of the test that failed; the `ftrace_bug` itself where the log has none."""
        messages = self._logged.messages
        if messages[number].row.rules or bug is None:
            return messages[number]
        before = self._bugs[: self._bugs.index(bug)]
        since = before[-1] + 1 if before else 0
        return next((m for m in reversed(messages[since:bug]) if m.row.rules), messages[bug])

    def _is_after_boot(self, number: int, bug: LogMessage | None) -> bool:
        if bug is not None and bug.phase is not None:
            return bug.phase is not BugPhase.INIT
        return self._completed is not None and self._completed < number

    def _explain_init(self, message: LogMessage, place: _Place, rules: tuple[str, ...] | None) -> Explanation:
        """Compare a failure at boot with the one that the simulation ends with.

        `rules` are those that can make the kernel print the message, None if the log does not tell: out of
        stubs, a kernel without CONFIG_BUG prints nothing.
        """
        stop = self._stop
        if stop is None:
            return self._compared(message, Comparison.NOT_PREDICTED, place, rule=rules[0] if rules else None)
        if rules is not None and stop.rule not in rules:
            return self._compared(message, Comparison.OTHER_RULE, place, stop, rules[0])
        if place.function is not None and place.position != stop.position:
            own = None if place.position is None else self._boot.failure_at.get(place.position)
            rule = own.rule if own is not None else (rules[0] if rules else None)
            return self._compared(message, Comparison.OTHER_FUNCTION, place, stop, rule)
        if place.function is None:
            return self._compared(message, Comparison.FUNCTION_LOST, place, stop, stop.rule)
        told = rules is not None or stop.rule == "area-exhausted"
        comparison = Comparison.AGREES if told else Comparison.RULE_LOST
        return self._compared(message, comparison, place, stop, stop.rule)

    def _explain_after_boot(self, message: LogMessage, place: _Place) -> Explanation:
        failure = None if place.position is None else self._boot.failure_at.get(place.position)
        if failure is not None and failure.rule in _AFTER_BOOT_RULES:
            return self._compared(message, Comparison.AGREES, place, failure, failure.rule)
        return self._compared(message, Comparison.AFTER_BOOT, place)

    def _explain_toc(self, message: LogMessage) -> Explanation:
        """Compare with the distance that `ftrace_dyn_arch_init` tests before anything else."""
        kernel = self._boot.kernel
        toc = kernel.symbols.find([TOC_SYMBOL]).get(TOC_SYMBOL)
        tracer = kernel.tracers.get(_TOC_TARGET)
        place = _Place(message.caller)
        if toc is None or tracer is None or "kernel_toc" not in message.text:
            return self._compared(message, Comparison.NOT_SIMULATED, place)
        distance = tracer - toc.address
        reachable = -TOC_REACH <= distance < TOC_REACH
        return Explanation(
            message,
            Comparison.NOT_PREDICTED if reachable else Comparison.AGREES,
            self._proved,
            function=message.caller,
            toc=TocDistance(distance, -TOC_REACH if distance < 0 else TOC_REACH - 1),
            remedy=None if reachable else Remedy(Action.SHRINK_TEXT),
        )

    def _compared(
        self,
        message: LogMessage,
        comparison: Comparison,
        place: _Place = _Place(),
        failure: Failure | None = None,
        rule: str | None = None,
    ) -> Explanation:
        remedy = None
        lost = comparison in {Comparison.FUNCTION_LOST, Comparison.RULE_LOST} and self._proved
        if failure is not None and (comparison is Comparison.AGREES or lost):
            remedy = self._remedies.for_rule(failure.rule)
        return Explanation(
            message,
            comparison,
            self._proved,
            rule=rule,
            function=place.function,
            location=place.location,
            finding=None if failure is None else failure_finding(self._boot, failure, remedy),
            remedy=remedy,
        )

    def _place(self, message: LogMessage, bug: LogMessage | None) -> _Place:
        """Return where a message's code is: from the message if a location, else from its ftrace_bug."""
        own = self._find(message.code)
        if own.position is None and bug is not None and bug is not message and bug.code is not None:
            return self._find(bug.code)
        return own

    def _find(self, code: CodeAddress | None) -> _Place:
        if code is None:
            return _Place()
        kernel, named = self._boot.kernel, self._symbols.of(code)
        shown = None if code.symbol is None else symbolic(code.symbol, code.offset)
        if code.module is not None:
            return _Place(f"{shown} [{code.module}]" if shown else None, outside=True)
        linked = None if code.address is None else (code.address - (self.offset or 0)) & ppc.ADDRESS_MASK
        moved = bool(named) and linked not in named
        if moved:
            located = [address for address in named if self._position(address) is not None]
            linked = located[0] if located else named[0]
        if linked is None or (code.symbol is not None and not named):
            return _Place(shown)
        if not (linked in kernel.text or linked in kernel.inittext):
            return _Place(shown, outside=True)
        position = self._position(linked)
        if position is None and code.symbol is None and self.offset is None:
            return _Place()  # it may be relocated
        return _Place(kernel.name(linked), linked, position, moved=moved)

    def _position(self, address: int) -> int | None:
        locations = self._boot.locations
        position = bisect_left(locations, address)
        return position if position < len(locations) and locations[position] == address else None
