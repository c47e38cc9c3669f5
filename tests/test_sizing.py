# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of sizing over plain values: kinds of sections, areas, layouts, the trap."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfestubs.errors import InputError
from pfestubs.layouts import LAYOUTS, detect_layout
from pfestubs.model import EntryCounts, ReserveArray, TextSection, VmlinuxO
from pfestubs.rules.kernel.sizing import Trap, classify_section, count, measure_reserve, size_areas

MIB = 1 << 20

# include/asm-generic/vmlinux.lds.h, as the linker reads it.
PATTERNS = {
    "inittext": (".init.text", ".init.text.*", ".text.startup", ".text.startup.*"),
    "exittext": (".exit.text", ".text.exit", ".text.exit.*"),
}


def by_pattern(name: str) -> str:
    return next((kind for kind, p in PATTERNS.items() if any(fnmatchcase(name, x) for x in p)), "text")


KINDS = {
    "text": (
        *(".text", ".text.unlikely", ".ref.text", ".sched.text", ".init.text_setup", ".init.textual", ""),
        *(".text.startup_pirq", ".text.startup_gfar", ".text.reinit_text", ".text.foo_init_text"),
        *(".text.init.text", "x.init.text", ".exit.text.x", ".text.exit_mmap"),
    ),
    "inittext": (".init.text", ".init.text.setup", ".init.text.", ".text.startup", ".text.startup.main"),
    "exittext": (".exit.text", ".text.exit", ".text.exit.late"),
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for kind, names in KINDS.items() for name in names])
def test_kinds(name: str, kind: str) -> None:
    assert classify_section(name) == kind
    assert by_pattern(name) == kind


PARTS = st.sampled_from([".text", ".init", ".exit", ".startup", ".", "_", "x", ".text.exit"])


@given(st.lists(PARTS, max_size=6))
def test_kinds_are_the_linker_scripts(parts: list[str]) -> None:
    name = "".join(parts)
    assert classify_section(name) == by_pattern(name)


@given(*[st.integers(0, 10**6)] * 4)
def test_areas(text: int, init: int, exit_: int, reserve: int) -> None:
    ool = size_areas(LAYOUTS["ool"], EntryCounts(text, init, exit_), reserve)
    assert ool == {"text": reserve, "text_end": max(0, text + exit_ - reserve), "inittext": init}
    pfe = size_areas(LAYOUTS["pfe"], EntryCounts(text, init, exit_), 0)
    assert pfe == {"text_end": text + exit_, "inittext": init}


def an_object(*sections: tuple[str, int, list[int]], **values: Any) -> VmlinuxO:
    fields: dict[str, Any] = {
        "file": "vmlinux.o",
        "bits": 64,
        "byte_order": "little",
        "sections": [TextSection(name, size, 4, locations) for name, size, locations in sections],
        "stub_symbols": frozenset({"ftrace_ool_stub_text_end"}),
        "reserve": None,
        "reserve_array": None,
    }
    return VmlinuxO(**{**fields, **values})


def test_count_entries() -> None:
    texts = (".text", 99, [0, 4]), (".init.text", 99, [0]), (".text", 99, [8]), (".text.exit", 9, [0])
    obj = an_object(*texts)
    found = count(obj, reserve=0).entries
    assert (found, found.total) == (EntryCounts(3, 1, 1), 5)


@pytest.mark.parametrize("reserve", [0, 1, 3, 4, 100])
def test_reserve_from_option_or_object(reserve: int) -> None:
    section = (".text", 99, [0, 4, 8])
    asked = count(an_object(section), reserve=reserve)
    known = count(an_object(section, reserve=reserve))
    both = count(an_object(section, reserve=reserve), reserve=reserve, layout="ool")
    assert asked == known == both
    assert asked.stubs is not None
    assert asked.stubs["text_end"] == max(0, 3 - reserve)


def test_reserve_zero_contradicts_another() -> None:
    """0 is a value, not an absence."""
    for known, asked in ((5, 0), (0, 5), (None, None)):
        with pytest.raises(InputError):
            count(an_object((".text", 99, [0]), reserve=known), reserve=asked)


def test_an_unknown_layout_is_not_an_error() -> None:
    found = count(an_object((".text", 99, [0]), stub_symbols=frozenset()))
    assert (found.layout, found.stubs) == (None, None)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_symbol_shows_its_layout(name: str) -> None:
    assert LAYOUTS[name].symbols
    for symbol in LAYOUTS[name].symbols:
        assert symbol.startswith(f"ftrace_{name}_stub_")
        found = detect_layout("vmlinux.o", {symbol}, None)
        assert found is LAYOUTS[name]
        assert detect_layout("vmlinux.o", {symbol}, name) is found
        for other in set(LAYOUTS) - {name}:
            with pytest.raises(InputError):
                detect_layout("vmlinux.o", {symbol}, other)


