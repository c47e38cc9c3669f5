# SPDX-License-Identifier: GPL-2.0-or-later
"""The executables: signals first, then what the program needs, then the program.

Nothing else is imported before the signals are handled and Python's version is known, so this module keeps
to the syntax of old versions.
"""

from __future__ import annotations

import gc
import os
import sys

from pfestubs.system import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PYTHON = (3, 11)
DROP_INS = ("gen-ftrace-pfe-stubs", "ftrace-gen-ool-stubs", "ftrace-check")
_ERROR = 2  # Exit.ERROR, which old versions cannot import
# What a package is called where it is imported, where it is installed with pip, and in Debian.
_PACKAGES = {
    "click": ("click", "python3-click"),
    "elftools": ("pyelftools", "python3-pyelftools"),
    "jinja2": ("jinja2", "python3-jinja2"),
    "rich": ("rich", "python3-rich"),
}


def main() -> NoReturn:
    """Run the program that the executable is called: a single file serves all, by links of these names."""
    name = os.path.basename(sys.argv[0])  # no import that is not needed
    run(name if name in DROP_INS else "pfestubs")


def gen_ftrace_pfe_stubs() -> NoReturn:
    """Run the RFC patch's script: `gen-ftrace-pfe-stubs VMLINUX_O ARCH_VMLINUX_O`."""
    run(DROP_INS[0])


def ftrace_gen_ool_stubs() -> NoReturn:
    """Run mainline's script: `ftrace-gen-ool-stubs NUM_RESERVE IS_64BIT OBJDUMP VMLINUX_O OUT_S`."""
    run(DROP_INS[1])


def ftrace_check() -> NoReturn:
    """Run mainline's `ftrace_check.sh`: `ftrace-check NM VMLINUX`."""
    run(DROP_INS[2])


def run(program: str) -> NoReturn:
    """Run one of the programs with the arguments of this process, and exit with its status.

    At once: freeing the tables takes 8 of 110 ms. A profiler that reports when the program ends has to call
    `pfestubs.cli.main.run_program` instead.
    """
    signals.install()
    gc.set_threshold(50_000, 20, 20)  # tables are many small objects: saves a tenth on 80,000 sections
    code = _run(program)
    signals.block()
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - this module imports nothing that it can do without
            stream.flush()
        except (OSError, ValueError, AttributeError):  # `run_program` has reported it
            pass
    os._exit(code)


def _run(program: str) -> int:
    if sys.version_info < PYTHON:
        found, wanted = ("{}.{}".format(*version) for version in (sys.version_info, PYTHON))
        _say(f"{program}: error: needs Python {wanted} or later, {sys.executable} is {found}")
        return _ERROR
    try:
        from pfestubs.cli.main import run_program
    except ImportError as e:
        _say(f"{program}: error: {missing_package(e)}")
        return _ERROR
    return run_program(program, sys.argv[1:])


def missing_package(error: ImportError) -> str:
    """Return one sentence about a module that cannot be imported, with the command that installs it."""
    module = (error.name or "").split(".")[0]
    if module not in _PACKAGES and not isinstance(error, ModuleNotFoundError):
        return f"cannot import: {error}"
    package, debian = _PACKAGES.get(module, (module, ""))
    problem = "is missing" if isinstance(error, ModuleNotFoundError) else f"is too old or damaged ({error})"
    install = f"{sys.executable or 'python3'} -m pip install --upgrade {package}"
    return (
        f"the Python package {package} {problem}; install it with: {install}"
        f"{f' (Debian: apt-get install {debian})' if debian else ''}"
    )


def _say(message: str) -> None:
    try:
        sys.stderr.write(message.encode("unicode_escape").decode() + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
