# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs kbuild install --vendor`: the tree's own copy of pfestubs."""

import errno
import os
import re
import sys
import zipfile
from functools import partial
from pathlib import Path

import pytest

from pfestubs import __version__
from pfestubs.kbuild.makefiles import VENDORED
from pfestubs.system import zipapp
from support import call, refusal, tool
from support.kbuildtree import KNOWN, MAKEFILES, Build, contents, copy_tree, failing_replace


@pytest.fixture(scope="session")
def archive() -> bytes:
    return zipapp.build_zipapp()


@pytest.fixture(autouse=True)
def built_once(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipapp, "zipapp", lambda: archive)


@pytest.fixture(params=KNOWN)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copy_tree(request.param, tmp_path / "linux")


def test_install_and_remove(tree: Path, archive: bytes) -> None:
    before = contents(tree)
    installed = call("kbuild", "install", "--vendor", tree)
    assert (installed.code, installed.out) == (0, "")
    assert VENDORED in installed.err.splitlines()[0]
    after = contents(tree)
    assert {name for name in after if after[name] != before.get(name)} == {*MAKEFILES, VENDORED}
    assert after[VENDORED] == archive
    for name in MAKEFILES:
        assert b"PFESTUBS ?= $(PYTHON3) $(srctree)/arch/powerpc/tools/pfestubs.pyz\n" in after[name]
    calls = f", calls {VENDORED} (version {__version__})\n"
    assert re.search(rf"installed \(.*{re.escape(calls)}", call("kbuild", "status", tree).out)
    assert "already installed" in call("kbuild", "install", "--vendor", tree).err
    assert contents(tree) == after
    removed = call("kbuild", "remove", tree)
    assert removed.code == 0
    assert VENDORED in removed.err
    assert contents(tree) == before


def test_install_without_the_option_keeps_the_copy(tree: Path) -> None:
    call("kbuild", "install", "--vendor", tree)
    before = contents(tree)
    assert call("kbuild", "install", tree).code == 0
    assert contents(tree) == before


def test_another_version_of_the_copy(tree: Path, archive: bytes) -> None:
    call("kbuild", "install", "--vendor", tree)
    with zipfile.ZipFile(tree / VENDORED, "w") as other:
        other.writestr("pfestubs/__init__.py", '__version__ = "0.0.1"\n')
    assert call("kbuild", "status", tree).out.endswith(f", calls {VENDORED} (version 0.0.1)\n")
    assert "(version 0.0.1); install --vendor renews it" in call("kbuild", "install", tree).err
    assert call("kbuild", "install", "--vendor", tree).code == 0
    assert (tree / VENDORED).read_bytes() == archive


@pytest.mark.parametrize("damage", [None, b"", b"PK\5\6" + bytes(18), b"not a zip archive"])
def test_a_missing_or_damaged_copy(damage: bytes | None, tree: Path, archive: bytes) -> None:
    before = contents(tree)
    call("kbuild", "install", "--vendor", tree)
    if damage is None:
        (tree / VENDORED).unlink()
    else:
        (tree / VENDORED).write_bytes(damage)
    state = "missing" if damage is None else "damaged"
    assert call("kbuild", "status", tree).out.endswith(f", calls {VENDORED} ({state})\n")
    assert refusal("kbuild", "install", tree) == (
        f"{tree / VENDORED}: error: is {state}, and the makefiles call it; write it again:"
        f" pfestubs kbuild install --vendor {tree}\n"
    )
    assert call("kbuild", "install", "--vendor", tree).code == 0
    assert (tree / VENDORED).read_bytes() == archive
    (tree / VENDORED).unlink()
    assert call("kbuild", "remove", tree).code == 0
    assert contents(tree) == before


def test_a_file_of_that_name_that_is_not_ours_stays(tree: Path) -> None:
    (tree / VENDORED).write_text("mine\n")
    call("kbuild", "install", tree)
    assert call("kbuild", "remove", tree).code == 0
    assert (tree / VENDORED).read_text() == "mine\n"


def test_a_copy_that_nothing_calls_is_named_and_removed(tree: Path, archive: bytes) -> None:
    (tree / VENDORED).write_bytes(archive)
    assert call("kbuild", "status", tree).out.endswith(f", {VENDORED} is not called\n")
    assert call("kbuild", "remove", tree).code == 0
    assert not (tree / VENDORED).exists()


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_all_files_change_or_none(failing: int, tree: Path) -> None:
    before = contents(tree)
    with failing_replace(failing):
        refusal("kbuild", "install", "--vendor", tree)
    assert contents(tree) == before


def test_a_copy_that_cannot_be_removed_leaves_the_tree_installed(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("kbuild", "install", "--vendor", tree)
    before = contents(tree)
    unlink = Path.unlink

    def fail(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == "pfestubs.pyz":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fail)
        message = refusal("kbuild", "remove", tree)
    assert "cannot be removed: Operation not permitted" in message
    assert contents(tree) == before


def test_print_takes_no_copy(tree: Path) -> None:
    message = refusal("kbuild", "install", "--vendor", "--print", tree)
    assert "--vendor: error: cannot be combined with --print" in message


@pytest.mark.slow
def test_the_tree_builds_where_nothing_is_installed(tmp_path: Path) -> None:
    build = Build("mainline-7.2", tmp_path)
    assert call("kbuild", "install", "--vendor", build.tree).code == 0
    # Only what the build itself calls is in PATH, and the interpreter sees no packages.
    programs = tmp_path / "bin"
    programs.mkdir()
    names = "make sh cat cp mv rm mkdir cmp grep sort tail find touch echo printf true"
    for name in re.findall(r"\w+", names):
        (programs / name).symlink_to(tool(name))
    variables = [f"PYTHON3={os.path.realpath(sys.executable)} -S -s", "PFESTUBS_CHECK=off"]
    make = partial(build.make, *variables, env={"PATH": str(programs)}, pfestubs=None)
    outcome = make()
    assert outcome.code == 0, outcome.err
    expected = call("generate", build.object).out
    assert (build.out / "arch/powerpc/tools/vmlinux.arch.S").read_text() == expected
    again = make()
    assert (again.code, again.out) == (0, "")
    call("kbuild", "remove", build.tree)
    assert make().code == 0


@pytest.mark.slow
def test_a_python_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    build = Build("mainline-7.2", tmp_path)
    assert call("kbuild", "install", "--vendor", build.tree).code == 0
    outcome = build.make("PYTHON3=no-such-python3", pfestubs=None)
    says = (
        r'"no-such-python3 .*/pfestubs\.pyz --version" says ".*not found"; install Python 3\.11 or newer or'
    )
    assert outcome.code == 2
    assert re.search(rf"{says} name its command with PYTHON3=\.\.\., or ", outcome.err)
    (build.tree / VENDORED).unlink()
    outcome = build.make(pfestubs=None)
    gone = f"{VENDORED} is gone: write it again with pfestubs kbuild install --vendor, or build"
    assert (outcome.code, gone in outcome.err) == (2, True)
