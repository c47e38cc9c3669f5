# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the manual pages and the completion files, from the commands themselves: `python tools/man.py`.

What they say is what `--help` says; the tests generate them again and compare.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import FishComplete, ZshComplete

from pfestubs import __version__
from pfestubs.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent

_EXIT_STATUS: Final = """\
.SH EXIT STATUS
.TP
.B 0
success, no problems found
.TP
.B 1
problems found in the kernel
.TP
.B 2
error: usage, unreadable input, failed tool
"""
_RELATED: Final = {
    "check": ("plan", "explain", "report"),
    "explain": ("check", "stubs", "verify"),
    "plan": ("check", "report"),
    "stubs": ("verify", "explain"),
    "diff": ("check", "report"),
    "report": ("check", "plan"),
    "modules": ("check",),
    "verify": ("stubs", "explain"),
    "count": ("generate", "check"),
    "generate": ("count", "hook"),
    "hook": ("generate", "kbuild"),
    "kbuild": ("hook", "check"),
}
_DROP_INS: Final = {
    "gen-ftrace-pfe-stubs": (
        ("VMLINUX_O", "ARCH_VMLINUX_O"),
        "write and assemble the stubs of a kernel with the RFC patch",
        "Takes the arguments of the script gen-ftrace-pfe-stubs.sh. Reads the variables that kbuild exports,"
        " as pfestubs hook does.",
    ),
    "ftrace-gen-ool-stubs": (
        ("NUM_RESERVE", "IS_64BIT", "OBJDUMP", "VMLINUX_O", "OUT_S"),
        "write the assembly file of a mainline kernel's stubs",
        "Takes the arguments of the script ftrace-gen-ool-stubs.sh. OBJDUMP is accepted and unused.",
    ),
    "ftrace-check": (
        ("NM", "VMLINUX"),
        "check the stubs of a linked kernel",
        "Takes the arguments of the script ftrace_check.sh. NM is accepted and unused. Prints nothing if no"
        " problem is found.",
    ),
}


def pages() -> dict[str, str]:
    """Return the text of every manual page, by file name."""
    found = {f"{'-'.join(words)}.1": "\n".join(_page(words, command)) + "\n" for words, command in commands()}
    for name, (arguments, summary, description) in _DROP_INS.items():
        lines = [*_head([name], summary), ".SH SYNOPSIS", f".B {_roff(name)}", *_arguments(arguments)]
        lines += [".SH DESCRIPTION", _roff(description), _EXIT_STATUS.rstrip("\n")]
        found[f"{name}.1"] = "\n".join([*lines, ".SH SEE ALSO", ".BR pfestubs (1)"]) + "\n"
    return found


def commands() -> Iterator[tuple[list[str], click.Command]]:
    """Yield every command with its words: `["pfestubs", "kbuild", "install"]`."""
    waiting: list[tuple[list[str], click.Command]] = [(["pfestubs"], cli)]
    while waiting:
        words, command = waiting.pop(0)
        yield words, command
        waiting += [([*words, name], child) for name, child in _children(words, command)]


def _children(words: list[str], command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = _context(words, command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield name, child


def _context(words: list[str], command: click.Command) -> click.Context:
    return click.Context(command, info_name=" ".join(words), **cli.context_settings)


def _page(words: list[str], command: click.Command) -> Iterator[str]:
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(command.help or ""))
    yield from _head(words, paragraphs[0].rstrip("."))
    yield ".SH SYNOPSIS"
    yield f".B {_roff(' '.join(words))}"
    yield from _arguments(_usage(words, command))
    yield ".SH DESCRIPTION"
    for number, paragraph in enumerate(paragraphs):
        yield from (*([".PP"] if number else []), _text(paragraph))
    yield from _options(words, command)
    children = list(_children(words, command))
    if children:
        yield ".SH COMMANDS"
        for name, child in children:
            yield from (".TP", f".B {_roff(name)}", _text(child.get_short_help_str(200)))
    yield _EXIT_STATUS.rstrip("\n")
    if command.epilog and len(words) > 1:
        examples, *_ = re.split(r"\n\s*\n", inspect.cleandoc(command.epilog))
        lines = [line.strip() for line in examples.splitlines() if line.startswith(" ")]
        yield from (".SH EXAMPLES", ".nf", *map(_roff, lines), ".fi")
    yield ".SH SEE ALSO"
    related = ["-".join([*words, name]) for name, _ in children]
    if len(words) == 1:
        related += _DROP_INS
    else:
        parents = ["-".join(words[:length]) for length in range(1, len(words))]
        related = [*parents, *(f"pfestubs-{name}" for name in _RELATED.get(words[1], ())), *related]
    yield ",\n".join(f".BR {_roff(name)} (1)" for name in related)


def _head(words: list[str], summary: str) -> list[str]:
    name = "-".join(words)
    summary = re.sub(r"\s+", " ", summary.strip("\b\n"))
    return [
        '.\\" Generated by tools/man.py; "make man" writes it again.',
        f'.TH "{_roff(name.upper())}" 1 "" "pfestubs {__version__}" "pfestubs"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(summary[:1].lower() + summary[1:])}",
    ]


def _usage(words: list[str], command: click.Command) -> list[str]:
    context = _context(words, command)
    return [piece for pieces in command.collect_usage_pieces(context) for piece in pieces.split()]


def _arguments(arguments: list[str] | tuple[str, ...]) -> list[str]:
    return [f".I {_roff(word)}" for word in arguments]


def _options(words: list[str], command: click.Command) -> Iterator[str]:
    context = _context(words, command)
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context))]
    if records:
        yield ".SH OPTIONS"
    for names, text in records:
        yield from (".TP", f".B {_roff(names)}", _text(text))


def _text(paragraph: str) -> str:
    return _roff(re.sub(r"\s+", " ", paragraph.strip("\b\n")))


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def completions() -> dict[str, str]:
    """Return the completion scripts, by file name, as bash, zsh and fish look for them."""
    bash = """\
_pfestubs_completion() {
    local IFS=$'\\n' response type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _PFESTUBS_COMPLETE=bash_complete $1)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
        dir) COMPREPLY=(); compopt -o dirnames ;;
        file) COMPREPLY=(); compopt -o default ;;
        plain) COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F _pfestubs_completion pfestubs
"""
    other: dict[str, Any] = {"_pfestubs": ZshComplete, "pfestubs.fish": FishComplete}
    return {
        "pfestubs.bash": bash,
        **{name: kind(cli, {}, "pfestubs", "_PFESTUBS_COMPLETE").source() for name, kind in other.items()},
    }


def main() -> int:
    """Write all files, and remove pages of commands that are gone; return the exit status."""
    for directory, texts in ((ROOT / "man", pages()), (ROOT / "completions", completions())):
        directory.mkdir(exist_ok=True)
        for path in directory.iterdir():
            if path.name not in texts:
                path.unlink()
        for name, text in texts.items():
            (directory / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
