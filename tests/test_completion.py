# SPDX-License-Identifier: GPL-2.0-or-later
"""Shell completion: the scripts of bash, zsh and fish, and what they ask for."""

import re
from pathlib import Path

import pytest

from pfestubs.cli.main import COMMANDS
from support import executable_path, refused, run_cli, run_program, tool
from support.kernelwriter import LinkedKernel

SHELLS = ("bash", "zsh", "fish")


def complete(*words: str, shell: str = "bash") -> list[str]:
    """The completions of the last word, as `type value` (zsh and fish: with more)."""
    position = {"COMP_WORDS": " ".join(["pfestubs", *words]), "COMP_CWORD": str(len(words))}
    if shell == "fish":
        position["COMP_CWORD"] = words[-1]
    outcome = run_cli(env={"_PFESTUBS_COMPLETE": f"{shell}_complete", **position})
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_script(shell: str) -> None:
    outcome = run_cli(env={"_PFESTUBS_COMPLETE": f"{shell}_source"})
    assert (outcome.code, outcome.err) == (0, "")
    assert f"_PFESTUBS_COMPLETE={shell}_complete" in outcome.out
    if shell == "bash":
        run_program(tool("bash"), "-n", check=True, input=outcome.out)


@pytest.mark.parametrize("shell", SHELLS)
def test_commands(shell: str) -> None:
    found = "\n".join(complete("c", shell=shell))
    assert [name in found for name in ("check", "count", "generate")] == [True, True, False]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["check", "--format", ""], ["text", "json", "junit", "sarif", "github"]),
        (["stubs", "--format", "j"], ["json"]),
        (["generate", "--layout", ""], ["auto", "pfe", "ool"]),
        (["generate", "--spare", "a"], ["auto"]),
        (["help", "ver"], ["verify"]),
        (["kbuild", "i"], ["install"]),
    ],
)
def test_choices(words: list[str], expected: list[str]) -> None:
    assert set(complete(*words)) >= {f"plain,{value}" for value in expected}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_commands_have_the_texts_of_the_help(shell: str) -> None:
    found = "\n".join(complete("", shell=shell))
    for name, text in COMMANDS.items():
        assert re.search(rf"{name}[\n\t]{re.escape(text)}", found), name


def test_functions_of_the_kernel(tmp_path: Path) -> None:
    path = LinkedKernel().save(tmp_path / "vmlinux")
    assert complete("stubs", str(path), "fn") == [f"plain,fn{i}" for i in range(3)]
    assert complete("stubs", str(path), "fn0", "fn1") == ["plain,fn1"]
    assert complete("stubs", "missing", "fn") == [""]


def test_options() -> None:
    found = complete("verify", "--")
    assert {f"plain,{o}" for o in ("--format", "--output", "--system-map", "--all", "--help")} <= set(found)


@pytest.mark.parametrize(
    "words",
    [
        *("count ", "generate x", "hook vmlinux.o ", "check ", "check --system-map ", "check -o "),
        *("check --prelink ", "check --baseline ", "stubs ", "verify vmlinux "),
        # What was typed before does not matter: a file that is missing, standard input.
        *("verify - ", "check missing --system-map "),
    ],
)
def test_file_names_are_left_to_the_shell(words: str) -> None:
    typed = words.split(" ")
    assert complete(*typed) == [f"file,{typed[-1]}"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_file_names_in_other_shells(shell: str) -> None:
    assert "file" in "\n".join(complete("check", "vm", shell=shell))


def test_bash_completes(tmp_path: Path) -> None:
    """The whole way, in a real bash: what the function that it registers puts into COMPREPLY."""
    (tmp_path / "vmlinux").touch()
    program = executable_path("pfestubs").removesuffix("/pfestubs")
    script = (
        f'PATH="{program}:$PATH"; cd "{tmp_path}"; eval "$(_PFESTUBS_COMPLETE=bash_source pfestubs)";'
        ' compopt() { printf "%s " compopt "$@"; }; COMP_WORDS=(pfestubs gen); COMP_CWORD=1; _pfestubs_completion pfestubs;'
        ' echo "${COMPREPLY[@]}"; COMP_WORDS=(pfestubs check vml); COMP_CWORD=2; _pfestubs_completion pfestubs'
    )
    done = run_program(tool("bash"), "-c", script)
    assert done.out == "generate\ncompopt -o default ", done.err


@pytest.mark.parametrize(
    "instruction", ["bash", "tcsh_source", "bash_nothing", "bash_complete", "fish_complete"]
)
def test_unknown_instruction(instruction: str) -> None:
    message = refused(run_cli(env={"_PFESTUBS_COMPLETE": instruction}))
    assert message.startswith("pfestubs: error: _PFESTUBS_COMPLETE is ")


def test_empty_instruction_is_none() -> None:
    assert run_cli("--version", env={"_PFESTUBS_COMPLETE": ""}).out.count(".") == 2
