# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of each stub in the memory of a running or crashed kernel, against the predicted boot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from pfestubs.errors import MissingMemoryError
from pfestubs.model import ppc
from pfestubs.rules.kernel.stubs import stub_words, traced_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfestubs.model import RunningKernel
    from pfestubs.rules.kernel.boot import Boot
    from pfestubs.rules.kernel.stubs import Words

_CALL: Final = 1
"""The stub's instruction that calls the tracer."""
_POISON: Final = 0xCCCCCCCC
"""What a kernel fills freed init memory with (include/linux/poison.h: POISON_FREE_INITMEM)."""

Found = tuple[int | None, int | None, int | None, int | None]


class StubState(Enum):
    """What has become of a location and its stub; the value is the documents' word for it."""

    AS_PREDICTED = "as predicted"
    IN_USE = "in use"
    FREED = "freed"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class ComparedStub:
    """One location and what memory holds; addresses as linked. None: the boot gives it no stub.

    Attributes:
        function: the symbol, with the offset where it is not 0.
        location: address of the function's nop.
        location_word: what memory holds there.
        area: the area's name.
        index: of the stub in its area.
        address: of the stub, its ops pointer included.
        insns_address: of its first instruction.
        expected: the four words that the boot writes.
        found: the four words in memory; a word that memory does not hold is None.
        target: where the stub's `bl` goes, None if there is no `bl`.
        target_name: the symbol there.
        traced: the word at the location while the stub is in use.
        odd_location: the location holds neither its nop nor `traced`.
        odd_words: positions of the stub's words that should be others.
    """

    state: StubState
    function: str
    location: int
    location_word: int | None
    area: str | None = None
    index: int | None = None
    address: int | None = None
    insns_address: int | None = None
    expected: Words | None = None
    found: Found | None = None
    target: int | None = None
    target_name: str | None = None
    traced: int | None = None
    odd_location: bool = False
    odd_words: Sequence[int] = ()


@dataclass(frozen=True)
class Verification:
    """Everything that `verify` prints.

    Attributes:
        offset: bytes by which the kernel runs above the address it was linked at.
        stub_size: bytes.
        locations: count of locations compared.
        counts: of locations, by state.
        stubs: the different ones and those in use, in boot order, or all if requested.
        stops_at: the function at which the boot disables ftrace, None if all get their stubs.
        disabled: whether the kernel has disabled ftrace for good; None if memory does not tell.
    """

    file: str
    dump: str
    layout: str
    offset: int
    stub_size: int
    locations: int
    counts: Counter[StubState]
    stubs: Sequence[ComparedStub]
    stops_at: str | None
    disabled: bool | None

    @property
    def ok(self) -> bool:
        """Whether no location is different."""
        return not self.counts[StubState.DIFFERENT]


def verify_stubs(boot: Boot, running: RunningKernel, *, show_all: bool = False) -> Verification:
    """Compare the stubs that `boot` hands out with the memory of the same kernel running.

    Args:
        boot: of a kernel with stubs.
        running: the memory.
        show_all: list every location, not just those that are different or in use.

    Raises:
        MissingMemoryError: the dump lacks memory that was not freed.
    """
    kernel = boot.kernel
    assert kernel.layout is not None  # noqa: S101 - the command requires stubs
    comparison = _Comparison(boot, running)
    counts: Counter[StubState] = Counter()
    listed = []
    for position in range(len(boot.locations)):
        state = comparison.state(position)
        counts[state] += 1
        if show_all or state in {StubState.DIFFERENT, StubState.IN_USE}:
            listed.append((position, state))
    comparison.require_memory()
    return Verification(
        file=kernel.file,
        dump=running.file,
        layout=kernel.layout.name,
        offset=running.offset,
        stub_size=boot.stub_size,
        locations=len(boot.locations),
        counts=counts,
        stubs=[comparison.compared(position, state) for position, state in listed],
        stops_at=None if boot.stops_at is None else boot.function(boot.stops_at),
        disabled=None if running.disabled is None else running.disabled != 0,
    )


