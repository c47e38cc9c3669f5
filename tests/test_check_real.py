# SPDX-License-Identifier: GPL-2.0-or-later
"""`check` on real kernels: the known numbers, the memory of a booted kernel, and a kernel that dies at boot."""

from pathlib import Path

from support import Kernels, call, json_of

DEBIAN, PSERIES, TRAP = "debian-7.2.13-ppc64le", "pseries-7.2.13-ppc64le", "pseries-7.2.13-trap"


def test_debian_is_served_completely(kernels: Kernels) -> None:
    path = kernels(f"{DEBIAN}/vmlinux")
    found = json_of("check", path)
    assert found["locations"] == 42_648
    assert found["stub_size"] == 24
    assert found["findings"] == []
    assert [(a["name"], a["address"], a["reserved"], a["used"], a["needed"]) for a in found["areas"]] == [
        ("text", "0xc0000000000772b0", 32_768, 32_768, 32_768),
        ("text_end", "0xc0000000013da540", 8_121, 8_121, 8_121),
        ("inittext", "0xc000000002085248", 1_759, 1_759, 1_759),
    ]
    assert call("check", path).out == (
        f"{path}: ok: all 42,648 functions get a working stub (text 32,768 of 32,768, text_end 8,121 of 8,121,"
        " inittext 1,759 of 1,759), headroom 18,327,316 bytes (17.5 MiB, stub branch of cpuidle_add_sysfs+0x8)\n"
    )


def test_pseries_has_the_stubs_that_its_object_asks_for(kernels: Kernels, tmp_path: Path) -> None:
    path, obj = kernels(f"{PSERIES}/vmlinux"), kernels(f"{PSERIES}/vmlinux.o")
    found = json_of("check", path, "--prelink", obj)
    assert found["locations"] == 77_026
    assert [a["used"] for a in found["areas"]] == [32_768, 42_043, 2_215]
    assert found["findings"] == []
    saved = tmp_path / "count.json"
    saved.write_text(call("count", "--format", "json", obj).out)
    assert json_of("check", path, "--prelink", saved) == found
    # Another kernel has other counts.
    other = json_of("check", kernels(f"{DEBIAN}/vmlinux"), "--prelink", saved, code=1)
    assert [f["rule"] for f in other["findings"]] == ["count-mismatch"] * 2


def test_the_trap_that_mainlines_check_lets_pass(kernels: Kernels) -> None:
    path = kernels(f"{TRAP}/vmlinux")
    found = json_of("check", path, code=1)
    assert found["locations"] == 77_026
    assert [(a["used"], a["needed"]) for a in found["areas"]] == [
        (17_883, 17_883),
        (42_043, 56_928),
        (2_215, 2_215),
    ]
    failed = [f for f in found["findings"] if f["severity"] == "error"]
    assert len(failed) == 14_885
    assert {f["rule"] for f in failed} == {"area-exhausted"}
    assert (failed[0]["function"], failed[0]["location"]) == ("dev_create+0x8", "0xc0000000034a4a38")
    assert [f["rule"] for f in found["findings"] if f["severity"] == "note"] == ["area-unused"]
    lines = call("check", path).out.splitlines()
    assert len(lines) == 8
    assert (
        "area text_end has 42,043 stubs, 56,928 functions need one: 14,885 functions get no stub" in lines[0]
    )
    assert "set CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE=12432 in .config" in lines[0]
    assert lines[1:3] == [
        "    scripts/config --set-val PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE 12432",
        "    values from 6,055 to 18,465 work; 12,432 leaves the most room for text to grow, the same on both"
        " sides: 3.0 MiB",
    ]
    assert lines[-1].startswith(f"{path}: failed: 14,885 errors (area-exhausted 14,885), 77,026 locations")
