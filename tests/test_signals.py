# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals: 128 + number and no traceback, whenever they come; the compiler ends as a whole, nothing is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from support import OBJECTS, Outcome, clean_environment, executable_path, run_cli, run_program, shell_script

OBJECT = OBJECTS / "ool-ppc64le-gnu.o"
OLD = 1_000_000_000
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
TRIES = 6
TO_OUTPUT = 'while [ "$1" != -o ]; do shift; done'

# Sends a signal to itself when the program imports its n-th module, counted from its own first.
DRIVER = """
import os, signal, sys
number, wanted, again, words = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "again", sys.argv[4:]
sys.argv = ["pfestubs", *words]
from pfestubs.cli import entry
seen = 0
def hook(event, arguments):
    global seen
    if event == "import" and signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler):
        seen += 1
        if seen == wanted:
            for _ in range(2 if again else 1):
                os.kill(os.getpid(), number)
sys.addaudithook(hook)
entry.main()
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def default_signals() -> None:
    """A shell starts its background jobs with SIGINT ignored, nohup with SIGHUP: the tests may run so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start(words: Sequence[object], environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(map(str, words)),
        env=clean_environment(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=default_signals,  # noqa: PLW1509
    )


def wait_until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    """All but the assembly file, which is written before the compiler starts."""
    return {
        path.name: (path.read_bytes(), int(path.stat().st_mtime))
        for path in directory.iterdir()
        if path.name != "a.S"
    }


def old_pair(directory: Path) -> dict[str, tuple[bytes, int]]:
    for name in ("a.S", "a.o"):
        (directory / name).write_text(f"old {name}")
        os.utime(directory / name, (OLD, OLD))
    return contents(directory)


# -- from the first import to the end --------------------------------------------------------------------------


@pytest.mark.parametrize("number", list(STATUS))
@pytest.mark.parametrize("wanted", [1, 12, 40])
@pytest.mark.parametrize("again", ["once", "again"])
def test_signal_during_imports(number: signal.Signals, wanted: int, again: str) -> None:
    words = [sys.executable, "-c", DRIVER, str(int(number)), str(wanted), again, "count", OBJECT]
    with start(words) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (STATUS[number], "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_at_any_time(number: signal.Signals) -> None:
    """Until the program runs, the signal simply kills the interpreter."""
    for attempt in range(TRIES):
        with start([executable_path("pfestubs"), "generate", OBJECT]) as process:
            time.sleep(0.02 * attempt)
            process.send_signal(number)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        assert process.returncode in {0, STATUS[number], -number}
        assert err == ""


def hook_ignoring(number: signal.Signals, cc: Path, out: Path) -> Outcome:
    ignore = partial(signal.signal, number, signal.SIG_IGN)
    return run_cli("hook", OBJECT, out / "a.o", env={"CC": str(cc)}, preexec_fn=ignore)


def test_ignored_signal_stays_ignored(out: Path) -> None:
    """Under nohup a hang-up changes nothing."""
    script = shell_script(out.parent / "cc", f'{TO_OUTPUT}\nkill -HUP $PPID\nsleep 0.2\ncp {OBJECT} "$2"')
    assert hook_ignoring(signal.SIGHUP, script, out).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.S", "a.o"]


def test_deferred_signals_and_clean_up() -> None:
    """A signal waits for the end of the block, the last action comes first, one that fails hides no other."""
    code = """
import os, signal
from pfestubs.system import signals
signals.install()
def say(word):
    os.write(1, word.encode())
signals.on_end(lambda: say("first "))
signals.on_end(lambda: 1 / 0)
forgotten = lambda: say("forgotten ")
signals.on_end(forgotten)
signals.on_end(lambda: os.kill(os.getpid(), signal.SIGINT))
signals.on_end(lambda: say("last "))
signals.forget(forgotten)
with signals.deferred():
    with signals.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        say("inner ")
    say("outer ")
say("never ")
"""
    done = run_program(sys.executable, "-c", code)
    assert (done.out, done.err) == ("inner outer last first ", "")
    assert done.code in {143, 129}  # the kernel delivers both at once, the lower number first


def test_ignored_end_of_children(tmp_path: Path, out: Path) -> None:
    """A caller may have SIGCHLD ignored: the compiler's status is known all the same."""
    for body, code in ((f'{TO_OUTPUT}; cp {OBJECT} "$2"', 0), ("exit 7", 2)):
        done = hook_ignoring(signal.SIGCHLD, shell_script(tmp_path / "cc", body), out)
        assert (done.code, "status 7" in done.err) == (code, bool(code))


# -- the compiler ----------------------------------------------------------------------------------------------


def compiler(directory: Path, body: str) -> Path:
    """A compiler that notes the processes it consists of and leaves files wherever it may."""
    return shell_script(directory / "cc", f'{TO_OUTPUT}\necho half >"$2"; echo side >"${{2%.o}}.dwo"\n{body}')


TREES = {
    "a tree": 'sleep 300 & echo $$ $! >>"$0.pids"; : >"$0.started"; wait',
    "ignores SIGTERM": 'trap "" TERM HUP INT; sleep 300 & echo $$ $! >>"$0.pids"; : >"$0.started"; wait; wait',
    "writes again": (
        'trap "" TERM HUP INT; echo $$ >>"$0.pids"; : >"$0.started"; '
        'while :; do echo again >"$2"; echo again >"$2.tmp"; done 2>/dev/null'
    ),
}


def hook(cc: Path, out: Path, *numbers: signal.Signals) -> tuple[int, str]:
    """The exit status and the messages of a hook whose compiler, once it has started, gets these signals."""
    with start([executable_path("pfestubs"), "hook", OBJECT, out / "a.o"], {"CC": str(cc)}) as process:
        if numbers:
            wait_until(Path(f"{cc}.started").exists, "the compiler never started")
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.05 if len(numbers) > 1 else 0)
        _, err = process.communicate(timeout=60)
    started = Path(f"{cc}.pids").read_text().split()
    assert started
    assert not [pid for pid in started if alive(int(pid))]
    return process.returncode, err


@pytest.mark.parametrize("with_old", [True, False])
@pytest.mark.parametrize(("tree", "number"), list(zip(TREES, STATUS, strict=True)))
def test_compiler_ends_as_a_whole(
    tree: str, number: signal.Signals, with_old: bool, tmp_path: Path, out: Path
) -> None:
    before = old_pair(out) if with_old else {}
    assert hook(compiler(tmp_path, TREES[tree]), out, number) == (STATUS[number], "")
    assert contents(out) == before


def test_impatient_signals(tmp_path: Path, out: Path) -> None:
    before, cc = old_pair(out), compiler(tmp_path, TREES["ignores SIGTERM"])
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    assert hook(cc, out, *numbers) == (143, "")
    assert contents(out) == before


def test_signal_while_the_compiler_starts(tmp_path: Path, out: Path) -> None:
    """The compiler itself sends it, as its first act, so that it often arrives inside the start."""
    before = old_pair(out)
    # It must have started to be ended: its process is noted first.
    script = shell_script(tmp_path / "cc", 'echo $$ >>"$0.pids"\nkill -TERM $PPID\nexec sleep 300')
    for attempt in range(TRIES):
        assert hook(script, out) == (143, ""), attempt
        assert contents(out) == before


def test_failed_compiler_leaves_no_process(tmp_path: Path, out: Path) -> None:
    before = old_pair(out)
    code, err = hook(compiler(tmp_path, 'sleep 300 >/dev/null 2>&1 & echo $! >>"$0.pids"; exit 1'), out)
    assert (code, "failed with status 1" in err) == (2, True)
    assert contents(out) == before


def test_compiler_has_the_signals_of_a_shell(tmp_path: Path, out: Path) -> None:
    """None blocked, SIGPIPE not ignored, as without pfestubs; a group of its own."""
    cc = compiler(
        tmp_path,
        f'grep -E "^Sig(Blk|Ign)" /proc/self/status >"$0.mask"; ps -o pgid= $$ >"$0.group"; cp {OBJECT} "$2"',
    )
    with start([executable_path("pfestubs"), "hook", OBJECT, out / "a.o"], {"CC": str(cc)}) as process:
        assert process.wait(timeout=60) == 0
    lines = (tmp_path / "cc.mask").read_text().split()
    assert int(lines[1], 16) == 0
    assert not int(lines[3], 16) & 1 << (signal.SIGPIPE - 1)
    assert int((tmp_path / "cc.group").read_text()) != os.getpgid(os.getpid())
