# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share apart from fixtures: paths, executables, the command line in process; builders in modules."""

import contextlib
import io
import json
import lzma
import os
import pty
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

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


MiniKernel = Callable[..., Path]
"""The type of the fixture `mini_kernel`: goal and variables to the directory."""


class Kernels:
    """Files of the real kernels in a directory, by DIRECTORY/FILE, unpacked into a cache."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pfestubs-tests"
        self._cache.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str) -> Path:
        plain, packed = self._directory / name, self._directory / f"{name}.xz"
        if plain.is_file():
            return plain
        assert packed.is_file(), f"neither {plain} nor {packed} is there (PFESTUBS_KERNELS)"
        status = packed.stat()
        target = self._cache / f"{name.replace('/', '-')}-{status.st_size}-{status.st_mtime_ns}"
        if not target.is_file():
            with tempfile.TemporaryDirectory(dir=self._cache) as scratch:
                unpack(packed, Path(scratch, "new")).replace(target)
        return target

    def all(self, name: str) -> list[Path]:
        """That file of every kernel that has it."""
        found = [
            self(f"{kernel.name}/{name}")
            for kernel in sorted(self._directory.iterdir())
            if (kernel / name).is_file() or (kernel / f"{name}.xz").is_file()
        ]
        assert found, f"no kernel in {self._directory} (PFESTUBS_KERNELS) has a {name}"
        return found


def unpack(packed: Path, target: Path) -> Path:
    """Write what an xz file holds."""
    with lzma.open(packed) as content, target.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    return target


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


def printed(*words: object, code: int = 0) -> str:
    """What `pfestubs WORDS` prints; it ends with that exit status and says nothing on standard error."""
    outcome = call(*words)
    assert (outcome.code, outcome.err) == (code, ""), outcome
    return outcome.out


def json_of(command: str, *words: object, code: int = 0) -> Any:
    """The parsed document of `pfestubs COMMAND --format json WORDS`, valid by its schema."""
    value = json.loads(printed(command, "--format", "json", *words, code=code))
    validator(command).validate(value)
    return value


def refusal(*words: object, about: object = None) -> str:
    """What `pfestubs WORDS` says, with exit status 2: `ABOUT: error: SENTENCE`, after a wrong use the usage first."""
    return refused(call(*words), about)


def refused(outcome: Outcome, about: object = None) -> str:
    """The same of a program that has run."""
    assert (outcome.code, outcome.out) == (2, ""), outcome
    *usage, line = outcome.err.removesuffix("\n").split("\n")
    assert all(text.startswith("Usage: ") for text in usage), outcome
    assert line.startswith(f"{about}: error: ") if about else ": error: " in line, outcome
    assert "internal error" not in line, outcome
    return outcome.err


def run_program(
    *words: object, env: Mapping[str, str] | None = None, check: bool = False, **options: Any
) -> Outcome:
    """Run a program in a process of its own; `env` is added to a clean environment, `check` wants success."""
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120}
    command = [str(word) for word in words]
    done = subprocess.run(command, env=clean_environment(env), text=True, check=False, **{**pipes, **options})
    outcome = Outcome(done.returncode, done.stdout or "", done.stderr or "")
    assert not check or outcome.code == 0, (command, outcome)
    return outcome


def run_cli(*words: object, executable: str = "pfestubs", **options: Any) -> Outcome:
    """The installed executable in a process of its own (options of `run_program`)."""
    return run_program(executable_path(executable), *words, **options)


def shell_script(path: Path, body: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def on_terminal(
    words: Sequence[object], environment: Mapping[str, str], stdout: Any = None
) -> tuple[Outcome, str]:
    """Run a program with standard error (and `stdout`, unless it is given) on a terminal, and what that shows."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0) as reader:
        stdout = theirs if stdout is None else stdout
        done = run_program(*words, env=environment, stdin=None, stdout=stdout, stderr=theirs)
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


def assert_strict(command: str, good: dict[str, Any], changes: Iterable[dict[str, Any]]) -> None:
    """Require that a command's schema accepts a document, but none with such a change, nor without a key."""
    validator(command).validate(good)
    for change in changes:
        assert not validator(command).is_valid({**good, **change}), change
    for key in good:
        assert not validator(command).is_valid({k: v for k, v in good.items() if k != key}), key


def hook_environment(**variables: str | int) -> dict[str, str]:
    """The variables that kbuild would export for the miniature kernel, and PATH."""
    words = [f"{name}={value}" for name, value in variables.items()]
    done = run_program(FIXTURES / "mini" / "build.sh", "env", *words, check=True)
    return clean_environment(dict(line.split("=", 1) for line in done.out.splitlines()))
