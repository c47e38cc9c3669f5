# SPDX-License-Identifier: GPL-2.0-or-later
"""The relocations that a kernel applies to its location table at boot, with and without section headers."""

from __future__ import annotations

import struct
from array import array
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pfestubs.errors import InputError
from pfestubs.read.dynamic import RelocatedWords, _positions_within
from pfestubs.read.elf import Elf
from pfestubs.read.memory import Extent, Memory
from pfestubs.read.source import Source
from support import FIXTURES, MiniKernel, call, printed, refusal
from support.elfwriter import ET_DYN, PT_DYNAMIC, PT_LOAD, SHT_RELA, Segment, section_headers, write_elf

CASES = FIXTURES / "cases"
BASE = 0xC0000000
RELATIVE, ADDR64, UADDR64, REL64 = 22, 38, 43, 44


def image(
    relocations: list[tuple[int, int, int, int]],
    *,
    bits: int = 64,
    order: str = "<",
    segment: bool = True,
    slots: int = 4,
    tags: dict[int, int] | None = None,
) -> Elf:
    """A file without section headers: slots at BASE, the dynamic section at +0x100, relocations at +0x300.

    A relocation is slot number, symbol, type and addend.
    """
    word, size = ("Q", 8) if bits == 64 else ("I", 4)
    content = bytearray(0x400)
    struct.pack_into(f"{order}{slots}{word}", content, 0, *range(0x11, 0x11 + slots))
    rows = b"".join(
        struct.pack(order + word * 3, BASE + slot * size, symbol << (32 if bits == 64 else 8) | kind, addend)
        for slot, symbol, kind, addend in relocations
    )
    entries = {7: BASE + 0x300, 8: len(rows), 9: 3 * size, **(tags or {})}
    dynamic = b"".join(struct.pack(order + word * 2, *entry) for entry in entries.items())
    content[0x100 : 0x100 + len(dynamic)] = dynamic
    content[0x300 : 0x300 + len(rows)] = rows
    segments = [Segment(PT_LOAD, BASE, data=bytes(content), align=1)]
    if segment:
        segments.append(Segment(PT_DYNAMIC, BASE + 0x100, align=1))
    options: dict[str, Any] = {"bits": bits, "order": order, "machine": 21 if bits == 64 else 20}
    data = write_elf(symbols=None, type_=ET_DYN, segments=segments, **options)
    return Elf(Source("vmlinux", BytesIO(data), len(data)))


def words(elf: Elf, slots: int = 4, dynamic: int | None = None) -> list[int] | None:
    extents = [Extent(s.vaddr, s.offset, s.filesz) for s in elf.segments if s.type == "PT_LOAD"]
    relocated = RelocatedWords(elf, Memory(elf.source.read, extents, elf.byte_order), dynamic)
    found = relocated.words(range(BASE, BASE + slots * elf.word))
    return None if found is None else list(found)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("segment", [True, False])
def test_without_section_headers(bits: int, order: str, segment: bool) -> None:
    """By PT_DYNAMIC, or by the symbol `_DYNAMIC` where the linker left that segment out."""
    elf = image([(i, 0, RELATIVE, 0x5000 + i) for i in range(4)], bits=bits, order=order, segment=segment)
    assert words(elf, dynamic=BASE + 0x100) == [0x5000, 0x5001, 0x5002, 0x5003]
    if not segment:
        assert words(elf) == [0x11, 0x12, 0x13, 0x14]


@pytest.mark.parametrize(
    ("relocations", "expected"),
    [
        ([], [0x11, 0x12, 0x13, 0x14]),
        ([(2, 0, RELATIVE, 0x5000)], [0x11, 0x12, 0x5000, 0x14]),
        ([(3, 0, RELATIVE, 3), (0, 0, RELATIVE, 1)], [1, 0x12, 0x13, 3]),
        ([(i, 0, RELATIVE, i + 4) for i in range(-4, 9)], [4, 5, 6, 7]),
        ([(0, 0, UADDR64, 7), (1, 0, ADDR64, 8)], [7, 8, 0x13, 0x14]),
        ([(0, 0, 0, 7), (9, 0, REL64, 1)], [0x11, 0x12, 0x13, 0x14]),
    ],
)
def test_what_boot_applies(relocations: list[tuple[int, int, int, int]], expected: list[int]) -> None:
    assert words(image(relocations)) == expected


