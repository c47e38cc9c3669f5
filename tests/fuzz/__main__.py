# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzz for a given time: `python -m fuzz --seconds 600`, with atheris if it is installed."""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foreign import import_pfestubs
from fuzz.choices import corpus

if TYPE_CHECKING:
    from fuzz.runs import Runner  # imported when pfestubs is instrumented

RECIPE_MAX = 96
"""Bytes of a recipe."""
LONG = 300
"""Seconds from which a session is worth a table in the document."""
TABLE = ("<!-- written by make fuzz -->", "<!-- end of what make fuzz writes -->")
"""The lines of the document around the table of the last long session."""
MEMORY_MAX = 3 << 30
"""Bytes of address space that a fuzzing process may use."""


class Session:
    """One process that fuzzes: its totals are written to a file every second, for the process that reports."""

    def __init__(self, work: Path, findings: Path, target: str | None) -> None:
        from fuzz.runs import Runner

        self.runner: Runner = Runner(work)
        self._target = target
        self._totals = work / "totals.json"
        self._findings = findings
        self._kinds: set[str] = set()
        self._saved = 0.0

    def run(self, recipe: bytes) -> None:
        """Execute a recipe; a violation is kept, and fuzzing goes on."""
        from fuzz.runs import Violation

        try:
            self.runner.run(recipe, self._target)
        except Violation as violation:
            kept = self.runner.keep(recipe, violation, self._findings)
            if kept.name not in self._kinds:
                self._kinds.add(kept.name)
                print(f"{kept}: {violation}", file=sys.stderr, flush=True)
        if time.monotonic() > self._saved + 1:
            self.save()

    def save(self) -> None:
        """Write the totals."""
        self._saved = time.monotonic()
        statuses = [[name, code, n] for (name, code), n in self.runner.statuses.items()]
        totals = {"executions": self.runner.executions, "statuses": statuses, "findings": sorted(self._kinds)}
        new = self._totals.with_suffix(".new")
        new.write_text(json.dumps(totals))
        new.replace(self._totals)


def main() -> int:
    """Fuzz in a process of its own, report what it did; exit status 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--target", help="only this one")
    parser.add_argument(
        "--corpus", type=Path, default=Path("build/fuzz/corpus"), help="recipes that are kept"
    )
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz/findings"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--random", action="store_true", help="without the guidance of atheris")
    parser.add_argument("--table", type=Path, help="document with the table of the last long session")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    guided = not options.random and importlib.util.find_spec("atheris") is not None
    if options.work is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
        (_fuzz_guided if guided else _fuzz_random)(options)
        return 0
    for directory in (options.corpus, options.findings):
        directory.mkdir(parents=True, exist_ok=True)
    for number, recipe in enumerate(corpus()):
        (options.corpus / f"kept-{number:04}").write_bytes(recipe)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as work:
        words = [sys.executable, "-m", "fuzz", *sys.argv[1:], "--work", work]
        status = subprocess.run(words, check=False).returncode
        totals = json.loads(Path(work, "totals.json").read_text())
    if options.table is not None and options.seconds >= LONG:
        write_table(options.table, totals, options.seconds, guided=guided)
    for name, number, *codes in rows_of(totals):
        shown = ", ".join(f"{n:,} with status {code}" for code, n in enumerate(codes))
        print(f"{name:15}{number:>12,} executions: {shown}")
    print(f"{len(totals['findings'])} findings" + f"; the process ended with {status}" * bool(status))
    return 1 if totals["findings"] or status else 0


def _fuzz_random(options: argparse.Namespace) -> None:
    session = Session(options.work, options.findings, options.target)
    draw = random.Random(options.seed or None)
    limit = time.monotonic() + options.seconds
    known = [path.read_bytes() for path in sorted(options.corpus.iterdir())]
    while time.monotonic() < limit:
        recipe = bytearray(draw.randbytes(draw.randrange(4, RECIPE_MAX)))
        if known and draw.randrange(2):  # a recipe that reached something, changed in a few places
            recipe = bytearray(draw.choice(known) or b"\0")
            for _ in range(draw.randrange(1, 4)):
                recipe[draw.randrange(len(recipe))] = draw.randrange(256)
        session.run(bytes(recipe))
    session.save()


def _fuzz_guided(options: argparse.Namespace) -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    with atheris.instrument_imports(include=["pfestubs"]):
        import_pfestubs()
    session = Session(options.work, options.findings, options.target)
    run: Callable[[bytes], None] = session.run
    words = f"-max_total_time={max(1, round(options.seconds))} -max_len={RECIPE_MAX} -seed={options.seed}"
    words += " -len_control=0 -rss_limit_mb=0 -print_final_stats=0 -verbosity=0"
    atheris.Setup([sys.argv[0], *words.split(), str(options.corpus)], run)
    atheris.Fuzz()


def rows_of(totals: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return target, executions and executions by exit status 0, 1 and 2; the last row is the total."""
    statuses = {(name, code): number for name, code, number in totals["statuses"]}
    rows: list[tuple[Any, ...]] = [
        (name, number, *(statuses.get((name, code), 0) for code in (0, 1, 2)))
        for name, number in sorted(totals["executions"].items())
    ]
    return [*rows, ("total", *(sum(column) for column in list(zip(*rows, strict=True))[1:]))]


def write_table(document: Path, totals: dict[str, Any], seconds: float, *, guided: bool) -> None:
    """Replace the table in a document by that of a session, with its date, length and findings."""
    found = len(totals["findings"])
    lines = [
        f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {seconds:,.0f} s, "
        f"{'guided by coverage' if guided else 'random'}, {found} finding{'s' * (found != 1)}:",
        "",
        "| Target | Executions | Status 0 | Status 1 | Status 2 |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | " + " | ".join(f"{n:,}" for n in numbers) + " |"
            for name, *numbers in rows_of(totals)
        ),
    ]
    before, rest = document.read_text().split(f"{TABLE[0]}\n")
    after = rest.split(f"{TABLE[1]}\n")[1]
    document.write_text(f"{before}{TABLE[0]}\n" + "\n".join(lines) + f"\n{TABLE[1]}\n{after}")


if __name__ == "__main__":
    sys.exit(main())
