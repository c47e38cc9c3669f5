# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipes of docs/recipes.md, each followed to the letter on a copy of the repository."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from support import ROOT, clean_environment, run_program, shell_script
from support.elfwriter import KernelObject

DOCUMENT = (ROOT / "docs" / "recipes.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in DOCUMENT.split("\n## ")[1:] if "```diff" in part}


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def apply(diff: str, tree: Path) -> None:
    """Apply hunks whose old lines, if any, are once in the file; without any, they are its end."""
    for part in re.split(r"^\+\+\+ ", diff, flags=re.MULTILINE)[1:]:
        name, *hunks = re.split(r"^(?:@@)?\n", part, flags=re.MULTILINE)
        assert hunks, f"{name}: no @@"
        path = tree / name.strip()
        text = path.read_text() if path.exists() else ""
        for hunk in filter(None, hunks):
            lines = [line or " " for line in hunk.splitlines()]
            old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
            new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
            assert not old or text.count(old) == 1, f"{name}: found {text.count(old)} times:\n{old}"
            text = text.replace(old, new) if old else text + new
        path.write_text(text)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_recipe_works_as_written(name: str, tmp_path: Path) -> None:
    tree = tmp_path / "pfestubs"
    left_out = shutil.ignore_patterns(".*", "build", "dist", "__pycache__")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=left_out)
    for diff in blocks(SECTIONS[name], "diff"):
        apply(diff, tree)
    tools = tmp_path / "tools"
    tools.mkdir()
    for command, words in (
        ("python", ""),
        ("pytest", "-m pytest -p no:cacheprovider"),
        ("pfestubs", "-m pfestubs"),
    ):
        shell_script((tools / command), f'exec "{sys.executable}" {words} "$@"')
    environment = clean_environment()
    environment["PATH"] = f"{tools}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = f"{tree / 'src'}"
    obj = KernelObject(layout=None, reserve=None)
    obj.text(".text", range(0, 48, 4))
    environment["OBJECT"] = str(obj.save(tmp_path / "vmlinux.o"))
    for script in blocks(SECTIONS[name], "sh"):
        done = run_program("sh", "-ec", script, env=environment, cwd=tree)
        assert (done.code, done.err) == (0, ""), done.out + done.err
