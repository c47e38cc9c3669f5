# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs stubs`: the listing, its words against real objdump, and how functions are named."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support import Kernels, MiniKernel, call, json_of, printed, refusal, run_program, tool

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
    document = json_of("stubs", mini)
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
    lines = LINE.findall(printed("stubs", directory / "vmlinux"))
    assert len(lines) == 16 * 6
    order, option = ("little", "-EL") if toolchain.endswith("le") else ("big", "-EB")
    disassemble = [
        tool("powerpc64le-linux-gnu-objdump"),
        *["-D", "-b", "binary", "-m", "powerpc:common64"],
        option,
    ]
    raw = tmp_path / "word"
    for address, word, mnemonic, operand in lines:
        raw.write_bytes(int(word, 16).to_bytes(4, order))  # type: ignore[arg-type]
        said = run_program(*disassemble, f"--adjust-vma=0x{address}", raw, check=True).out
        fields = said.splitlines()[-1].split("\t")
        assert fields[0].strip(" :") == address
        theirs = [part.removeprefix("0x") for part in " ".join(fields[2:]).split()]
        assert [mnemonic, *operand.split(" <", maxsplit=1)[0].split()] == theirs


def test_a_branch_names_its_target(mini: Path) -> None:
    for target in ("<ftrace_caller>", "<mini_open+0x", "<ftrace_ool_stub_text+0x8>"):
        assert target in printed("stubs", mini, "mini_open")


def names_of(document: Any) -> set[str]:
    return {stub["function"].split("+")[0] for stub in document["stubs"]}


def test_functions_by_symbol_address_offset_and_pattern(mini: Path) -> None:
    everything = listing(mini)["stubs"]
    one = everything[3]
    symbol, location = one["function"].split("+")[0], one["location"]
    for word in (symbol, location, location.removeprefix("0x"), one["address"], one["function"]):
        found = listing(mini, word)
        assert one in found["stubs"], word
        assert names_of(found) == {symbol}, word
    pattern = listing(mini, "mini_*")
    assert names_of(pattern) == {n for n in names_of({"stubs": everything}) if n.startswith("mini_")}
    assert len(pattern["stubs"]) > 1
    assert listing(mini, symbol, symbol, location)["stubs"] == [one]


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
    """Of its pointer, of an instruction and in one; as a number, in brackets, as an offset."""
    start, function = int(stub["address"], 16), stub["function"]
    symbol = re.escape(function.split("+")[0])
    for offset, where in (
        (0, r"in the pointer to the ftrace ops"),
        (8, r"instruction 1 of 4 \(mflr r0\)"),
        (12, r"instruction 2 of 4 \(bl ftrace_caller\)"),
        (18, r"byte 2 of instruction 3 of 4 \(mtlr r0\)"),
        (20, rf"instruction 4 of 4 \(b {symbol}\+0x[0-9a-f]+\)"),
    ):
        number, in_area = f"{start + offset:x}", f"ftrace_ool_stub_text+{offset + 2 * 24:#x}"
        for word in (f"0x{number}", number, f"[{number}]", f"[<{number}>]", in_area, f"{in_area}/0x78"):
            outcome = call("stubs", mini, word)
            assert (outcome.code, outcome.out) == (0, printed("stubs", mini, function))
            assert json.loads(call("stubs", "--format", "json", mini, word).out)["stubs"] == [stub]
            said = f"{mini}: {re.escape(word)} is {where} of the stub of {re.escape(function)}\n"
            assert re.fullmatch(said, outcome.err)


def test_a_place_in_a_function(mini: Path, stub: Any) -> None:
    function = stub["function"]
    symbol = function.split("+")[0]
    assert printed("stubs", mini, f"{symbol}+0x4/0x10") == printed("stubs", mini, function)
    not_one = f"{mini}: error: {symbol}+0x2 is not a location, but {function} is\n"
    assert refusal("stubs", mini, f"{symbol}+0x2") == not_one
    refusal("stubs", mini, f"{symbol}+0x44/0x10")
