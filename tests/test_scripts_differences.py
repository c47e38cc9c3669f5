# SPDX-License-Identifier: GPL-2.0-or-later
"""The 15 inputs on which the kernel's shell scripts were measured, each with the right outcome.

Where the scripts are right, we agree with them; where they are wrong, the linker script decides.
"""

import re
from pathlib import Path

import pytest

from support import (
    OBJECTS,
    MiniKernel,
    call,
    hook_environment,
    json_of,
    printed,
    refused,
    run_cli,
    run_program,
    tool,
)
from support.elfwriter import ENTRIES, KernelObject, Symbol

OOL = "ftrace-gen-ool-stubs"
PLAIN = OBJECTS / "ool-ppc64le-gnu.o"


def pattern_counts(path: Path) -> tuple[int, int]:
    """Text and init entries by patterns over objdump's output, as mainline's script has them."""
    done = run_program(tool("powerpc64le-linux-gnu-objdump"), "-r", "-j", ENTRIES, path)
    lines = [line for line in done.out.splitlines() if "R_PPC64_ADDR64" in line]
    init = sum(bool(re.search(".init.text|.text.startup", line)) for line in lines)
    return len(lines) - init, init


def stub_counts(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"_count, \.long (\d+)\)", text)]


@pytest.mark.parametrize(
    "name",
    [f"ool-{m}-{k}" for m in ("ppc64le", "ppc64") for k in ("gnu", "lld")]
    + ["textonly-ppc64le-gnu", "initonly-ppc64le-gnu", "gep-ppc64le-lld"],
)
def test_agreement_on_healthy_input(name: str) -> None:
    text, init = pattern_counts(OBJECTS / f"{name}.o")
    assert stub_counts(call("generate", OBJECTS / f"{name}.o").out) == [max(0, text - 5), init]


def test_1_objdump_not_found(tmp_path: Path) -> None:
    """RFC: counts 0 and 0, success. We need no objdump."""
    environment = {"PATH": "/nowhere"}
    outcome = run_cli("5", "y", "/nowhere/objdump", PLAIN, tmp_path / "a.S", executable=OOL, env=environment)
    assert (outcome.code, outcome.err) == (0, "")
    assert stub_counts((tmp_path / "a.S").read_text()) == [7, 4]


@pytest.mark.parametrize("which", ["missing", "no section"])
def test_2_object_missing_or_without_the_section(which: str, tmp_path: Path) -> None:
    path = tmp_path / "vmlinux.o"
    if which == "no section":
        KernelObject({".text": []}).save(path)
    target = tmp_path / "a.S"
    refused(run_cli("5", "y", "objdump", path, target, executable=OOL), path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "counts"), [("textonly-ppc64le-gnu", [7, 0]), ("initonly-ppc64le-gnu", [0, 4])]
)
def test_3_only_text_or_only_init(name: str, counts: list[int], tmp_path: Path) -> None:
    """Mainline: exit 1 without a message, as grep found nothing."""
    outcome = run_cli("5", "y", "objdump", OBJECTS / f"{name}.o", tmp_path / "a.S", executable=OOL)
    assert (outcome.code, outcome.err) == (0, "")
    assert stub_counts((tmp_path / "a.S").read_text()) == counts


@pytest.mark.parametrize(
    ("reserve", "flag", "name", "variable"),
    [
        ("5", "", "ool-ppc64le-gnu", "IS_64BIT"),
        ("5", "y", "plain-ppc32-gnu", "IS_64BIT"),
        # Mainline: the shell complains, the end area is empty, success.
        ("", "y", "ool-ppc64le-gnu", "NUM_RESERVE"),
    ],
    ids=["4a", "4b", "5"],
)
def test_4_5_arguments_that_contradict_the_object(
    reserve: str, flag: str, name: str, variable: str, tmp_path: Path
) -> None:
    outcome = run_cli(reserve, flag, "objdump", OBJECTS / f"{name}.o", tmp_path / "a.S", executable=OOL)
    assert variable in refused(outcome)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("section", "kind", "pattern"),
    [
        (".text.foo_init_text", "text", "inittext"),
        (".text.reinit_text", "text", "inittext"),
        (".text.startup_pirq", "text", "inittext"),
        (".text.startup_gfar", "text", "inittext"),
        (".text.startup", "inittext", "inittext"),
        (".text.startup.constructor", "inittext", "inittext"),
        (".init.text", "inittext", "inittext"),
    ],
    ids=["6a", "6b", "7a", "7b", "8a", "8b", "plain"],
)
def test_6_7_8_names_that_patterns_mistake(section: str, kind: str, pattern: str, tmp_path: Path) -> None:
    path = KernelObject({".text": [0, 8], section: [0, 8, 16]}).save(tmp_path / "vmlinux.o")
    entries = json_of("count", path)["entries"]
    assert (entries["text"], entries["inittext"]) == ((5, 0) if kind == "text" else (2, 3))
    assert pattern_counts(path) == ((5, 0) if pattern == "text" else (2, 3))


