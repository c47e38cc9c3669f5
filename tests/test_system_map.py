# SPDX-License-Identifier: GPL-2.0-or-later
"""System.map, /proc/kallsyms and nm's output as the symbols of a kernel: read, and proved to be its own."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.seeds import map_of
from pfestubs.errors import InputError, PfestubsError
from pfestubs.read.system_map import read_system_map
from pfestubs.read.vmlinux import open_kernel
from support import FIXTURES, Kernels, MiniKernel, call, json_of, printed, refusal, run_program, tool
from support.dumps import with_banner
from support.elfwriter import SHT_PROGBITS, SHT_SYMTAB, section_headers
from support.kernelwriter import BASE, LinkedKernel

CASES = FIXTURES / "cases"


# -- the lines ------------------------------------------------------------------------------------------------


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], dict[str, tuple[int, int | None]]]:
    """The symbols f, g and h of a map with that content."""

    def symbols(content: bytes) -> dict[str, tuple[int, int | None]]:
        path = tmp_path / "System.map"
        path.write_bytes(content)
        found = read_system_map(str(path)).find(["f", "g", "h"])
        return {name: (info.address, info.size) for name, info in found.items()}

    return symbols


@pytest.mark.parametrize(
    "content",
    [
        b"0000000000001000 T f\n0000000000002000 t g\n",
        b"1000 T f\n2000 t g",
        b"\xef\xbb\xbf0000000000001000 T f\r\n0000000000002000 t g\r\n",
        b"\n1000 T f\n\n2000 t g\n \n",
        b"1000 T f\n                 U undefined\n2000 t g\n",
        b"1000 T f\n2000 t g\t[module]\n3000 t f\t[module]\n",
        b"0000000000001000\tT  f\n2000 t g\n",
        b"1000 T f\n2000 t g\n4000 ? \xff\xfe\n",
    ],
)
def test_lines(content: bytes, read: Callable[[bytes], object]) -> None:
    found = read(content)
    expected: dict[str, tuple[int, None]] = {"f": (0x1000, None), "g": (0x2000, None)}
    if b"g\t[module]" in content:
        del expected["g"]
    assert found == expected


def test_sizes(read: Callable[[bytes], object]) -> None:
    """`nm -S`: some lines have a size; 0 is unknown."""
    content = b"1000 0000000000000010 T f\n2000 T g\n3000 00000000 T h\n"
    assert read(content) == {"f": (0x1000, 16), "g": (0x2000, None), "h": (0x3000, None)}


@pytest.mark.parametrize(
    "line",
    [
        *(b"-1000 T f", b"0x1000 T f", b"1_000 T f", b"+1000 T f", b"_ T f", b"9" * 5000 + b" T f"),
        *(b"1" * 17 + b" T f", b"f" * 31 + b" T f", b"1000 TT f", b"1000 T f g", b"1000 f", b"1000 0010 T f"),
        *(b"T f", b"\xd9\xa1\xd9\xa2 T f", b"1000\x0b T f", b"1000 T\xc2\xa0f", b"symbol table", b"{}"),
    ],
)
def test_other_lines_are_refused(line: bytes, read: Callable[[bytes], object]) -> None:
    """Numbers that Python's own int() would take, too: the line is named."""
    with pytest.raises(InputError, match=r"line 2 is not a line of a System\.map"):
        read(b"1000 T g\n" + line + b"\n2000 T h\n")


def test_long_names_are_cut(tmp_path: Path) -> None:
    """A name of 100,000 bytes must not be repeated in each of thousands of findings."""
    path = tmp_path / "System.map"
    path.write_bytes(b"1000 T " + b"a" * 100_000 + b"\n")
    assert read_system_map(str(path)).locate(0x1000) == ("a" * 512, 0)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b"\n\n", "is empty"), (b"\x7fELF", "ELF file")]
)
def test_no_map(content: bytes, words: str, read: Callable[[bytes], object]) -> None:
    with pytest.raises(PfestubsError, match=words):
        read(content)


def test_the_same_names_as_the_file(mini_kernel: MiniKernel) -> None:
    """Both readers name every location alike, and find every name at the same address."""
    directory = mini_kernel(VARIANT="traps")
    path = directory.parent / "nm.map"
    with path.open("wb") as file:
        run_program(tool("powerpc64le-linux-gnu-nm"), "-n", directory / "vmlinux", check=True, stdout=file)
    vmlinux = str(directory / "vmlinux")
    with open_kernel(vmlinux) as kernel, open_kernel(vmlinux, str(path)) as with_map:
        assert [kernel.name(a) for a in kernel.table] == [with_map.name(a) for a in with_map.table]
        names = [name for name, _ in kernel.symbols.code_names()]
        own, mapped = (k.symbols.find(names) for k in (kernel, with_map))
        assert {n: i.address for n, i in own.items()} == {n: i.address for n, i in mapped.items()}


