# SPDX-License-Identifier: GPL-2.0-or-later
"""Run pfestubs on a live kernel: boot one for ppc64le in QEMU with Python inside, and compare what it prints.

    python tests/liveguest.py VMLINUX ROOT PYZ

ROOT holds Debian's Python and packages for ppc64el (`tools/debian-root`), PYZ is the zip application.
`make live-test` makes both and runs this. The kernel needs an initramfs, devtmpfs, /proc/kcore and tracefs.
"""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bootguest import FILTER, BootError, boot, cpio, filtered_locations

HERE: Final = Path(__file__).parent.parent
INIT: Final = f"""\
#!/bin/busybox sh
export PATH=/bin:/usr/bin
busybox mount -t proc proc /proc; busybox mount -t devtmpfs dev /dev; busybox mount -t sysfs sys /sys
busybox mount -t tracefs tracing /sys/kernel/tracing
report() {{
    printf '\\n[%s]\\n' "$1"; shift
    "$@" > /tmp/report 2>&1; status=$?  # not a terminal
    busybox cat /tmp/report; echo "[status $status]"
}}
both() {{
    name=$1; shift
    PYTHONPATH=/pfestubs/src report "$name" python3 -m pfestubs "$@"
    report "$name, zip application" python3 -S /pfestubs.pyz "$@"
}}
cd /
both 'check' check vmlinux
both 'check with kallsyms' check --system-map /proc/kallsyms vmlinux
both 'verify, idle' verify vmlinux /proc/kcore
echo '{FILTER}' > /sys/kernel/tracing/set_ftrace_filter
echo function > /sys/kernel/tracing/current_tracer
both 'verify, {FILTER} traced' verify vmlinux /proc/kcore
echo nop > /sys/kernel/tracing/current_tracer
both 'verify, no longer traced' verify vmlinux /proc/kcore
busybox dmesg > log
both 'explain' explain vmlinux log
echo '[end]'
busybox sleep 1000
"""
END: Final = re.compile(r"^\[end\]$", re.MULTILINE)
_REPORT: Final = re.compile(r"^\[(?!status)(.+)\]\n((?:.*\n)*?)\[status (\d+)\]$", re.MULTILINE)
_NEEDLESS: Final = ("boot/", "usr/share/", "usr/sbin/", "var/")


def members(vmlinux: Path, root: Path, pyz: Path) -> Iterator[tuple[str, int, bytes]]:
    """Yield what the guest's root file system holds, directories before what is in them."""
    yield "init", stat.S_IFREG | 0o755, INIT.encode()
    yield "vmlinux", stat.S_IFREG | 0o644, vmlinux.read_bytes()
    yield "pfestubs.pyz", stat.S_IFREG | 0o644, pyz.read_bytes()
    yield "pfestubs", stat.S_IFDIR | 0o755, b""
    trees = [(root, root, ""), (HERE / "src", HERE, "pfestubs/"), (HERE / "templates", HERE, "pfestubs/")]
    for tree, base, prefix in trees:
        for path in [tree, *sorted(tree.rglob("*"))]:
            name = prefix + path.relative_to(base).as_posix()
            mode = path.lstat().st_mode
            if name == "." or name.startswith(_NEEDLESS) or "__pycache__" in path.parts:
                continue
            if stat.S_ISLNK(mode):
                yield name, mode, os.fsencode(path.readlink())
            elif stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                yield name, mode, path.read_bytes() if stat.S_ISREG(mode) else b""


def expectations(vmlinux: Path) -> dict[str, list[str]]:
    """Return what the last line of each report must hold, from what pfestubs says here of the same file."""

    def pfestubs(*arguments: str) -> str:
        command = [sys.executable, "-m", "pfestubs", *arguments, str(vmlinux)]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    checked = pfestubs("check").replace(str(vmlinux), "vmlinux").rstrip("\n")
    stubs = json.loads(pfestubs("stubs", "--format", "json"))["stubs"]
    kept = {int(stub["location"], 16) for stub in stubs if stub["area"] != "inittext"}
    total, freed = len(stubs), len(stubs) - len(kept)
    traced = len(kept & set(filtered_locations(vmlinux, FILTER)))
    idle = ["vmlinux: ok: ", f"{total - freed:,} of {total:,} stubs", f", {freed:,} freed"]
    return {
        "check": [checked],
        "check with kallsyms": [checked],
        "verify, idle": idle,
        f"verify, {FILTER} traced": [f"{total - freed - traced:,} of ", f", {traced:,} in use", idle[2]],
        "verify, no longer traced": idle,
        "explain": ["log: ok: ", f"{total:,} entries"],
    }


def main(vmlinux: Path, root: Path, pyz: Path) -> int:
    """Boot, print each report's last line; 0 if all are as expected, 1 if not, 2 if the kernel did not boot."""
    expected = expectations(vmlinux)
    print(f"live-test: booting {vmlinux}", flush=True)
    try:
        initramfs = cpio(members(vmlinux, root, pyz))
        with boot(vmlinux, "loglevel=1", until=END, initramfs=initramfs, memory="2G", dump=False) as guest:
            reports = {name: (text, status) for name, text, status in _REPORT.findall(guest.console)}
    except BootError as e:
        print(f"{vmlinux}: error: {e}", file=sys.stderr)
        return 2
    failures = 0
    for name in [name for one in expected for name in (one, f"{one}, zip application")]:
        text, status = reports.get(name, ("no report\n", "?"))
        last = text.splitlines()[-1] if text else ""
        good = status == "0" and all(
            part in last for part in expected[name.removesuffix(", zip application")]
        )
        failures += not good
        print(f"{'ok' if good else 'FAIL':5} {name}: {last if good else text} (status {status})")
    if failures:
        print(guest.console, file=sys.stderr)
    print(f"live-test: {len(reports)} reports in {guest.seconds:.0f} s, {failures} not as expected")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
