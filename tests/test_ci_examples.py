# SPDX-License-Identifier: GPL-2.0-or-later
"""The GitHub action, the GitLab job and the recipes of docs/ci.md, run as CI would run them."""

from __future__ import annotations

import json
import lzma
import re
import subprocess
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from support import FIXTURES, ROOT, clean_environment, executable_path
from test_generate import MIB, spread, trap_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""A step of GitHub with `shell: bash`."""


def run(
    script: str, directory: Path, environment: Mapping[str, str] | None = None, shell: tuple[str, ...] = BASH
) -> subprocess.CompletedProcess[str]:
    tools = directory / "tools"
    tools.mkdir(exist_ok=True)
    if not (tools / "pfestubs").exists():
        (tools / "pfestubs").symlink_to(executable_path("pfestubs"))
    path = f"{tools}:{clean_environment()['PATH']}"
    return subprocess.run(
        [*shell, "-c", script],
        cwd=directory,
        env={**clean_environment(), **(environment or {}), "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A working directory with a kernel that boots with tracing, and one that does not."""
    (tmp_path / "healthy").write_bytes((FIXTURES / "linked" / "healthy-ppc64le").read_bytes())
    packed = (FIXTURES / "linked" / "trapped-ppc64le.xz").read_bytes()
    (tmp_path / "trapped").write_bytes(lzma.decompress(packed))
    return tmp_path


# -- GitHub -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def action() -> Any:
    return yaml.safe_load((ROOT / "action.yml").read_text())


class Step:
    """The action's step that checks, with the files that GitHub's runner gives it."""

    def __init__(self, action: Any, directory: Path) -> None:
        self._action = action
        self._directory = directory
        self.output = directory / "output"
        self.summary = directory / "summary"

    def run(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        values = {name: row.get("default", "") for name, row in self._action["inputs"].items()}
        values |= {"pfestubs": "pfestubs"} | {name.replace("_", "-"): text for name, text in inputs.items()}
        assert values.keys() == self._action["inputs"].keys()
        (step,) = [s for s in self._action["runs"]["steps"] if s.get("id") == "check"]
        assert "${{" not in step["run"], "an input could change the script"
        self.output.write_text("")
        self.summary.write_text("")
        environment = {
            name: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: values[match[1]], value)
            for name, value in step["env"].items()
        }
        files = {"GITHUB_OUTPUT": str(self.output), "GITHUB_STEP_SUMMARY": str(self.summary)}
        return run(step["run"], self._directory, {**environment, **files})


@pytest.fixture
def step(action: Any, directory: Path) -> Step:
    return Step(action, directory)


def test_action_is_composite(action: Any) -> None:
    assert action["runs"]["using"] == "composite"
    for part in action["runs"]["steps"]:
        assert part["shell"] == "bash"
        syntax = subprocess.run(["bash", "-n", "-c", part["run"]], capture_output=True, check=False)
        assert syntax.returncode == 0, syntax.stderr
    for name, row in action["inputs"].items():
        assert row["description"], name
    assert action["outputs"]["status"]["value"] == "${{ steps.check.outputs.status }}"


def test_action_uses_every_input(action: Any) -> None:
    (check,) = [part for part in action["runs"]["steps"] if part.get("id") == "check"]
    used = re.findall(r"inputs\.([a-z-]+)", " ".join(check["env"].values()))
    assert sorted(used) == sorted(action["inputs"])


def test_action_on_a_healthy_kernel(step: Step, directory: Path) -> None:
    done = step.run(vmlinux="healthy", min_headroom="1MiB", json="out.json", sarif="out.sarif")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("::notice file=healthy,title=pfestubs check::healthy: ok: all ")
    assert step.output.read_text() == "status=0\n"
    assert step.summary.read_text().startswith("### Out-of-line ftrace stubs: `healthy`\n\n**Ok: all ")
    assert json.loads((directory / "out.json").read_text())["ok"] is True
    assert json.loads((directory / "out.sarif").read_text())["runs"][0]["automationDetails"] == {
        "id": "pfestubs/healthy/"
    }


def test_action_on_a_kernel_that_fails(step: Step, directory: Path) -> None:
    done = step.run(vmlinux="trapped", json="out.json", sarif="out.sarif")
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=trapped,title=pfestubs check::trapped: failed: ")
    assert step.output.read_text() == "status=1\n"
    assert "\n```\nCONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE=" in step.summary.read_text()
    assert json.loads((directory / "out.json").read_text())["ok"] is False
    assert json.loads((directory / "out.sarif").read_text())["runs"][0]["results"]


def test_action_on_a_kernel_that_cannot_be_read(step: Step, directory: Path) -> None:
    done = step.run(vmlinux="missing", json="out.json")
    assert done.returncode == 2
    assert done.stderr == "missing: error: cannot be read: No such file or directory\n"
    assert step.output.read_text() == "status=2\n"
    assert step.summary.read_text() == ""
    assert not (directory / "out.json").exists()