# -- whose map it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("run", "code"), [(7, 0), (8, 2), (40, 2), (79, 2)])
def test_a_run_of_functions_without_a_location_at_their_entry(run: int, code: int, tmp_path: Path) -> None:
    """Overridden weak functions keep locations without a symbol, one here and there; a build apart has many."""
    kernel = with_banner(LinkedKernel(text=[0x1000 + 32 * i for i in range(400)]))
    vmlinux, system_map = kernel.save(tmp_path / "vmlinux"), tmp_path / "System.map"
    strip(vmlinux)
    # The location of the first one moved is then within the function before it, which has its own.
    moved = {f"fn{i}" for i in range(100, 101 + run)}
    rows = [line.split() for line in map_of(kernel).decode().splitlines()]
    system_map.write_text(
        "".join(f"{int(at, 16) + 12 * (name in moved):016x} {letter} {name}\n" for at, letter, name in rows)
    )
    outcome = call("check", vmlinux, "--system-map", system_map)
    assert outcome.code == code, outcome
    assert (f"{run} functions of the map from" in outcome.err) == (code == 2)


def test_a_banner_at_the_end_of_its_section(tmp_path: Path) -> None:
    """A map has no sizes: the banner ends where its zero is, not where so much could be read."""
    kernel = LinkedKernel()
    vmlinux = with_banner(kernel, at=kernel.text_size - 84).save(tmp_path / "vmlinux")
    strip(vmlinux)
    (tmp_path / "System.map").write_bytes(map_of(kernel))
    document = json_of("check", vmlinux, "--system-map", tmp_path)
    assert document["kernel"]["release"] == "7.2.0-mini"


def strip(path: Path) -> None:
    """Make the symbol table of a little-endian kernel one of no kind."""
    image = bytearray(path.read_bytes())
    for at in section_headers(image):
        if image[at + 4] == SHT_SYMTAB:
            image[at + 4] = SHT_PROGBITS
    path.write_bytes(image)


@pytest.mark.parametrize("with_map", [False, True])
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("ftrace_caller", BASE + 0x40000000),  # where the file has nothing
        ("ftrace_regs_caller", BASE + 0x82),
        ("ftrace_caller", BASE + 0x3000),  # init text: freed after boot
        ("ftrace_tramp_text", BASE + 0x3000),
        ("ftrace_tramp_init", BASE + 0x8000000),
        ("ftrace_tramp_text", BASE + 0x1000),  # where the first function is
        ("ftrace_caller", LinkedKernel().area_address("text")),
    ],
)
def test_a_tracer_without_text(name: str, address: int, with_map: bool, tmp_path: Path) -> None:
    """The file's own symbols say so: it is damaged. A System.map does: it is of another build."""
    right = with_banner(LinkedKernel())
    assert BASE + 0x3000 in range(right.init_base, right.init_base + right.init_size)
    wrong = with_banner(LinkedKernel())
    wrong.places[name] = address
    vmlinux, system_map = (right if with_map else wrong).save(tmp_path / "vmlinux"), tmp_path / "System.map"
    words: list[str | Path] = ["check", vmlinux]
    if with_map:
        strip(vmlinux)
        system_map.write_bytes(map_of(wrong))
        words += ["--system-map", system_map]
    outcome = call(*words)
    place = "in an area, on a traced function, or not in kernel text"
    if with_map:
        assert (outcome.code, outcome.out) == (2, "")
        assert f"it has {name} at {address:#x}: {place}" in outcome.err
    else:
        assert (outcome.code, outcome.err) == (1, "")
        assert f"area-damaged: {name} at {address:#x} is {place}" in outcome.out


@pytest.mark.parametrize("area", ["text_end", "inittext"])
def test_a_map_with_the_count_of_an_area_where_zeros_are(area: str, tmp_path: Path) -> None:
    kernel = with_banner(LinkedKernel())
    kernel.words[kernel.area_address(area) - 8] = kernel.counts[area]  # where kbuild's assembly has it
    vmlinux, system_map = kernel.save(tmp_path / "vmlinux"), tmp_path / "System.map"
    strip(vmlinux)
    zeros = b"%016x T" % kernel.area_address("text")
    count = b" ftrace_ool_stub_%s_count\n" % area.encode()
    system_map.write_bytes(re.sub(rb".* T(?=%s)" % count, zeros, map_of(kernel)))
    outcome = refusal("check", vmlinux, "--system-map", system_map, about=system_map)
    assert f"area {area} has no stubs, but the file counts {kernel.counts[area]} at " in outcome


