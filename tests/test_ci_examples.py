# SPDX-License-Identifier: GPL-2.0-or-later
"""The GitHub action, the GitLab job and the recipes of docs/ci.md, run as CI would run them."""

import json
import lzma
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from support import (
    FIXTURES,
    ROOT,
    Outcome,
    clean_environment,
    executable_path,
    run_program,
    shell_script,
    unpack,
)
from test_generate import MIB, spread, trap_object

BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""A step of GitHub with `shell: bash`."""


def run(
    script: str, directory: Path, environment: Mapping[str, str] | None = None, shell: tuple[str, ...] = BASH
) -> Outcome:
    path = f"{directory / 'tools'}:{clean_environment()['PATH']}"
    return run_program(*shell, "-c", script, env={**(environment or {}), "PATH": path}, cwd=directory)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A working directory with a kernel that boots with tracing, and one that does not; tools in PATH."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/pfestubs").symlink_to(executable_path("pfestubs"))
    shutil.copy(FIXTURES / "linked" / "healthy-ppc64le", tmp_path / "healthy")
    unpack(FIXTURES / "linked" / "trapped-ppc64le.xz", tmp_path / "trapped")
    return tmp_path


def read_json(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def save_trap(path: Path) -> None:
    """An object whose reserve may be out of range."""
    trap_object(path, [(".text", spread(38000, 40 * MIB), 40 * MIB)], reserve=32768)


def use_as(directory: Path, kernel: str, name: str) -> None:
    """Give a kernel that is there another name."""
    if (directory / kernel).exists():
        (directory / kernel).rename(directory / name)


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

    def run(self, name: str = "vmlinux", **inputs: str) -> Outcome:
        """Run the step whose condition names the input `name`."""
        values = {name: row.get("default", "") for name, row in self._action["inputs"].items()}
        values |= {"pfestubs": "pfestubs"} | {name.replace("_", "-"): text for name, text in inputs.items()}
        assert values.keys() == self._action["inputs"].keys()
        (step,) = [s for s in self._action["runs"]["steps"] if s["if"] == f"inputs.{name} != ''"]
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
        run_program("bash", "-n", "-c", part["run"], check=True)
    for name, row in action["inputs"].items():
        assert row["description"], name
    for name, row in action["outputs"].items():
        assert row["value"] == f"${{{{ steps.check.outputs.{name} }}}}"


def test_action_uses_every_input(action: Any) -> None:
    values = [value for part in action["runs"]["steps"] for value in part.get("env", {}).values()]
    used = set(re.findall(r"inputs\.([a-z-]+)", " ".join(values)))
    assert used == action["inputs"].keys()


MISSING = Outcome(2, "", "missing: error: cannot be read: No such file or directory\n")
HEADROOM = "33553464"
"""Of the healthy kernel, in bytes; its text can grow by as much."""


def outputs(step: Step) -> dict[str, str]:
    return dict(line.split("=") for line in step.output.read_text().splitlines())


def test_action_on_a_healthy_kernel(step: Step, directory: Path) -> None:
    done = step.run(vmlinux="healthy", min_headroom="1MiB", json="out.json", sarif="out.sarif")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("::notice file=healthy,title=pfestubs check::healthy: ok: all ")
    assert outputs(step) == {"status": "0", "verdict": "ok", "headroom": HEADROOM, "growth": HEADROOM}
    assert step.summary.read_text().startswith("### Out-of-line ftrace stubs: `healthy`\n\n**Ok: all ")
    assert read_json(directory, "out.json")["ok"] is True
    (run_,) = read_json(directory, "out.sarif")["runs"]
    assert run_["automationDetails"] == {"id": "pfestubs/healthy/"}


def test_action_on_a_kernel_that_fails(step: Step, directory: Path) -> None:
    done = step.run(vmlinux="trapped", json="out.json", sarif="out.sarif")
    assert done.code == 1
    assert done.out.startswith("::error file=trapped,title=pfestubs check::trapped: failed: ")
    found = outputs(step)
    assert (found["status"], found["verdict"]) == ("1", "failed")
    assert int(found["growth"]) < 0
    assert "\n```\nCONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE=" in step.summary.read_text()
    assert read_json(directory, "out.json")["ok"] is False
    assert read_json(directory, "out.sarif")["runs"][0]["results"]


def test_action_on_a_kernel_that_cannot_be_read(step: Step, directory: Path) -> None:
    done = step.run(vmlinux="missing", json="out.json")
    assert (done.code, done.err) == (2, MISSING.err)
    assert outputs(step) == {"status": "2"}
    assert step.summary.read_text() == ""
    assert not (directory / "out.json").exists()


def test_action_without_and_with_a_baseline(step: Step, directory: Path) -> None:
    first = step.run(vmlinux="healthy", baseline="base.json", max_growth="2%", json="base.json")
    assert first.code == 0
    assert first.out.startswith("::warning title=pfestubs check::there is no baseline yet")
    second = step.run(vmlinux="healthy", baseline="base.json", max_growth="2%")
    assert second.code == 0
    assert "::warning" not in second.out
    assert "against base.json: locations +0" in second.out
    saved = {**read_json(directory, "base.json"), "locations": 1}
    (directory / "base.json").write_text(json.dumps(saved))
    assert step.run(vmlinux="healthy", baseline="base.json", max_growth="0").code == 1


@pytest.mark.parametrize("name", ["healthy", "trapped"])
def test_action_writes_a_page_and_a_comment(step: Step, directory: Path, name: str) -> None:
    words = {"vmlinux": name, "html": "page.html", "comment": "comment.md"}
    for heading in ("### Out-of-line ftrace stubs: `", "### Out-of-line ftrace stubs\n"):
        done = step.run(**words, baseline="base.json", json="base.json")
        assert (done.code, done.err) == (int(name == "trapped"), "")
        assert (directory / "page.html").read_text().lower().startswith("<!doctype html>")
        assert (directory / "comment.md").read_text().startswith(heading)


def test_action_before_the_link(step: Step, directory: Path) -> None:
    save_trap(directory / "bad.o")
    shutil.copy(FIXTURES / "objects" / "ool-ppc64le-gnu.o", directory / "good.o")
    for name, status in (("good.o", 0), ("bad.o", 1), ("missing.o", 2)):
        done = step.run("object", object=name)
        assert done.code == status, done.err
        assert f"{name}: " in done.out + done.err


def test_action_takes_inputs_as_they_are(step: Step, directory: Path) -> None:
    hostile = "a $(touch pwned) \"; touch pwned; ' `touch pwned`"
    (directory / hostile).write_bytes((directory / "healthy").read_bytes())
    assert step.run(vmlinux=hostile, json=hostile + ".json").code == 0
    assert (directory / (hostile + ".json")).exists()
    (directory / "--help").write_bytes((directory / "healthy").read_bytes())
    assert step.run(vmlinux="--help").out.startswith("::notice file=--help,")
    assert not (directory / "pwned").exists()


def test_action_runs_a_given_command(step: Step) -> None:
    assert step.run(vmlinux="healthy", pfestubs="env X=1 pfestubs").code == 0


# -- GitLab -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jobs() -> Any:
    return yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text())


@pytest.fixture(scope="module")
def job(jobs: Any) -> Any:
    return jobs[".pfestubs"]


def run_job(job: Any, directory: Path, shell: tuple[str, ...], **variables: str) -> Outcome:
    environment = {**job["variables"], **variables}
    return run("\n".join(job["script"]), directory, environment, shell)


SHELLS = [BASH, ("dash", "-e")]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: words[0])
def test_gitlab_job(job: Any, directory: Path, shell: tuple[str, ...]) -> None:
    reports = job["artifacts"]["reports"]

    def cases() -> set[tuple[str | None, str | None]]:
        root = ET.parse(directory / reports["junit"]).getroot()
        return {(case.get("classname"), case.get("name")) for case in root.iter("testcase")}

    good = run_job(job, directory, shell, PFESTUBS_VMLINUX="healthy", PFESTUBS_FLAGS="--min-headroom 1MiB")
    assert (good.code, good.err) == (0, "")
    assert good.out.startswith("healthy: ok: all 40 functions get a working stub")
    environment = (directory / reports["dotenv"]).read_text()
    assert environment == f"PFESTUBS_VERDICT=ok\nPFESTUBS_HEADROOM={HEADROOM}\nPFESTUBS_GROWTH={HEADROOM}\n"
    assert read_json(directory, "gl-code-quality-report.json") == []
    good_cases = cases()
    bad = run_job(job, directory, shell, PFESTUBS_VMLINUX="trapped")
    assert bad.code == 1
    assert "trapped: error: area-exhausted: " in bad.out
    assert "PFESTUBS_VERDICT=failed\n" in (directory / reports["dotenv"]).read_text()
    assert good_cases.isdisjoint(cases())
    for path in (*job["artifacts"]["paths"], *reports.values()):
        assert (directory / path).stat().st_size
    issues = read_json(directory, reports["codequality"])
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
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith(
        "base.json: there is no baseline yet, so the growth is not checked\nhealthy: ok: "
    )
    assert (directory / "pfestubs.md").read_text().startswith("### Out-of-line ftrace stubs: `healthy`")
    (directory / "pfestubs.json").rename(directory / "base.json")
    (directory / "pfestubs.md").unlink()
    second = run_job(job, directory, shell, **variables)
    assert (second.code, second.err) == (0, "")
    assert "against base.json: locations +0" in second.out
    assert (directory / "pfestubs.md").read_text().startswith("### Out-of-line ftrace stubs\n")
    assert read_json(directory, "pfestubs.json")["baseline"]["file"] == "base.json"


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: words[0])
def test_gitlab_job_that_cannot_check(job: Any, directory: Path, shell: tuple[str, ...]) -> None:
    for variables in (
        {"PFESTUBS_VMLINUX": "missing"},
        {"PFESTUBS_VMLINUX": "healthy", "PFESTUBS_FLAGS": "--prelink missing"},
    ):
        assert run_job(job, directory, shell, **variables) == MISSING


def test_gitlab_job_before_the_link(jobs: Any, directory: Path) -> None:
    save_trap(directory / "vmlinux.o")
    done = run_job(jobs[".pfestubs-object"], directory, BASH)
    assert done.code == 1
    assert "vmlinux.o: error: the reserve may be out of range" in done.out


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
    used = [step for step in steps if step.get("uses", "").startswith("example/pfestubs@")]
    assert len(used) == 2
    for step in used:
        assert step["with"].keys() <= action["inputs"].keys()
    wanted = workflow["jobs"]["stubs"]["outputs"].values()
    assert {re.findall(r"outputs\.(\w+)", value)[0] for value in wanted} <= action["outputs"].keys()
    gitlab = next(d for d in documents if "include" in d)
    assert gitlab["stubs"]["variables"].keys() <= job["variables"].keys()
    assert (ROOT / gitlab["include"][0]["file"]).exists()
    for step in steps:
        assert run_program("bash", "-n", "-c", step.get("run", ":")).code == 0


def test_our_own_workflow() -> None:
    """Its targets exist, and its Pythons are those that pyproject.toml names."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step.get("run", "") for part in workflow["jobs"].values() for step in part["steps"]]
    targets = {step.split()[1] for step in steps if step.startswith("make ")}
    assert {"lint", "test-fast", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    project = (ROOT / "pyproject.toml").read_text()
    pythons = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    assert workflow["jobs"]["fast"]["strategy"]["matrix"]["python"] == pythons


def test_the_step_without_the_action(directory: Path) -> None:
    (block,) = [block for block in blocks("yaml") if block.startswith("- name: Check")]
    (step,) = yaml.safe_load(block)
    for kernel, status in (("healthy", 0), ("trapped", 1), ("missing", 2)):
        script = step["run"].replace("out/vmlinux", kernel)
        assert run(script, directory, {"GITHUB_STEP_SUMMARY": "summary"}).code == status
    assert (directory / "summary").read_text().count("### Out-of-line ftrace stubs") == 2


def test_every_shell_block_is_correct() -> None:
    assert len(blocks("sh")) >= 9
    for block in blocks("sh"):
        run_program("dash", "-n", "-c", block, check=True)


def test_formats_one_after_the_other(directory: Path) -> None:
    script = block_with("pfestubs.xml")
    for kernel, status in (("healthy", 0), ("trapped", 1), ("missing", 2)):
        done = run(script.replace("vmlinux", kernel), directory, shell=("dash", "-e"))
        assert done.code == status, done.err
        assert f"{kernel}: " in done.out + done.err


def test_the_first_run(directory: Path) -> None:
    (directory / "healthy").rename(directory / "vmlinux")
    script = block_with("cp pfestubs.json baseline.json")
    for words in ("headroom", "against baseline.json"):
        done = run(script, directory, shell=("dash", "-e"))
        assert done.code == 0, done.err
        assert words in done.out
    (directory / "trapped").rename(directory / "vmlinux")
    (directory / "baseline.json").unlink()
    assert run(script, directory, shell=("dash", "-e")).code == 1
    assert not (directory / "baseline.json").exists(), "a kernel that fails is not a baseline"


def test_the_gate_before_the_link(directory: Path) -> None:
    save_trap(directory / "vmlinux.o")
    done = run(block_with("make vmlinux.o").replace("make", "true"), directory, shell=("dash", "-e"))
    assert done.code == 1
    message = " ".join(re.findall(r"^    (vmlinux\.o: error: .*(?:\n    .*)+)$", DOCUMENT, re.MULTILINE))
    assert done.out.splitlines()[-1] == " ".join(message.split())


@pytest.fixture
def calls(directory: Path) -> Callable[[str], str]:
    """Put a command into PATH that writes its arguments, one a line, to a file of its name and `.calls`."""

    def fake(name: str) -> str:
        shell_script(directory / "tools" / name, f'printf "%s\\n" "$@" >{directory}/{name}.calls')
        return f"{name}.calls"

    return fake


def test_the_comments(directory: Path, calls: Callable[[str], str]) -> None:
    documents = [yaml.safe_load(block) for block in blocks("yaml")]
    (github,) = [document["jobs"]["comment"] for document in documents if "jobs" in document]
    (gitlab,) = [document["comment"] for document in documents if "comment" in document]
    url = "https://lab/api/projects/1/merge_requests/7/notes"
    for name, script, words in (
        (
            "gh",
            github["steps"][-1]["run"],
            ["pr", "comment", "7", "--repo", "a/b", "--body-file", "pfestubs.md"],
        ),
        ("curl", "\n".join(gitlab["script"]), ["PRIVATE-TOKEN: secret", "body@pfestubs.md", url]),
    ):
        log = calls(name)
        environment = {"NUMBER": "7", "GITHUB_REPOSITORY": "a/b", "PFESTUBS_TOKEN": "secret"}
        environment |= {"CI_API_V4_URL": "https://lab/api", "CI_PROJECT_ID": "1", "CI_MERGE_REQUEST_IID": "7"}
        done = run(script, directory, environment)
        assert (done.code, done.out, done.err) == (0, "", "")
        assert set(words) <= set((directory / log).read_text().splitlines())


@pytest.mark.parametrize(
    ("kernel", "limit", "status"),
    [
        ("healthy", "", 0),
        ("healthy", "2MiB", 0),
        ("healthy", "40MiB", 2),
        ("trapped", "", 2),
        ("missing", "", 2),
    ],
)
def test_the_rule_of_a_package(directory: Path, kernel: str, limit: str, status: int) -> None:
    """make's exit status is 2 for any recipe that fails."""
    (directory / "rules").write_text(blocks("make")[0])
    use_as(directory, kernel, "vmlinux")
    script = f"make -s -f rules check-ftrace-stubs BUILD_DIR=. FTRACE_MIN_GROWTH={limit}"
    done = run(script, directory)
    assert done.code == status, done.err


@pytest.mark.parametrize(
    ("kernel", "log", "status", "booted"),
    [
        ("healthy", "ftrace: allocating 40 entries in 1 pages", 2, True),  # not proved: it has no banner
        ("healthy", "ftrace failed to modify\n[<c000000000000148>] mini_notrace+0x18/0x40", 1, True),
        ("trapped", "", 1, False),
        ("missing", "", 2, False),
    ],
)
def test_around_the_test_of_ci_scripts(
    directory: Path, kernel: str, log: str, status: int, booted: bool
) -> None:
    (directory / "out").mkdir()
    use_as(directory, kernel, "out/vmlinux")
    shell_script(directory / "scripts/test/qemu-ftrace", f"printf '%s\\n' '{log}' >console.log")
    done = run(block_with("qemu-ftrace"), directory, {"KBUILD_OUTPUT": "out"})
    assert done.code == status, done.out + done.err
    assert (directory / "console.log").exists() == booted


def test_tuxmakes_hook(directory: Path, calls: Callable[[str], str]) -> None:
    log = calls("tuxmake")
    assert run(block_with("tuxmake "), directory).code == 0
    words = (directory / log).read_text().splitlines()
    assert words[-3:] == ["config", "kernel", "debugkernel"]
    hook = words[words.index("--results-hook") + 1]
    (directory / "vmlinux.xz").write_bytes(lzma.compress((directory / "healthy").read_bytes()))
    assert run(hook, directory).code == 0
    assert run(hook.replace("1MiB", "40MiB"), directory).code == 1


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
    assert run("\n".join(commits), directory).code == 0
    script = (
        "cd linux; git bisect start HEAD HEAD~8 >/dev/null; git bisect run ../stubs-bisect;"
        " git show -s --format=%s refs/bisect/bad"
    )
    done = run(script, directory, {"GIT_CONFIG_GLOBAL": "/dev/null"}, ("bash",))
    # Commit 5 cannot be tested, so git names both.
    assert done.out.splitlines()[-1] == "commit 6", done.out + done.err
    assert "There are only 'skip'ped commits left to test" in done.out


@pytest.mark.parametrize(
    ("kernel", "words", "status"),
    [("healthy", "", 0), ("trapped", "", 1), ("missing", "", 125), ("healthy", "--min-headroom 40M", 1)],
)
def test_exit_status_for_bisect(directory: Path, kernel: str, words: str, status: int) -> None:
    script = BISECT.replace("make -s olddefconfig && make -s", "true && true")
    script = script.replace("check vmlinux", f"check {kernel}")
    (directory / "stubs-bisect").write_text(script)
    assert run(f"sh ./stubs-bisect {words}", directory).code == status