def test_9_relocation_by_symbol_name(tmp_path: Path) -> None:
    """`.quad function`: the rendering names no section; and a name may look like one."""
    obj = KernelObject()
    init = obj.text(".init.text", [], size=64)
    text = obj.text(".text", [], size=64)
    by_name = [Symbol("setup_arch", 0, init, 8, 2), Symbol("x.init.text_y", 0, text, 8, 2)]
    obj.symbols += by_name
    obj.table(init, [0], by_name[0])
    obj.table(text, [0], by_name[1])
    path = obj.save(tmp_path / "vmlinux.o")
    assert json_of("count", path)["entries"] == {"text": 1, "inittext": 1, "exittext": 0, "total": 2}


@pytest.mark.parametrize("name", ["ool-ppc64le-lld", "traps-ppc64le-lld"])
def test_10_llvm_objdump(name: str, tmp_path: Path) -> None:
    """It prints nothing without -d; we do not ask it."""
    words = (tool("llvm-objdump-19"), "-r", "-j", ENTRIES, OBJECTS / f"{name}.o")
    assert "R_PPC64_ADDR64" not in run_program(*words, check=True).out
    target = tmp_path / "a.S"
    outcome = run_cli("5", "y", "llvm-objdump-19", OBJECTS / f"{name}.o", target, executable=OOL)
    assert outcome.code == 0
    assert target.read_text() == call("generate", OBJECTS / f"{name}.o").out


@pytest.mark.parametrize("toolchain", ["llvm-ppc64le", "llvm-ppc64"])
def test_11_one_entries_section_per_function(toolchain: str, mini_kernel: MiniKernel) -> None:
    """-ffunction-sections and LLD; mainline's script takes hours for such a kernel."""
    path = mini_kernel("objects", TOOLCHAIN=toolchain, MORE=4000, FUNCTION_SECTIONS=1) / "vmlinux.o"
    assert json_of("count", path)["entries"] == {"text": 4012, "inittext": 4, "exittext": 0, "total": 4016}


def test_12_many_entries_in_one_section(tmp_path: Path) -> None:
    texts = {".text": range(0, 43_000 * 16, 16), ".init.text": range(0, 2_000 * 16, 16)}
    path = KernelObject(texts, reserve=32768).save(tmp_path / "vmlinux.o")
    assert json_of("count", path)["stubs"] == {"text": 32768, "text_end": 43_000 - 32768, "inittext": 2_000}
    assert pattern_counts(path) == (43_000, 2_000)


def test_13_6_and_7_together(tmp_path: Path) -> None:
    """8 text, 2 init, 2 exit; the RFC's script says 9 and 3, mainline's 7 and 5."""
    names = ".text .text.unlikely .ref.text .sched.text .text.hot .text.foo_init_text .text.startup_pirq"
    names += " .text.exit_foo .init.text .text.startup .exit.text .text.exit"
    path = KernelObject({name: [0] for name in names.split()}).save(tmp_path / "vmlinux.o")
    assert json_of("count", path)["entries"] == {"text": 8, "inittext": 2, "exittext": 2, "total": 12}
    assert pattern_counts(path)[1] > 2


def test_14_exit_entries_are_reserved_for(tmp_path: Path) -> None:
    """The kernel hands out no stubs for them; like the script, we count them as text in the end area."""
    texts = {".text": range(0, 40, 4), ".init.text": [0], ".exit.text": [0, 4, 8]}
    path = KernelObject(texts).save(tmp_path / "vmlinux.o")
    assert stub_counts(call("generate", path).out) == [8, 1]
    assert pattern_counts(path) == (13, 1)


def test_15_reserve_out_of_reach(mini_kernel: MiniKernel) -> None:
    """The script reserves as if every stub of the reserve could be used; so do we, but say so."""
    path = mini_kernel("objects", MORE=40, MORE_SIZE=1 << 20) / "vmlinux.o"
    # 5 stubs: all of them are in range of the first 5 functions
    assert stub_counts(printed("generate", "--layout", "ool", path)) == [47, 4]
    path = mini_kernel("objects", MORE=60, MORE_SIZE=1 << 20, RESERVE=50) / "vmlinux.o"
    exposed = call("generate", path)
    assert (exposed.code, "warning" in exposed.err) == (0, True)
    assert stub_counts(exposed.out) == [22, 4]
    assert stub_counts(printed("generate", "--spare", "auto", path)) == [72, 4]


def test_the_hooks_of_both_generations_need_no_objdump(tmp_path: Path) -> None:
    environment = {**hook_environment(LAYOUT="pfe"), "CROSS_COMPILE": "nothing-", "OBJDUMP": "/nowhere"}
    source = OBJECTS / "trapspfe-ppc64le-gnu.o"
    outcome = run_cli(source, tmp_path / "a.o", executable="gen-ftrace-pfe-stubs", env=environment)
    assert (outcome.code, outcome.err) == (0, "")
    assert stub_counts((tmp_path / "a.S").read_text()) == [20, 7]
