# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of each stub in the memory of a running or crashed kernel, against the predicted boot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from pfestubs.errors import DamagedKernelError, MissingMemoryError
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
    """The state of a location and its stub; the value is used in documents."""

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
        DamagedKernelError: the kernel's table or areas are damaged: nothing is predicted.
        MissingMemoryError: the dump lacks memory that was not freed.
    """
    kernel = boot.kernel
    if boot.damage:
        raise DamagedKernelError(kernel.file, boot.damage[0].rule)
    comparison = _Comparison(boot, running)
    positions = range(len(boot.locations))
    states = [comparison.state(position) for position in positions]
    if comparison.missing:
        first = comparison.missing[0]
        raise MissingMemoryError(
            running.file, len(comparison.missing), len(positions), kernel.name(first), first
        )
    return Verification(
        file=kernel.file,
        dump=running.file,
        layout=kernel.layout_name,
        offset=running.offset,
        stub_size=boot.stub_size,
        locations=len(positions),
        counts=Counter(states),
        stubs=[
            comparison.compared(position, state)
            for position, state in zip(positions, states, strict=True)
            if show_all or state in {StubState.DIFFERENT, StubState.IN_USE}
        ],
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
    """Memory by position in the boot.

    Attributes:
        missing: locations of which memory lacks the word, or one of their stub.
    """

    def __init__(self, boot: Boot, running: RunningKernel) -> None:
        self._boot = boot
        self._word_at = running.word_at
        self._freed = init_memory_freed(running, boot.kernel.trampolines.get("ftrace_tramp_init"))
        self.missing: list[int] = []

    def _found(self, position: int) -> Found:
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
                self.missing.append(location)
            return StubState.DIFFERENT
        expected, found = stub_words(self._boot, position), self._found(position)
        if found == expected and here == ppc.NOP:
            return StubState.AS_PREDICTED
        if here is None or None in found:
            self.missing.append(location)
            return StubState.DIFFERENT
        if in_init and self._freed is None and here == _POISON and set(found) == {_POISON}:
            return StubState.FREED
        if here == traced_word(self._boot, position) and not _odd_words(expected, found, in_use=True):
            return StubState.IN_USE
        return StubState.DIFFERENT

    def compared(self, position: int, state: StubState) -> ComparedStub:
        """Return all about one location."""
        boot = self._boot
        location = boot.locations[position]
        function, here = boot.function(position), self._word_at(location)
        if not boot.has_stub(position):
            return ComparedStub(state, function, location, here)
        insns, expected, found = boot.insns[position], stub_words(boot, position), self._found(position)
        traced = traced_word(boot, position)
        call, target = found[_CALL], None
        if call is not None and ppc.is_branch(call, link=True):
            target = ppc.branch_target(call, ppc.add(insns, _CALL * ppc.INSN_SIZE))
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
            odd_words=_odd_words(expected, found, in_use=here == traced),
        )


def _odd_words(expected: Words, found: Found, *, in_use: bool) -> Sequence[int]:
    """Return the positions of words that are not as written at boot.

    In use, the `bl` may have another target (`ftrace_replace_code`).
    """
    return [
        i
        for i in range(len(expected))
        if found[i] != expected[i] and not (i == _CALL and in_use and ppc.is_branch(found[i] or 0, link=True))
    ]