def test_action_without_and_with_a_baseline(step: Step, directory: Path) -> None:
    first = step.run(vmlinux="healthy", baseline="base.json", max_growth="2%", json="base.json")
    assert first.returncode == 0
    assert first.stdout.startswith("::warning title=pfestubs check::there is no baseline yet")
    second = step.run(vmlinux="healthy", baseline="base.json", max_growth="2%")
    assert second.returncode == 0
    assert "::warning" not in second.stdout
    assert "against base.json: locations +0" in second.stdout
    saved = json.loads((directory / "base.json").read_text())
    (directory / "base.json").write_text(json.dumps({**saved, "locations": 1}))
    assert step.run(vmlinux="healthy", baseline="base.json", max_growth="0").returncode == 1


def test_action_takes_inputs_as_they_are(step: Step, directory: Path) -> None:
    hostile = "a $(touch pwned) \"; touch pwned; ' `touch pwned`"
    (directory / hostile).write_bytes((directory / "healthy").read_bytes())
    assert step.run(vmlinux=hostile, json=hostile + ".json").returncode == 0
    assert (directory / (hostile + ".json")).exists()
    (directory / "--help").write_bytes((directory / "healthy").read_bytes())
    assert step.run(vmlinux="--help").stdout.startswith("::notice file=--help,")
    assert not (directory / "pwned").exists()


def test_action_runs_a_given_command(step: Step) -> None:
    assert step.run(vmlinux="healthy", pfestubs="env X=1 pfestubs").returncode == 0


# -- GitLab -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def job() -> Any:
    return yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text())[".pfestubs"]


def run_job(
    job: Any, directory: Path, shell: tuple[str, ...], **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {**job["variables"], **variables}
    return run("\n".join(job["script"]), directory, environment, shell)


SHELLS = [BASH, ("dash", "-e")]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: words[0])
def test_gitlab_job(job: Any, directory: Path, shell: tuple[str, ...]) -> None:
    good = run_job(job, directory, shell, PFESTUBS_VMLINUX="healthy", PFESTUBS_FLAGS="--min-headroom 1MiB")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads((directory / "gl-code-quality-report.json").read_text()) == []
    suites = [ET.parse(directory / job["artifacts"]["reports"]["junit"]).getroot()]
    bad = run_job(job, directory, shell, PFESTUBS_VMLINUX="trapped")
    assert bad.returncode == 1
    assert "trapped: error: area-exhausted: " in bad.stderr
    suites.append(ET.parse(directory / job["artifacts"]["reports"]["junit"]).getroot())
    names = [{(c.get("classname"), c.get("name")) for c in suite.iter("testcase")} for suite in suites]
    assert names[0].isdisjoint(names[1])
    for path in (*job["artifacts"]["paths"], *job["artifacts"]["reports"].values()):
        assert (directory / path).stat().st_size
    issues = json.loads((directory / job["artifacts"]["reports"]["codequality"]).read_text())
    # The keys that GitLab requires, and the severities it knows.
    assert issues
    for issue in issues:
        assert issue.keys() == {"check_name", "description", "fingerprint", "severity", "location"}
        assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert issue["location"] == {"path": "trapped", "lines": {"begin": 1}}
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: words[0])
def test_gitlab_job_with_a_baseline(job: Any, directory: Path, shell: tuple[str, ...]) -> None:
    variables = {"PFESTUBS_VMLINUX": "healthy", "PFESTUBS_BASELINE": "base.json"}
    first = run_job(job, directory, shell, **variables)
    assert (first.returncode, first.stdout) == (
        0,
        "base.json: there is no baseline yet, so the growth is not checked\n",
    )
    (directory / "pfestubs.json").rename(directory / "base.json")
    second = run_job(job, directory, shell, **variables)
    assert (second.returncode, second.stdout) == (0, "")
    assert json.loads((directory / "pfestubs.json").read_text())["baseline"]["file"] == "base.json"


def test_gitlab_job_that_cannot_check(job: Any, directory: Path) -> None:
    done = run_job(job, directory, BASH, PFESTUBS_VMLINUX="missing")
    assert done.returncode
    assert done.stderr == "missing: error: cannot be read: No such file or directory\n"


# -- docs/ci.md -------------------------------------------------------------------------------------------

