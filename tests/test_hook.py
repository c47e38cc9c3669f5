# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs hook`: the environment as kbuild exports it, both files or neither."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from conftest import OBJECTS, clean_environment, hook_environment, tool

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MiniKernel, Outcome, RunCli

OBJECT = OBJECTS / "traps-ppc64le-gnu.o"


@pytest.fixture
def fake_cc(tmp_path: Path) -> Path:
    """A compiler that notes its words, one per line, and writes an object."""
    script = tmp_path / "fake-cc"
    script.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" >"$0.words"\n'
        f'while [ $# -gt 0 ]; do [ "$1" = -o ] && cp {OBJECT} "$2"; shift; done\n'
    )
    script.chmod(0o755)
    return script


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def words_of(script: Path) -> list[str]:
    return script.with_name(script.name + ".words").read_text().splitlines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def symbols(path: Path) -> set[str]:
    """Lines of readelf's symbol table without the numbers in front."""
    done = subprocess.run(
        [tool("powerpc64le-linux-gnu-readelf"), "-sW", path], capture_output=True, text=True, check=True
    )
    return {line.split(":", 1)[1].strip() for line in done.stdout.splitlines() if "ftrace_" in line}


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "gcc-ppc64", "llvm-ppc64le", "llvm-ppc64"])
@pytest.mark.parametrize("layout", ["ool", "pfe"])
def test_with_the_real_assembler(toolchain: str, layout: str, run_cli: RunCli, out: Path) -> None:
    machine, linker = (
        toolchain.split("-")[1],
        {"gcc": "gnu", "llvm": "lld"}[toolchain.split("-", maxsplit=1)[0]],
    )
    environment = hook_environment(TOOLCHAIN=toolchain, LAYOUT=layout)
    outcome = run_cli(
        "hook", OBJECTS / f"{layout}-{machine}-{linker}.o", out / "vmlinux.arch.o", env=environment
    )
    assert outcome == type(outcome)(0, "", "")
    assert names(out) == ["vmlinux.arch.S", "vmlinux.arch.o"]
    found = {line.split()[-1]: line.split()[1:5] for line in symbols(out / "vmlinux.arch.o")}
    end, size = ("text_end", 24 * 7) if layout == "ool" else ("text", 16 * 12)
    init_size = 4 * (24 if layout == "ool" else 16)
    assert found == {
        f"ftrace_{layout}_stub_{end}_count": ["4", "OBJECT", "GLOBAL", "DEFAULT"],
        f"ftrace_{layout}_stub_{end}": [str(size), "NOTYPE", "GLOBAL", "DEFAULT"],
        f"ftrace_{layout}_stub_inittext_count": ["4", "OBJECT", "GLOBAL", "DEFAULT"],
        f"ftrace_{layout}_stub_inittext": [str(init_size), "NOTYPE", "GLOBAL", "DEFAULT"],
    }


def test_empty_areas_define_their_symbols(run_cli: RunCli, out: Path, mini_kernel: MiniKernel) -> None:
    """No assembler warning about `.space 0`, and the linker finds every symbol."""
    for variant in ("textonly", "initonly", "none"):
        source = mini_kernel("objects", VARIANT=variant, RESERVE=50) / "vmlinux.o"
        outcome = run_cli("hook", "--allow-empty", source, out / "a.o", env=hook_environment())
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
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


