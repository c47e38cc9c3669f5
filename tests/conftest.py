# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share: the executables, the command line in process, the miniature kernel, real kernels."""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "fixtures"
OBJECTS = FIXTURES / "objects"
SCHEMAS = ROOT / "src" / "pfestubs" / "schemas"


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit status, standard output, standard error."""

    code: int
    out: str
    err: str


class Call(Protocol):
    """The type of the fixture `call`."""

    def __call__(self, *words: str | Path) -> Outcome: ...


class RunCli(Protocol):
    """The type of the fixture `run_cli`."""

    def __call__(
        self,
        *words: str | Path,
        executable: str = "pfestubs",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: Any = subprocess.PIPE,
    ) -> Outcome: ...


class MiniKernel(Protocol):
    """The type of the fixture `mini_kernel`."""

    def __call__(self, goal: str = "all", **variables: str | int) -> Path: ...


class Kernels(Protocol):
    """The type of the fixture `kernels`."""

    def __call__(self, name: str) -> Path: ...

    def all(self, name: str) -> list[Path]:
        """That file of every kernel that has it."""
        ...


# Modules of which every test is slow, or needs the cross compilers or QEMU, whatever fixtures it uses.
MARKED_MODULES = {
    "test_boot_qemu": "qemu",
    "test_ci_examples": "slow",
    "test_completion": "slow",
    "test_documents": "slow",
    "test_environment": "slow",
    "test_fuzz": "slow",
    "test_hook": "cross",
    "test_install": "slow",
    "test_objdump_differential": "cross",
    "test_properties": "slow",
    "test_report": "slow",
    "test_robustness": "slow",
    "test_scripts_differences": "cross",
    "test_signals": "slow",
    "test_vendor": "slow",
    "test_zipapp": "slow",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers that `make test-fast` selects by."""
    for item in items:
        if "mini_kernel" in getattr(item, "fixturenames", ()):
            item.add_marker("cross")
        mark = MARKED_MODULES.get(item.path.stem)
        if mark is not None:
            item.add_marker(mark)


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
    found = shutil.which(name)
    assert found, f"{name} is not installed; the README lists the packages that the tests need"
    return found


def call_in_process(*words: str | Path) -> Outcome:
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


@pytest.fixture(scope="session")
def call() -> Call:
    """The command line in this process."""
    return call_in_process


@pytest.fixture(scope="session")
def run_cli() -> RunCli:
    """A real executable in a process of its own."""

    def run(
        *words: str | Path,
        executable: str = "pfestubs",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: Any = subprocess.PIPE,
    ) -> Outcome:
        done = subprocess.run(
            [executable_path(executable), *map(str, words)],
            env=clean_environment(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
        return Outcome(done.returncode, done.stdout or "", done.stderr)

    return run


@pytest.fixture(scope="session")
def count_json(call: Call) -> Any:
    """The parsed document of `pfestubs count --format json`, which must succeed."""

    def count(*words: str | Path) -> Any:
        outcome = call("count", "--format", "json", *words)
        assert (outcome.code, outcome.err) == (0, "")
        return json.loads(outcome.out)

    return count


def hook_environment(**variables: str | int) -> dict[str, str]:
    """The variables that kbuild would export for the miniature kernel, and PATH."""
    words = [f"{name}={value}" for name, value in variables.items()]
    done = subprocess.run(
        [FIXTURES / "mini" / "build.sh", "env", *words], capture_output=True, text=True, check=True
    )
    return clean_environment(dict(line.split("=", 1) for line in done.stdout.splitlines()))


@pytest.fixture(scope="session")
def mini_kernel(tmp_path_factory: pytest.TempPathFactory) -> MiniKernel:
    """Build the miniature kernel with fixtures/mini/build.sh; the directory it is in, cached per variables."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    cache = base / "mini"
    cache.mkdir(exist_ok=True)

    def build(goal: str = "all", **variables: str | int) -> Path:
        key = "-".join([goal, *(f"{name}={value}" for name, value in sorted(variables.items()))]).replace(
            "/", "_"
        )
        done = cache / key
        if done.is_dir():
            return done
        words = {"HOOK": f"{executable_path('pfestubs')} hook", **variables}
        with tempfile.TemporaryDirectory(dir=base) as scratch:
            process = subprocess.run(
                [
                    FIXTURES / "mini" / "build.sh",
                    goal,
                    f"OUT={scratch}/new",
                    *(f"{name}={value}" for name, value in words.items()),
                ],
                env=clean_environment(),
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert process.returncode == 0, process.stdout + process.stderr
            with contextlib.suppress(OSError):  # another worker was faster
                Path(scratch, "new").rename(done)
        return done

    return build


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    """Files of the real kernels in PFESTUBS_KERNELS, by DIRECTORY/FILE, unpacked into a cache."""
    value = os.environ.get("PFESTUBS_KERNELS")
    if not value:
        pytest.skip("needs real kernels: set PFESTUBS_KERNELS to a directory of them")
    directory = Path(value)
    assert directory.is_dir(), f"PFESTUBS_KERNELS is {value}, which is not a directory"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pfestubs-tests"
    cache.mkdir(parents=True, exist_ok=True)

    class Found:
        def __call__(self, name: str) -> Path:
            plain, packed = directory / name, directory / f"{name}.xz"
            if plain.is_file():
                return plain
            assert packed.is_file(), f"neither {plain} nor {packed} is there (PFESTUBS_KERNELS)"
            status = packed.stat()
            target = cache / f"{name.replace('/', '-')}-{status.st_size}-{status.st_mtime_ns}"
            if not target.is_file():
                with tempfile.TemporaryDirectory(dir=cache) as scratch:
                    new = Path(scratch, "new")
                    with lzma.open(packed) as content, new.open("wb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
                    new.replace(target)
            return target

        def all(self, name: str) -> list[Path]:
            found = [
                self(f"{kernel.name}/{name}")
                for kernel in sorted(directory.iterdir())
                if (kernel / name).is_file() or (kernel / f"{name}.xz").is_file()
            ]
            assert found, f"no kernel in PFESTUBS_KERNELS ({value}) has a {name}"
            return found

    return Found()