DOCUMENT = (ROOT / "docs" / "ci.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def block_with(text: str) -> str:
    (found,) = [block for block in blocks("sh") if text in block]
    return found


def test_the_documents_yaml(action: Any, job: Any) -> None:
    documents = [yaml.safe_load(block) for block in blocks("yaml")]
    workflow = next(d for d in documents if "jobs" in d)
    steps = [step for part in workflow["jobs"].values() for step in part["steps"]]
    (used,) = [step for step in steps if step.get("uses", "").startswith("example/pfestubs@")]
    assert used["with"].keys() <= action["inputs"].keys()
    gitlab = next(d for d in documents if "include" in d)
    assert gitlab["stubs"]["variables"].keys() <= job["variables"].keys()
    assert (ROOT / gitlab["include"][0]["file"]).exists()
    for step in steps:
        assert subprocess.run(["bash", "-n", "-c", step.get("run", ":")], check=False).returncode == 0


def test_the_step_without_the_action(directory: Path) -> None:
    (block,) = [block for block in blocks("yaml") if block.startswith("- name: Check")]
    (step,) = yaml.safe_load(block)
    for kernel, status in (("healthy", 0), ("trapped", 1)):
        script = step["run"].replace("out/vmlinux", kernel)
        assert run(script, directory, {"GITHUB_STEP_SUMMARY": "summary"}).returncode == status
    assert (directory / "summary").read_text().count("### Out-of-line ftrace stubs") == 2


def test_every_shell_block_is_correct() -> None:
    assert len(blocks("sh")) >= 9
    for block in blocks("sh"):
        assert subprocess.run(["dash", "-n", "-c", block], check=False).returncode == 0, block


def test_formats_one_after_the_other(directory: Path) -> None:
    script = block_with("pfestubs.xml")
    for kernel, status in (("healthy", 0), ("trapped", 1), ("missing", 1)):
        done = run(script.replace("vmlinux", kernel), directory, shell=("dash", "-e"))
        assert done.returncode == status, done.stderr


def test_the_first_run(directory: Path) -> None:
    (directory / "healthy").rename(directory / "vmlinux")
    script = block_with("cp pfestubs.json baseline.json")
    for words in ("headroom", "against baseline.json"):
        done = run(script, directory, shell=("dash", "-e"))
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
    (directory / "trapped").rename(directory / "vmlinux")
    (directory / "baseline.json").unlink()
    assert run(script, directory, shell=("dash", "-e")).returncode == 1
    assert not (directory / "baseline.json").exists(), "a kernel that fails is not a baseline"


def test_the_gate_before_the_link(directory: Path) -> None:
    trap_object(directory / "vmlinux.o", [(".text", spread(38000, 40 * MIB), 40 * MIB)], reserve=32768)
    done = run(block_with("make vmlinux.o").replace("make", "true"), directory, shell=("dash", "-e"))
    assert done.returncode == 1
    message = " ".join(re.findall(r"^    (vmlinux\.o: error: .*(?:\n    .*)+)$", DOCUMENT, re.MULTILINE))
    assert done.stdout.splitlines()[-1] == " ".join(message.split())


BISECT = block_with("#!/bin/sh")


def test_git_bisect(directory: Path) -> None:
    """A kernel that fails from commit 6 of 9 on; 5 and 8 do not build, 3 leaves no kernel."""
    tree = directory / "linux"
    tree.mkdir()
    (directory / "stubs-bisect").write_text(BISECT)
    (directory / "stubs-bisect").chmod(0o755)
    (tree / "Makefile").write_text(
        "olddefconfig:\n\nvmlinux:\n\t@! grep -q broken state\n\t@rm -f $@\n"
        "\t@grep -q lost state || ln -s ../`sed -n 1p state` $@\n.PHONY: olddefconfig vmlinux\n"
    )
    (tree / ".gitignore").write_text("vmlinux\n")
    commits = [f"set -e; cd {tree}; git init -q; git config user.email a@b.c; git config user.name a"]
    for number in range(1, 10):
        state = "trapped" if number >= 6 else "healthy"
        extra = {3: "lost", 5: "broken", 8: "broken"}.get(number, "")
        commits.append(
            f"printf '{state}\\n{number} {extra}\\n' >state; git add -A; git commit -qm 'commit {number}'"
        )
    assert run("\n".join(commits), directory).returncode == 0
    script = (
        "cd linux; git bisect start HEAD HEAD~8 >/dev/null; git bisect run ../stubs-bisect;"
        " git show -s --format=%s refs/bisect/bad"
    )
    done = run(script, directory, {"GIT_CONFIG_GLOBAL": "/dev/null"}, ("bash",))
    # Commit 5 cannot be tested, so git names both.
    assert done.stdout.splitlines()[-1] == "commit 6", done.stdout + done.stderr
    assert "There are only 'skip'ped commits left to test" in done.stdout


@pytest.mark.parametrize(
    ("kernel", "words", "status"),
    [("healthy", "", 0), ("trapped", "", 1), ("missing", "", 125), ("healthy", "--min-headroom 40M", 1)],
)
def test_exit_status_for_bisect(directory: Path, kernel: str, words: str, status: int) -> None:
    script = BISECT.replace("make -s olddefconfig && make -s", "true && true").replace(
        "check vmlinux", f"check {kernel}"
    )
    (directory / "stubs-bisect").write_text(script)
    assert run(f"sh ./stubs-bisect {words}", directory).returncode == status