def test_words_and_their_order(run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    environment = {
        "CC": str(fake_cc),
        "NOSTDINC_FLAGS": "-nostdinc",
        "LINUXINCLUDE": " -I./arch/powerpc/include\t-include ./kconfig.h\n",
        "KBUILD_CPPFLAGS": "-D__KERNEL__ -m64",
        "KBUILD_AFLAGS": '-D__ASSEMBLY__ \'-DNAME="a b"\' -DOTHER=\\"c\\"',
        "KBUILD_AFLAGS_KERNEL": '-I"dir with space"/include',
        "KBUILD_CFLAGS": "-O2",
    }
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=environment)
    assert outcome == type(outcome)(0, "", "")
    words = words_of(fake_cc)
    assert words[:-4] == [
        "-nostdinc",
        "-I./arch/powerpc/include",
        "-include",
        "./kconfig.h",
        "-D__KERNEL__",
        "-m64",
        "-D__ASSEMBLY__",
        '-DNAME="a b"',
        '-DOTHER="c"',
        "-Idir with space/include",
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
    ],
)
def test_words_as_the_shell_splits_them(flags: str, run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    expected = subprocess.run(
        ["sh", "-c", f'set -- {flags}; printf "%s\\n" "$@"'], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    outcome = run_cli(
        "hook", OBJECT, out / "vmlinux.arch.o", env={"CC": str(fake_cc), "KBUILD_AFLAGS": flags}
    )
    assert outcome.code == 0
    assert words_of(fake_cc)[:-4] == expected


def test_never_evaluated(run_cli: RunCli, fake_cc: Path, out: Path, tmp_path: Path) -> None:
    outcome = run_cli(
        "hook",
        OBJECT,
        out / "vmlinux.arch.o",
        env={
            "CC": str(fake_cc),
            "KBUILD_AFLAGS": f"$(touch {tmp_path}/evaluated) `touch {tmp_path}/evaluated`",
        },
    )
    assert outcome.code == 0
    assert not (tmp_path / "evaluated").exists()


def test_compiler_of_two_words(run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    """As in CC="ccache gcc": the wrapper is run with the compiler as its first word."""
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env={"CC": f"env {fake_cc} -DFIRST"})
    assert outcome == type(outcome)(0, "", "")
    assert words_of(fake_cc)[0] == "-DFIRST"


@pytest.mark.parametrize("variable", ["V", "KBUILD_VERBOSE"])
def test_verbose_shows_the_command(variable: str, run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    environment = {"CC": str(fake_cc), "KBUILD_AFLAGS": "-DA='x y'", variable: "1"}
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=environment)
    assert (outcome.code, outcome.out) == (0, "")
    assert shlex.split(outcome.err) == [str(fake_cc), *words_of(fake_cc)]
    assert run_cli("hook", OBJECT, out / "b.o", env={**environment, variable: "0"}).err == ""


def test_cc_not_set(run_cli: RunCli, out: Path) -> None:
    for environment in ({}, {"CC": ""}, {"CC": "  "}):
        outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=environment)
        assert outcome.code == 2
        assert outcome.err.startswith("CC: error: ")
        assert names(out) == []


@pytest.mark.parametrize("variable", ["CC", "KBUILD_AFLAGS"])
def test_quotes_that_do_not_match(variable: str, run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env={"CC": str(fake_cc), variable: "-DA='x"})
    assert outcome.code == 2
    assert outcome.err.startswith(f"{variable}: error: ")
    assert names(out) == []


def test_compiler_that_is_not_there(run_cli: RunCli, out: Path) -> None:
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env={"CC": "no-such-gcc -m64"})
    assert outcome.code == 2
    assert outcome.err.startswith("no-such-gcc: error: ")
    assert names(out) == []


def old_files(out: Path) -> dict[str, tuple[bytes, int]]:
    for name in ("vmlinux.arch.S", "vmlinux.arch.o"):
        (out / name).write_text(f"old {name}")
        os.utime(out / name, (1_000_000_000, 1_000_000_000))
    return contents(out)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("with_old", [True, False])
@pytest.mark.parametrize("failure", ["real", "status", "signal", "no-object"])
def test_failing_assembler(failure: str, with_old: bool, run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    before = old_files(out) if with_old else {}
    if failure == "real":
        environment = {**hook_environment(), "LINUXINCLUDE": "-I/nowhere"}
        message = "asm/asm-offsets.h"
    else:
        action = {"status": "exit 3", "signal": "kill -9 $$", "no-object": "exit 0"}[failure]
        fake_cc.write_text(f"#!/bin/sh\necho 'the tool says why' >&2\n{action}\n")
        environment = {"CC": str(fake_cc)}
        message = "the tool says why"
    outcome: Outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=environment)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    last = outcome.err.splitlines()[-1]
    assert ": error: " in last
    assert {"real": "failed", "status": "status 3", "signal": "signal 9", "no-object": "no object"}[
        failure
    ] in last
    assert contents(out) == before


