# SPDX-License-Identifier: GPL-2.0-or-later
"""Inputs that failed in the field, and more of each kind: no false verdict, and a message about the right file."""

from pathlib import Path
from typing import Any

import pytest

from support import (
    FIXTURES,
    OBJECTS,
    Kernels,
    MiniKernel,
    call,
    json_of,
    printed,
    refusal,
    run_cli,
    run_program,
    tool,
)
from support.kernelwriter import LinkedKernel

CASES = FIXTURES / "cases"
DEBIAN = "debian-7.2.13-ppc64le"
FORMATS = ("text", "json", "junit", "sarif", "github")


def assert_passes(path: Path, *words: str | Path) -> Any:
    """The document of a check of 16 locations that finds nothing."""
    document = json_of("check", path, *words)
    assert (document["locations"], document["findings"]) == (16, [])
    return document


# -- a check that examined nothing does not pass -----------------------------------------------------------


@pytest.fixture(params=["moved-symbols", "no table", "all zero", "outside text"])
def nothing_to_examine(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Kernels without a single location."""
    if request.param == "moved-symbols":
        return CASES / "moved-symbols"
    table = {"no table": [], "all zero": [0, 0, 0], "outside text": [0x1000, 0x2000]}[request.param]
    return LinkedKernel(table=table).save(tmp_path / "vmlinux")


@pytest.mark.parametrize("format_", FORMATS)
def test_nothing_examined_fails_in_every_format(format_: str, nothing_to_examine: Path) -> None:
    assert "table-damaged" in printed("check", "--format", format_, nothing_to_examine, code=1)


@pytest.mark.parametrize("case", ["table-zeros", "area-on-function", "moved-symbols"])
def test_a_damaged_kernel_passes_no_command(case: str, tmp_path: Path) -> None:
    """Almost nothing, or what the boot would overwrite, is no ground for a verdict."""
    path, rule = CASES / case, "area-damaged" if case.startswith("area") else "table-damaged"
    log, page = tmp_path / "log", tmp_path / "page.html"
    log.write_text("[    0.000000] ftrace: allocating 16 entries in 1 pages\n")
    good = LinkedKernel().save(tmp_path / "good")
    commands: list[list[str | Path]] = [
        ["check", path],
        ["check", path, "--prelink", OBJECTS / "ool-ppc64le-gnu.o"],
        ["plan", path],
        ["stubs", path],
        ["verify", path, good],
        ["diff", good, path],
        ["explain", path, log],
        ["report", path, "-o", page],
    ]
    for command in commands:
        outcome = call(*command)
        assert outcome.code in ({2} if command[0] in {"stubs", "verify", "explain"} else {1}), command
        assert rule in outcome.out + outcome.err or command[0] in {"verify", "report"}, command
    assert rule in page.read_text()


def test_nothing_examined_fails_the_drop_in(nothing_to_examine: Path) -> None:
    outcome = run_cli("nm", nothing_to_examine, executable="ftrace-check")
    assert (outcome.code, outcome.out) == (1, "")
    assert "table-damaged" in outcome.err


# -- a System.map is proved --------------------------------------------------------------------------------


def test_the_map_of_another_build_is_refused() -> None:
    vmlinux = CASES / "stripped"
    foreign = CASES / "stripped.foreign.map"
    assert "is not of" in refusal("check", vmlinux, "--system-map", foreign, about=foreign)
    json_of("check", vmlinux, "--system-map", CASES / "stripped.own.map")


@pytest.mark.parametrize("shift", [-0x40, -0x20, 0x10, 0x20, 0x1000])
def test_maps_of_neighbouring_builds_are_refused(shift: int, tmp_path: Path) -> None:
    """One function more or less: what comes after it in text is elsewhere."""
    lines = [line.split() for line in (CASES / "stripped.own.map").read_text().splitlines()]
    functions = [i for i, (_, letter, _) in enumerate(lines) if letter in "tT"]
    first = functions[len(functions) // 2]
    stop = next(i for i, (_, _, name) in enumerate(lines) if name == "_etext")
    other = tmp_path / "System.map"
    moved = range(first, stop)
    other.write_text(
        "".join(
            f"{int(address, 16) + (shift if i in moved else 0):016x} {letter} {name}\n"
            for i, (address, letter, name) in enumerate(lines)
        )
    )
    assert "is not of" in refusal("check", CASES / "stripped", "--system-map", other, about=other)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("placeholder.map", "is a placeholder without symbols"),
        ("kptr-restricted.map", "read /proc/kallsyms as root"),
    ],
)
def test_what_a_map_lacks_is_said_of_the_map(name: str, words: str) -> None:
    about = CASES / name
    assert words in refusal("check", CASES / "mini-stripped", "--system-map", about, about=about)


@pytest.mark.parametrize("name", ["mini.map", "mini.nm-S.map", "mini.bom.map", "mini.blank-line.map"])
def test_maps_of_every_spelling(name: str) -> None:
    assert_passes(CASES / "mini-stripped", "--system-map", CASES / name)


def test_of_equal_names_the_global_one_counts() -> None:
    vmlinux, symbols = CASES / "same-name", CASES / "same-name.map"
    assert json_of("check", vmlinux) == json_of("check", vmlinux, "--system-map", symbols)


# -- absent symbols prove nothing --------------------------------------------------------------------------


def test_stub_symbols_stripped_away() -> None:
    path = CASES / "strip-keep"
    assert "has no symbols of stub areas" in refusal("check", path, about=path)


@pytest.mark.cross
@pytest.mark.parametrize("command", ["check", "stubs", "plan", "explain"])
def test_stub_symbols_stripped_away_from_a_miniature(
    command: str, mini_kernel: MiniKernel, tmp_path: Path
) -> None:
    path = without_stub_symbols(mini_kernel() / "vmlinux", tmp_path / "vmlinux")
    log = (FIXTURES / "logs" / "README.md",) if command == "explain" else ()
    assert "has no symbols of stub areas" in refusal(command, path, *log, about=path)


def without_stub_symbols(original: Path, copy: Path) -> Path:
    options = ("--wildcard", "--strip-symbol=ftrace_ool_stub_*")
    run_program(tool("powerpc64le-linux-gnu-objcopy"), *options, original, copy, check=True)
    return copy


def test_sizes_of_zero_are_unknown() -> None:
    assert assert_passes(CASES / "sizes-zero")["stub_size"] == 24


# -- relocations -------------------------------------------------------------------------------------------


def test_crel() -> None:
    document = json_of("count", "--layout", "ool", "--reserve", "4", CASES / "crel.o")
    assert document["entries"] == {"text": 16, "inittext": 3, "exittext": 1, "total": 20}
    assert document["relocation"] == "R_PPC64_ADDR64"


def test_a_pie_without_section_headers() -> None:
    assert_passes(CASES / "pie-no-sections", "--system-map", CASES / "pie.map")


# -- near-misses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "words"), [("vmlinux.lz4", "lz4 -dk"), ("image.itb", "dumpimage")])
@pytest.mark.parametrize("command", ["check", "count", "stubs"])
def test_packed_kernels_are_named(command: str, name: str, words: str) -> None:
    assert words in refusal(command, CASES / name, about=CASES / name)


@pytest.mark.cross
def test_constructors_of_an_older_linker_script(tmp_path: Path) -> None:
    """Counted as init text, linked as text: the check compares both and finds it."""
    prefix = "powerpc64le-linux-gnu-"
    obj, linked = tmp_path / "text-startup.o", tmp_path / "linked"
    run_program(tool(f"{prefix}as"), CASES / "text-startup.s", "-o", obj, check=True)
    script = CASES / "text-startup.lds"
    run_program(tool(f"{prefix}ld"), "-T", script, obj, "-o", linked, check=True)
    document = json_of("count", "--layout", "ool", "--reserve", "0", obj)
    assert document["entries"] == {"text": 1, "inittext": 1, "exittext": 0, "total": 2}


# -- the same with a distribution's kernel -----------------------------------------------------------------


@pytest.mark.tools
def test_debian_without_stub_symbols(kernels: Kernels, tmp_path: Path) -> None:
    path = without_stub_symbols(kernels(f"{DEBIAN}/vmlinux"), tmp_path / "vmlinux")
    assert "has no symbols of stub areas" in refusal("check", path, about=path)