@pytest.mark.parametrize(
    ("relocation", "tags", "message"),
    [
        ((0, 0, REL64, 7), {}, "R_PPC64_REL64 at 0xc0000000"),
        ((0, 1, RELATIVE, 7), {}, "R_PPC64_RELATIVE at 0xc0000000"),
        ((0, 1, ADDR64, 7), {}, "R_PPC64_ADDR64 at 0xc0000000"),
        ((0, 0, RELATIVE, 7), {7: BASE + 0x3F0}, "refers to 24 bytes at 0xc00003f0"),
        ((0, 0, RELATIVE, 7), {7: 0x1000}, "refers to 24 bytes at 0x1000"),
        ((0, 0, RELATIVE, 7), {8: 25}, "25 bytes of dynamic relocations"),
        ((0, 0, RELATIVE, 7), {8: 1 << 60}, "refers to 1,152,921,504,606,846,976 bytes"),
    ],
)
def test_what_it_does_not(relocation: tuple[int, int, int, int], tags: dict[int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        words(image([relocation], tags=tags))


def test_no_relocations_in_the_dynamic_section() -> None:
    """RELR and REL leave the value in the word itself."""
    assert words(image([], tags={36: BASE + 0x300, 35: 8, 8: 0})) == [0x11, 0x12, 0x13, 0x14]


def test_a_dynamic_section_outside_the_file() -> None:
    with pytest.raises(InputError, match="has its dynamic section at 0x1000"):
        words(image([], segment=False), dynamic=0x1000)


@given(st.lists(st.integers(0, 40), max_size=30), st.booleans(), st.integers(0, 40), st.integers(0, 40))
@example(offsets=[1, 9, 1], ascending=False, start=0, stop=5)
def test_positions(offsets: list[int], ascending: bool, start: int, stop: int) -> None:
    offsets = sorted(offsets) if ascending else offsets
    found = _positions_within(array("Q", offsets), range(start, stop))
    assert list(found) == [i for i, offset in enumerate(offsets) if start <= offset < stop]


@pytest.mark.parametrize(
    ("toolchain", "relocatable"),
    [
        ("llvm-ppc64le", "pie"),
        ("llvm-ppc64", "pie-apply"),
        ("llvm-ppc64le", "relr"),
        ("gcc-ppc64le", "pie"),
        ("gcc-ppc64le", "relr"),
        ("gcc-ppc64le", "no"),
    ],
)
def test_kernels_without_section_headers(
    toolchain: str, relocatable: str, mini_kernel: MiniKernel, tmp_path: Path
) -> None:
    """The verdict is that of the whole file, whoever linked it."""
    directory = mini_kernel(TOOLCHAIN=toolchain, RELOCATABLE=relocatable)
    path = tmp_path / "vmlinux"
    data = bytearray((directory / "vmlinux").read_bytes())
    order = "<" if data[5] == 1 else ">"
    struct.pack_into(order + "Q", data, 40, 0)
    struct.pack_into(order + "HHH", data, 58, 0, 0, 0)
    path.write_bytes(data)
    refusal("check", path)
    found = printed("check", path, "--system-map", directory / "System.map")
    assert found.replace(str(path), str(directory / "vmlinux")) == call("check", directory / "vmlinux").out


def test_a_kernel_that_tells_nothing(mini_kernel: MiniKernel, tmp_path: Path) -> None:
    """No section headers, no PT_DYNAMIC, no `_DYNAMIC`: zeros are no verdict."""
    path = tmp_path / "System.map"
    lines = (CASES / "pie.map").read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "_DYNAMIC" not in line))
    message = refusal("check", CASES / "pie-no-sections", "--system-map", path)
    assert "its relocations cannot be found" in message


@pytest.mark.parametrize("field", [8, 32])
def test_section_headers_that_name_other_relocations_than_boot_reads(
    field: int, mini_kernel: MiniKernel, tmp_path: Path
) -> None:
    """Boot follows DT_RELA and DT_RELASZ, whatever the section headers say."""
    image = bytearray((mini_kernel(TOOLCHAIN="gcc-ppc64le", RELOCATABLE="pie") / "vmlinux").read_bytes())
    for at in section_headers(image):
        if image[at + 4] == SHT_RELA:
            size = struct.unpack_from("<Q", image, at + 32)[0] - 24
            struct.pack_into("<Q", image, at + field, {8: 0, 32: size}[field])  # not loaded, or smaller
    path = tmp_path / "vmlinux"
    path.write_bytes(image)
    assert "its dynamic section, which boot reads" in refusal("check", path)