def test_half_an_object_is_not_kept(run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    before = old_files(out)
    fake_cc.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho half >"$2"\nexit 1\n')
    assert run_cli("hook", OBJECT, out / "vmlinux.arch.o", env={"CC": str(fake_cc)}).code == 2
    assert contents(out) == before


def test_bad_object_never_reaches_the_assembler(
    run_cli: RunCli, fake_cc: Path, out: Path, tmp_path: Path
) -> None:
    before = old_files(out)
    outcome = run_cli("hook", tmp_path / "missing.o", out / "vmlinux.arch.o", env={"CC": str(fake_cc)})
    assert outcome.code == 2
    assert contents(out) == before
    assert not fake_cc.with_name("fake-cc.words").exists()


def test_unchanged_files_keep_their_times(run_cli: RunCli, out: Path) -> None:
    for _ in range(2):
        assert run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=hook_environment()).code == 0
        if not (out / "marker").exists():
            (out / "marker").touch()
            for name in ("vmlinux.arch.S", "vmlinux.arch.o"):
                os.utime(out / name, (1_000_000_000, 1_000_000_000))
    times = {path.name: int(path.stat().st_mtime) for path in out.glob("vmlinux*")}
    assert times == {"vmlinux.arch.S": 1_000_000_000, "vmlinux.arch.o": 1_000_000_000}


@pytest.mark.parametrize("name", ["vmlinux.arch.S", "vmlinux.arch", ""])
def test_target_that_is_no_object(name: str, run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    outcome = run_cli("hook", OBJECT, name, env={"CC": str(fake_cc)}, cwd=out)
    assert outcome.code == 2
    assert "*.o" in outcome.err
    assert names(out) == []


def test_folder_that_is_not_there(run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    outcome = run_cli("hook", OBJECT, out / "none" / "a.o", env={"CC": str(fake_cc)})
    assert outcome.code == 2
    assert "none" in outcome.err
    assert names(out) == []


def test_relative_names(run_cli: RunCli, out: Path) -> None:
    """As kbuild calls it, at the top of the build tree."""
    (out / "vmlinux.o").write_bytes(OBJECT.read_bytes())
    outcome = run_cli("hook", "vmlinux.o", ".arch.vmlinux.o", env=hook_environment(), cwd=out)
    assert outcome == type(outcome)(0, "", "")
    assert names(out) == [".arch.vmlinux.S", ".arch.vmlinux.o", "vmlinux.o"]


def test_object_does_not_depend_on_the_temporary_name(run_cli: RunCli, out: Path) -> None:
    """Debug information carries the source's name: twice the same bytes."""
    environment = hook_environment(TOOLCHAIN="llvm-ppc64le")
    environment["KBUILD_AFLAGS"] += " -g"
    taken = []
    for _ in range(2):
        assert run_cli("hook", OBJECT, "vmlinux.arch.o", env=environment, cwd=out).code == 0
        taken.append((out / "vmlinux.arch.o").read_bytes())
        (out / "vmlinux.arch.o").unlink()
    assert taken[0] == taken[1]
    assert b"vmlinux.arch.S" in taken[0]


def test_assembler_cannot_read_our_input(out: Path, fake_cc: Path) -> None:
    """A tool that asks on standard input gets nothing, it does not hang."""
    from conftest import executable_path

    fake_cc.write_text(
        f'#!/bin/sh\nread line && exit 9\nwhile [ "$1" != -o ]; do shift; done\ncp {OBJECT} "$2"\n'
    )
    with subprocess.Popen(
        [executable_path("pfestubs"), "hook", OBJECT, out / "a.o"],
        env=clean_environment({"CC": str(fake_cc)}),
        stdin=subprocess.PIPE,
    ) as process:
        assert process.wait(timeout=60) == 0


def test_options_of_generate(run_cli: RunCli, fake_cc: Path, out: Path) -> None:
    source = OBJECTS / "plain-ppc32-gnu.o"
    fake_cc.write_text(fake_cc.read_text().replace(str(OBJECT), str(source)))
    words = ["--layout", "ool", "--reserve", "5", "--spare", "100"]
    assert run_cli("hook", *words, source, out / "a.o", env={"CC": str(fake_cc)}).code == 0
    assert ".long 107)" in (out / "a.S").read_text()
    outcome = run_cli("hook", "--layout", "pfe", OBJECT, out / "b.o", env={"CC": str(fake_cc)})
    assert outcome.code == 2
    assert names(out) == ["a.S", "a.o"]