def test_a_reserve_without_stubs_near_the_count_of_the_end_area(tmp_path: Path) -> None:
    kernel = with_banner(LinkedKernel(text=[0x240, 0x250], reserve=0))
    kernel.words[kernel.area_address("text_end") - 8] = 2
    vmlinux = kernel.save(tmp_path / "vmlinux")
    strip(vmlinux)
    (tmp_path / "System.map").write_bytes(map_of(kernel))
    assert json_of("check", vmlinux, "--system-map", tmp_path)["ok"]


def test_the_one_area_without_padding_tells_the_size_of_a_stub(tmp_path: Path) -> None:
    """The gaps after the other areas, to the ends of their texts, have room for larger ones."""
    kernel = with_banner(LinkedKernel(text=range(0x230, 0x300, 0x10), reserve=3, stub_size=16))
    vmlinux = kernel.save(tmp_path / "vmlinux")
    strip(vmlinux)
    (tmp_path / "System.map").write_bytes(map_of(kernel))
    document = json_of("check", vmlinux, "--system-map", tmp_path)
    assert (document["ok"], document["stub_size"]) == (True, 16)


def neighbour(text: str, share: float, shift: int, *, drop: bool = True, data: bool = False) -> str:
    """The map of a build with a function less (`shift` bytes), or more (-`shift`), at a share of the text."""
    rows = [(int(line[:16], 16), line[17:]) for line in text.splitlines()]
    places = {row[2:]: address for address, row in rows}
    inside = range(places["_stext"] + 0x10001, places["ftrace_tramp_text"])
    functions = sorted(address for address, row in rows if row[0] in "Tt" and address in inside)
    border = functions[int(len(functions) * share)]
    end = 1 << 64 if data else places["_etext"]
    changed = [
        (address - shift if border < address < end else address, row)
        for address, row in rows
        if not (drop and address == border)
    ]
    words = {"__stop_mcount_loc": 8 if drop else -8}
    return "".join(f"{address - words.get(row[2:], 0):016x} {row}\n" for address, row in changed)


@pytest.mark.tools
@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("shift", [16, 64, -32])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.97, 0.999])
def test_neighbours_of_a_real_kernel(
    share: float, shift: int, data: bool, kernels: Kernels, tmp_path: Path
) -> None:
    """Debian's kernel, stripped: its own map is its map; one with one function less or more is refused."""
    vmlinux, own = (kernels(f"debian-7.2.13-ppc64le/{name}") for name in ("vmlinux", "System.map"))
    stripped = tmp_path / "vmlinux"
    run_program(tool("powerpc64le-linux-gnu-strip"), "-o", stripped, vmlinux, check=True)
    path = tmp_path / "System.map"
    path.write_text(neighbour(own.read_text(), share, shift, drop=shift > 0, data=data))
    refusal("check", stripped, "--system-map", path, about=path)


@pytest.mark.tools
@pytest.mark.parametrize("strip", ["powerpc64le-linux-gnu-strip", "llvm-strip-19"])
def test_a_real_kernel_with_its_own_map(strip: str, kernels: Kernels, tmp_path: Path) -> None:
    vmlinux, own = (kernels(f"debian-7.2.13-ppc64le/{name}") for name in ("vmlinux", "System.map"))
    stripped = tmp_path / "vmlinux"
    run_program(tool(strip), "-o", stripped, vmlinux, check=True)
    with_map = printed("check", stripped, "--system-map", own)
    assert with_map.replace(str(stripped), str(vmlinux)) == call("check", vmlinux).out
    assert call("check", vmlinux, "--system-map", own) == call("check", vmlinux)


def test_a_map_without_the_kernels_stubs_is_of_another_kernel(mini_kernel: MiniKernel) -> None:
    directory = mini_kernel(TOOLCHAIN="gcc-ppc64le")
    thinned = directory.parent / "thinned.map"
    lines = (directory / "System.map").read_text().splitlines(keepends=True)
    thinned.write_text("".join(line for line in lines if "ftrace_ool_stub" not in line))
    assert "has no ftrace_ool_stub" in refusal("check", directory / "vmlinux", "--system-map", thinned)
