# SPDX-License-Identifier: GPL-2.0-or-later
"""Any bytes as input: exit status 0, 1 or 2 and a sentence; no traceback, no hang, nothing half said.

Exhaustive over the fields of the headers; then a fixed portion of what `make fuzz` does, over every command.
"""

import json
import random
import struct
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.choices import corpus
from fuzz.fields import elf_fields
from fuzz.runs import Runner, time_limit
from fuzz.targets import TARGET_NAMES
from support import OBJECTS, Outcome, call, validator
from support.kernelwriter import LinkedKernel

FILES = {path.stem: path.read_bytes() for path in sorted(OBJECTS.glob("*.o"))}
RECIPES = 120
"""Executions per target; `make fuzz` runs as many as time allows."""


def count_and_generate(path: Path, data: bytes, *, also_generate: bool = True) -> int:
    """Both commands end well or with one sentence; the exit status of `count`."""
    path.write_bytes(data)
    codes: list[int] = []
    for words in (["count", "--format", "json"], ["generate", "--spare", "auto"])[: 1 + also_generate]:
        with time_limit(" ".join(words)):
            outcome = call(*words, path)
        codes.append(outcome.code)
        assert_contract_outcome(outcome, path)
        assert outcome.code in {0, 2}
        if outcome.code == 0 and words[0] == "count":
            document: Any = json.loads(outcome.out)
            validator("count").validate(document)
            entries = document["entries"]
            assert entries["total"] == sum(entries.values()) - entries["total"]
            # Each entry takes a word and a relocation of the file's bytes.
            assert 0 < entries["total"] * 12 <= len(data)
        elif outcome.code == 0:
            assert outcome.out.startswith("#include <asm/asm-offsets.h>\n")
            assert outcome.out.endswith(".popsection\n")
    assert codes[0] == 0 or set(codes) == {2}
    return codes[0]


def assert_contract_outcome(outcome: Outcome, path: Path) -> None:
    """Require an exit status of the contract, and one sentence about the file or none; no internal error."""
    assert outcome.code in {0, 1, 2}, outcome
    assert "internal error" not in outcome.err, outcome.err
    if outcome.code == 2:
        assert outcome.out == ""
        assert outcome.err.startswith(f"{path}: error: "), outcome.err
        assert (outcome.err.count("\n"), outcome.err[-1]) == (1, "\n")
        assert outcome.err.strip().isprintable()
    else:
        assert outcome.err == ""


def checked(path: Path) -> int:
    """The exit status of `check --format json`, whose document agrees."""
    outcome = call("check", "--format", "json", path)
    assert_contract_outcome(outcome, path)
    assert outcome.code == 2 or json.loads(outcome.out)["ok"] == (outcome.code == 0)
    return outcome.code


def header_fields(data: bytes) -> list[tuple[int, str]]:
    """Offset and struct code of every field of the ELF header and of the section headers."""
    fields = elf_fields(data)
    codes = {1: "B", 2: "H", 4: "I", 8: "Q"}
    wide = [*fields.groups["header"], *fields.groups["sections"]]
    return [(i, "B") for i in range(16)] + [(f.offset, fields.byte_order + codes[f.size]) for f in wide]


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
                codes.add(count_and_generate(tmp_path / "vmlinux.o", bytes(broken), also_generate=False))
    assert codes == {0, 2}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "vmlinux.o"


MAGIC = st.sampled_from([b"", b"\x7fELF", b"\x7fELF\2\1\1", b"\x7fELF\1\2\1", b"!<arch>\n", b"\x1f\x8b"])


@settings(max_examples=300)
@given(st.binary(max_size=300), MAGIC)
def test_random_bytes(scratch: Path, content: bytes, magic: bytes) -> None:
    assert count_and_generate(scratch, magic + content) == 2


@pytest.mark.parametrize("name", ["initonly-ppc64le-gnu", "plain-ppc32-gnu"])
def test_memory_in_proportion(name: str, tmp_path: Path) -> None:
    """A small file that claims large tables does not make us ask for them."""
    data = FILES[name]
    path = tmp_path / "vmlinux.o"
    count_and_generate(path, data)  # imports are not what is measured
    tracemalloc.start(1)
    try:
        for offset, code in header_fields(data):
            if code != "B":
                broken = bytearray(data)
                struct.pack_into(code, broken, offset, 1 << (struct.calcsize(code) * 8 - 2))
                count_and_generate(path, bytes(broken), also_generate=False)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


# -- every command -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("runner"))


@pytest.mark.parametrize("target", TARGET_NAMES)
def test_random_recipes(target: str, runner: Runner) -> None:
    """Each raises where the outcome is against the contract; most inputs stay sound enough to be examined."""
    draw = random.Random(f"pfestubs {target}")
    codes = Counter(runner.run(draw.randbytes(draw.randrange(4, 64)), target).code for _ in range(RECIPES))
    assert codes.total() - codes[2] > RECIPES // 20


def test_recipes_of_the_corpus(runner: Runner) -> None:
    """What reached most of the code when it was fuzzed, guided by coverage."""
    for recipe in corpus():
        runner.run(recipe)
    assert set(runner.executions) == set(TARGET_NAMES)


# -- linked kernels ------------------------------------------------------------------------------------------


def test_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    original = LinkedKernel(zeros=True, order=">").save(path).read_bytes()
    draw = random.Random(1)
    for length in [*range(0, 200, 7), *(draw.randrange(len(original)) for _ in range(60))]:
        path.write_bytes(original[:length])
        assert checked(path) == 2


@pytest.mark.parametrize(
    "symbols",
    [
        {"_stext": (1 << 64) - 8, "_etext": 8},
        {"ftrace_ool_stub_text": (1 << 64) - 8},
        {"ftrace_ool_stub_text_end": (1 << 64) - 8},
        {"ftrace_ool_stub_inittext": 0},
        {"ftrace_caller": 0, "ftrace_tramp_text": (1 << 64) - 4, "ftrace_tramp_init": 2},
        {"__stop_mcount_loc": (1 << 64) - 1},
        {"__start_mcount_loc": 0},
        {"_stext": 0, "_etext": (1 << 64) - 1},  # all of it, init text too
    ],
)
def test_addresses_near_the_top_of_the_address_space(symbols: dict[str, int | None], tmp_path: Path) -> None:
    path = LinkedKernel(symbols=symbols).save(tmp_path / "vmlinux")
    assert checked(path) in {1, 2}


def test_a_location_near_the_top_of_the_address_space(tmp_path: Path) -> None:
    for layout in ("ool", None):
        end = (1 << 64) - 4
        kernel = LinkedKernel(layout=layout, table=[end], symbols={"_etext": (1 << 64) - 1})
        # No instructions are there: nothing proves that a kernel without stub symbols has no stubs.
        assert checked(kernel.save(tmp_path / "vmlinux")) == (2 if layout is None else 1)


@pytest.mark.parametrize("base", [0xC000000000000000, 0x10000, (1 << 64) - 0x10000000])
@pytest.mark.parametrize("count", [0xFFFFFFFF, 0x80000000, 0])
def test_unrealistic_counts(count: int, base: int, tmp_path: Path) -> None:
    for area in ("text", "text_end", "inittext"):
        kernel = LinkedKernel(base=base)
        kernel.sizes = {name: kernel.counts[name] * 24 for name in kernel.counts}
        kernel.counts[area] = count
        assert checked(kernel.save(tmp_path / "vmlinux")) == 1
