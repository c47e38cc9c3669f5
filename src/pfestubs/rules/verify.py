# SPDX-License-Identifier: GPL-2.0-or-later
"""Prediction against memory: what each stub and each location of a running kernel should hold, and does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pfestubs.errors import UnreadableError
from pfestubs.rules import ppc
from pfestubs.rules.boot import replay, stops_at
from pfestubs.rules.findings import symbolic
from pfestubs.rules.setting import layout_of, setting_of
from pfestubs.rules.stubs import stub_words, traced_word

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pfestubs.read.dump import RunningKernel
    from pfestubs.read.symbols import Symbols
    from pfestubs.read.vmlinux import Kernel
    from pfestubs.rules.boot import Replay, Setting
    from pfestubs.rules.stubs import Words

State = Literal["as predicted", "in use", "freed", "different"]
STATES: Final[tuple[State, ...]] = ("as predicted", "in use", "freed", "different")

_CALL: Final = 1
"""The stub's instruction that calls the tracer."""
_POISON: Final = 0xCCCCCCCC
"""What a kernel fills freed init memory with (include/linux/poison.h: POISON_FREE_INITMEM)."""

Found = tuple[int | None, int | None, int | None, int | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One location and what memory holds; addresses as linked. None: the boot gives it no stub.

    Attributes:
        function: the symbol, with the offset where it is not 0.
        location: address of the function's nop.
        location_word: what stands there.
        area: the area's name.
        index: of the stub in its area.
        address: of the stub, its ops pointer included.
        insns_address: of its first instruction.
        expected: the four words that the boot writes.
        found: the four words in memory; a word that memory does not hold is None.
        target: where the stub's `bl` goes, None if there is no `bl`.
        target_name: the symbol there.
        problem: of a different one, in words; else "".
    """

    state: State
    function: str
    location: int
    location_word: int | None
    area: str | None
    index: int | None
    address: int | None
    insns_address: int | None
    expected: Words | None
    found: Found | None
    target: int | None
    target_name: str | None
    problem: str


@dataclass(frozen=True)
class Verification:
    """Everything that `verify` says.

    Attributes:
        offset: bytes by which the kernel runs above the address it was linked at.
        stub_size: bytes.
        stubs: count of locations compared.
        counts: of locations, by state.
        entries: the different ones and those in use, in boot order, or every one if that was asked for.
        stops_at: the function at which the boot gives tracing up, None if all get their stubs.
        disabled: whether the kernel has switched ftrace off for good; None if memory does not tell.
    """

    file: str
    dump: str
    layout: str
    offset: int
    stub_size: int
    stubs: int
    counts: Counter[State]
    entries: Sequence[Entry]
    stops_at: str | None
    disabled: bool | None

    @property
    def ok(self) -> bool:
        """Whether no location is different."""
        return not self.counts["different"]


def verify(kernel: Kernel, running: RunningKernel, *, every: bool = False) -> Verification:
    """Compare the stubs that the replay of `kernel`'s boot hands out with the memory of it running.

    Args:
        kernel: as linked.
        running: the memory.
        every: list every location, not just those that are different or in use.

    Raises:
        UnsuitableError: the kernel traces without stubs.
        UnreadableError: the dump lacks memory that was not freed.
    """
    layout = layout_of(kernel)
    setting = setting_of(kernel)
    result = replay(setting)
    comparison = _Comparison(setting, result, running)
    counts: Counter[State] = Counter()
    listed = []
    for position in range(len(result.locations)):
        state = comparison.state(position)
        counts[state] += 1
        if every or state in {"different", "in use"}:
            listed.append((position, state))
    comparison.refuse_missing(kernel.symbols)
    stop = stops_at(setting, result)
    return Verification(
        file=kernel.file,
        dump=running.file,
        layout=layout.name,
        offset=running.offset,
        stub_size=setting.stub_size,
        stubs=len(result.locations),
        counts=counts,
        entries=[comparison.entry(position, state, kernel.symbols) for position, state in listed],
        stops_at=None if stop is None else symbolic(*kernel.symbols.locate(result.locations[stop])),
        disabled=None if running.disabled is None else running.disabled != 0,
    )


def init_freed(running: RunningKernel, init_trampoline: int | None) -> bool | None:
    """Whether init memory, and the stubs of area inittext with it, is given back; None if unknown.

    The kernel takes `ftrace_tramp_init` out of `ftrace_tramps` when it frees init memory
    (`arch/powerpc/kernel/trace/ftrace.c: ftrace_free_init_tramp`). All slots empty means that ftrace has not
    been set up yet.
    """
    slots = running.trampolines
    if slots is None or init_trampoline is None:
        return None
    return any(slots) and init_trampoline not in slots


class _Comparison:
    """Memory by position in the replay."""

    def __init__(self, setting: Setting, result: Replay, running: RunningKernel) -> None:
        self._setting = setting
        self._result = result
        self._running = running
        self._word_at: Callable[[int], int | None] = running.word_at
        self._freed = init_freed(running, setting.trampolines.get("ftrace_tramp_init"))
        self._missing: list[int] = []

    def has_stub(self, position: int) -> bool:
        """Whether the boot writes a stub; it fails later, not at boot, where the tracer's trampoline goes."""
        return self._result.area[position] >= 0 and self._result.target[position] != 0

    def expected(self, position: int) -> Words:
        """The words that the boot writes."""
        result = self._result
        return stub_words(result.insns[position], result.target[position], result.locations[position])

    def found(self, position: int) -> Found:
        """The stub's words in memory."""
        insns, word_at = self._result.insns[position], self._word_at
        return word_at(insns), word_at(insns + 4), word_at(insns + 8), word_at(insns + 12)

    def state(self, position: int) -> State:
        """What has become of one location."""
        location = self._result.locations[position]
        in_init = location in self._setting.inittext
        if in_init and self._freed:
            return "freed"
        here = self._word_at(location)
        if not self.has_stub(position):
            if here is None:
                self._missing.append(location)
            return "different"
        expected, found = self.expected(position), self.found(position)
        if found == expected and here == ppc.NOP:
            return "as predicted"
        if here is None or None in found:
            self._missing.append(location)
            return "different"
        if in_init and self._freed is None and here == _POISON and set(found) == {_POISON}:
            return "freed"
        if here == traced_word(location, self._result.insns[position]) and _calls_something(expected, found):
            return "in use"
        return "different"

    def refuse_missing(self, symbols: Symbols) -> None:
        """A dump that leaves out what it should hold cannot be compared."""
        if self._missing:
            function = symbolic(*symbols.locate(self._missing[0]))
            raise UnreadableError(
                self._running.file,
                f"lacks memory of {len(self._missing):,} of {len(self._result.locations):,} functions or"
                f" their stubs, {function} at {self._missing[0]:#x} first",
                "dump with kernel memory included",
            )

    def entry(self, position: int, state: State, symbols: Symbols) -> Entry:
        """All about one location."""
        result = self._result
        location, area, index = result.locations[position], result.area[position], result.index[position]
        function, here = symbolic(*symbols.locate(location)), self._word_at(location)
        if not self.has_stub(position):
            problem = "the boot has no stub for it" if state == "different" else ""
            return Entry(
                state, function, location, here, None, None, None, None, None, None, None, None, problem
            )
        insns = result.insns[position]
        expected, found = self.expected(position), self.found(position)
        call = found[_CALL]
        target = None
        if call is not None and ppc.is_branch(call, link=True):
            site = insns + _CALL * ppc.INSN_SIZE
            target = site + ppc.branch_offset(call)
        return Entry(
            state=state,
            function=function,
            location=location,
            location_word=here,
            area=self._setting.areas[area].name,
            index=index,
            address=insns + 4 * ppc.INSN_SIZE - self._setting.stub_size,
            insns_address=insns,
            expected=expected,
            found=found,
            target=target,
            target_name=None if target is None else symbolic(*symbols.locate(target)),
            problem=self._problem(position, here, expected, found) if state == "different" else "",
        )

    def _problem(self, position: int, here: int | None, expected: Words, found: Found) -> str:
        """What is different, and where."""
        insns = self._result.insns[position]
        traced = traced_word(self._result.locations[position], insns)
        problems = []
        if here not in {ppc.NOP, traced}:
            problems.append(
                f"it holds {_word(here)}, expected nop {_word(ppc.NOP)} or a branch to its stub,"
                f" {_word(traced)}"
            )
        if not any(found):
            problems.append(f"its stub at {insns:#x} is empty")
        elif here != traced or not _calls_something(expected, found):
            problems += [
                f"its stub has {_word(found[i])} at {insns + 4 * i:#x}, expected {_word(expected[i])}"
                for i in range(4)
                if found[i] != expected[i]
                and not (i == _CALL and here == traced and ppc.is_branch(found[i] or 0, link=True))
            ]
        return "; ".join(problems)


def _calls_something(expected: Words, found: Found) -> bool:
    """Whether a stub is as written, apart from whom it calls (`ftrace_replace_code` changes the `bl`)."""
    call = found[_CALL]
    return (
        call is not None
        and ppc.is_branch(call, link=True)
        and all(found[i] == expected[i] for i in range(4) if i != _CALL)
    )


def _word(value: int | None) -> str:
    return "nothing" if value is None else f"{value:#010x}"
