# SPDX-License-Identifier: GPL-2.0-or-later
"""The zip application: every command on a Python with no packages and no network, the same bytes each time."""

import ast
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from pfestubs import __version__
from pfestubs.cli.main import COMMANDS
from pfestubs.errors import InstallationError
from pfestubs.system import zipapp
from support import FIXTURES, OBJECTS, Outcome, refused, run_cli, run_program, unpack

HEALTHY = FIXTURES / "linked" / "healthy-ppc64le"
TRAPPED = FIXTURES / "linked" / "trapped-ppc64le.xz"
OBJECT = OBJECTS / "ool-ppc64le-gnu.o"
LIMIT = 3_500_000
"""Bytes: half of it is bytecode."""


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zipapp") / "pfestubs.pyz"
    path.write_bytes(zipapp.build_zipapp())
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def trapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(TRAPPED, tmp_path_factory.mktemp("linked") / "trapped-ppc64le")


def bare(*words: str | Path, cwd: Path | None = None) -> Outcome:
    """Run the interpreter that this environment was made from, without any package."""
    python = os.path.realpath(sys.executable)
    return run_program(python, "-S", "-s", "-W", "error", *words, cwd=cwd)


CALLS = """
--version | --help | help | unknown | count OBJECT | count --format json OBJECT | generate OBJECT
check HEALTHY | check -v HEALTHY | check TRAPPED | check OBJECT | check --format json TRAPPED
check --format junit TRAPPED | check --format sarif TRAPPED | check --format github TRAPPED
stubs HEALTHY | stubs --format json HEALTHY | plan HEALTHY | plan --format json TRAPPED
report TRAPPED -o - | diff HEALTHY TRAPPED | explain HEALTHY OBJECT | modules OBJECTS
verify HEALTHY HEALTHY | kbuild status TREE | kbuild install --print TREE
"""


def test_every_command_does_what_the_installed_one_does(archive: Path, trapped: Path) -> None:
    files = {"OBJECT": OBJECT, "HEALTHY": HEALTHY, "TRAPPED": trapped, "OBJECTS": OBJECTS}
    files["TREE"] = FIXTURES / "trees" / "mainline-7.2"
    for call in [*(f"{name} --help" for name in COMMANDS), *re.split(r"[|\n]", CALLS.strip())]:
        words = [files.get(word, word) for word in call.split()]
        assert bare(archive, *words) == run_cli(*words), call


def test_the_drop_ins_by_the_name_of_a_link(archive: Path, tmp_path: Path) -> None:
    for name in ("gen-ftrace-pfe-stubs", "ftrace-gen-ool-stubs", "ftrace-check", "pfestubs"):
        (tmp_path / name).symlink_to(archive)
        done = run_program(tmp_path / name, "--version")
        assert (done.code, done.out) == (0, f"{__version__}\n")
    done = bare(tmp_path / "ftrace-gen-ool-stubs", "5", "y", "objdump", OBJECT, tmp_path / "out.S")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "out.S").read_text() == bare(archive, "generate", OBJECT).out
    assert bare(tmp_path / "ftrace-check", "nm", HEALTHY).code == 0
    assert "takes 2 arguments, not 1" in refused(bare(tmp_path / "gen-ftrace-pfe-stubs", "one"))


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9", "3.10"])
def test_an_older_python_is_told(archive: Path, tmp_path: Path, version: str) -> None:
    """Versions before 3.7 cannot compile any module of the package, so they get to see no more than the first."""
    with zipfile.ZipFile(archive) as content:
        main = content.read("__main__.py").decode()
    ast.parse(main, feature_version=(3, 4))
    assert 'f"' not in main
    path = [] if version in {"2.7", "3.6"} else [str(archive)]
    older = f"import sys\nsys.path[:0] = {path}\nsys.version_info = {tuple(map(int, version.split('.')))}\n"
    (tmp_path / "pfestubs").write_text(older + main)
    message = refused(bare(tmp_path / "pfestubs"))
    assert message.startswith("pfestubs: error: needs Python 3.11 or later, ")
    assert message.endswith(f" is {version}\n")


def test_the_same_bytes_from_any_process(archive: Path, tmp_path: Path) -> None:
    for seed, imports in (("1", ""), ("2", "import hypothesis, rich.console, jinja2\n")):
        target = tmp_path / seed
        code = (
            f"{imports}from pathlib import Path\nfrom pfestubs.system.zipapp import build_zipapp\n"
            f"Path({str(target)!r}).write_bytes(build_zipapp())"
        )
        run_program(sys.executable, "-c", code, check=True, env={"PYTHONHASHSEED": seed}, cwd=tmp_path)
        assert target.read_bytes() == archive.read_bytes()


def test_what_it_holds(archive: Path) -> None:
    assert archive.stat().st_size < LIMIT
    with zipfile.ZipFile(archive) as content:
        names = content.namelist()
        assert content.testzip() is None
    assert len(names) == len(set(names))
    packages = {name.split("/")[0] for name in names}
    assert packages == {
        *("__main__.py", "pfestubs", "click", "jinja2", "markupsafe", "elftools", "rich", "licenses")
    }
    for name in ("pfestubs", "click", "jinja2", "markupsafe", "pyelftools", "rich"):
        assert [entry for entry in names if entry.startswith(f"licenses/{name}/")], name


def test_bytecode_of_another_python_is_not_used(archive: Path, tmp_path: Path) -> None:
    """The sources are there for every other version: here the bytecode is made unusable."""
    other = tmp_path / "other.pyz"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(other, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info, b"\0" * 16 + data[16:] if info.filename.endswith(".pyc") else data)
    assert bare(other, "check", HEALTHY).out == bare(archive, "check", HEALTHY).out
    assert bare(other, "generate", OBJECT).out == bare(archive, "generate", OBJECT).out


def test_nothing_is_compiled_at_start_up(archive: Path) -> None:
    """What keeps it as fast as the installed tool: only `__main__.py` is source. Counted, not timed."""
    code = (
        "import sys, zipimport\n"
        "compiled = []\n"
        "old = zipimport._compile_source\n"
        "zipimport._compile_source = lambda path, source: compiled.append(path) or old(path, source)\n"
        f"sys.path.insert(0, {str(archive)!r})\n"
        "import pfestubs.cli.entry\n"
        "from pfestubs.cli.main import run_program\n"
        f"status = run_program('pfestubs', ['generate', {str(OBJECT)!r}])\n"
        "print(len(compiled), file=sys.stderr)\n"
        "sys.exit(status)"
    )
    done = bare("-c", code)
    assert (done.code, done.err) == (0, "0\n")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(zipapp, "files", fail)
    with pytest.raises(InstallationError, match="the source of package"):
        zipapp.build_zipapp()


# The copy in a kernel tree


def test_a_zip_application_copies_itself(archive: Path, tmp_path: Path) -> None:
    tree = tmp_path / "linux"
    shutil.copytree(FIXTURES / "trees" / "mainline-7.2", tree)
    done = bare(archive, "kbuild", "install", "--vendor", tree)
    assert done.code == 0, done.err
    copy = tree / "arch/powerpc/tools/pfestubs.pyz"
    assert copy.read_bytes() == archive.read_bytes()
    assert bare(copy, "--version").out == f"{__version__}\n"
