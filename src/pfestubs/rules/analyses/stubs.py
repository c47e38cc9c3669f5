# SPDX-License-Identifier: GPL-2.0-or-later
"""The stubs of a predicted boot: those to list, and the state of each in the memory of a running kernel."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from pfestubs.errors import Refusal, RefusedError
from pfestubs.model import TRAMPOLINE_FREED, ppc
from pfestubs.rules.check import failure_findings
from pfestubs.rules.kernel.stubs import CALL_INSN, stub_words, traced_word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pfestubs.model import RunningKernel
    from pfestubs.model.findings import Finding
    from pfestubs.rules.kernel.boot import Boot

_CALL: Final = CALL_INSN // ppc.INSN_SIZE
"""The stub's instruction that calls the tracer."""
_POISON: Final = 0xCCCCCCCC
"""What a kernel fills freed init memory with (include/linux/poison.h: POISON_FREE_INITMEM)."""

Found = tuple[int | None, int | None, int | None, int | None]


class StubListing(NamedTuple):
    """Positions of locations, and why some have no stub."""

    boot: Boot
    positions: Sequence[int]
    missing: Mapping[int, Finding]


def list_stubs(boot: Boot, positions: Sequence[int]) -> StubListing:
    """Return the listing of the locations at `positions`, in their order.

    Raises:
        RefusedError: the kernel's table or areas are damaged: nothing is predicted.
    """
    if boot.damage:
        raise RefusedError(Refusal.KERNEL_DAMAGED, boot.kernel.file, boot.damage[0].rule)
    missing = [position for position in positions if not boot.has_stub(position)]
    findings = failure_findings(boot, [boot.failure_at[position] for position in missing])
    return StubListing(boot, positions, dict(zip(missing, findings, strict=True)))


# -- against memory ------------------------------------------------------------------------------------------


class StubState(Enum):
    """The state of a location and its stub; the value is used in documents."""

    AS_PREDICTED = "as predicted"
    IN_USE = "in use"
    FREED = "freed"
    DIFFERENT = "different"


class ComparedStub(NamedTuple):
    """A location of a boot and what memory holds of it; addresses as linked.

    Attributes:
        position: in `Boot.locations`.
        word: at the location, None where memory does not hold it.
        found: the four words of the stub, likewise; None if the boot gives the location no stub.
    """

    boot: Boot
    position: int
    state: StubState
    word: int | None
    found: Found | None = None

    @property
    def location(self) -> int:
        """The address of the function's nop."""
        return self.boot.locations[self.position]

    @property
    def is_missing(self) -> bool:
        """Whether memory lacks a word that tells the state."""
        return self.state is StubState.DIFFERENT and (self.word is None or None in (self.found or ()))

    @property
    def target(self) -> int | None:
        """Where the stub's `bl` goes, None if there is no `bl`."""
        call = None if self.found is None else self.found[_CALL]
        if call is None or not ppc.is_branch(call, link=True):
            return None
        return ppc.branch_target(call, ppc.add(self.boot.insns[self.position], CALL_INSN))

    @property
    def odd_words(self) -> Sequence[int]:
        """The positions of words that are not as written at boot.

        In use, the `bl` may have another target (`ftrace_replace_code`).
        """
        if self.found is None:
            return ()
        in_use = self.word == traced_word(self.boot, self.position)
        pairs = enumerate(zip(stub_words(self.boot, self.position), self.found, strict=True))
        odd = [(i, found) for i, (expected, found) in pairs if found != expected]
        return [i for i, found in odd if not (i == _CALL and in_use and ppc.is_branch(found or 0, link=True))]


class Verification(NamedTuple):
    """Everything that `verify` prints.

    Attributes:
        dump: the file of the memory.
        offset: bytes by which the kernel runs above the address it was linked at.
        counts: of locations, by state.
        stubs: the different ones and those in use, in boot order, or all if requested.
        disabled: whether the kernel has disabled ftrace for good; None if memory does not tell.
    """

    boot: Boot
    dump: str
    offset: int
    counts: Counter[StubState]
    stubs: Sequence[ComparedStub]
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
        RefusedError: the kernel's table or areas are damaged: nothing is predicted; or the dump lacks memory
            that was not freed.
    """
    kernel = boot.kernel
    if boot.damage:
        raise RefusedError(Refusal.KERNEL_DAMAGED, kernel.file, boot.damage[0].rule)
    freed = init_memory_freed(running, kernel.trampolines.get(TRAMPOLINE_FREED))
    stubs = [_compare(boot, position, running.word_at, freed) for position in range(len(boot.locations))]
    missing = [stub.location for stub in stubs if stub.is_missing]
    if missing:
        first = missing[0]
        raise RefusedError(
            Refusal.MEMORY_MISSING, running.file, len(missing), len(stubs), kernel.name(first), first
        )
    return Verification(
        boot=boot,
        dump=running.file,
        offset=running.offset,
        counts=Counter(stub.state for stub in stubs),
        stubs=[s for s in stubs if show_all or s.state in {StubState.DIFFERENT, StubState.IN_USE}],
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


def _compare(
    boot: Boot, position: int, word_at: Callable[[int], int | None], freed: bool | None
) -> ComparedStub:
    """Return what has become of one location; `freed`: whether init memory is."""
    location, insns = boot.locations[position], boot.insns[position]
    in_init, here = location in boot.kernel.inittext, word_at(location)
    if not boot.has_stub(position):
        state = StubState.FREED if in_init and freed else StubState.DIFFERENT
        return ComparedStub(boot, position, state, here)
    at = ppc.add
    found = word_at(insns), word_at(at(insns, 4)), word_at(at(insns, 8)), word_at(at(insns, 12))
    poisoned = here == _POISON and set(found) == {_POISON}
    if in_init and (freed or (freed is None and poisoned)):
        state = StubState.FREED
    elif here == ppc.NOP and found == stub_words(boot, position):
        state = StubState.AS_PREDICTED
    else:
        stub = ComparedStub(boot, position, StubState.DIFFERENT, here, found)
        is_traced = here == traced_word(boot, position) and not stub.odd_words
        return stub._replace(state=StubState.IN_USE) if is_traced else stub
    return ComparedStub(boot, position, state, here, found)
