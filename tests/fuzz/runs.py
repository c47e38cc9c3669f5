# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a command on the inputs that a recipe makes, and hold the outcome against the contract."""

import hashlib
import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz.choices import Choices
from fuzz.targets import TARGET_NAMES, Targets
from support import Outcome, call, validator

TIME_LIMIT = 20
"""Seconds that one execution may take; a usual one takes two milliseconds."""
_OUTPUT_BASE, _OUTPUT_FACTOR = 256 << 10, 100
"""Bytes of output: a fixed part, and a part per byte of input."""
_VALIDATED_MAX = 1 << 16
"""Bytes of a document that is validated by its schema; the validator is slow."""


class TooSlowError(BaseException):
    """Not an Exception: no handler of the program under test may swallow it."""


class Violation(Exception):  # noqa: N818 - it is the program's, not the test's
    """What an execution did against the contract."""


class Runner:
    """Executes recipes in a directory and counts what they did.

    Attributes:
        executions: by target.
        statuses: by target and exit status.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._inputs = directory / "inputs"
        self._inputs.mkdir(parents=True, exist_ok=True)
        self.targets = Targets(self._inputs)
        self.executions: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()

    def run(self, recipe: bytes, target: str | None = None) -> Outcome:
        """Execute a recipe; its first byte chooses the target, unless one is given.

        Raises:
            Violation: the outcome is against the contract.
        """
        choices = Choices(recipe)
        name = target or choices.of(TARGET_NAMES)
        words = self.targets.by_name[name](choices)
        self.executions[name] += 1
        with time_limit(" ".join(words)):
            outcome = call(*words)
        self.statuses[name, outcome.code] += 1
        self._judge(words, outcome)
        return outcome

    def keep(self, recipe: bytes, violation: Violation, target: Path) -> Path:
        """Save the inputs of a violation, once per kind; return the directory."""
        name = hashlib.sha256(_kind(str(violation)).encode()).hexdigest()[:12]
        kept = target / name
        if not kept.exists():
            shutil.copytree(self._inputs, kept)
            (kept / "RECIPE").write_bytes(recipe)
            (kept / "VIOLATION").write_text(f"{violation}\n", errors="backslashreplace")
        return kept

    def _judge(self, words: list[str], outcome: Outcome) -> None:
        line, err = " ".join(words), outcome.err

        def require(condition: object, what: str) -> None:
            if not condition:
                shown = f"{outcome.out[:300]!r} {err[:1000]!r}"
                raise Violation(f"{what}\n{line}\nexit status {outcome.code}: {shown}")

        require(outcome.code in {0, 1, 2}, "exit status outside the contract")
        require("Traceback" not in err and "internal error" not in err, f"internal error {err[-300:]}")
        require("out of memory" not in err and "fit into memory" not in err, "memory out of proportion")
        require(all(part.isprintable() for part in err.split("\n")), "unprintable message")
        require(not err or err.endswith("\n"), "message without an end")
        require(not any(part.lstrip().startswith("::") for part in err.split("\n")), "forged annotation")
        require(outcome.code != 2 or err, "exit status 2 without a message")
        named = (self._inputs / word for word in words if "/" in word)
        size = sum(path.stat().st_size for path in named if path.is_file())
        limit = _OUTPUT_BASE + _OUTPUT_FACTOR * size
        require(len(outcome.out) + len(err) <= limit, f"output out of proportion to {size:,} bytes")
        if "json" in words and outcome.out:
            self._judge_document(words[0], outcome, require)

    def _judge_document(self, command: str, outcome: Outcome, require: Any) -> None:
        try:
            document = json.loads(outcome.out)
        except ValueError as e:
            raise Violation(f"{command} wrote a document that is not JSON: {e}") from e
        if len(outcome.out) <= _VALIDATED_MAX:
            problem = next(validator(command).iter_errors(document), None)
            require(problem is None, f"{command}'s document does not fit its schema: {problem}"[:2000])
        if command in {"check", "verify"}:
            require(document["ok"] == (outcome.code == 0), "document and exit status disagree")


def _kind(text: str) -> str:
    """Return what tells one kind of violation from another: its first line without numbers."""
    first = text.split("\n", 1)[0]
    return "".join(c for c in first if not c.isdigit())[:80]


@contextmanager
def time_limit(what: str) -> Iterator[None]:
    """Raise `Violation` if the block takes more than `TIME_LIMIT` seconds."""

    def alarm(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    try:
        yield
    except TooSlowError as e:
        raise Violation(f"took more than {TIME_LIMIT} s\n{what}") from e
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
