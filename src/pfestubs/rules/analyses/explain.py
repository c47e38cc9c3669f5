# SPDX-License-Identifier: GPL-2.0-or-later
"""What the messages of ftrace in a boot log mean for a kernel: the log against the simulated boot."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import Refusal, RefusedError
from pfestubs.model import ppc, symbolic
from pfestubs.model.boot_log import BugPhase, Comparison, MessageKind, Proof
from pfestubs.model.findings import Action, Remedy
from pfestubs.rules.check import CALL_RULES, Remedies, failure_finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pfestubs.model.boot_log import BootLog, CodeAddress, LoggedBoot, LogMessage
    from pfestubs.model.findings import Finding
    from pfestubs.rules.kernel.boot import Boot, Failure

    _Addresses = Mapping[str | None, set[int]]

TOC_REACH: Final = 1 << 31
"""Bytes on either side of the TOC pointer that a trampoline reaches (`ftrace_dyn_arch_init`)."""
_RELOCATION_UNIT: Final = 0x1000
"""A kernel is relocated by whole pages; any other difference comes from two symbols of one name."""
_READ_ERROR: Final = "faulted on modifying"
_OTHER_ERRORS: Final = frozenset({"faulted on writing", "faulted on unknown error"})
"""Failures that depend on the running machine, not on the file."""


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
        toc: bytes from the TOC pointer to a tracer that is too far from it, where the file tells.
        remedy: what to change.
    """

    message: LogMessage
    comparison: Comparison
    proved: bool
    rule: str | None = None
    function: str | None = None
    location: int | None = None
    finding: Finding | None = None
    toc: int | None = None
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
        boots: how many of this kernel, or of an unknown one, the log has; those of other kernels are not
            explained.
        explanations: in the order of the log.
        offset: bytes by which the kernel ran above its linked address, in the last boot that tells.
    """

    boot: Boot
    log: BootLog
    proved: bool
    boots: int
    explanations: Sequence[Explanation]
    offset: int | None

    @property
    def proofs(self) -> set[Proof]:
        """What the messages prove."""
        return {explanation.message.row.proof for explanation in self.explanations}

    @property
    def failed(self) -> bool:
        """Whether the log shows that ftrace failed."""
        return not self.proofs <= {Proof.HEALTHY}

    @property
    def contradicts(self) -> bool:
        """Whether the log and the simulation cannot both be right."""
        return any(explanation.agrees is False for explanation in self.explanations)


def explain_log(boot: Boot, log: BootLog) -> ExplainResult:
    """Explain the messages of ftrace in `log` in terms of a kernel's simulated boot.

    Raises:
        RefusedError: the kernel's table or areas are damaged: nothing is predicted; or the log is of other
            kernels only, or shows neither a failure nor that ftrace was set up by this kernel.
    """
    if boot.damage:
        raise RefusedError(Refusal.KERNEL_DAMAGED, boot.kernel.file, boot.damage[0].rule)
    differences = [_difference(boot, logged) for logged in log.boots]
    own = [logged for logged, other in zip(log.boots, differences, strict=True) if other is None]
    other = next(filter(None, differences), None)
    if other is not None and not any(logged.banner or logged.releases for logged in own):
        raise RefusedError(Refusal.LOG_OF_OTHER_KERNEL, log.file, other[0], boot.kernel.file, other[1])
    remedies, addresses = Remedies(boot), _addresses(boot, own)
    proofs = [_is_proved(boot, logged) for logged in own]
    explainers = [
        _Explainer(boot, logged, remedies, addresses, proved=proved)
        for logged, proved in zip(own, proofs, strict=True)
    ]
    offsets = [explainer.offset for explainer in explainers if explainer.offset is not None]
    result = ExplainResult(
        boot=boot,
        log=log,
        proved=any(proofs),
        boots=len(own),
        explanations=[e for explainer in explainers for e in explainer.explanations()],
        offset=offsets[-1] if offsets else None,
    )
    problem = None if result.failed else _lacks_proof(boot, log, own)
    if problem is not None:
        raise RefusedError(Refusal.LOG_UNPROVED, log.file, problem)
    return result


def _lacks_proof(boot: Boot, log: BootLog, own: Sequence[LoggedBoot]) -> str | None:
    """Return why a log without a failure does not show that ftrace was set up by this kernel, None if so."""
    for logged in own:
        for number, text in logged.lost:
            if not logged.messages or number <= logged.messages[-1].line:
                return f'line {number:,}, "{text}": messages are missing where ftrace is set up'
        line = logged.doubtful or (None if boot.stops_at is None else logged.mentioned)
        if line is not None:
            return f"line {line:,} has a part of a failure, or one in another form than the kernel's lines"
    if log.omitted:
        return f"has more messages of ftrace than are read ({log.omitted:,} more)"
    set_up = [logged for logged in own if _count(logged) is not None]
    if not set_up:
        return (
            f'shows nothing of ftrace ({log.lines:,} lines); a kernel with ftrace logs "ftrace: allocating'
            ' ... entries" early in its boot: the log may be incomplete'
        )
    # before 6.15 "allocating" comes before the functions are prepared
    kinds = {message.kind for logged in set_up for message in logged.messages}
    if boot.stops_at is not None and MessageKind.ALLOCATED not in kinds:
        shown = 'shows "ftrace: allocating" but not "ftrace: allocated"'
        return f"{shown}, and the replay fails: the log may be incomplete"
    if any(_is_proved(boot, logged) for logged in set_up):
        return None
    return (
        f"shows that ftrace was set up, but not that the kernel is {boot.kernel.file}: it has no complete"
        ' "Linux version" line'
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


def _build(banner: str) -> str:
    """Return a banner without its `(user@host)`, which people remove from logs."""
    return re.sub(r"^([^()]*)\([^()]*(?:\) ?(?=\(|$)|$)", r"\1", banner)


def _squeeze(text: str) -> str:
    """Return `text` without white space, which a console changes where it wraps."""
    return "".join(text.split())


def _has_banner(boot: Boot, logged: LoggedBoot) -> bool:
    """Return whether a boot has the kernel's banner, wrapped or not, whatever follows it in its line."""
    if boot.kernel.banner is None or logged.banner is None:
        return False
    own, banner = _build(boot.kernel.banner), _build(logged.banner)
    tail = banner[len(own) :]
    if banner.startswith(own) and not tail[:1].isalnum():
        return True
    lines = accumulate((logged.banner, *logged.following))
    return _squeeze(own) in (_squeeze(_build(text)) for text in lines)


