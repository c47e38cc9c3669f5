# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs hook`: the environment as kbuild exports it; the object whole or not at all."""

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from support import (
    OBJECTS,
    MiniKernel,
    clean_environment,
    hook_environment,
    run_cli,
    run_program,
    shell_script,
    tool,
)

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


def test_empty_areas_define_their_symbols(out: Path, mini_kernel: MiniKernel) -> None:
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


def test_words_and_their_order(fake_cc: Path, out: Path) -> None:
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
        "'$(touch evaluated)' '`touch evaluated`'",
    ],
)
def test_words_as_the_shell_splits_them(flags: str, fake_cc: Path, out: Path) -> None:
    expected = run_program("sh", "-c", f'set -- {flags}; printf "%s\\n" "$@"', check=True).out.splitlines()
    outcome = run_cli(
        "hook", OBJECT, out / "vmlinux.arch.o", env={"CC": str(fake_cc), "KBUILD_AFLAGS": flags}
    )
    assert outcome.code == 0
    assert words_of(fake_cc)[:-4] == expected


@pytest.mark.parametrize("variable", ["V", "KBUILD_VERBOSE"])
def test_verbose_shows_the_command(variable: str, fake_cc: Path, out: Path) -> None:
    environment = {"CC": str(fake_cc), "KBUILD_AFLAGS": "-DA='x y'", variable: "1"}
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=environment)
    assert (outcome.code, outcome.out) == (0, "")
    assert shlex.split(outcome.err) == [str(fake_cc), *words_of(fake_cc)]
    assert run_cli("hook", OBJECT, out / "b.o", env={**environment, variable: "0"}).err == ""


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
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=environment)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"{subject}: error: ")
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


TO_OUTPUT = 'while [ "$1" != -o ]; do shift; done; '
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
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=environment)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    last = outcome.err.splitlines()[-1]
    assert ": error: " in last
    assert reason in last
    assert object_of(contents(out)) == object_of(before)
    assert (out / "vmlinux.arch.S").read_text() == run_cli("generate", OBJECT).out


def test_bad_object_never_reaches_the_assembler(fake_cc: Path, out: Path, tmp_path: Path) -> None:
    before = old_files(out)
    outcome = run_cli("hook", tmp_path / "missing.o", out / "vmlinux.arch.o", env={"CC": str(fake_cc)})
    assert outcome.code == 2
    assert contents(out) == before
    assert not fake_cc.with_name("fake-cc.words").exists()


def test_unchanged_files_keep_their_times(out: Path) -> None:
    for _ in range(2):
        assert run_cli("hook", OBJECT, out / "vmlinux.arch.o", env=hook_environment()).code == 0
        if not (out / "marker").exists():
            (out / "marker").touch()
            for name in ("vmlinux.arch.S", "vmlinux.arch.o"):
                os.utime(out / name, (1_000_000_000, 1_000_000_000))
    times = {path.name: int(path.stat().st_mtime) for path in out.glob("vmlinux*")}
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
    outcome = run_cli("hook", OBJECT, name, env={"CC": str(fake_cc)}, cwd=out)
    assert (outcome.code, outcome.out) == (2, "")
    assert reason in outcome.err
    assert names(out) == []


def test_relative_names(out: Path) -> None:
    """As kbuild calls it, at the top of the build tree."""
    (out / "vmlinux.o").write_bytes(OBJECT.read_bytes())
    outcome = run_cli("hook", "vmlinux.o", ".arch.vmlinux.o", env=hook_environment(), cwd=out)
    assert outcome == type(outcome)(0, "", "")
    assert names(out) == [".arch.vmlinux.S", ".arch.vmlinux.o", "vmlinux.o"]


def test_object_does_not_depend_on_the_temporary_name(out: Path) -> None:
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
    from support import executable_path

    fake_cc.write_text(
        f'#!/bin/sh\nread line && exit 9\nwhile [ "$1" != -o ]; do shift; done\ncp {OBJECT} "$2"\n'
    )
    with subprocess.Popen(
        [executable_path("pfestubs"), "hook", OBJECT, out / "a.o"],
        env=clean_environment({"CC": str(fake_cc)}),
        stdin=subprocess.PIPE,
    ) as process:
        assert process.wait(timeout=60) == 0


def test_options_of_generate(fake_cc: Path, out: Path) -> None:
    source = OBJECTS / "plain-ppc32-gnu.o"
    fake_cc.write_text(fake_cc.read_text().replace(str(OBJECT), str(source)))
    words = ["--layout", "ool", "--reserve", "5", "--spare", "100"]
    assert run_cli("hook", *words, source, out / "a.o", env={"CC": str(fake_cc)}).code == 0
    assert ".long 107)" in (out / "a.S").read_text()
    outcome = run_cli("hook", "--layout", "pfe", OBJECT, out / "b.o", env={"CC": str(fake_cc)})
    assert outcome.code == 2
    assert names(out) == ["a.S", "a.o"]


