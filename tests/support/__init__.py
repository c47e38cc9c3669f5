# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share apart from fixtures: paths, executables, the command line in process; builders in modules."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
OBJECTS = FIXTURES / "objects"
SCHEMAS = ROOT / "src" / "pfestubs" / "schemas"
_ALWAYS_INSTALLED = frozenset({"bash", "git"})
may_use_tools = True
"""Whether the running test has a marker that `make test-fast` leaves out; tests/conftest.py sets it."""


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit status, standard output, standard error."""

    code: int
    out: str
    err: str


class MiniKernel(Protocol):
    """The type of the fixture `mini_kernel`."""

    def __call__(self, goal: str = "all", **variables: str | int) -> Path: ...


class Kernels(Protocol):
    """The type of the fixture `kernels`."""

    def __call__(self, name: str) -> Path: ...

    def all(self, name: str) -> list[Path]:
        """That file of every kernel that has it."""
        ...


def executable_path(name: str) -> str:
    """The installed executable of that name: next to this interpreter, else in PATH."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    assert found, f"{name} is not installed: run `make setup`"
    return found


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """PATH and little else, so that nothing of the caller's environment (CC, V, NO_COLOR...) is seen."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", **(extra or {})}


def tool(name: str) -> str:
    """A tool the tests need; a missing one is a failure, never a skip."""
    assert name in _ALWAYS_INSTALLED or may_use_tools, f"{name}: mark the test as cross, tools or slow"
    found = shutil.which(name)
    assert found, f"{name} is not installed; the README lists the packages that the tests need"
    return found


def call(*words: object) -> Outcome:
    """`pfestubs WORDS` within this process: no start-up to pay."""
    from pfestubs.cli import main

    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.exit_code_of(lambda: main.call([str(w) for w in words]))
            out.flush()
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, before)
    return Outcome(code, out.buffer.getvalue().decode(), err.getvalue())


def json_of(command: str, *words: object, code: int = 0) -> Any:
    """The parsed document of `pfestubs COMMAND --format json WORDS`: valid, with that exit status, no message."""
    outcome = call(command, "--format", "json", *words)
    assert (outcome.code, outcome.err) == (code, "")
    value = json.loads(outcome.out)
    validator(command).validate(value)
    return value


def refusal(subject: object, *words: object) -> str:
    """The one sentence about `subject` with which `pfestubs WORDS` ends, with exit status 2."""
    outcome = call(*words)
    assert (outcome.code, outcome.out) == (2, ""), outcome
    start, _, sentence = outcome.err.partition(": error: ")
    assert start == str(subject), outcome
    assert len(outcome.err.splitlines()) == 1, outcome
    assert "internal error" not in sentence, outcome
    return sentence.removesuffix("\n")


def run_program(*words: object, env: Mapping[str, str] | None = None, **options: Any) -> Outcome:
    """Run a program in a process of its own; `env` is added to a clean environment."""
    done = subprocess.run(
        [str(word) for word in words],
        env=clean_environment(env),
        check=False,
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "timeout": 120,
            **options,
        },
    )
    return Outcome(done.returncode, done.stdout or "", done.stderr or "")


def run_cli(*words: object, executable: str = "pfestubs", **options: Any) -> Outcome:
    """The installed executable in a process of its own (options of `run_program`)."""
    return run_program(executable_path(executable), *words, **options)


def shell_script(path: Path, body: str) -> Path:
    """Write a shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def on_terminal(
    words: Sequence[object], environment: Mapping[str, str], stdout: Any = None
) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run a program with standard error (and `stdout`, unless it is given) on a terminal, and what that shows."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0) as reader:
        done = subprocess.run(
            [str(word) for word in words],
            env=clean_environment(environment),
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            text=True,
            check=False,
        )
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # the other side is closed
            while chunk := reader.read(65536):
                seen += chunk
    return done, seen.decode()


@cache
def validator(command: str) -> Draft202012Validator:
    """The shipped schema of a command's document."""
    return Draft202012Validator(json.loads((SCHEMAS / f"{command}-1.json").read_text()))


def hook_environment(**variables: str | int) -> dict[str, str]:
    """The variables that kbuild would export for the miniature kernel, and PATH."""
    words = [f"{name}={value}" for name, value in variables.items()]
    done = subprocess.run(
        [FIXTURES / "mini" / "build.sh", "env", *words], capture_output=True, text=True, check=True
    )
    return clean_environment(dict(line.split("=", 1) for line in done.stdout.splitlines()))
