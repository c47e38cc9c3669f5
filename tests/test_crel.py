# SPDX-License-Identifier: GPL-2.0-or-later
"""Compact relocations (CREL) and relocation sections of unknown types in `vmlinux.o`."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfestubs.read.vmlinux_o import decode_crel, read_vmlinux_o
from support import FIXTURES, json_of, refusal
from support.elfwriter import SHT_CREL, SHT_RELA, KernelObject, Section, encode_crel, section_headers

CASE = FIXTURES / "cases" / "crel.o"

U64 = st.integers(0, (1 << 64) - 1)
ROWS = st.lists(st.tuples(U64, st.integers(0, 1 << 31), st.integers(0, 1 << 31), U64), max_size=30)


@given(rows=ROWS, addends=st.booleans())
def test_what_is_encoded_is_decoded(rows: list[tuple[int, int, int, int]], addends: bool) -> None:
    offsets, symbols, types, found = decode_crel(encode_crel(rows, addends=addends), 64)
    assert list(zip(offsets, symbols, types, strict=True)) == [row[:3] for row in rows]
    assert (None if found is None else list(found)) == ([row[3] for row in rows] if addends else None)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        # From LLVM's own test of the format: offset shift 0, negative differences, offsets beyond 7 bits.
        (b"\x04", []),
        (b"\x0c\x07\x02\x26\x08", [(0, 2, 38, 8)]),
        (b"\x10\x06\x26\x21\x7f", [(1, 0, 38, None), (9, 0xFFFFFFFF, 38, None)]),
        (b"\x0b\xe0\x07", [((0x60 >> 2) + (7 << 5) << 3, 0, 0, None)]),
    ],
)
def test_bytes(data: bytes, rows: list[tuple[int, int, int, int | None]]) -> None:
    offsets, symbols, types, addends = decode_crel(data, 64)
    assert list(zip(offsets, symbols, types, strict=True)) == [row[:3] for row in rows]
    assert addends is None or list(addends) == [row[3] for row in rows]


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    """Decoded or refused; never more relocations than bytes."""
    try:
        columns = decode_crel(data, 32)
    except ValueError:
        return
    assert len(columns[0]) <= len(data)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 12, b"\x10\x00", b"\x0c\x01", b"\x0c\x80", b"\xfc\xff\xff\xff\x7f"]
)
def test_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        decode_crel(data, 64)


@pytest.mark.parametrize("rel", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [64, 32])
def test_the_same_as_rela(bits: int, order: str, rel: bool, tmp_path: Path) -> None:
    """The same object with each kind of relocations; without addends, they are in the section."""
    found = []
    for crel in (False, True):
        texts = {".text.unlikely": [4, 8, 0x1234], ".init.text": [16]}
        obj = KernelObject(texts, bits=bits, order=order, rel=rel, crel=crel)
        path = obj.save(tmp_path / f"{crel}.o")
        assert path.read_bytes().count(b".crel") == crel or crel
        found.append([(s.name, s.size, list(s.locations)) for s in read_vmlinux_o(str(path)).sections])
    assert found[0] == found[1]
    assert (".text.unlikely", 0x1244, [4, 8, 0x1234]) in found[1]


def test_damaged_section(tmp_path: Path) -> None:
    path = KernelObject({".text": [0, 8, 16]}, crel=True).save(tmp_path / "vmlinux.o")
    table = encode_crel([(i * 8, 1, 38, i * 8) for i in range(3)])
    data = path.read_bytes()
    assert data.count(table) == 1
    path.write_bytes(data.replace(table, b"\xff" * len(table)))
    assert "(CREL) is damaged" in refusal("count", path)


@pytest.mark.parametrize(
    ("number", "name"), [(19, "0x13"), (0x60000002, "0x60000002"), (0x40000020, "0x40000020")]
)
def test_other_types_are_named(number: int, name: str, tmp_path: Path) -> None:
    path = KernelObject({".text": [0, 8]}).save(tmp_path / "vmlinux.o")
    data = bytearray(path.read_bytes())
    for at in section_headers(data):
        if data[at + 4] == SHT_RELA:
            data[at + 4 : at + 8] = number.to_bytes(4, "little")
    path.write_bytes(data)
    message = refusal("count", path)
    assert f".rela__patchable_function_entries of the unsupported type {name}" in message
    assert "stripped" not in message


def test_a_type_that_is_none_is_left_alone(tmp_path: Path) -> None:
    """A number in sh_info that happens to be a table's index does not make a section relocations."""
    obj = KernelObject({".text": [0, 8]})
    table = next(s for s in obj.sections if s.relocations)
    obj.sections.append(Section(".rel.note", b"x", info=table))
    obj.sections.append(Section(".other", b"x", type=SHT_CREL + 1, info=table))
    assert json_of("count", obj.save(tmp_path / "vmlinux.o"))["entries"]["text"] == 2
