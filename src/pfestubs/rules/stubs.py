# SPDX-License-Identifier: GPL-2.0-or-later
"""What the boot writes into each stub, and tracing into each function, word by word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfestubs.rules import ppc
from pfestubs.rules.boot import CALL_INSN, RETURN_INSN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pfestubs.rules.boot import Replay, Setting

Words = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Stub:
    """One location and its stub; the last five are None where the boot gives the location none.

    Attributes:
        location: address of the nop.
        area: the area's name.
        index: of the stub in its area.
        address: of the stub, its ops pointer included.
        insns_address: of its first instruction.
        insns: the four words that the boot writes.
    """

    location: int
    area: str | None
    index: int | None
    address: int | None
    insns_address: int | None
    insns: Words | None


def stub_words(insns: int, target: int, location: int) -> Words:
    """The four instructions of a stub.

    Mirrors the template in `arch/powerpc/kernel/trace/ftrace.c: ftrace_init_ool_stub`.

    Args:
        insns: address of the first instruction.
        target: address that the stub calls.
        location: address of the function's nop; the stub returns behind it.

    Raises:
        ValueError: if a branch cannot span its distance.
    """
    return (
        ppc.MFLR_R0,
        ppc.encode_branch(target - (insns + CALL_INSN), link=True),
        ppc.MTLR_R0,
        ppc.encode_branch(location + ppc.INSN_SIZE - (insns + RETURN_INSN)),
    )


def traced_word(location: int, insns: int) -> int:
    """The word at a location with tracing on: a branch to its stub (`ftrace_replace_code`)."""
    return ppc.encode_branch(insns - location)


def stubs(setting: Setting, result: Replay, positions: Iterable[int]) -> Iterator[Stub]:
    """The stubs of the locations at `positions` of the replay, one at a time."""
    for position in positions:
        location = result.locations[position]
        area = result.area[position]
        insns = result.insns[position]
        if not result.target[position]:  # the boot failed before it wrote the stub
            yield Stub(location, None, None, None, None, None)
            continue
        index = result.index[position]
        yield Stub(
            location,
            setting.areas[area].name,
            index,
            setting.areas[area].address + index * setting.stub_size,
            insns,
            stub_words(insns, result.target[position], location),
        )