def init_memory_freed(running: RunningKernel, init_trampoline: int | None) -> bool | None:
    """Return whether init memory, and with it the stubs of init text, is freed; None if unknown.

    The kernel takes `ftrace_tramp_init` out of `ftrace_tramps` when it frees init memory
    (`arch/powerpc/kernel/trace/ftrace.c: ftrace_free_init_tramp`). All slots empty means that ftrace has not
    been set up yet.
    """
    slots = running.trampolines
    if slots is None or init_trampoline is None:
        return None
    return any(slots) and init_trampoline not in slots


class _Comparison:
    """Memory by position in the boot."""

    def __init__(self, boot: Boot, running: RunningKernel) -> None:
        self._boot = boot
        self._running = running
        self._word_at = running.word_at
        self._freed = init_memory_freed(running, boot.kernel.trampolines.get("ftrace_tramp_init"))
        self._missing: list[int] = []

    def found(self, position: int) -> Found:
        """Return the stub's words in memory."""
        insns, word_at = self._boot.insns[position], self._word_at
        at = ppc.add
        return word_at(insns), word_at(at(insns, 4)), word_at(at(insns, 8)), word_at(at(insns, 12))

    def state(self, position: int) -> StubState:
        """Return what has become of one location."""
        location = self._boot.locations[position]
        in_init = location in self._boot.kernel.inittext
        if in_init and self._freed:
            return StubState.FREED
        here = self._word_at(location)
        if not self._boot.has_stub(position):
            if here is None:
                self._missing.append(location)
            return StubState.DIFFERENT
        expected, found = stub_words(self._boot, position), self.found(position)
        if found == expected and here == ppc.NOP:
            return StubState.AS_PREDICTED
        if here is None or None in found:
            self._missing.append(location)
            return StubState.DIFFERENT
        if in_init and self._freed is None and here == _POISON and set(found) == {_POISON}:
            return StubState.FREED
        if here == traced_word(self._boot, position) and _calls_something(expected, found):
            return StubState.IN_USE
        return StubState.DIFFERENT

    def require_memory(self) -> None:
        """Refuse a dump that leaves out what it should hold."""
        if self._missing:
            first, total = self._missing[0], len(self._boot.locations)
            raise MissingMemoryError(
                self._running.file, len(self._missing), total, self._boot.kernel.name(first), first
            )

    def compared(self, position: int, state: StubState) -> ComparedStub:
        """Return all about one location."""
        boot = self._boot
        location = boot.locations[position]
        function, here = boot.function(position), self._word_at(location)
        if not boot.has_stub(position):
            return ComparedStub(state, function, location, here)
        insns, expected, found = boot.insns[position], stub_words(boot, position), self.found(position)
        traced = traced_word(boot, position)
        call, target = found[_CALL], None
        if call is not None and ppc.is_branch(call, link=True):
            target = ppc.branch_target(call, ppc.add(insns, _CALL * ppc.INSN_SIZE))
        odd_words: list[int] = []
        if here != traced or not _calls_something(expected, found):
            odd_words = [
                i
                for i in range(4)
                if found[i] != expected[i]
                and not (i == _CALL and here == traced and ppc.is_branch(found[i] or 0, link=True))
            ]
        return ComparedStub(
            state=state,
            function=function,
            location=location,
            location_word=here,
            area=boot.kernel.areas[boot.area[position]].name,
            index=boot.index[position],
            address=boot.stub_address(position),
            insns_address=insns,
            expected=expected,
            found=found,
            target=target,
            target_name=None if target is None else boot.kernel.name(target),
            traced=traced,
            odd_location=here not in {ppc.NOP, traced},
            odd_words=odd_words,
        )


def _calls_something(expected: Words, found: Found) -> bool:
    """Return whether a stub is as written except for the target of its `bl` (`ftrace_replace_code`)."""
    call = found[_CALL]
    return (
        call is not None
        and ppc.is_branch(call, link=True)
        and all(found[i] == expected[i] for i in range(4) if i != _CALL)
    )