def _is_proved(boot: Boot, logged: LoggedBoot) -> bool:
    """Return whether a boot that does not differ is the kernel's: by banner, or release and functions."""
    by_count = boot.kernel.release in _releases(logged) and _count(logged) is not None
    return by_count or _has_banner(boot, logged)


def _difference(boot: Boot, logged: LoggedBoot) -> tuple[str, str] | None:
    """Return what a boot of another kernel has and what the kernel has instead, None if nothing differs."""
    own, banner, count = boot.kernel.banner, logged.banner or "", _count(logged)
    if own is not None and not _has_banner(boot, logged):
        if logged.complete and not _squeeze(_build(own)).startswith(_squeeze(_build(banner))):  # or cut short
            brief = [re.sub(r"^Linux version (\S+) .*#", r"\1 #", text) for text in (banner, own)]
            return (brief[0], brief[1]) if brief[0] != brief[1] else (banner, own)
        other = sorted(_releases(logged) - {boot.kernel.release})
        if other:
            return other[0], boot.kernel.release or ""
    # before 6.15 the kernel counts the entries that it skips
    if count is not None and count not in {len(boot.locations), len(boot.kernel.table)}:
        return f"allocating {count:,} entries", f"allocating {len(boot.locations):,} entries"
    return None


# -- messages ------------------------------------------------------------------------------------------------


def _addresses(boot: Boot, boots: Sequence[LoggedBoot]) -> _Addresses:
    """Return the addresses of the symbols that a log names; a static function's name can have several."""
    kernel = boot.kernel
    wanted = {code.symbol for logged in boots for code in logged.sightings}
    wanted |= {m.code.symbol for logged in boots for m in logged.messages if m.code is not None}
    addresses: dict[str | None, set[int]] = {name: {address} for name, address in kernel.tracers.items()}
    if wanted - {None}:
        for name, address in kernel.symbols.code_names():
            if name in wanted:
                addresses.setdefault(name, set()).add(address)
    return addresses


class _Place(NamedTuple):
    """Where a message's code is in the file.

    `position` is that of its location, -1 if it is none; `verdict` is MODULE for code that is not in the
    file, OTHER_ADDRESS if the log has the function elsewhere than the file, relocated or not.
    """

    function: str | None = None
    location: int | None = None
    position: int = -1
    verdict: Comparison | None = None


