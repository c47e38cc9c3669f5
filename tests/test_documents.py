# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines in the documents: each one is run, and its output compared with the one shown.

A command line is written in a block of language `console`, after `$ `, with its output below it. The line
before the block says where its files come from:

    <!-- run: vmlinux=kernels/debian-7.2.13-ppc64le/vmlinux linux=fixtures/trees/mainline-7.2 -->
    <!-- not run: needs a memory dump -->

`kernels/` are the real kernels of PFESTUBS_KERNELS, without which a block that names one is skipped. The
commands of a block run in one shell, in a scratch directory that holds these files. Output may be folded
between words; a line `[...]` matches any number of lines.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pfestubs.cli.main import COMMANDS
from support import FIXTURES, ROOT, Kernels, clean_environment, executable_path, run_cli, run_program
from test_architecture import PERMITTED

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *FIXTURES.rglob("*.md")])

CROSS = "powerpc64le-linux-gnu-"

_RUN = re.compile(r"<!-- run:(?P<files>.*)-->")
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->")
_COMMAND_LINE = re.compile(r"\$ |(pfestubs|ftrace-check|ftrace-gen-ool-stubs|gen-ftrace-pfe-stubs) ")
_SYNOPSIS = re.compile(r"(pfestubs (?P<command>[a-z]+)) .*[A-Z]{3}")
_STATUS = "$ echo $?"
_MARK = "@@ end of command:"


class Block(NamedTuple):
    """A block of code: its language, its lines, and the line before it."""

    document: Path
    line: int
    language: str
    directive: str
    lines: list[str]

    @property
    def name(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


class Step(NamedTuple):
    """A command line and the output that the document shows, folded or not."""

    command: str
    expected: str


def blocks_of(document: Path) -> Iterator[Block]:
    """Fenced and indented blocks; an indented one has the language ""."""
    lines = document.read_text().splitlines()
    at, before = 0, ""
    while at < len(lines):
        line, start = lines[at], at
        if line.startswith("```"):
            at = next(i for i in range(at + 1, len(lines)) if lines[i].startswith("```"))
            yield Block(document, start + 1, line[3:].strip(), before, lines[start + 1 : at])
        elif line.startswith("    ") and not before:
            while at + 1 < len(lines) and (lines[at + 1].startswith("    ") or not lines[at + 1].strip()):
                at += 1
            yield Block(document, start + 1, "", before, [text[4:] for text in lines[start : at + 1]])
        before = lines[at].strip()
        at += 1


def all_blocks() -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks_of(document)]


def console_parameters() -> list[Any]:
    """The blocks as parameters of a test; those that call a cross tool are marked so."""
    return [
        pytest.param(
            block,
            id=block.name,
            marks=[pytest.mark.cross] if any(CROSS in line for line in block.lines) else [],
        )
        for block in all_blocks()
        if block.language == "console"
    ]


def steps_of(block: Block) -> list[Step]:
    steps: list[tuple[str, list[str]]] = []
    for line in block.lines:
        if line.startswith("$ "):
            steps.append((line, []))
        elif steps and steps[-1][0].endswith("\\"):
            steps[-1] = (f"{steps[-1][0]}\n{line}", [])
        else:
            assert steps, f"{block.name}: output before the first command"
            steps[-1][1].append(line)
    return [Step(command, "\n".join(output)) for command, output in steps]


def provide(files: str, directory: Path, kernels: Kernels | None) -> None:
    """Put the files of a directive into `directory`: links, and copies of directories."""
    for word in files.split():
        name, _, source = word.partition("=")
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.startswith("kernels/"):
            assert kernels
            target.symlink_to(kernels(source.removeprefix("kernels/")))
        elif (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, symlinks=True)
        else:
            assert (ROOT / source).is_file(), f"{source} is not in the repository"
            target.symlink_to(ROOT / source)


def words(text: str) -> str:
    return "".join(f" {word}" for word in text.split())


