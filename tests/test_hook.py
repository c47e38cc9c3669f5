# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs hook`: the environment as kbuild exports it; the object whole or not at all."""

import os
import shlex
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import (
    OBJECTS,
    MiniKernel,
    Outcome,
    clean_environment,
    executable_path,
    hook_environment,
    refused,
    run_cli,
    run_program,
    shell_script,
    tool,
)

OBJECT = OBJECTS / "traps-ppc64le-gnu.o"
SILENT = Outcome(0, "", "")
TO_OUTPUT = 'while [ "$1" != -o ]; do shift; done; '


@pytest.fixture
def fake_cc(tmp_path: Path) -> Path:
    """A compiler that notes its words, one per line, and writes an object."""
    return writing(tmp_path / "fake-cc", OBJECT)


def writing(compiler: Path, result: Path) -> Path:
    return shell_script(compiler, f'printf "%s\\n" "$@" >"$0.words"\n{TO_OUTPUT}cp {result} "$2"')


def hook(target: Path | str, *words: str, cc: object = None, **options: Any) -> Outcome:
    """Make the object; `cc` is the compiler where the environment names none."""
    environment = ({"CC": str(cc)} if cc else {}) | options.pop("env", {})
    return run_cli("hook", *words, OBJECT, "--", target, env=environment, **options)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def words_of(script: Path) -> list[str]:
    return script.with_name(script.name + ".words").read_text().splitlines()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def symbols(path: Path) -> set[str]:
    """Lines of readelf's symbol table without the numbers in front."""
    done = run_program(tool("powerpc64le-linux-gnu-readelf"), "-sW", path, check=True)
    return {line.split(":", 1)[1].strip() for line in done.out.splitlines() if "ftrace_" in line}


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "gcc-ppc64", "llvm-ppc64le", "llvm-ppc64"])
@pytest.mark.parametrize("layout", ["ool", "pfe"])
def test_with_the_real_assembler(toolchain: str, layout: str, out: Path) -> None:
    compiler, machine = toolchain.split("-")
    source = OBJECTS / f"{layout}-{machine}-{'gnu' if compiler == 'gcc' else 'lld'}.o"
    environment = hook_environment(TOOLCHAIN=toolchain, LAYOUT=layout)
    assert run_cli("hook", source, out / "vmlinux.arch.o", env=environment) == SILENT
    assert names(out) == ["vmlinux.arch.S", "vmlinux.arch.o"]
    end, size = ("text_end", 24 * 7) if layout == "ool" else ("text", 16 * 12)
    expected = {}
    for area, area_size in ((end, size), ("inittext", 4 * (24 if layout == "ool" else 16))):
        expected[f"ftrace_{layout}_stub_{area}_count"] = ["4", "OBJECT", "GLOBAL", "DEFAULT"]
        expected[f"ftrace_{layout}_stub_{area}"] = [str(area_size), "NOTYPE", "GLOBAL", "DEFAULT"]
    assert {row.split()[-1]: row.split()[1:5] for row in symbols(out / "vmlinux.arch.o")} == expected


def test_empty_areas_define_their_symbols(out: Path, mini_kernel: MiniKernel) -> None:
    """No assembler warning about `.space 0`, and the linker finds every symbol."""
    for variant in ("textonly", "initonly", "none"):
        source = mini_kernel("objects", VARIANT=variant, RESERVE=50) / "vmlinux.o"
        assert run_cli("hook", "--allow-empty", source, out / "a.o", env=hook_environment()) == SILENT
        found = {line.split()[-1]: int(line.split()[1]) for line in symbols(out / "a.o")}
        assert found["ftrace_ool_stub_text_end"] == 0
        assert found["ftrace_ool_stub_inittext"] == (0 if variant != "initonly" else 4 * 24)
        assert len(found) == 4


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "gcc-ppc64", "llvm-ppc64le", "llvm-ppc64"])
def test_the_miniature_kernel_links(toolchain: str, mini_kernel: MiniKernel) -> None:
    """Objects, hook, link: the areas in the kernel have the sizes that were counted."""
    kernel = mini_kernel(TOOLCHAIN=toolchain, VARIANT="traps")
    assert (kernel / "vmlinux").stat().st_size > 0
    found = {line.split()[-1]: int(line.split()[1], 0) for line in symbols(kernel / "vmlinux")}
    assert found["ftrace_ool_stub_text"] == 5 * 24
    assert found["ftrace_ool_stub_text_end"] == 15 * 24
    assert found["ftrace_ool_stub_inittext"] == 7 * 24


