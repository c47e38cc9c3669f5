# SPDX-License-Identifier: GPL-2.0-or-later
"""The fixtures: the command line in process and as executable, the miniature kernel, real kernels."""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import support
from support import FIXTURES, Kernels, MiniKernel, executable_path, run_program

# Hypothesis draws the same examples in every run; in `make fuzz`, new ones.
settings.register_profile(
    "default",
    derandomize="PFESTUBS_RANDOM" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("default")

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
    "test_recipes": "slow",
    "test_report_browser": "slow",
    "test_robustness": "slow",
    "test_scripts_differences": "cross",
    "test_signals": "slow",
    "test_vendor": "slow",
    "test_zipapp": "slow",
}
# Fixtures of which every test is so: GNU make builds in a tree.
FIXTURE_MARKS = {"mini_kernel": "cross", "build": "slow", "older": "slow"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers that `make test-fast` selects by."""
    for item in items:
        marks = [FIXTURE_MARKS.get(name) for name in getattr(item, "fixturenames", ())]
        for mark in filter(None, [*marks, MARKED_MODULES.get(item.path.stem)]):
            item.add_marker(mark)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let only those tests use programs that `make test-fast` leaves out."""
    support.may_use_tools = any(item.get_closest_marker(name) for name in ("cross", "tools", "qemu", "slow"))


@pytest.fixture(scope="session")
def mini_kernel(tmp_path_factory: pytest.TempPathFactory) -> MiniKernel:
    """Build the miniature kernel with fixtures/mini/build.sh; the directory it is in, cached per variables."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    cache = base / "mini"
    cache.mkdir(exist_ok=True)

    def build(goal: str = "all", **variables: str | int) -> Path:
        key = "-".join([goal, *(f"{name}={value}" for name, value in sorted(variables.items()))])
        key = key.replace("/", "_")
        done = cache / key
        if done.is_dir():
            return done
        words = {"HOOK": f"{executable_path('pfestubs')} hook", **variables}
        with tempfile.TemporaryDirectory(dir=base) as scratch:
            made = [f"OUT={scratch}/new", *(f"{name}={value}" for name, value in words.items())]
            run_program(FIXTURES / "mini" / "build.sh", goal, *made, check=True)
            with contextlib.suppress(OSError):  # another worker was faster
                Path(scratch, "new").rename(done)
        return done

    return build


@pytest.fixture(scope="session")
def kernels() -> Kernels:
    """The real kernels in PFESTUBS_KERNELS."""
    value = os.environ.get("PFESTUBS_KERNELS")
    if not value:
        pytest.skip("needs real kernels: set PFESTUBS_KERNELS to a directory of them")
    directory = Path(value)
    assert directory.is_dir(), f"PFESTUBS_KERNELS is {value}, which is not a directory"
    return Kernels(directory)
