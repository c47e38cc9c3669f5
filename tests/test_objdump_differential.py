# SPDX-License-Identifier: GPL-2.0-or-later
"""Against `objdump -r` and `objdump -t`: the same entries, in the same sections, at the same places."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from pfestubs.read.vmlinux_o import read_vmlinux_o
from support import OBJECTS, Kernels, MiniKernel, json_of, run_program, tool
from support.elfwriter import ENTRIES, KernelObject
from test_sizing import by_pattern

OBJDUMPS = {
    ("ppc64", "little"): "powerpc64le-linux-gnu-objdump",
    ("ppc64", "big"): "powerpc64-linux-gnu-objdump",
    ("ppc", "big"): "powerpc-linux-gnu-objdump",
}
RECORD = re.compile(r"([0-9a-f]+) (R_PPC\w+) +(.+?)(?:\+0x([0-9a-f]+))?")


def objdump(program: str, *words: str | Path) -> list[str]:
    done = run_program(tool(program), *words, check=True)
    return done.out.splitlines()


def symbols(program: str, path: Path) -> dict[str, tuple[str, int]]:
    """Name of a function -> its section and value."""
    found = {}
    for line in objdump(program, "-t", path):
        left, tab, right = line.partition("\t")
        if tab:
            found[right.split()[-1]] = left.split()[-1], int(left.split()[0], 16)
    return found


def entries(program: str, path: Path) -> tuple[dict[str, list[int]], Counter[str]]:
    """Section -> locations, and how often each relocation type occurs."""
    found: dict[str, list[int]] = defaultdict(list)
    types: Counter[str] = Counter()
    named: dict[str, tuple[str, int]] | None = None
    for line in objdump(program, "-r", "-j", ENTRIES, path):
        record = RECORD.fullmatch(line)
        if not record:
            assert "R_PPC" not in line
            continue
        types[record[2]] += 1
        section, value = record[3], 0
        if not section.startswith("."):
            named = symbols(program, path) if named is None else named
            section, value = named[section]
        found[section].append(value + int(record[4] or "0", 16))
    return found, types


def compare(path: Path) -> int:
    document = json_of("count", path)
    expected, types = entries(OBJDUMPS[document["machine"], document["byte_order"]], path)
    assert list(types) == [document["relocation"]]
    kinds = Counter({"text": 0, "inittext": 0, "exittext": 0})
    for section, locations in expected.items():
        kinds[by_pattern(section)] += len(locations)
    assert document["entries"] == {**kinds, "total": types.total()}
    mine: dict[str, list[int]] = defaultdict(list)
    for text in read_vmlinux_o(str(path)).sections:
        if text.locations:
            mine[text.name] += text.locations
    assert {s: sorted(x) for s, x in mine.items()} == {s: sorted(x) for s, x in expected.items()}
    return types.total()


@pytest.mark.parametrize("path", sorted(OBJECTS.glob("*.o")), ids=lambda path: path.stem)
def test_fixture_object(path: Path) -> None:
    assert compare(path) >= 4


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "gcc-ppc64", "gcc-ppc32", "llvm-ppc64le", "llvm-ppc64"])
@pytest.mark.parametrize("sections", [0, 1])
def test_larger_miniature(toolchain: str, sections: int, mini_kernel: MiniKernel) -> None:
    directory = mini_kernel(
        "objects", TOOLCHAIN=toolchain, VARIANT="traps", MORE=500, MORE_SIZE=40, FUNCTION_SECTIONS=sections
    )
    assert compare(directory / "vmlinux.o") == 527


@pytest.mark.parametrize("order", "<>")
def test_written_object(order: str, tmp_path: Path) -> None:
    """The tests' own ELF writer, read by objdump: over 65,279 sections."""
    obj = KernelObject(order=order)
    for i in range(22_000):
        obj.text(f".text.f{i}", [8] if i % 3 else [8, 24])
    obj.text(".init.text", [0])
    assert compare(obj.save(tmp_path / "vmlinux.o")) > 22_000


def test_real_kernels(kernels: Kernels) -> None:
    for path in kernels.all("vmlinux.o"):
        assert compare(path) > 10_000
