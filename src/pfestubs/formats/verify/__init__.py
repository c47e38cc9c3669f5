# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison of predicted stubs with memory, one module per format; here is what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pfestubs.formats.text import hex_word
from pfestubs.model import ppc
from pfestubs.rules.analyses.stub_states import StubState

if TYPE_CHECKING:
    from pfestubs.rules.analyses.stub_states import ComparedStub


def problem_sentence(stub: ComparedStub) -> str:
    """Return what is different about a stub, and where; "" unless it is."""
    if stub.state is not StubState.DIFFERENT:
        return ""
    if stub.insns_address is None or stub.expected is None or stub.found is None:
        return "the boot has no stub for it"
    problems = []
    if stub.odd_location:
        problems.append(
            f"it holds {_word(stub.location_word)}, expected nop {hex_word(ppc.NOP)} or a branch to its stub,"
            f" {_word(stub.traced)}"
        )
    if not any(stub.found):
        problems.append(f"its stub at {stub.insns_address:#x} is empty")
    else:
        problems += [
            f"its stub has {_word(stub.found[i])} at {ppc.add(stub.insns_address, 4 * i):#x}, expected"
            f" {hex_word(stub.expected[i])}"
            for i in stub.odd_words
        ]
    return "; ".join(problems)


def _word(value: int | None) -> str:
    return "nothing" if value is None else hex_word(value)