# -- what the compiler leaves ----------------------------------------------------------------------------------


def damaged_object(change: str) -> bytes:
    data = bytearray(OBJECT.read_bytes())
    if change == "executable":
        data[16] = 2
    elif change == "x86":
        data[18] = 62
    elif change == "short":
        del data[63:]
    return bytes(data)


@pytest.mark.parametrize(
    "change", ["executable", "x86", "short", "text", "ool-ppc64-gnu.o", "plain-ppc32-gnu.o", "empty"]
)
def test_object_of_another_kind(change: str, fake_cc: Path, out: Path, tmp_path: Path) -> None:
    """Four bytes are no object, nor is one for another machine: a compiler that does not fit."""
    before = old_files(out)
    wrong = tmp_path / "wrong.o"
    if change.endswith(".o"):
        wrong.write_bytes((OBJECTS / change).read_bytes())
    else:
        wrong.write_bytes({"text": b"obj\n", "empty": b""}.get(change, damaged_object(change)))
    fake_cc.write_text(fake_cc.read_text().replace(str(OBJECT), str(wrong)))
    outcome = run_cli("hook", OBJECT, out / "vmlinux.arch.o", env={"CC": str(fake_cc)})
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"{fake_cc}: error: ")
    assert outcome.err.count("\n") == 1
    assert object_of(contents(out)) == object_of(before)


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "llvm-ppc64le"])
@pytest.mark.parametrize("name", ["-x.o", "@x.o", "-dir/-x.o", "with space.o"])
def test_names_that_look_like_options(toolchain: str, name: str, out: Path) -> None:
    (out / "-dir").mkdir()
    outcome = run_cli("hook", OBJECT, "--", name, env=hook_environment(TOOLCHAIN=toolchain), cwd=out)
    assert outcome == type(outcome)(0, "", "")
    target = out / name
    assert names(target.parent) == sorted(
        {target.name, target.with_suffix(".S").name} | ({"-dir"} if target.parent == out else set())
    )
    assert target.read_bytes().startswith(b"\x7fELF")


@pytest.mark.parametrize("flags", ["-gsplit-dwarf", "-save-temps=obj", "-MD"])
def test_nothing_but_the_object_is_left(flags: str, out: Path) -> None:
    environment = hook_environment(TOOLCHAIN="gcc-ppc64le")
    environment["KBUILD_AFLAGS"] += f" {flags}"
    assert run_cli("hook", OBJECT, "a.o", env=environment, cwd=out).code == 0
    assert names(out) == ["a.S", "a.o"]


@pytest.mark.parametrize("toolchain", ["gcc-ppc64le", "llvm-ppc64le"])
@pytest.mark.parametrize("flags", ["", "-g", "-g -gsplit-dwarf"])
def test_same_object_as_of_the_compiler_itself(toolchain: str, flags: str, out: Path) -> None:
    """Where the object is made does not show in it."""
    environment = hook_environment(TOOLCHAIN=toolchain)
    environment["KBUILD_AFLAGS"] += f" {flags}"
    assert run_cli("hook", OBJECT, "a.o", env=environment, cwd=out).code == 0
    found = (out / "a.o").read_bytes()
    variables = ("CC", "NOSTDINC_FLAGS", "LINUXINCLUDE", "KBUILD_CPPFLAGS", "KBUILD_AFLAGS")
    words = [word for name in variables for word in shlex.split(environment[name])]
    run_program(*words, "-c", "-o", "a.o", "a.S", check=True, cwd=out)
    assert (out / "a.o").read_bytes() == found


@pytest.mark.parametrize("length", [244, 255])
def test_long_names(length: int, out: Path) -> None:
    stem = "x" * (length - 2)
    assert run_cli("hook", OBJECT, out / f"{stem}.o", env=hook_environment()).code == 0
    assert names(out) == [f"{stem}.S", f"{stem}.o"]


def test_object_in_dev_null(fake_cc: Path, out: Path) -> None:
    """Whatever is not a regular file is written directly."""
    (out / "a.o").symlink_to("/dev/null")
    outcome = run_cli("hook", OBJECT, out / "a.o", env={"CC": str(fake_cc)})
    assert outcome == type(outcome)(0, "", "")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert names(out) == ["a.S", "a.o"]


def test_links_are_followed(fake_cc: Path, out: Path) -> None:
    store = out / "store"
    store.mkdir()
    for name in ("a.S", "a.o"):
        (store / f"real-{name}").write_text("old")
        (out / name).symlink_to(f"store/real-{name}")
    assert run_cli("hook", OBJECT, out / "a.o", env={"CC": str(fake_cc)}).code == 0
    assert (out / "a.o").is_symlink()
    assert (out / "a.S").is_symlink()
    assert (store / "real-a.o").read_bytes() == OBJECT.read_bytes()
    assert names(store) == ["real-a.S", "real-a.o"]
    assert words_of(fake_cc)[-1] == str(out / "a.S")
