# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: which commands there are, and the one place where errors become an exit status."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from pfestubs import __version__
from pfestubs.cli.entry import missing_package
from pfestubs.cli.options import EXIT_STATUS
from pfestubs.errors import Exit, PfestubsError, UsageError
from pfestubs.system.files import print_messages, redirect_to_null

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COMPLETE: Final = "_PFESTUBS_COMPLETE"

# A command's module is imported only when it is used: the tool runs on every link of a kernel.
COMMANDS: Final = {
    "check": "replay the boot of a kernel and fail if ftrace would fail",
    "explain": "what ftrace's messages in a boot log mean, and the remedy",
    "plan": "which reserves work, and how much text can still grow",
    "stubs": "each function's stub: instructions before and after boot",
    "diff": "what changed between two kernels",
    "report": "write an HTML report: layout, distances, room for growth",
    "modules": "stubs that each module asks for",
    "verify": "compare the predicted stubs with the memory in a dump",
    "count": "entries by kind, and the stubs to reserve",
    "generate": "the assembly file that reserves the stubs",
    "hook": "generate and assemble, as kbuild's hook",
    "kbuild": "put the hook and the check into a kernel tree, or take them out",
    "help": "show the help of a command",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"pfestubs.cli.commands.{cmd_name}").command
        command.short_help = COMMANDS[cmd_name]  # what shells show beside the name
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            print_messages(*ctx.get_help().splitlines())
            ctx.exit(Exit.ERROR)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing and not args[0].startswith("-"):
            ctx.fail(_unknown_command(args[0]))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _unknown_command(word: str) -> str:
    if word == "version":
        return f"no such command {word!r}; did you mean --version?"
    from difflib import get_close_matches  # 4 ms

    near = [name for name in COMMANDS if word and name.startswith(word)]
    near = near or get_close_matches(word, COMMANDS, n=2)
    if near:
        return f"no such command {word!r}; did you mean {' or '.join(near)}?"
    if os.path.lexists(word):
        return f"{word!r} is a file, not a command; name a command first: pfestubs check {word}"
    return f"no such command {word!r}; the commands are {', '.join(COMMANDS)}"


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tell whether a powerpc kernel will boot with ftrace working, and which setting fixes it.",
    epilog=EXIT_STATUS,
)
@click.version_option(__version__, message="%(version)s")
def cli() -> None:
    """Run a command."""


def run_program(program: str, words: Sequence[str]) -> int:
    """Run `pfestubs` or a drop-in and return its exit status; what it wrote has arrived."""
    if sys.stdout is None:  # closed by the caller: a write has to fail, not to be ignored
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")  # noqa: SIM115
    if program == "pfestubs":
        code = exit_code_of(lambda: call(list(words)))
    else:
        from pfestubs.cli.dropin import call_drop_in

        code = exit_code_of(lambda: call_drop_in(program, list(words)))
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # already reported; avoids a second error at interpreter shutdown
        redirect_to_null(sys.stdout)
        code = code or Exit.ERROR
    return code


def call(words: list[str]) -> int | None:
    """Run one command line. Not `cli.main`: click would exit with 1 on a broken pipe."""
    instruction = os.environ.get(_COMPLETE)
    if instruction:
        return _complete(instruction)
    if len(words) == 2 and words[0] in COMMANDS and words[1] == "help" and not os.path.lexists("help"):
        words = ["help", words[0]]
    try:
        with cli.make_context("pfestubs", words) as context:
            result: int | None = cli.invoke(context)
            return result
    except click.exceptions.Exit as e:  # --help, --version
        return e.exit_code


def _complete(instruction: str) -> int:
    """Print the completion script of a shell, or the completions that the script requests."""
    from click.shell_completion import shell_complete

    problem = "expected bash_source, zsh_source or fish_source"
    try:
        if not shell_complete(cli, {}, "pfestubs", _COMPLETE, instruction):
            return Exit.SUCCESS
    except (KeyError, ValueError, IndexError):
        problem = "which the script of the shell calls with COMP_WORDS and COMP_CWORD"
    raise UsageError("pfestubs", f"{_COMPLETE} is {instruction!r}, {problem}")


def exit_code_of(action: Callable[[], int | None]) -> int:
    """Run `action`; report what it raises as one sentence, and return the exit status."""
    try:
        return action() or Exit.SUCCESS
    except PfestubsError as e:
        print_messages(str(e))
        return e.exit_code
    except click.UsageError as e:
        usage = e.ctx.get_usage().splitlines() if e.ctx else []
        print_messages(*usage, f"pfestubs: error: {_usage_problem(e)}")
        return Exit.ERROR
    except BrokenPipeError:
        redirect_to_null(sys.stdout)
        return Exit.ERROR
    except (KeyboardInterrupt, click.Abort):  # without the handlers of `pfestubs.cli.entry`
        return 130
    except Exception as e:  # no traceback, whatever the input
        if os.environ.get("PFESTUBS_TRACEBACK"):
            raise
        print_messages(_unexpected_error_message(e))
        return Exit.ERROR


def _usage_problem(error: click.UsageError) -> str:
    """Return what is wrong with a command line, and which help has the answer."""
    problem = re.sub(r"(?<!\.)\.$", "", error.format_message())
    if error.ctx is None or isinstance(error.ctx.command, _Commands):
        return problem
    if isinstance(error.ctx.command, click.Group) and problem == "Missing command":
        problem = f"missing command: {', '.join(error.ctx.command.commands)}"
    words = error.ctx.command_path.split(" ")[1:]
    advice = f"{' See' if problem.endswith('?') else '; see'} pfestubs help {' '.join(words)}"
    return f"{problem[:1].lower()}{problem[1:]}{advice}"


def _unexpected_error_message(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"pfestubs: error: {missing_package(error)}"
    if isinstance(error, MemoryError):
        return "pfestubs: error: out of memory"
    if isinstance(error, OSError):
        if error.filename is None:  # click, with help for example; what pfestubs opens has a name
            return f"standard output: error: cannot be written: {error.strerror or error}"
        return f"{error.filename}: error: {error.strerror or error}"
    return f"pfestubs: internal error: {error!r}; please report it, run again with PFESTUBS_TRACEBACK=1 set"
