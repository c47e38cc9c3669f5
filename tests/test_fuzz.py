# SPDX-License-Identifier: GPL-2.0-or-later
"""Any bytes as input: exit status 0, 1 or 2 and a sentence; no traceback, no hang, nothing half said.

Exhaustive over the fields of the headers, then random (with a fixed seed) over everything.
"""

from __future__ import annotations

import json
import random
import signal
import struct
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from conftest import OBJECTS, SCHEMAS, call_in_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

FILES = {path.stem: path.read_bytes() for path in sorted(OBJECTS.glob("*.o"))}
LIMIT = 10
"""Seconds that one run may take; a sound one takes milliseconds."""
VALIDATOR = Draft202012Validator(json.loads((SCHEMAS / "count-1.json").read_text()))


class TooSlowError(BaseException):
    """Not an Exception: no handler of the program under test may swallow it."""


@contextmanager
def bounded() -> Iterator[None]:
    def alarm(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def assert_contract_outcome(path: Path, data: bytes, *, also_generate: bool = True) -> int:
    """Both commands end well or with one sentence; the exit status of `count`."""
    path.write_bytes(data)
    codes: list[int] = []
    for words in (["count", "--format", "json"], ["generate", "--spare", "auto"]):
        if codes and not also_generate:  # it reads with the same functions
            break
        with bounded():
            outcome = call_in_process(*words, path)
        codes.append(outcome.code)
        if outcome.code == 0:
            assert outcome.err == ""
            if words[0] == "count":
                document: Any = json.loads(outcome.out)
                VALIDATOR.validate(document)
                entries = document["entries"]
                assert entries["total"] == sum(entries.values()) - entries["total"]
                # Each entry takes a word and a relocation of the file's bytes.
                assert 0 < entries["total"] * 12 <= len(data)
            else:
                assert outcome.out.startswith("#include <asm/asm-offsets.h>\n")
                assert outcome.out.endswith(".popsection\n")
        else:
            assert outcome.code == 2
            assert outcome.out == ""
            assert outcome.err.startswith(f"{path}: error: ")
            assert outcome.err.endswith("\n")
            assert outcome.err.count("\n") == 1
            assert outcome.err.strip().isprintable()
    if codes[0] == 2:
        assert set(codes) == {2}
    return codes[0]


def layout_of(data: bytes | bytearray) -> tuple[str, str, int, int, int]:
    """Byte order, address code, and of the section headers: offset, count, size."""
    order = "<" if data[5] == 1 else ">"
    if data[4] == 2:
        return (
            order,
            "Q",
            struct.unpack_from(order + "Q", data, 40)[0],
            struct.unpack_from(order + "H", data, 60)[0],
            64,
        )
    return (
        order,
        "I",
        struct.unpack_from(order + "I", data, 32)[0],
        struct.unpack_from(order + "H", data, 48)[0],
        40,
    )


def header_fields(data: bytes) -> list[tuple[int, str]]:
    """Offset and struct code of every field of the ELF header and of the section headers."""
    order, word, table, count, size = layout_of(data)
    fields: list[tuple[int, str]] = [(i, "B") for i in range(16)]
    at = 16
    for code in "HHI" + word * 3 + "IHHHHHH":
        fields.append((at, order + code))
        at += struct.calcsize(order + code)
    for section in range(count):
        at = table + section * size
        for code in "II" + word * 4 + "II" + word * 2:
            fields.append((at, order + code))
            at += struct.calcsize(order + code)
    return fields


@pytest.mark.parametrize("name", ["ool-ppc64-gnu", "pfe-ppc64le-gnu", "plain-ppc32-gnu"])
def test_every_header_field(name: str, tmp_path: Path) -> None:
    data = FILES[name]
    codes = set()
    for offset, code in header_fields(data):
        bits = struct.calcsize(code) * 8
        (old,) = struct.unpack_from(code, data, offset)
        for value in {0, old + 1, 1 << (bits - 1), (1 << bits) - 1, len(data) - 1} - {old}:
            if value < 1 << bits:
                broken = bytearray(data)
                struct.pack_into(code, broken, offset, value)
                codes.add(assert_contract_outcome(tmp_path / "vmlinux.o", bytes(broken), also_generate=False))
    assert codes == {0, 2}


@pytest.mark.parametrize("name", list(FILES))
def test_random_damage(name: str, tmp_path: Path) -> None:
    """Bytes flipped, runs overwritten, pieces moved, cut out and repeated."""
    generator = random.Random(f"pfestubs {name}")
    data = FILES[name]
    for _ in range(120):
        broken = bytearray(data)
        for _ in range(generator.choice([1, 1, 2, 8, 40])):
            at = generator.randrange(len(broken))
            length = generator.choice([1, 1, 4, 8, 64])
            kind = generator.randrange(5)
            if kind == 0:
                broken[at] ^= 1 << generator.randrange(8)
            elif kind == 1:
                broken[at : at + length] = generator.randbytes(length)
            elif kind == 2:
                broken[at : at + length] = generator.choice([b"\0", b"\xff"]) * length
            elif kind == 3:
                source = generator.randrange(len(broken))
                broken[at : at + length] = broken[source : source + length]
            else:
                del broken[at : at + length]
                broken = broken or bytearray(b"\x7f")
        assert_contract_outcome(tmp_path / "vmlinux.o", bytes(broken))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "vmlinux.o"


fixed = settings(
    max_examples=300,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fixed
@given(st.data())
def test_damage_of_tables(scratch: Path, data: st.DataObject) -> None:
    """Words anywhere set to values that mean something in a header, a symbol or a relocation."""
    name = data.draw(st.sampled_from(list(FILES)))
    broken = bytearray(FILES[name])
    order = layout_of(broken)[0]
    interesting = st.sampled_from(
        [0, 1, 2, 4, 8, 38, 43, 0xFF00, 0xFFF1, 0xFFFF, 1 << 31, (1 << 32) - 1, len(broken)]
    )
    for _ in range(data.draw(st.integers(1, 4))):
        code = order + data.draw(st.sampled_from("HIQ"))
        size = struct.calcsize(code)
        at = data.draw(st.integers(0, (len(broken) - size) // size)) * size
        value = data.draw(st.one_of(interesting, st.integers(0, (1 << size * 8) - 1))) & ((1 << size * 8) - 1)
        struct.pack_into(code, broken, at, value)
    assert_contract_outcome(scratch, bytes(broken))


@fixed
@given(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", b"\x7fELF", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01", b"!<arch>\n", b"\x1f\x8b"]
    ),
)
def test_random_bytes(scratch: Path, content: bytes, magic: bytes) -> None:
    assert assert_contract_outcome(scratch, magic + content) == 2


@pytest.mark.parametrize("name", ["initonly-ppc64le-gnu", "plain-ppc32-gnu"])
def test_memory_in_proportion(name: str, tmp_path: Path) -> None:
    """A small file that claims large tables does not make us ask for them."""
    data = FILES[name]
    path = tmp_path / "vmlinux.o"
    assert_contract_outcome(path, data)  # imports are not what is measured
    tracemalloc.start(1)
    try:
        for offset, code in header_fields(data):
            if code != "B":
                broken = bytearray(data)
                struct.pack_into(code, broken, offset, 1 << (struct.calcsize(code) * 8 - 2))
                assert_contract_outcome(path, bytes(broken), also_generate=False)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