def matches(expected: str, found: str) -> bool:
    """Compare word by word, so that lines may be folded; `[...]` matches any words."""
    parts = [re.escape(words(part)) for part in re.split(r"^\s*\[\.\.\.\]$", expected, flags=re.MULTILINE)]
    return re.fullmatch(r"(?: \S+)*?".join(parts), words(found)) is not None


def run(block: Block, directory: Path) -> list[tuple[str, str]]:
    """Run the block's commands; what each one printed on both streams."""
    script = ["status=0"]
    for step in steps_of(block):
        command = "echo $status" if step.command == _STATUS else step.command.removeprefix("$ ")
        script += [command, f'status=$?; echo "{_MARK}"']
    environment = clean_environment()
    environment["PATH"] = f"{Path(executable_path('pfestubs')).parent}{os.pathsep}{environment['PATH']}"
    done = run_program(
        "sh", "-c", "\n".join(script), env=environment, cwd=directory, timeout=300, stderr=subprocess.STDOUT
    )
    outputs = done.out.split(f"{_MARK}\n")[:-1]
    return [(step.command, output) for step, output in zip(steps_of(block), outputs, strict=True)]


@pytest.mark.parametrize("block", console_parameters())
def test_commands_print_what_the_document_shows(
    block: Block, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if _NOT_RUN.fullmatch(block.directive):
        return
    directive = _RUN.fullmatch(block.directive)
    assert directive, (
        f"{block.name}: the line before it is neither <!-- run: ... --> nor <!-- not run: ... -->"
    )
    files = directive["files"]
    provide(files, tmp_path, request.getfixturevalue("kernels") if "=kernels/" in files else None)
    for step, (command, output) in zip(steps_of(block), run(block, tmp_path), strict=True):
        assert matches(step.expected, output), (
            f"{block.name}: {command}\nshown:\n{step.expected}\nfound:\n{output}"
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_is_in_a_console_block(document: Path) -> None:
    for block in blocks_of(document):
        if block.language == "console" or (
            block.language == "sh" and document.name in {"ci.md", "recipes.md"}
        ):
            continue  # test_ci_examples.py and test_recipes.py run them
        for line in block.lines:
            assert not _COMMAND_LINE.match(line) or _SYNOPSIS.match(line), f"{block.name}: {line}"


def test_every_option_of_a_synopsis_exists() -> None:
    seen = set()
    for block in all_blocks():
        synopsis = _SYNOPSIS.match(block.lines[0]) if block.language != "console" else None
        if synopsis:
            help_text = run_cli(synopsis["command"], "--help").out
            seen.add(synopsis["command"])
            for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(block.lines)):
                assert re.search(rf"(?<![\w-]){option}\b", help_text), f"{block.name}: {option}"
    assert seen <= set(COMMANDS)
    assert len(seen) >= 4


def test_links_lead_to_files() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)}: {target}"


def test_architecture_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = re.findall(r"`([\w./-]+(?:\.py|\.json|\.md|\.sh|/))(?:: \w+)?`", text)
    assert len(names) > 40
    for name in names:
        assert any((base / name).exists() for base in (ROOT, ROOT / "src" / "pfestubs")), name


def test_architecture_shows_the_permitted_imports() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` +\|.*\| ([\w, ]*?) *\|$", text, re.MULTILINE)
    shown = {name: set(permitted.split(", ")) - {""} for name, permitted in rows}
    assert shown.pop("cli") == {"all of the above"}
    assert PERMITTED["cli"] == set(shown)
    assert shown == {name: PERMITTED[name] for name in shown}


def test_every_document_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in text] == []


@pytest.mark.parametrize(
    ("expected", "found", "outcome"),
    [
        ("a b\n  c", "a b c\n", True),
        ("a\n[...]\nd", "a\nb\nc\nd\n", True),
        ("a\n[...]\nd", "a\nd\n", True),
        ("a\n[...]\nd", "a\nb\nc\n", False),
        ("a b", "a  c", False),
        ("[...]\nb", "a b", True),
        ("[...]\nb", "ab", False),
        ("", "", True),
        ("", "a\n", False),
    ],
)
def test_comparison(expected: str, found: str, outcome: bool) -> None:
    assert matches(expected, found) is outcome
