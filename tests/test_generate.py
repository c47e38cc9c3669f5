# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs generate`: the assembly file, and what --spare and the reserve trap do."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from support import FIXTURES, OBJECTS, Outcome, call, printed, refusal, run_cli
from support.elfwriter import AX, KernelObject, Section, Symbol

MIB = 1 << 20
FORWARD_LIMIT = 0x1FFFFFC
MARGIN = MIB
HEAD = 0x1000
"""Bytes before the reserve in the objects made here."""

EXPECTED = FIXTURES / "expected"
OOL = (EXPECTED / "traps-ppc64le-gnu.S").read_text()


def counts(assembly: str) -> dict[str, int]:
    """Symbol of a count -> its value, as the assembly file defines it."""
    found = re.findall(r"SYM_DATA\((\w+)_count, \.long (\d+)\)", assembly)
    return {name: int(value) for name, value in found}


def end_area(assembly: str) -> int:
    return counts(assembly)["ftrace_ool_stub_text_end"]


@pytest.mark.parametrize("name", ["traps-ppc64le-gnu", "trapspfe-ppc64le-gnu"])
def test_the_whole_file(name: str) -> None:
    assert printed("generate", OBJECTS / f"{name}.o") == (EXPECTED / f"{name}.S").read_text()


def test_same_counts_same_bytes() -> None:
    texts = {
        call("generate", OBJECTS / f"traps-{machine}-{linker}.o").out
        for machine in ("ppc64", "ppc64le")
        for linker in ("gnu", "lld")
    }
    assert texts == {OOL}