def test_words_and_their_order(fake_cc: Path, out: Path) -> None:
    environment = {
        "NOSTDINC_FLAGS": "-nostdinc",
        "LINUXINCLUDE": " -I./arch/powerpc/include\t-include ./kconfig.h\n",
        "KBUILD_CPPFLAGS": "-D__KERNEL__ -m64",
        "KBUILD_AFLAGS": '-D__ASSEMBLY__ \'-DNAME="a b"\' -DOTHER=\\"c\\"',
        "KBUILD_AFLAGS_KERNEL": '-I"dir with space"/include',
        "KBUILD_CFLAGS": "-O2",
    }
    assert hook(out / "vmlinux.arch.o", cc=fake_cc, env=environment) == SILENT
    words = words_of(fake_cc)
    assert words[:-4] == [
        *("-nostdinc", "-I./arch/powerpc/include", "-include", "./kconfig.h", "-D__KERNEL__", "-m64"),
        *("-D__ASSEMBLY__", '-DNAME="a b"', '-DOTHER="c"', "-Idir with space/include"),
    ]
    assert words[-4:-2] == ["-c", "-o"]
    assert words[-1] == str(out / "vmlinux.arch.S")
    assert (out / "vmlinux.arch.o").read_bytes() == OBJECT.read_bytes()


@pytest.mark.parametrize(
    "flags",
    [
        "-DA='x y' -DB=\"x y\" -DC=x\\ y",
        "''  \"\" -D",
        "-DS='it'\\''s'",
        '-DQ="\\"quoted\\""',
        "-DBACK='a\\b'",
        "-DHASH=#1 -DSEMI=';' -DDOLLAR='$HOME'",
        "'$(touch evaluated)' '`touch evaluated`'",
    ],
)
def test_words_as_the_shell_splits_them(flags: str, fake_cc: Path, out: Path) -> None:
    expected = run_program("sh", "-c", f'set -- {flags}; printf "%s\\n" "$@"', check=True).out.splitlines()
    assert hook(out / "vmlinux.arch.o", cc=fake_cc, env={"KBUILD_AFLAGS": flags}) == SILENT
    assert words_of(fake_cc)[:-4] == expected


@pytest.mark.parametrize("variable", ["V", "KBUILD_VERBOSE"])
def test_verbose_shows_the_command(variable: str, fake_cc: Path, out: Path) -> None:
    environment = {"KBUILD_AFLAGS": "-DA='x y'", variable: "1"}
    outcome = hook(out / "vmlinux.arch.o", cc=fake_cc, env=environment)
    assert (outcome.code, outcome.out) == (0, "")
    assert shlex.split(outcome.err) == [str(fake_cc), *words_of(fake_cc)]
    assert hook(out / "b.o", cc=fake_cc, env={**environment, variable: "0"}) == SILENT


@pytest.mark.parametrize(
    ("environment", "subject"),
    [
        ({}, "CC"),
        ({"CC": "  "}, "CC"),
        ({"CC": "'' cc"}, "CC"),
        ({"CC": "cc 'x"}, "CC"),
        ({"CC": "cc", "KBUILD_AFLAGS": "-DA='x"}, "KBUILD_AFLAGS"),
    ],
)
def test_variables_that_name_no_compiler(environment: dict[str, str], subject: str, out: Path) -> None:
    refused(hook(out / "vmlinux.arch.o", env=environment), subject)
    assert names(out) == []


def old_files(out: Path) -> dict[str, tuple[bytes, int]]:
    for name in ("vmlinux.arch.S", "vmlinux.arch.o"):
        (out / name).write_text(f"old {name}")
        os.utime(out / name, (1_000_000_000, 1_000_000_000))
    return contents(out)


def object_of(files: dict[str, tuple[bytes, int]]) -> dict[str, tuple[bytes, int]]:
    """All but the assembly file."""
    return {name: content for name, content in files.items() if not name.endswith(".S")}


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


FAILURES = {
    f'{TO_OUTPUT}echo half >"$2"; exit 1': "status 1",
    f'{TO_OUTPUT}mkfifo "$2"': "wrote no object",
    f'{TO_OUTPUT}printf "\\177ELF" >"$2"': "wrote no object",
    "exit 0": "wrote no object",
    "exit 3": "status 3",
    "kill -9 $$": "signal 9",
}


