# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: which commands there are, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

import click

from pfestubs import __version__
from pfestubs.errors import PfestubsError
from pfestubs.formats.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

OK, FINDINGS, COULD_NOT = 0, 1, 2

# A command's module is imported only when it is used: the tool runs on every link of a kernel.
_COMMANDS: Final = {
    "count": "entries by kind, and the stubs to reserve",
    "generate": "the assembly file that reserves the stubs",
    "hook": "generate and assemble, as kbuild's hook",
    "check": "replay the boot of a linked kernel and fail if it would fail",
    "stubs": "each function's stub: instructions before and after boot",
    "verify": "compare the predicted stubs with the memory in a dump",
    "explain": "what ftrace's messages in a boot log mean for this kernel, and the remedy",
    "kbuild": "put the hook and the check into a kernel tree, or take them out",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"pfestubs.cli.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done and nothing found, 1 something is wrong with the kernel, 2 could not look.",
)
@click.version_option(__version__, message="%(version)s")
def cli() -> None:
    """Count, generate and check the out-of-line ftrace stubs of a powerpc kernel."""


class _TerminatedError(BaseException):
    """SIGTERM, as an exception so that temporary files are removed on the way out."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def main() -> NoReturn:
    """The executable `pfestubs`."""
    run(lambda: call(sys.argv[1:]))


def call(words: list[str]) -> int | None:
    """Run one command line. Not `cli.main`: click would make exit code 1 of a broken pipe."""
    try:
        with cli.make_context("pfestubs", words) as context:
            result: int | None = cli.invoke(context)
            return result
    except click.exceptions.Exit as e:  # --help, --version
        return e.exit_code


def run(action: Callable[[], int | None]) -> NoReturn:
    """Run one command and leave with its exit code."""
    code = exit_code_of(action)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):  # already said; else the interpreter would fail on its way out
        _redirect_stdout_to_null()
        code = code or COULD_NOT
    sys.exit(code)


def exit_code_of(action: Callable[[], int | None]) -> int:
    """Run `action` and turn what it raises into a sentence on standard error and an exit code."""
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _terminate)
    try:
        return action() or OK
    except PfestubsError as e:
        _report(str(e))
        return e.exit_code
    except click.UsageError as e:
        _report(_usage_message(e))
        return COULD_NOT
    except BrokenPipeError:
        _redirect_stdout_to_null()
        return COULD_NOT
    except (KeyboardInterrupt, click.Abort):
        return 128 + signal.SIGINT
    except _TerminatedError:
        return 128 + signal.SIGTERM
    except Exception as e:
        if os.environ.get("PFESTUBS_TRACEBACK"):
            raise
        _report(_internal_error_message(e))
        return COULD_NOT


def _usage_message(error: click.UsageError) -> str:
    if type(error).__name__ == "NoArgsIsHelpError":  # since click 8.2; its message is the whole help
        return error.format_message()
    usage = f"{error.ctx.get_usage()}\n" if error.ctx else ""
    return f"{usage}pfestubs: error: {error.format_message()}"


def _internal_error_message(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "pfestubs: error: out of memory"
    if isinstance(error, OSError):
        return f"{error.filename or 'pfestubs'}: error: {error.strerror or error}"
    return f"pfestubs: internal error: {error!r}; please report it, run again with PFESTUBS_TRACEBACK=1 set"


def _redirect_stdout_to_null() -> None:
    """Keep the interpreter from flushing into the closed pipe once more."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(message: str) -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(escape(message) + "\n")
        sys.stderr.flush()
