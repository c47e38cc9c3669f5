# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare pfestubs on a big-endian host with pfestubs here: exit status and both streams of each command.

    python tests/foreign.py ROOT [FILE...]

ROOT holds Debian's Python and packages for s390x (`tools/debian-root`), run by user-mode QEMU. FILE adds a
real `vmlinux` or `vmlinux.o` to the fixtures. `make test-foreign` makes ROOT and runs this.
"""

import importlib
import json
import lzma
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent.parent
QEMU: Final = "qemu-s390x"
JSON: Final = ("--format", "json")
OF_OBJECT: Final = (("count",), ("count", *JSON), ("generate",), ("generate", "--spare", "auto"))
OF_KERNEL: Final = (
    *(("check",), ("check", *JSON), ("check", "--all"), ("stubs",), ("stubs", *JSON)),
    *(("plan",), ("plan", "--grow", "1M", *JSON)),
)


def import_pfestubs() -> None:
    """Import all that the commands import when they run."""
    import jinja2  # noqa: F401

    import pfestubs

    for module in pkgutil.walk_packages(pfestubs.__path__, "pfestubs."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def outcomes(commands: list[list[str]]) -> list[list[int | str]]:
    """Run each command in a fork of this process, in which all of pfestubs is imported: emulation is slow.

    Returns: exit status, standard output and standard error of each.
    """
    import_pfestubs()
    from pfestubs.cli.entry import main as pfestubs_main

    results: list[list[int | str]] = []
    for command in commands:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                sys.argv = ["pfestubs", *command]
                pfestubs_main()
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            streams = []
            for stream in (out, err):
                stream.seek(0)
                streams.append(stream.read().decode("latin-1"))
            results.append([status, *streams])
    return results


def ask(python: list[str], commands: list[list[str]]) -> list[list[int | str]]:
    """Return `outcomes` of another Python."""
    environment = {**os.environ, "PYTHONPATH": str(HERE / "src")}
    answer = subprocess.run(
        [*python, __file__],
        input=json.dumps(commands),
        cwd=HERE,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    results: list[list[int | str]] = json.loads(answer.stdout)
    return results


def unpacked(file: Path, directory: Path) -> Path:
    """Return a file, or what an xz file holds, in a directory."""
    if file.suffix != ".xz":
        return file.resolve()
    content = directory / file.stem
    content.write_bytes(lzma.decompress(file.read_bytes()))
    return content


def main(root: Path, files: list[Path]) -> int:
    """Run each command twice; 0 if all pairs are equal, 1 if not, 2 if the foreign Python does not run."""
    foreign = [QEMU, "-L", str(root), str(root / "usr/bin/python3")]
    what = "import sys; print(sys.byteorder, 'endian, Python', sys.version.split()[0])"
    told = subprocess.run([*foreign, "-c", what], capture_output=True, text=True, check=False)
    print(f"test-foreign: {QEMU}, {told.stdout or told.stderr}", end="", flush=True)
    if not told.stdout.startswith("big"):
        return 2
    fixtures = sorted([*(HERE / "fixtures/objects").glob("*.o"), *(HERE / "fixtures/linked").iterdir()])
    with tempfile.TemporaryDirectory(prefix="pfestubs-foreign-") as directory:
        commands = []
        for file in [*fixtures, *files]:
            plain = unpacked(file, Path(directory))
            commands += [[*c, str(plain)] for c in (OF_OBJECT if plain.suffix == ".o" else OF_KERNEL)]
        pairs = zip(commands, ask([sys.executable], commands), ask(foreign, commands), strict=True)
    statuses, different = [], 0
    for command, here, there in pairs:
        statuses.append(here[0])
        if here != there:
            different += 1
            print("FAIL ", *command, f"\nhere: {here}\nthere: {there}")
    counts = ", ".join(f"{statuses.count(status)} of status {status}" for status in sorted(set(statuses)))
    print(f"test-foreign: {len(commands)} runs ({counts}), {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
    print(json.dumps(outcomes(json.load(sys.stdin))))
