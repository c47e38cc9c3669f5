# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs stubs`: the listing, its words against real objdump, and how functions are named."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support import Kernels, MiniKernel, call, json_of, printed, refusal, run_program, tool, validator

KERNELS = [
    ("gcc-ppc64le", "ool", "pie"),
    ("gcc-ppc64", "ool", "no"),
    ("gcc-ppc64", "pfe", "pie"),
    ("llvm-ppc64le", "ool", "pie"),
]
LINE = re.compile(r"^    ([0-9a-f]+):  ([0-9a-f]{8})  (\S+) *(.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def mini(mini_kernel: MiniKernel) -> Path:
    return mini_kernel(TOOLCHAIN="gcc-ppc64le") / "vmlinux"


def listing(*words: str | Path) -> Any:
    outcome = call("stubs", "--format", "json", *words)
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_json_follows_its_schema_and_boot_order(mini: Path) -> None:
    document = listing(mini)
    validator("stubs").validate(document)
    assert (document["schema"], document["layout"], document["stub_size"]) == ("pfestubs/stubs/1", "ool", 24)
    locations = [int(stub["location"], 16) for stub in document["stubs"]]
    assert locations == sorted(locations)
    assert len(locations) == 16
    by_area = [stub["area"] for stub in document["stubs"]]
    assert by_area == ["text"] * 5 + ["text_end"] * 7 + ["inittext"] * 4
    assert [stub["index"] for stub in document["stubs"]] == [*range(5), *range(7), *range(4)]
    for stub in document["stubs"]:
        assert int(stub["insns_address"], 16) == int(stub["address"], 16) + 8


@pytest.mark.parametrize(("toolchain", "layout", "relocatable"), KERNELS)
def test_words_are_what_objdump_says_they_are(
    mini_kernel: MiniKernel, tmp_path: Path, toolchain: str, layout: str, relocatable: str
) -> None:
    """Put the listed words into memory, let objdump disassemble them, and compare line by line."""
    directory = mini_kernel(TOOLCHAIN=toolchain, LAYOUT=layout, RELOCATABLE=relocatable)
    outcome = call("stubs", directory / "vmlinux")
    assert outcome.code == 0
    lines = LINE.findall(outcome.out)
    assert len(lines) == 16 * 6
    little = toolchain.endswith("le")
    for address, word, mnemonic, operand in lines:
        raw = tmp_path / "word"
        raw.write_bytes(int(word, 16).to_bytes(4, "little" if little else "big"))
        said = run_program(
            tool("powerpc64le-linux-gnu-objdump"),
            *("-D", "-b", "binary", "-m", "powerpc:common64", "-EL" if little else "-EB"),
            *(f"--adjust-vma=0x{address}", str(raw)),
            check=True,
        ).out.splitlines()[-1]
        fields = said.split("\t")
        assert fields[0].strip(" :") == address
        theirs = "\t".join(fields[2:]).split()
        target = operand.split(" <", maxsplit=1)[0]
        assert [mnemonic, *([target] if target else [])] == [
            theirs[0],
            *(t.removeprefix("0x") for t in theirs[1:]),
        ]


def test_a_branch_names_its_target(mini: Path) -> None:
    out = call("stubs", mini, "mini_open").out
    assert "<ftrace_caller>" in out
    assert "<mini_open+0x" in out
    assert "<ftrace_ool_stub_text+0x8>" in out


def names_of(document: Any) -> set[str]:
    return {stub["function"].split("+")[0] for stub in document["stubs"]}


def test_functions_by_symbol_address_offset_and_pattern(mini: Path) -> None:
    everything = listing(mini)["stubs"]
    one = everything[3]
    symbol = one["function"].split("+")[0]
    for word in (
        symbol,
        one["location"],
        one["location"].removeprefix("0x"),
        one["address"],
        one["function"],
    ):
        found = listing(mini, word)["stubs"]
        assert one in found, word
        assert {stub["function"].split("+")[0] for stub in found} == {symbol}, word
    pattern = listing(mini, "mini_*")
    assert names_of(pattern) == {n for n in names_of({"stubs": everything}) if n.startswith("mini_")}
    assert len(pattern["stubs"]) > 1
    assert listing(mini, symbol, symbol, one["location"])["stubs"] == [one]


def test_not_traceable_and_not_there_are_different_things(mini: Path) -> None:
    for word, reason in (
        ("ftrace_caller", "has no location: not traceable"),
        ("no_such_function", "is not a symbol of this kernel"),
        ("no_such_*", "matches no symbol"),
        ("ftrace_*caller", "matches only code that has no location"),
        ("0x10", "is an address outside kernel text"),
        ("ftrace_ool_stub_text_count", "is not a function"),
    ):
        assert reason in refusal("stubs", mini, word), word


def test_every_static_function_of_a_name_is_shown(kernels: Kernels) -> None:
    vmlinux = kernels("debian-7.2.13-ppc64le/vmlinux")
    stubs = listing(vmlinux, "init_once")["stubs"]
    assert sum(stub["function"].startswith("init_once") for stub in stubs) > 5


def test_the_debian_kernel_lists_what_its_memory_held(kernels: Kernels) -> None:
    """stubs.bin is the memory of the booted kernel: text, text_end, inittext, 24 bytes a stub."""
    document = listing(kernels("debian-7.2.13-ppc64le/vmlinux"))
    memory = kernels("debian-7.2.13-ppc64le/stubs.bin").read_bytes()
    start = {"text": 0, "text_end": 32768, "inittext": 32768 + 8121}
    assert len(document["stubs"]) == 42648 == len(memory) // 24
    for stub in document["stubs"]:
        at = (start[stub["area"]] + stub["index"]) * 24 + 8
        words = [int.from_bytes(memory[at + i : at + i + 4], "little") for i in range(0, 16, 4)]
        assert stub["insns"] == [f"{word:#010x}" for word in words], stub["function"]


def test_an_inline_kernel_has_no_stubs_to_show(mini_kernel: MiniKernel) -> None:
    directory = mini_kernel(TOOLCHAIN="gcc-ppc64le", LAYOUT="inline")
    assert "traces without stubs" in refusal("stubs", directory / "vmlinux")


# -- addresses and symbols as they are copied from an oops ------------------------------------------------------


@pytest.fixture(scope="module")
def stub(mini: Path) -> Any:
    """The third stub of area text."""
    found = json_of("stubs", mini)["stubs"][2]
    assert (found["area"], found["index"]) == ("text", 2)
    return found


def test_an_address_in_a_stub(mini: Path, stub: Any) -> None:
    call_address = int(stub["insns_address"], 16) + 4
    offset = call_address - int(stub["address"], 16) + 2 * 24
    for word in (
        f"{call_address:#x}",
        f"{call_address:x}",
        f"[{call_address:x}]",
        f"[<{call_address:x}>]",
        f"ftrace_ool_stub_text+{offset:#x}",
        f"ftrace_ool_stub_text+{offset:#x}/0x78",
    ):
        outcome = call("stubs", mini, word)
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith(f"{stub['function']} at {stub['location']}: ")
        assert outcome.err == (
            f"{mini}: {word} is instruction 2 of 4 (bl ftrace_caller) of the stub of {stub['function']}\n"
        )


def test_a_place_in_a_function(mini: Path, stub: Any) -> None:
    symbol = stub["function"].split("+")[0]
    assert printed("stubs", mini, f"{symbol}+0x4/0x10").startswith(
        f"{stub['function']} at {stub['location']}: "
    )


def test_an_offset_that_is_not_a_location(mini: Path, stub: Any) -> None:
    symbol = stub["function"].split("+")[0]
    assert refusal("stubs", mini, f"{symbol}+0x2") == (
        f"{mini}: error: {symbol}+0x2 is not a location, but {stub['function']} is\n"
    )


def test_an_offset_beyond_its_function(mini: Path, stub: Any) -> None:
    symbol = stub["function"].split("+")[0]
    assert call("stubs", mini, f"{symbol}+0x44/0x10").code == 2
