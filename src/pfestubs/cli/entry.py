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
from pfestubs.system.packages import missing_package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

PYTHON = (3, 11)
_PROGRAM = "pfestubs"
DROP_INS = ("gen-ftrace-pfe-stubs", "ftrace-gen-ool-stubs", "ftrace-check")
_ERROR = 2  # Exit.ERROR, which old versions cannot import


def main() -> NoReturn:
    """Run `pfestubs`."""
    run(_PROGRAM)


def gen_ftrace_pfe_stubs() -> NoReturn:
    """Run the RFC patch's script: `gen-ftrace-pfe-stubs VMLINUX_O ARCH_VMLINUX_O`."""
    run(DROP_INS[0])


def ftrace_gen_ool_stubs() -> NoReturn:
    """Run mainline's script: `ftrace-gen-ool-stubs NUM_RESERVE IS_64BIT OBJDUMP VMLINUX_O OUT_S`."""
    run(DROP_INS[1])


def ftrace_check() -> NoReturn:
    """Run mainline's `ftrace_check.sh`: `ftrace-check NM VMLINUX`."""
    run(DROP_INS[2])


def run_by_name() -> NoReturn:
    """Run the program that the executable is called: a single file serves all, by links of these names."""
    name = os.path.basename(sys.argv[0])  # no import that is not needed
    run(name if name in DROP_INS else _PROGRAM)


def run(program: str) -> NoReturn:
    """Run one of the programs with the arguments of this process, and exit with its status."""
    signals.install()
    _open_standard_streams()
    gc.set_threshold(50_000, 20, 20)  # tables are many small objects: saves a tenth on 80,000 sections
    code = _run(program)
    signals.block()
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process at once: to take apart what a kernel was read into costs 8 ms of 110.

    A profiler that reports when the program ends has to call `pfestubs.cli.main.run_program` instead.
    """
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


def _open_standard_streams() -> None:
    """Keep the numbers 0 to 2 from files that are opened later, where the caller has closed them.

    Standard output and input get /dev/null for the other direction: using them stays an error. Output is
    buffered also with PYTHONUNBUFFERED: without, each piece is a system call, and one that takes only a part,
    as on a full disk, raises nothing.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            try:
                os.open(os.devnull, flags)
            except OSError:
                return
            os.set_inheritable(number, True)
    if sys.stdout is None:  # what is written there fails, which writers notice; None would be ignored
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    elif not hasattr(sys.stdout.buffer, "raw"):
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = open(1, "w", encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115


def _say(message: str) -> None:
    try:
        sys.stderr.write(message.encode("unicode_escape").decode() + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