@pytest.mark.parametrize("with_old", [True, False])
@pytest.mark.parametrize("failure", ["real", "missing", *FAILURES])
def test_failing_assembler(failure: str, with_old: bool, fake_cc: Path, out: Path) -> None:
    """The object stays as it was; the assembly file that it was to be made from is there."""
    before = old_files(out) if with_old else {}
    if failure == "real":
        environment = {**hook_environment(), "LINUXINCLUDE": "-I/nowhere"}
        message, reason = "asm/asm-offsets.h", "failed"
    elif failure == "missing":
        environment = {"CC": "no-such-gcc -m64"}
        message, reason = "no-such-gcc: error: ", "cannot be run: No such file or directory; set CC"
    else:
        environment = {"CC": str(shell_script(fake_cc, f"echo 'the tool says why' >&2\n{failure}"))}
        message, reason = "the tool says why", FAILURES[failure]
    outcome = hook(out / "vmlinux.arch.o", env=environment)
    assert message in outcome.err
    assert reason in refused(replace(outcome, err=outcome.err.splitlines()[-1]))
    assert object_of(contents(out)) == object_of(before)
    assert (out / "vmlinux.arch.S").read_text() == run_cli("generate", OBJECT).out


def test_bad_object_never_reaches_the_assembler(fake_cc: Path, out: Path, tmp_path: Path) -> None:
    before = old_files(out)
    refused(run_cli("hook", tmp_path / "missing.o", out / "vmlinux.arch.o", env={"CC": str(fake_cc)}))
    assert contents(out) == before
    assert not fake_cc.with_name("fake-cc.words").exists()


def test_unchanged_files_keep_their_times(out: Path) -> None:
    assert hook(out / "vmlinux.arch.o", env=hook_environment()) == SILENT
    for path in out.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert hook(out / "vmlinux.arch.o", env=hook_environment()) == SILENT
    times = {path.name: int(path.stat().st_mtime) for path in out.iterdir()}
    assert times == {"vmlinux.arch.S": 1_000_000_000, "vmlinux.arch.o": 1_000_000_000}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vmlinux.arch.S", "*.o"),
        ("vmlinux.arch", "*.o"),
        ("", "*.o"),
        ("none/a.o", "No such file or directory"),
    ],
)
def test_target_that_is_no_object(name: str, reason: str, fake_cc: Path, out: Path) -> None:
    assert reason in refused(hook(name, cc=fake_cc, cwd=out))
    assert names(out) == []


def test_relative_names(out: Path) -> None:
    """As kbuild calls it, at the top of the build tree."""
    (out / "vmlinux.o").write_bytes(OBJECT.read_bytes())
    assert run_cli("hook", "vmlinux.o", ".arch.vmlinux.o", env=hook_environment(), cwd=out) == SILENT
    assert names(out) == [".arch.vmlinux.S", ".arch.vmlinux.o", "vmlinux.o"]


def test_object_does_not_depend_on_the_temporary_name(out: Path) -> None:
    """Debug information carries the source's name: twice the same bytes."""
    environment = hook_environment(TOOLCHAIN="llvm-ppc64le")
    environment["KBUILD_AFLAGS"] += " -g"
    taken = []
    for _ in range(2):
        assert hook("vmlinux.arch.o", env=environment, cwd=out) == SILENT
        taken.append((out / "vmlinux.arch.o").read_bytes())
        (out / "vmlinux.arch.o").unlink()
    assert taken[0] == taken[1]
    assert b"vmlinux.arch.S" in taken[0]


def test_assembler_cannot_read_our_input(out: Path, fake_cc: Path) -> None:
    """A tool that asks on standard input gets nothing, it does not hang."""
    shell_script(fake_cc, f'read line && exit 9\n{TO_OUTPUT}cp {OBJECT} "$2"')
    words: list[str | Path] = [executable_path("pfestubs"), "hook", OBJECT, out / "a.o"]
    environment = clean_environment({"CC": str(fake_cc)})
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == 0


def test_options_of_generate(fake_cc: Path, out: Path) -> None:
    source = OBJECTS / "plain-ppc32-gnu.o"
    writing(fake_cc, source)
    words = ["--layout", "ool", "--reserve", "5", "--spare", "100"]
    assert run_cli("hook", *words, source, out / "a.o", env={"CC": str(fake_cc)}) == SILENT
    assert ".long 107)" in (out / "a.S").read_text()
    refused(hook(out / "b.o", "--layout", "pfe", cc=fake_cc))
    assert names(out) == ["a.S", "a.o"]