def test_nothing_of_the_caller_in_the_file(tmp_path: Path) -> None:
    """No path, time, host or environment: equal counts give equal bytes anywhere."""
    copy = tmp_path / "elsewhere.o"
    copy.write_bytes((OBJECTS / "traps-ppc64le-gnu.o").read_bytes())
    outcome = run_cli("generate", copy, env={"TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}, cwd=tmp_path)
    assert outcome.out == OOL


def test_output_option(tmp_path: Path) -> None:
    target = tmp_path / "vmlinux.arch.S"
    outcome = call("generate", OBJECTS / "traps-ppc64le-gnu.o", "-o", target)
    assert outcome == Outcome(0, "", "")
    assert target.read_text() == OOL
    assert call("generate", "-o", "-", OBJECTS / "traps-ppc64le-gnu.o").out == OOL


@pytest.mark.parametrize("machine", ["plain", "traps"])
def test_ppc32(machine: str) -> None:
    path = OBJECTS / f"{machine}-ppc32-gnu.o"
    assert "--layout" in refusal("generate", path)
    text, init = {"plain": (12, 4), "traps": (20, 7)}[machine]
    found = counts(call("generate", "--layout", "ool", "--reserve", "5", path).out)
    assert found == {"ftrace_ool_stub_text_end": text - 5, "ftrace_ool_stub_inittext": init}
    found = counts(call("generate", "--layout", "pfe", path).out)
    assert found == {"ftrace_pfe_stub_text": text, "ftrace_pfe_stub_inittext": init}


def test_end_area_never_below_zero() -> None:
    text = call("generate", OBJECTS / "reserve-ppc64le-gnu.o").out
    assert end_area(text) == 0
    assert "#if 0\n\t.space 0 *" in text


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "vmlinux.arch.S"
    target.write_text("old")
    assert call("generate", tmp_path / "missing.o", "-o", target).code == 2
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["vmlinux.arch.S"]


@pytest.mark.parametrize("name", ["ool-ppc64le-gnu", "pfe-ppc64-lld"])
def test_spare_adds_to_the_end_area_only(name: str) -> None:
    plain, spared = (
        counts(call("generate", *words, OBJECTS / f"{name}.o").out) for words in ([], ["--spare", "1000"])
    )
    end = next(iter(plain))
    assert spared == {**plain, end: plain[end] + 1000}


@pytest.mark.parametrize("name", ["ool-ppc64le-gnu", "pfe-ppc64-lld", "reserve-ppc64le-gnu"])
@pytest.mark.parametrize("spare", ["0", "auto"])
def test_spare_auto_adds_nothing_to_a_safe_kernel(name: str, spare: str) -> None:
    path = OBJECTS / f"{name}.o"
    assert call("generate", "--spare", spare, path) == call("generate", path)


# -- the reserve trap ----------------------------------------------------------------------------------------


def spread(count: int, size: int) -> list[int]:
    """Locations of `count` functions, evenly over `size` bytes."""
    return [i * size // count & ~3 for i in range(count)]


def trap_object(
    path: Path, parts: Sequence[tuple[str, Sequence[int], int]], *, reserve: int, order: str = "<"
) -> Path:
    """An object whose first section holds the reserve, then the given (name, locations, size).

    A part named like the first section is in it, after the reserve.
    """
    obj = KernelObject(reserve=None, order=order)
    first = Section(".text", flags=AX, size=HEAD + 24 * reserve, align=16)
    count = Section(".rodata", reserve.to_bytes(4, "little" if order == "<" else "big"), flags=2)
    obj.sections += [first, count]
    obj.symbols += [
        Symbol("ftrace_ool_stub_text_count", 0, count, 4, 1),
        Symbol("ftrace_ool_stub_text", HEAD, first, 24 * reserve),
    ]
    for name, locations, size in parts:
        if name == first.name:
            start = first.length
            first.size = start + size
            obj.table(first, [start + at for at in locations])
        else:
            obj.text(name, locations, size=size)
    return obj.save(path)


@pytest.mark.parametrize(
    ("mib", "functions", "reserve", "exposed"),
    [
        # The rows of the table in the kernel's rules, but for those within the margin.
        (20, 40889, 32768, False),
        (40, 38000, 32768, True),
        (48, 44000, 32768, True),
        (40, 30000, 32768, True),
        (40, 30000, 20000, False),
        (60, 60000, 45000, True),
        (60, 60000, 0, False),
    ],
)
def test_trap(mib: int, functions: int, reserve: int, exposed: bool, tmp_path: Path) -> None:
    parts = [(".text", spread(functions, mib * MIB), mib * MIB)]
    path = trap_object(tmp_path / "vmlinux.o", parts, reserve=reserve)
    plain = call("generate", path)
    assert plain.code == 0
    assert end_area(plain.out) == max(0, functions - reserve)
    auto = call("generate", "--spare", "auto", path)
    assert (auto.code, auto.err) == (0, "")
    if exposed:
        assert plain.err.startswith(f"{path}: warning: ")
        assert plain.err.count("\n") == 1
        setting = "CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE"
        assert all(word in plain.err for word in (setting, "--spare auto", f"{min(reserve, functions):,}"))
        assert end_area(auto.out) == max(0, functions - reserve) + min(reserve, functions)
    else:
        assert plain.err == ""
        assert auto.out == plain.out
    silent = call("generate", "--spare", "7", path)
    assert (silent.code, silent.err) == (0, "")
    assert end_area(silent.out) == end_area(plain.out) + 7


def test_averages_do_not_hide_the_trap(tmp_path: Path) -> None:
    """Large functions first, small ones after: 700 bytes on average, and exposed; the other way round, safe."""
    large = [*range(0, 40_000_000, 2000), *range(40_000_000, 42_560_000, 64)]
    small = [*range(0, 2_560_000, 64), *range(2_560_000, 42_560_000, 2000)]
    for locations, exposed in ((large, True), (small, False)):
        parts = [(".text", locations, 43 * MIB)]
        path = trap_object(tmp_path / "vmlinux.o", parts, reserve=20000)
        assert ("warning" in call("generate", path).err) == exposed


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("over", [0, 4])
def test_trap_to_the_byte(over: int, order: str, tmp_path: Path) -> None:
    """The min(reserve, N)-th location against its slot: 1 MiB before the branch's limit is the last that is fine."""
    reserve = 10
    slot = HEAD + (reserve - 1) * 24
    decisive = slot + FORWARD_LIMIT - MARGIN + over - (HEAD + 24 * reserve)
    locations = [*range(0, 4 * (reserve - 1), 4), decisive, decisive + 20 * MIB]
    parts = [(".text", locations, decisive + 21 * MIB)]
    path = trap_object(tmp_path / "vmlinux.o", parts, reserve=reserve, order=order)
    outcome = call("generate", path)
    assert (outcome.code, bool(outcome.err)) == (0, bool(over))


@pytest.mark.parametrize(
    ("parts", "exposed"),
    [
        # One function, 35 MiB of other text before it.
        ([(".text.unlikely", [], 35 * MIB), (".text.hot", [0], 64)], True),
        ([(".text.hot", [0], 64), (".text.unlikely", [], 35 * MIB)], False),
        # Init and exit text are elsewhere in the kernel.
        ([(".init.text", [0, 8], 35 * MIB), (".text.hot", [0], 64)], False),
        ([(".exit.text", [0, 8], 35 * MIB), (".text.hot", [0], 64)], False),
        # Order within the table does not matter, the kernel sorts.
        ([(".text.unlikely", [34 * MIB, 0], 35 * MIB)], True),
    ],
)
def test_sections_in_order(parts: list[tuple[str, list[int], int]], exposed: bool, tmp_path: Path) -> None:
    path = trap_object(tmp_path / "vmlinux.o", parts, reserve=50)
    outcome = call("generate", path)
    assert (outcome.code, bool(outcome.err)) == (0, exposed)


def test_spare_auto_without_the_reserve_in_the_object(tmp_path: Path) -> None:
    path = KernelObject({".text": range(0, 400, 4)}, reserve=None).save(tmp_path / "vmlinux.o")
    assert end_area(printed("generate", "--reserve", "5", path)) == 95
    assert "ftrace_ool_stub_text" in refusal("generate", "--reserve", "5", "--spare", "auto", path)


def test_pfe_has_no_trap(tmp_path: Path) -> None:
    path = KernelObject({".text": spread(40000, 60 * MIB)}, layout="pfe").save(tmp_path / "vmlinux.o")
    assert printed("generate", "--spare", "auto", path) == printed("generate", path)


def test_spare_stubs_fit_the_count() -> None:
    words = ("generate", OBJECTS / "ool-ppc64le-gnu.o", "--spare")
    assert call(*words, "4294967288").code == 0
    assert " more stubs make 4,294,967,296; a count has 32 bits" in refusal(*words, "4294967289")
    refusal(*words, "9" * 5000)
