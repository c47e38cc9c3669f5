# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel trees for the tests of `pfestubs kbuild`, and building in them with GNU make."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pfestubs.kbuild.makefiles import POSTLINK_MAKEFILE, TOOLS_MAKEFILE
from support import FIXTURES, OBJECTS, Outcome, call, executable_path, run_program, tool

TREES = FIXTURES / "trees"
MAKEFILES = (TOOLS_MAKEFILE, POSTLINK_MAKEFILE)
KNOWN = ("mainline-7.2", "mainline-6.13", "rfc-v3")


def copy_tree(name: str, target: Path) -> Path:
    shutil.copytree(TREES / name, target)
    return target


def contents(tree: Path) -> dict[str, bytes]:
    return {str(p.relative_to(tree)): p.read_bytes() for p in sorted(tree.rglob("*")) if p.is_file()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


CONFIG = (
    "CONFIG_PPC64=y\nCONFIG_64BIT=y\nCONFIG_FUNCTION_TRACER=y\nCONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE={}\n"
)
FAKE = """\
#!/bin/sh
# pfestubs with a version and a check that the test chooses.
case $1 in
--version) cat {directory}/version ;;
check) shift; echo "$@" >> {directory}/checks; . {directory}/check ;;
*) exec {pfestubs} "$@" ;;
esac
"""
FAKE_CC = """\
#!/bin/sh
# An object of the same kind, with the source after it, so that it changes with the source.
while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
cat {object} "$1" > "$out"
"""


@contextmanager
def failing_replace(number: int) -> Iterator[None]:
    """Let the file of that number not be put in its place: the disk is full."""
    replace, calls = os.replace, iter(range(9))

    def fail(source: str, target: str) -> None:
        if next(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", fail)
        yield


class Build:
    """A tree with a replacement for kbuild, its object directory, and a pfestubs whose behaviour can be set."""

    def __init__(self, name: str, directory: Path) -> None:
        self.tree = copy_tree(name, directory / "linux")
        shutil.copytree(TREES / "kbuild", self.tree, dirs_exist_ok=True)
        self.out = directory / "out"
        self.out.mkdir()
        self.directory = directory
        self.object = OBJECTS / ("pfe-ppc64le-gnu.o" if name.startswith("rfc") else "ool-ppc64le-gnu.o")
        self.reserve("" if name.startswith("rfc") else reserve_of(self.object))
        self.input()
        self.version("9.1")
        self.check("exit 0")
        for name_, text in (
            ("pfestubs", FAKE.format(directory=directory, pfestubs=executable_path("pfestubs"))),
            ("fake-cc", FAKE_CC.format(object=self.object)),
        ):
            (directory / name_).write_text(text)
            (directory / name_).chmod(0o755)
        assert call("kbuild", "install", self.tree).code == 0

    def reserve(self, reserve: str) -> None:
        (self.tree / "config").write_text(CONFIG.format(reserve))

    def input(self) -> None:
        """As if a source file had changed: vmlinux.o is made again."""
        (self.tree / "input").write_text("")

    def version(self, version: str) -> None:
        (self.directory / "version").write_text(version + "\n")

    def check(self, script: str) -> None:
        (self.directory / "check").write_text(script + "\n")

    def checks(self) -> list[str]:
        """What `check` was called for since last asked."""
        path = self.directory / "checks"
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return text.splitlines()

    def make(
        self, *words: str, env: Mapping[str, str] | None = None, pfestubs: str | None = "pfestubs"
    ) -> Outcome:
        """Run make; `pfestubs` is the program in this directory to use, None for the makefiles' default."""
        given = {word.partition("=")[0] for word in words} | set(env or {})
        default = [] if "PFESTUBS" in given or not pfestubs else [f"PFESTUBS={self.directory / pfestubs}"]
        done = run_program(
            *(tool("make"), "-j2", "-f", self.tree / "Makefile", f"srctree={self.tree}"),
            *(f"OBJECT={self.object}", *default, *words),
            env={"CC": str(self.directory / "fake-cc"), **(env or {})},
            cwd=self.out,
        )
        return Outcome(done.code, done.out, done.err)

    def steps(self, *words: str, env: Mapping[str, str] | None = None) -> list[str]:
        """The announced commands of a successful make: "GEN vmlinux.arch.S"."""
        outcome = self.make(*words, env=env)
        assert outcome.code == 0, outcome.out + outcome.err
        return [
            f"{m[1]} {os.path.basename(m[2])}"
            for m in re.finditer(r"^  (\S+) +(\S+)$", outcome.out, re.MULTILINE)
        ]


def reserve_of(path: Path) -> str:
    return str(json.loads(call("count", "--format", "json", path).out)["stubs"]["text"])
