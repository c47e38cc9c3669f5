# SPDX-License-Identifier: GPL-2.0-or-later
"""From a checkout, an editable install, and a wheel with no checkout next to it: the same bytes.

Each runs in a fresh environment that sees this one's packages but for pfestubs itself.
"""

import shutil
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from pfestubs import __version__
from support import (
    FIXTURES,
    OBJECTS,
    ROOT,
    clean_environment,
    executable_path,
    refused,
    run_program,
    shell_script,
)

NAMES = ("traps-ppc64le-gnu", "trapspfe-ppc64le-gnu")
MAINLINE = FIXTURES / "trees" / "mainline-7.2"
EXECUTABLES = ("pfestubs", "gen-ftrace-pfe-stubs", "ftrace-gen-ool-stubs", "ftrace-check")


def run(*words: str | Path, cwd: Path, **extra: str) -> str:
    return run_program(*words, env=extra, cwd=cwd, check=True).out


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every installed package but pfestubs."""
    directory = tmp_path_factory.mktemp("packages")
    for place in sys.path:
        if not place.endswith(("site-packages", "dist-packages")):
            continue
        for entry in Path(place).iterdir():
            link = directory / entry.name
            if "pfestubs" not in entry.name.lower() and entry.suffix != ".pth" and not link.exists():
                link.symlink_to(entry)
    return directory


@pytest.fixture
def environment(packages: Path, tmp_path: Path) -> Path:
    """A fresh virtual environment without pfestubs."""
    directory = tmp_path / "venv"
    venv.create(directory, with_pip=False, symlinks=True)
    (site,) = directory.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(f"{packages}\n")
    done = run_program(directory / "bin" / "python", "-c", "import pfestubs", cwd=tmp_path)
    assert done.code == 1, "pfestubs must not be there yet"
    return directory


def install(environment: Path, *words: str | Path) -> None:
    run(
        *(environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
        *("--no-build-isolation", "--disable-pip-version-check", *words),
        cwd=environment.parent,
    )


@pytest.fixture(scope="module")
def expected() -> list[str]:
    return [
        run(executable_path("pfestubs"), "generate", OBJECTS / f"{name}.o", cwd=Path("/")) for name in NAMES
    ]


def generated(program: list[str | Path], cwd: Path, **extra: str) -> list[str]:
    return [run(*program, "generate", OBJECTS / f"{name}.o", cwd=cwd, **extra) for name in NAMES]


def location(environment: Path, cwd: Path, **extra: str) -> Path:
    code = "import pfestubs; print(pfestubs.__file__)"
    return Path(run(environment / "bin" / "python", "-c", code, cwd=cwd, **extra).strip())


def test_checkout(environment: Path, expected: list[str], tmp_path: Path) -> None:
    path = {"PYTHONPATH": str(ROOT / "src")}
    program: list[str | Path] = [environment / "bin" / "python", "-m", "pfestubs"]
    assert location(environment, tmp_path, **path).is_relative_to(ROOT / "src")
    assert generated(program, tmp_path, **path) == expected
    assert generated(program, ROOT, PYTHONPATH="src") == expected


def test_editable(environment: Path, expected: list[str], tmp_path: Path) -> None:
    install(environment, "--editable", ROOT)
    assert location(environment, tmp_path).is_relative_to(ROOT / "src")
    assert generated([environment / "bin" / "pfestubs"], tmp_path) == expected


def build(goal: str, source: Path, target: Path) -> Path:
    """Build a wheel or an sdist; the file."""
    run(*(sys.executable, "-m", "build", goal, "--no-isolation", "--outdir", target, source), cwd=target)
    (path,) = target.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("--wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_source_distribution_builds_the_same_wheel(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = (build("--sdist", ROOT, tmp_path_factory.mktemp("sdist")) for _ in range(2))
    assert first.read_bytes() == second.read_bytes()
    unpacked = tmp_path_factory.mktemp("unpacked")
    run("tar", "-xf", first, "-C", unpacked, cwd=unpacked)
    (source,) = unpacked.iterdir()
    needed = ("tests/test_documents.py::test_links_lead_to_files", "tests/test_ci_examples.py")
    run(sys.executable, "-m", "pytest", "-q", *needed, "-k", "links or workflow or yaml", cwd=source)
    again = build("--wheel", source, tmp_path_factory.mktemp("wheel"))
    assert again.read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("words", [["generate", OBJECTS / f"{NAMES[0]}.o"], ["kbuild", "status", MAINLINE]])
def test_an_incomplete_installation_is_named(words: list[str | Path], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "pfestubs", tmp_path / "pfestubs")
    name = {"generate": "ool.S.j2", "kbuild": "kbuild-tool.mk.j2"}[str(words[0])]
    (tmp_path / "pfestubs" / "templates" / name).unlink()
    message = refused(run_program(sys.executable, "-m", "pfestubs", *words, cwd=tmp_path))
    missing = f"pfestubs is not installed completely: template {name} is missing; install it again"
    assert message == f"pfestubs: error: {missing}\n"


def test_wheel(wheel: Path, environment: Path, expected: list[str], tmp_path: Path) -> None:
    install(environment, wheel)
    assert location(environment, tmp_path).is_relative_to(environment)
    assert generated([environment / "bin" / "pfestubs"], tmp_path) == expected
    assert generated([environment / "bin" / "python", "-m", "pfestubs"], tmp_path) == expected
    for name in EXECUTABLES:
        assert (environment / "bin" / name).is_file()
    assert run(environment / "bin" / "pfestubs", "--version", cwd=tmp_path) == f"{__version__}\n"


def test_what_the_wheel_holds(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for directory in ("templates", "schemas"):
            for path in sorted((ROOT / "src" / "pfestubs" / directory).iterdir()):
                assert archive.read(f"pfestubs/{directory}/{path.name}") == path.read_bytes()
        (metadata,) = (archive.read(n).decode() for n in names if n.endswith("/METADATA"))
    assert "pfestubs/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "fixtures/"))]
    required = {
        line.split(":", 1)[1].strip().split(">")[0]
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist:") and "extra ==" not in line
    }
    assert required == {"pyelftools", "click", "jinja2", "rich"}


def test_make_without_venv_says_how_to_go_on(tmp_path: Path) -> None:
    """Debian splits venv off python3, and only root can install it."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / "bin"
    for name, script in (("python3", "exit 1"), ("id", "echo 1000")):
        shell_script(programs / name, script)
    env = clean_environment()
    done = run_program("make", "demo", env={**env, "PATH": f"{programs}:{env['PATH']}"}, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    said = [line for line in done.err.splitlines() if "***" not in line]
    assert said == [
        "make: some packages are missing; as root: apt-get install python3-venv",
        "make: no virtual environment could be made; to run pfestubs without one, with Debian's packages:",
        "    apt-get install python3-pyelftools python3-click python3-jinja2 python3-rich",
        "    PYTHONPATH=src python3 -m pfestubs check fixtures/linked/healthy-ppc64le",
    ]