class _Explainer:
    """The messages of one boot of the log."""

    def __init__(
        self, boot: Boot, logged: LoggedBoot, remedies: Remedies, addresses: _Addresses, *, proved: bool
    ) -> None:
        self._boot = boot
        self._messages = logged.messages
        self._remedies = remedies
        self._addresses = addresses
        self.proved = proved
        self._bugs = [n for n, m in enumerate(self._messages) if m.kind is MessageKind.BUG]
        completed = (n for n, m in enumerate(self._messages) if m.kind is MessageKind.ALLOCATED)
        self._completed = next(completed, len(self._messages))
        self._stop = None if boot.stops_at is None else boot.failure_at.get(boot.stops_at)
        self.offset = self._relocation(logged.sightings)

    def _named(self, code: CodeAddress) -> Sequence[int]:
        """Return the linked addresses that a logged symbol and offset can mean."""
        if code.module is not None:
            return ()
        return sorted(base + code.offset for base in self._addresses.get(code.symbol, ()))

    def _relocation(self, sightings: Sequence[CodeAddress]) -> int | None:
        """Return the bytes by which the kernel ran above its linked address, None if the log does not tell.

        Each address with a symbol of the kernel votes; more than half, and two for a kernel that has moved,
        have to agree.
        """
        seen = [(code.address, self._named(code)) for code in sightings if code.address is not None]
        votes = Counter(address - linked for address, named in seen for linked in named)
        voters = sum(bool(named) for _, named in seen)
        offset, count = max(votes.items(), key=lambda vote: (vote[1], -abs(vote[0])), default=(-1, 0))
        moved = offset > 0 and offset % _RELOCATION_UNIT == 0 and count > 1
        return offset if (moved or offset == 0) and 2 * count > voters else None

    def explanations(self) -> list[Explanation]:
        """Return an explanation of each message, and of a failure that the log should have."""
        done = [
            self._explain(number, message)
            for number, message in enumerate(self._messages)
            if message.kind is not MessageKind.ALLOCATED
        ]
        completed = self._messages[self._completed :]
        if completed and self._stop is not None and not any(e.is_failure for e in done):
            done.append(self._compared(completed[0], Comparison.NOT_LOGGED, _Place(), self._stop))
        return done

    def _explain(self, number: int, message: LogMessage) -> Explanation:
        kind = message.kind
        if kind in {MessageKind.ALLOCATING, MessageKind.NO_FUNCTIONS}:
            comparison = Comparison.AGREES if message.count else Comparison.OTHER_COUNT
            return Explanation(message, comparison, self.proved, locations=len(self._boot.locations))
        if kind is MessageKind.TRACER_TOO_FAR:
            return self._explain_toc(message)
        bug = self._bug_of(number)
        place = self._find(message.code)
        if place.position < 0 and bug is not None and self._messages[bug].code:
            place = self._find(self._messages[bug].code)
        if place.verdict is not None:
            return self._compared(message, place.verdict, place)
        phase = None if bug is None else self._messages[bug].phase
        after_boot = self._completed < number if phase is None else phase is not BugPhase.INIT
        if after_boot:
            failure = self._boot.failure_at.get(place.position)
            if failure is not None and failure.rule in CALL_RULES:
                return self._compared(message, Comparison.AGREES, place, failure, failure.rule)
            return self._compared(message, Comparison.AFTER_BOOT, place)
        cause = self._cause_of(number, bug)
        is_bug = kind in {MessageKind.BUG, MessageKind.BUG_WARNING}
        elsewhere = kind is MessageKind.ARCH_WARNING and message.caller not in message.row.functions.split()
        if elsewhere or cause.error in _OTHER_ERRORS or not (is_bug or message.row.rules):
            return self._compared(message, Comparison.NOT_SIMULATED, place)
        rules = ("location-not-nop",) if cause.error == _READ_ERROR else cause.row.rules
        return self._explain_init(message, place, rules)

    def _bug_of(self, number: int) -> int | None:
        """Return the number of the `ftrace_bug` that a message belongs to.

        It follows its cause. Its warning follows it; before 5.8 it is the other way round.
        """
        at = bisect_left(self._bugs, number)
        earlier, later = self._bugs[at - 1 : at], self._bugs[at : at + 1]
        is_warning = self._messages[number].kind is MessageKind.BUG_WARNING
        return next(iter(earlier + later if is_warning else later), None)

    def _cause_of(self, number: int, bug: int | None) -> LogMessage:
        """Return the message of the test that failed; the `ftrace_bug` itself where the log has none."""
        message = self._messages[number]
        if message.row.rules or bug is None:
            return message
        earlier = self._bugs[: self._bugs.index(bug)][-1:]
        since = self._messages[earlier[0] + 1 if earlier else 0 : bug]
        return next((m for m in reversed(since) if m.row.rules), self._messages[bug])

    def _explain_init(self, message: LogMessage, place: _Place, rules: Sequence[str]) -> Explanation:
        """Compare a failure at boot with the one that the simulation ends with.

        `rules` are those that can make the kernel print the message, none if the log does not tell: out of
        stubs, a kernel without CONFIG_BUG prints nothing.
        """
        stop, first = self._stop, rules[0] if rules else None
        if stop is None:
            return self._compared(message, Comparison.NOT_PREDICTED, place, rule=first)
        if rules and stop.rule not in rules:
            return self._compared(message, Comparison.OTHER_RULE, place, stop, first)
        if place.function is not None and place.position != stop.position:
            own = self._boot.failure_at.get(place.position)
            rule = first if own is None else own.rule
            return self._compared(message, Comparison.OTHER_FUNCTION, place, stop, rule)
        comparison = Comparison.FUNCTION_LOST
        if place.function is not None:
            told = rules or stop.rule == "area-exhausted"
            comparison = Comparison.AGREES if told else Comparison.RULE_LOST
        return self._compared(message, comparison, place, stop, stop.rule)

    def _explain_toc(self, message: LogMessage) -> Explanation:
        """Compare with the distance that `ftrace_dyn_arch_init` tests before anything else."""
        kernel = self._boot.kernel
        toc = kernel.symbols.find([".TOC."]).get(".TOC.")
        tracer = kernel.tracers.get("ftrace_regs_caller")
        if toc is None or tracer is None or "kernel_toc" not in message.text:
            return self._compared(message, Comparison.NOT_SIMULATED, _Place(message.caller))
        distance = tracer - toc.address
        reachable = -TOC_REACH <= distance < TOC_REACH
        comparison = Comparison.NOT_PREDICTED if reachable else Comparison.AGREES
        remedy = None if reachable else Remedy(Action.SHRINK_TEXT)
        return Explanation(
            message, comparison, self.proved, function=message.caller, toc=distance, remedy=remedy
        )

    def _compared(
        self,
        message: LogMessage,
        comparison: Comparison,
        place: _Place,
        failure: Failure | None = None,
        rule: str | None = None,
    ) -> Explanation:
        remedy = None
        lost = comparison in {Comparison.FUNCTION_LOST, Comparison.RULE_LOST} and self.proved
        if failure is not None and (comparison is Comparison.AGREES or lost):
            remedy = self._remedies.for_failure(failure)
        return Explanation(
            message,
            comparison,
            self.proved,
            rule=rule,
            function=place.function,
            location=place.location,
            finding=None if failure is None else failure_finding(self._boot, failure, remedy),
            remedy=remedy,
        )

    def _find(self, code: CodeAddress | None) -> _Place:
        if code is None:
            return _Place()
        kernel, named = self._boot.kernel, self._named(code)
        shown = None if code.symbol is None else symbolic(code.symbol, code.offset)
        if code.module is not None:
            return _Place(f"{shown} [{code.module}]" if shown else None, verdict=Comparison.MODULE)
        linked = None if code.address is None else (code.address - (self.offset or 0)) & ppc.ADDRESS_MASK
        verdict = None
        if named and linked not in named:
            verdict = None if linked is None else Comparison.OTHER_ADDRESS
            linked = next((ip for ip in named if self._position(ip) >= 0), named[0])
        if linked is None or (code.symbol is not None and not named):
            return _Place(shown)
        if not kernel.is_text(linked):
            return _Place(shown, verdict=Comparison.MODULE)
        position = self._position(linked)
        if position < 0 and code.symbol is None and self.offset is None:
            return _Place()  # it may be relocated
        return _Place(kernel.name(linked), linked, position, verdict)

    def _position(self, address: int) -> int:
        locations = self._boot.locations
        position = bisect_left(locations, address)
        return position if position < len(locations) and locations[position] == address else -1
