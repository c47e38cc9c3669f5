# SPDX-License-Identifier: GPL-2.0-or-later
"""Real kernels: the known numbers, and the object that kbuild assembled from the script's output."""

from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from support import Kernels, call, hook_environment, json_of, run_cli

PSERIES = "pseries-7.2.13-ppc64le"


@pytest.fixture
def vmlinux_o(kernels: Kernels) -> Path:
    return kernels(f"{PSERIES}/vmlinux.o")


def test_count(vmlinux_o: Path) -> None:
    assert json_of("count", vmlinux_o) == {
        "schema": "pfestubs/count/1",
        "file": str(vmlinux_o),
        "machine": "ppc64",
        "class": 64,
        "byte_order": "little",
        "relocation": "R_PPC64_ADDR64",
        "layout": "ool",
        "entries": {"text": 74_811, "inittext": 2_215, "exittext": 0, "total": 77_026},
        "stubs": {"text": 32_768, "text_end": 42_043, "inittext": 2_215},
    }


def test_no_warning_of_a_healthy_kernel(vmlinux_o: Path) -> None:
    plain = call("generate", vmlinux_o)
    assert (plain.code, plain.err) == (0, "")
    assert call("generate", "--spare", "auto", vmlinux_o) == plain
    assert call("generate", "--spare", "9", vmlinux_o).out == plain.out.replace("42043", "42052")


def sections(path: Path) -> list[tuple[Any, ...]]:
    with path.open("rb") as file:
        return [
            (s.name, s["sh_type"], s["sh_flags"], s["sh_addralign"], s["sh_size"], s.data())
            for s in ELFFile(file).iter_sections()
            if s["sh_type"] not in {"SHT_SYMTAB", "SHT_STRTAB"}
        ]


def symbols(path: Path) -> list[tuple[Any, ...]]:
    with path.open("rb") as file:
        elf = ELFFile(file)
        table: Any = elf.get_section_by_name(".symtab")
        return sorted(
            (
                s.name,
                s["st_value"],
                s["st_size"],
                s["st_info"]["type"],
                s["st_info"]["bind"],
                s["st_other"]["visibility"],
                elf.get_section(s["st_shndx"]).name if isinstance(s["st_shndx"], int) else s["st_shndx"],
            )
            for s in table.iter_symbols()
        )


def test_object_is_the_one_kbuild_assembled(vmlinux_o: Path, kernels: Kernels, tmp_path: Path) -> None:
    made, known = tmp_path / "vmlinux.arch.o", kernels(f"{PSERIES}/vmlinux.arch.o")
    outcome = run_cli("hook", vmlinux_o, made, env=hook_environment())
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert len(sections(known)) >= 6
    assert sections(made) == sections(known)
    assert len(symbols(known)) == 10
    assert symbols(made) == symbols(known)
