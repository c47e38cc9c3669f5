# SPDX-License-Identifier: GPL-2.0-or-later
"""What is around the program: Python, its packages, closed and full streams, other versions of click."""

import ast
import sys
from pathlib import Path

import pytest

from support import OBJECTS, MiniKernel, Outcome, executable_path, refused, run_cli, run_program, shell_script

SOURCE = Path(__file__).resolve().parents[1] / "src" / "pfestubs"
OBJECT = OBJECTS / "ool-ppc64le-gnu.o"
MISSING = OBJECTS / "missing.o"

# Runs an entry point with some packages hidden, or as another version of Python.
DRIVER = """
import importlib.abc, sys
function, hidden, version, words = sys.argv[1], sys.argv[2].split(), sys.argv[3], sys.argv[4:]
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hide())
for name in [n for n in sys.modules if n.split(".")[0] in hidden]:
    del sys.modules[name]
sys.argv = [function, *words]
if version:
    sys.version_info = tuple(map(int, version.split(".")))
if function == "module":
    import runpy
    runpy.run_module("pfestubs", run_name="__main__", alter_sys=True)
from pfestubs.cli import entry
getattr(entry, function)()
"""


def drive(function: str, *words: object, hidden: str = "", version: str = "", **environment: str) -> Outcome:
    return run_program(sys.executable, "-c", DRIVER, function, hidden, version, *words, env=environment)


def shell(redirections: str, *words: object, program: str = "pfestubs", **environment: str) -> Outcome:
    """Run an installed program with redirections of a shell."""
    command = ("sh", "-c", f'"$@" {redirections}', "sh", executable_path(program), *words)
    return run_program(*command, env=environment)


# -- packages --------------------------------------------------------------------------------------------------

CALLS = {
    "main": ["generate", OBJECT],
    "module": ["generate", OBJECT],
    "ftrace_gen_ool_stubs": ["50", "y", "objdump", OBJECT, "/dev/stdout"],
    "gen_ftrace_pfe_stubs": [OBJECTS / "pfe-ppc64le-gnu.o", "a.o"],
    "ftrace_check": ["nm", OBJECT],
}
PACKAGES = ("click", "jinja2")


@pytest.mark.parametrize(
    ("function", "module"),
    # The check renders no template.
    [(f, m) for f in CALLS for m in PACKAGES if (f, m) != ("ftrace_check", "jinja2")],
)
def test_missing_package(function: str, module: str, tmp_path: Path) -> None:
    words = [tmp_path / word if word == "a.o" else word for word in CALLS[function]]
    message = refused(drive(function, *words, hidden=module, CC="false"))
    assert f"error: the Python package {module} is missing; install it with: " in message
    assert f"-m pip install --upgrade {module} (Debian: apt-get install python3-" in message
    assert not list(tmp_path.iterdir())


def test_missing_package_that_a_package_needs() -> None:
    outcome = drive("main", "generate", OBJECT, hidden="markupsafe")
    assert "the Python package markupsafe is missing" in refused(outcome)


def test_unused_package_is_not_missed() -> None:
    outcome = drive("main", "count", OBJECT, hidden="jinja2 rich")
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("function", ["main", "ftrace_check"])
def test_a_passing_check_needs_neither_rich_nor_jinja2(function: str, mini_kernel: MiniKernel) -> None:
    """On a terminal with colour too."""
    vmlinux = mini_kernel() / "vmlinux"
    words = ["check", vmlinux] if function == "main" else ["nm", vmlinux]
    outcome = drive(function, *words, hidden="jinja2 rich", FORCE_COLOR="1")
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("function", list(CALLS))
def test_old_python(function: str) -> None:
    message = refused(drive(function, *CALLS[function], version="3.10.4"))
    assert message.endswith(f"needs Python 3.11 or later, {sys.executable} is 3.10\n")


START = {
    *("__init__.py", "cli/__init__.py", "cli/entry.py"),
    *("system/__init__.py", "system/signals.py"),
}
"""What is imported before the signals are handled."""


@pytest.mark.parametrize("name", sorted({"__main__.py", *START}))
def test_old_python_can_read_what_refuses_it(name: str) -> None:
    ast.parse((SOURCE / name).read_text(), feature_version=(3, 7))


# -- streams ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    "words", [["count", MISSING], ["chek"], ["generate", "--layout", "ool", "--reserve", "9", OBJECT], []]
)
def test_standard_error_does_not_change_the_status(words: list[str | Path], stderr: str) -> None:
    assert shell(stderr, *words) == Outcome(2, "", "")


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_standard_error_does_not_change_the_output(stderr: str, tmp_path: Path) -> None:
    """The report of a check that fails, and an assembly file that comes with a warning, are written."""
    expected = run_cli("generate", OBJECT).out
    assert shell(stderr, "generate", OBJECT) == Outcome(0, expected, "")
    assert shell(stderr, "generate", OBJECT, "-o", tmp_path / "file") == Outcome(0, "", "")
    assert (tmp_path / "file").read_text() == expected


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full"])
def test_standard_error_of_the_compiler(stderr: str, tmp_path: Path) -> None:
    cc = tmp_path / "cc"
    shell_script(cc, f'while [ "$1" != -o ]; do shift; done\necho chatter >&2\ncp {OBJECT} "$2"')
    (tmp_path / "out").mkdir()
    assert shell(stderr, "hook", OBJECT, tmp_path / "out/a.o", CC=str(cc)).code == 0
    assert (tmp_path / "out/a.o").read_bytes() == OBJECT.read_bytes()
    assert (tmp_path / "out/a.S").read_text() == run_cli("generate", OBJECT).out


def test_module_and_link_names(tmp_path: Path) -> None:
    """`python -m pfestubs` is the program; under the name of a drop-in, by a link, it is that drop-in."""
    plain = run_program(sys.executable, "-m", "pfestubs", "--help", check=True)
    assert plain.out.startswith("Usage: pfestubs ")
    script = tmp_path / "run.py"
    script.write_text("from pfestubs.cli.entry import main\nmain()\n")
    link = tmp_path / "ftrace-check"
    link.symlink_to(script)
    done = run_program(sys.executable, link, "--help", check=True)
    assert done.out == "usage: ftrace-check NM VMLINUX\n"


def test_start_up_imports_little() -> None:
    """Before the signals are handled: nothing but what that needs."""
    code = (
        "import os, re, sys; before = set(sys.modules); import pfestubs.cli.entry;"
        " print(*sorted(set(sys.modules) - before))"
    )
    done = run_program(sys.executable, "-I", "-c", code, check=True)
    paths = (f"pfestubs/{name}".removesuffix(".py").removesuffix("/__init__") for name in START)
    names = {path.replace("/", ".") for path in paths}
    assert set(done.out.split()) == {"__future__", "gc", *names}


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", ""])
def test_standard_error_does_not_change_the_verdict_of_the_drop_in(
    stderr: str, mini_kernel: MiniKernel, tmp_path: Path
) -> None:
    """A kernel whose nops are gone."""
    data = (mini_kernel() / "vmlinux").read_bytes()
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(data.replace((0x60000000).to_bytes(4, "little"), b"\0\0\0\1"))
    done = shell(stderr, "nm", vmlinux, program="ftrace-check")
    assert (done.code, done.out) == (1, "")
    assert ("location-not-nop" in done.err) == (not stderr)