def find_trap(obj: VmlinuxO, reserve: int, layout: str = "ool") -> Trap | str | None:
    """The trap, None if the kernel is safe."""
    trap = measure_reserve(obj, LAYOUTS[layout], {"text": reserve})
    return trap if not isinstance(trap, Trap) or trap.exposed else None


def with_reserve(reserve: int, *sections: tuple[str, int, list[int]], stub: int = 24) -> VmlinuxO:
    head = (".head.text", reserve * stub, list[int]())
    return an_object(head, *sections, reserve=reserve, reserve_array=ReserveArray(0, 0, reserve * stub))


@pytest.mark.parametrize("stub", [16, 24])
@pytest.mark.parametrize("side", [0, 4])
def test_stub_size_counts(stub: int, side: int) -> None:
    """The slot's place follows from the array's size, not from an assumption."""
    reserve = 1_000
    last = 0x1FFFFFC - MIB + (reserve - 1) * stub - reserve * stub + side
    obj = with_reserve(reserve, (".text", last + 4, [*range(0, 4 * (reserve - 1), 4), last]), stub=stub)
    trap = find_trap(obj, reserve)
    assert trap == (Trap(reserve, reserve - 1, 0x1FFFFFC - MIB + side, reserve) if side else None)


def test_fewer_functions_than_reserve() -> None:
    """The last function decides then, and no more than all of them can go without a stub."""
    obj = with_reserve(1000, (".text", 40 * MIB, [0, 39 * MIB]))
    trap = find_trap(obj, 1000)
    assert isinstance(trap, Trap)
    assert (trap.index, trap.stubs) == (1, 2)


def test_sections_are_aligned() -> None:
    """As the linker places them: the distance of a function in the second section has the gap before it."""
    sections = TextSection(".a.text", 24, 4, ()), TextSection(".b.text", 0x100, 0x80, [0x10])
    obj = an_object(sections=sections, reserve=1, reserve_array=ReserveArray(0, 0, 24))
    trap = measure_reserve(obj, LAYOUTS["ool"], {"text": 1})
    assert isinstance(trap, Trap)
    assert trap.distance == 0x90


def test_reserve_after_the_text() -> None:
    """Backward branches have their limit too."""
    reserve = 10
    texts = (".text", 40 * MIB, list(range(0, 400, 4))), (".tail.text", 240, list[int]())
    obj = an_object(*texts, reserve=reserve, reserve_array=ReserveArray(1, 0, 240))
    trap = find_trap(obj, reserve)
    assert isinstance(trap, Trap)
    assert trap.distance < -0x2000000


@pytest.mark.parametrize("layout", ["pfe", "ool"])
def test_no_reserve_no_trap(layout: str) -> None:
    obj = with_reserve(0, (".text", 60 * MIB, [0, 59 * MIB]))
    assert find_trap(obj, 0, layout) is None


def test_no_text_no_trap() -> None:
    assert find_trap(with_reserve(5, (".init.text", 60 * MIB, [59 * MIB])), 5) is None


def test_unknown_without_the_array() -> None:
    obj = an_object((".text", 60 * MIB, [59 * MIB]), reserve=None)
    assert find_trap(obj, 5) == "unknown"


def boot(locations: list[int], slots: int, stub: int = 24) -> int:
    """Reserve stubs that the kernel hands out; the array is at 0 (ftrace_init_ool_stub)."""
    taken = 0
    for ip in sorted(locations):
        if taken < slots and -0x2000000 <= ip - taken * stub <= 0x1FFFFFC:
            taken += 1
    return taken


@settings(max_examples=60)
@given(
    st.integers(1, 3000),
    st.lists(st.tuples(st.integers(1, 900), st.integers(1, 60_000)), min_size=1, max_size=6),
)
def test_safe_means_that_boot_uses_every_stub(reserve: int, runs: list[tuple[int, int]]) -> None:
    """No trap: the kernel's own algorithm leaves no stub of the reserve unused that is needed."""
    locations, at = [], reserve * 24
    for number, distance in runs:
        for _ in range(number):
            locations.append(at)
            at += distance * 4
    base = reserve * 24
    obj = with_reserve(reserve, (".text", at - base, [x - base for x in locations]))
    trap = find_trap(obj, reserve)
    lost = min(reserve, len(locations)) - boot(locations, reserve)
    assert not isinstance(trap, str)
    assert lost <= (trap.stubs if trap else 0)