# -- what the compiler leaves ----------------------------------------------------------------------------------


GOOD = OBJECT.read_bytes()
OTHER_KINDS = {
    "executable": GOOD[:16] + b"\2" + GOOD[17:],
    "x86": GOOD[:18] + b"\x3e" + GOOD[19:],
    "short": GOOD[:63],
    "text": b"obj\n",
    "big-endian": (OBJECTS / "ool-ppc64-gnu.o").read_bytes(),
    "32 bits": (OBJECTS / "plain-ppc32-gnu.o").read_bytes(),
    "empty": b"",
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_object_of_another_kind(kind: str, fake_cc: Path, out: Path, tmp_path: Path) -> None:
    """Four bytes are no object, nor is one for another machine: a compiler that does not fit."""
    before = old_files(out)
    wrong = tmp_path / "wrong.o"
    wrong.write_bytes(OTHER_KINDS[kind])
    refused(hook(out / "vmlinux.arch.o", cc=writing(fake_cc, wrong)), fake_cc)
    assert object_of(contents(out)) == object_of(before)


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "llvm-ppc64le"])
@pytest.mark.parametrize("name", ["-x.o", "@x.o", "-dir/-x.o", "with space.o"])
def test_names_that_look_like_options(toolchain: str, name: str, out: Path) -> None:
    (out / "-dir").mkdir()
    assert hook(name, env=hook_environment(TOOLCHAIN=toolchain), cwd=out) == SILENT
    target = out / name
    made = {path.name for path in target.parent.iterdir() if path.is_file()}
    assert made == {target.name, target.with_suffix(".S").name}
    assert target.read_bytes().startswith(b"\x7fELF")


@pytest.mark.parametrize("flags", ["-gsplit-dwarf", "-save-temps=obj", "-MD"])
def test_nothing_but_the_object_is_left(flags: str, out: Path) -> None:
    environment = hook_environment(TOOLCHAIN="gcc-ppc64le")
    environment["KBUILD_AFLAGS"] += f" {flags}"
    assert hook("a.o", env=environment, cwd=out) == SILENT
    assert names(out) == ["a.S", "a.o"]


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "llvm-ppc64le"])
@pytest.mark.parametrize("flags", ["", "-g", "-g -gsplit-dwarf"])
def test_same_object_as_of_the_compiler_itself(toolchain: str, flags: str, out: Path) -> None:
    """Where the object is made does not show in it."""
    environment = hook_environment(TOOLCHAIN=toolchain)
    environment["KBUILD_AFLAGS"] += f" {flags}"
    assert hook("a.o", env=environment, cwd=out) == SILENT
    found = (out / "a.o").read_bytes()
    variables = ("CC", "NOSTDINC_FLAGS", "LINUXINCLUDE", "KBUILD_CPPFLAGS", "KBUILD_AFLAGS")
    words = [word for name in variables for word in shlex.split(environment[name])]
    run_program(*words, "-c", "-o", "a.o", "a.S", check=True, cwd=out)
    assert (out / "a.o").read_bytes() == found


@pytest.mark.parametrize("length", [244, 255])
def test_long_names(length: int, out: Path) -> None:
    stem = "x" * (length - 2)
    assert hook(out / f"{stem}.o", env=hook_environment()) == SILENT
    assert names(out) == [f"{stem}.S", f"{stem}.o"]


def test_object_in_dev_null(fake_cc: Path, out: Path) -> None:
    """Whatever is not a regular file is written directly."""
    (out / "a.o").symlink_to("/dev/null")
    assert hook(out / "a.o", cc=fake_cc) == SILENT
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert names(out) == ["a.S", "a.o"]


def test_links_are_followed(fake_cc: Path, out: Path) -> None:
    store = out / "store"
    store.mkdir()
    for name in ("a.S", "a.o"):
        (store / f"real-{name}").write_text("old")
        (out / name).symlink_to(f"store/real-{name}")
    assert hook(out / "a.o", cc=fake_cc) == SILENT
    assert (out / "a.o").is_symlink()
    assert (out / "a.S").is_symlink()
    assert (store / "real-a.o").read_bytes() == OBJECT.read_bytes()
    assert names(store) == ["real-a.S", "real-a.o"]
    assert words_of(fake_cc)[-1] == str(out / "a.S")
