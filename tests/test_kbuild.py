# SPDX-License-Identifier: GPL-2.0-or-later
"""`pfestubs kbuild`: the edit of a tree, and what GNU make does with it."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from pfestubs.kbuild import makefiles as kbuild
from pfestubs.kbuild.makefiles import POSTLINK_MAKEFILE, TOOLS_MAKEFILE
from support import (
    FIXTURES,
    OBJECTS,
    ROOT,
    Outcome,
    call,
    executable_path,
    printed,
    refusal,
    run_program,
    shell_script,
    tool,
)
from support.kbuildtree import (
    CONFIG,
    KNOWN,
    MAKEFILES,
    TREES,
    Build,
    contents,
    copy_tree,
    edit,
    failing_replace,
    reserve_of,
)

RULE = "$(obj)/vmlinux.arch.S: $(src)/ftrace-gen-ool-stubs.sh vmlinux.o FORCE\n"
RECIPE = "\t$(call if_changed,gen_ftrace_ool_stubs)\n"


@pytest.fixture(params=KNOWN)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copy_tree(request.param, tmp_path / "linux")


@pytest.fixture
def mainline(tmp_path: Path) -> Path:
    return copy_tree("mainline-7.2", tmp_path / "linux")


def times(directory: Path) -> dict[str, tuple[int, int]]:
    """Mode and time of each file."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mode, path.stat().st_mtime_ns) for path in files}


# The edit


def test_install_and_remove_restore_every_bit(tree: Path) -> None:
    before, modes = contents(tree), {name: mode for name, (mode, _) in times(tree).items()}
    installed = call("kbuild", "install", tree)
    assert (installed.code, installed.out) == (0, "")
    after = contents(tree)
    assert {name for name in after if after[name] != before.get(name)} == set(MAKEFILES)
    removed = call("kbuild", "remove", tree)
    assert (removed.code, removed.out) == (0, "")
    assert contents(tree) == before
    assert {name: mode for name, (mode, _) in times(tree).items()} == modes


def test_the_trees_own_lines_stay(tree: Path) -> None:
    """All but one line of the tree stays where it is: the block records the one that it replaces."""
    before = {name: (tree / name).read_text().splitlines() for name in MAKEFILES}
    call("kbuild", "install", tree)
    for name in MAKEFILES:
        after = iter((tree / name).read_text().splitlines())
        wanted = [
            "# pfestubs kbuild: was: " + line if line == "vmlinux: FORCE" else line for line in before[name]
        ]
        assert all(line in after for line in wanted), name


def test_install_twice_changes_nothing(tree: Path) -> None:
    call("kbuild", "install", tree)
    once = contents(tree), times(tree)
    again = call("kbuild", "install", tree)
    assert (again.code, "already installed" in again.err) == (0, True)
    assert (contents(tree), times(tree)) == once


def test_remove_without_install_changes_nothing(tree: Path) -> None:
    before = contents(tree)
    outcome = call("kbuild", "remove", tree)
    assert (outcome.code, outcome.err) == (0, f"{tree}: not installed, nothing to remove\n")
    assert contents(tree) == before


@pytest.mark.parametrize(
    ("name", "what"),
    [("mainline-7.2", "mainline 7.2"), ("mainline-6.13", "mainline 6.13"), ("rfc-v3", "RFC 6.10")],
)
def test_status(name: str, what: str, tmp_path: Path) -> None:
    tree = copy_tree(name, tmp_path / "linux")

    original = (tree / POSTLINK_MAKEFILE).read_bytes()
    assert printed("kbuild", "status", tree) == f"{tree}: not installed ({what})\n"
    call("kbuild", "install", tree)
    assert printed("kbuild", "status", tree) == f"{tree}: installed ({what})\n"
    (tree / POSTLINK_MAKEFILE).write_bytes(original)
    partly = f"{tree}: partly installed: not in {POSTLINK_MAKEFILE} ({what})\n"
    assert printed("kbuild", "status", tree) == partly
    assert POSTLINK_MAKEFILE in call("kbuild", "install", tree).err
    assert printed("kbuild", "status", tree) == f"{tree}: installed ({what})\n"


def test_only_6_18_and_newer_are_told_that_checks_come_back(tmp_path: Path) -> None:
    for name in KNOWN:
        tree = copy_tree(name, tmp_path / name)
        said = call("kbuild", "install", tree).err
        assert ("head_check and relocs_check" in said) == (name == "mainline-7.2")
        assert "\nvmlinux vmlinux.unstripped: FORCE\n" in (tree / POSTLINK_MAKEFILE).read_text()


def test_local_edits_elsewhere_survive(tree: Path) -> None:
    before = contents(tree)
    call("kbuild", "install", tree)
    for name in MAKEFILES:
        text = (tree / name).read_bytes()
        (tree / name).write_bytes(b"# mine, \xc3\xa4\x0c\n" + text + b"# mine too\n")
    assert call("kbuild", "status", tree).out.split(": ")[1].startswith("installed (")
    call("kbuild", "remove", tree)
    for name in MAKEFILES:
        assert (tree / name).read_bytes() == b"# mine, \xc3\xa4\x0c\n" + before[name] + b"# mine too\n"


@pytest.mark.parametrize("name", MAKEFILES)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"(?s)(kbuild: begin.*?)\$\(PFESTUBS\)", r"\1$(MY_PFESTUBS)"),
        (r"# pfestubs kbuild: end\n", ""),
        (r"# pfestubs kbuild: begin.*\n", ""),
        (r"(# pfestubs kbuild: begin.*\n)", r"\1\1"),
        (r"\Z", "# pfestubs kbuild: hello\n"),
    ],
    ids=["edited", "no end", "no begin", "nested", "mark"],
)
def test_a_block_edited_by_hand_is_refused(name: str, old: str, new: str, mainline: Path) -> None:
    call("kbuild", "install", mainline)
    text, changes = re.subn(old, new, (mainline / name).read_text(), count=1)
    assert changes
    (mainline / name).write_text(text)
    before = contents(mainline)
    for words in (["install"], ["install", "--print"], ["remove"], ["status"]):
        assert re.fullmatch(
            rf"{mainline / name}: error: (line \d+: the pfestubs block|has .* outside the blocks) .*\n",
            refusal("kbuild", *words, mainline),
        )
    assert contents(mainline) == before


@pytest.mark.parametrize("name", MAKEFILES)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# pfestubs kbuild: ", "# pfestubs-kbuild: "),
        (r".*pfestubs kbuild.*\n", ""),
        # What is between the first end and the last beginning is one block then.
        (r"(?s)# pfestubs kbuild: end\n(.*)# pfestubs kbuild: begin[^\n]*\n", r"\1"),
        (r"(?s)(.*)# pfestubs kbuild: begin[^\n]*\n(.*?)# pfestubs kbuild: end\n", r"\1\2"),
    ],
    ids=["edited markers", "no markers", "one block", "no markers of the last block"],
)
def test_remove_takes_the_blocks_of_both_makefiles_or_none(old: str, new: str, name: str, tree: Path) -> None:
    call("kbuild", "install", tree)
    (tree / name).write_text(re.sub(old, new, (tree / name).read_text()))
    before = contents(tree)
    for words in ("remove", "status", "install"):
        refusal("kbuild", words, tree, about=tree / name)
    assert contents(tree) == before


def test_a_tree_that_changed_under_the_blocks_can_still_be_cleaned(mainline: Path) -> None:
    """`remove` needs the blocks, not a tree that `install` would take."""
    call("kbuild", "install", mainline)
    edit(mainline / TOOLS_MAKEFILE, "$(src)/ftrace-gen-ool-stubs.sh", "$(src)/another.sh")
    assert call("kbuild", "status", mainline).code == 2
    assert call("kbuild", "remove", mainline).code == 0
    assert "pfestubs" not in (mainline / TOOLS_MAKEFILE).read_text()
    assert call("kbuild", "remove", mainline).code == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("before-6.13", "has no arch/powerpc/tools/Makefile"),
        ("rfc-v5", "has neither mainline's rule"),
        ("kbuild", "has no arch/powerpc/tools/Makefile"),
    ],
)
def test_a_tree_of_another_kind_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    tree = copy_tree(name, tmp_path / "linux")
    before = contents(tree)
    for words in (["install"], ["install", "--print"], ["remove"], ["status"]):
        assert reason in refusal("kbuild", *words, tree)
    assert contents(tree) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        (TOOLS_MAKEFILE, "targets +=", "PFESTUBS_X := $(PFESTUBS)\ntargets +=", "outside the blocks"),
        (TOOLS_MAKEFILE, "targets += vmlinux.arch.S\n", "targets += vmlinux.arch.S", "with a newline"),
        (TOOLS_MAKEFILE, "targets += vmlinux.arch.S\n", "targets += vmlinux.arch.S\r\n", "carriage returns"),
        (
            TOOLS_MAKEFILE,
            "\ntargets +=",
            ".arch.vmlinux.o: $(src)/ftrace-gen-ool-stubs.sh vmlinux.o FORCE\n\ntargets +=",
            "has 2 rules",
        ),
        (POSTLINK_MAKEFILE, "\nvmlinux: FORCE\n", "\nvmlinux: FORCE extra\n", 'has no rule "vmlinux: FORCE"'),
        (
            POSTLINK_MAKEFILE,
            "clean:\n",
            "      cmd_ftrace_check += more\nclean:\n",
            "has 2 definitions of cmd_ftrace_check and a call",
        ),
        (POSTLINK_MAKEFILE, "clean:\n", "vmlinux.unstripped:\n\t@true\nclean:\n", "has 2 rules"),
        (POSTLINK_MAKEFILE, "endif\n\nclean:\n", "endif\nendif\nifdef B\nclean:\n", "is interrupted"),
        (
            POSTLINK_MAKEFILE,
            "\t$(call cmd,ftrace_check)\n",
            "",
            "has 1 definition of cmd_ftrace_check and no call",
        ),
        (
            POSTLINK_MAKEFILE,
            "      cmd_ftrace_check =",
            "      cmd_other =",
            "has 0 definitions of cmd_ftrace_check and a",
        ),
        # Recipes in pieces
        (TOOLS_MAKEFILE, RULE + RECIPE, f"{RULE}\n{RECIPE}", "has no recipe"),
        (TOOLS_MAKEFILE, RULE + RECIPE, f"{RULE}# a comment\n{RECIPE}", "has no recipe"),
        (TOOLS_MAKEFILE, RULE + RECIPE, f"ifdef CONFIG_64BIT\n{RULE}endif\n{RECIPE}", "is interrupted"),
        (TOOLS_MAKEFILE, RULE + RECIPE, f"ifdef CONFIG_64BIT\n{RULE}{RECIPE}endif\n", "is interrupted"),
        (TOOLS_MAKEFILE, RULE + RECIPE, f"{RULE}ifdef A\n{RECIPE}other:\nendif\n", "is interrupted"),
        (TOOLS_MAKEFILE, RULE + RECIPE, f"{RULE}{RECIPE}\n# a comment\n{RECIPE}", "is interrupted"),
        (TOOLS_MAKEFILE, RULE + RECIPE, f"{RULE}{RECIPE}endif\nifdef A\n", "is interrupted"),
        (TOOLS_MAKEFILE, RULE + RECIPE, RULE, "has no recipe"),
        (TOOLS_MAKEFILE, RULE + RECIPE, f"{RULE}\n$(obj)/vmlinux.arch.S:\n{RECIPE}", "has 2 rules"),
        (
            TOOLS_MAKEFILE,
            RULE + RECIPE,
            f"{RULE}{RECIPE}\n$(obj)/x $(obj)/vmlinux.arch.S: y\n",
            "has 2 rules",
        ),
        (TOOLS_MAKEFILE, RULE + RECIPE, RULE.rstrip("\n") + "; " + RECIPE.lstrip("\t"), "has neither"),
        (TOOLS_MAKEFILE, "vmlinux.o FORCE", "\\\n\tvmlinux.o FORCE", "has neither"),
        (TOOLS_MAKEFILE, "vmlinux.o FORCE", "another.o vmlinux.o FORCE", "has neither"),
        (TOOLS_MAKEFILE, RULE + RECIPE, f"define x\n{RULE}{RECIPE}endef\n", "uses define"),
        (TOOLS_MAKEFILE, "quiet_cmd", ".RECIPEPREFIX := >\nquiet_cmd", "RECIPEPREFIX"),
    ],
)
def test_a_makefile_that_is_not_as_expected_is_refused(
    name: str, old: str, new: str, reason: str, mainline: Path
) -> None:
    edit(mainline / name, old, new)
    before = contents(mainline)
    message = refusal("kbuild", "install", mainline, about=mainline / name)
    assert reason in message
    is_of_rules = reason not in {"outside the blocks", "with a newline", "carriage returns"}
    assert ("pfestubs kbuild install --print" in message) == is_of_rules
    assert contents(mainline) == before


def test_what_is_not_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("missing", "does not exist"), ("file", "is not a directory")):
        assert refusal("kbuild", "status", tmp_path / name) == f"{tmp_path / name}: error: {reason}\n"


@pytest.mark.parametrize("top", [".", ".."])
def test_git_applies_what_print_prints(top: str, tree: Path) -> None:
    """Also where the tree is a directory of a repository."""

    def git(*words: str) -> str:
        user = ("-c", "user.name=n", "-c", "user.email=e")
        environment = {"GIT_CONFIG_GLOBAL": os.devnull}
        return run_program(tool("git"), *user, *words, check=True, env=environment, cwd=tree).out

    git("init", "-q", top)
    git("add", ".")
    git("commit", "-qm", "tree")
    patch = tree.parent / "patch"
    patch.write_bytes(call("kbuild", "install", "--print", tree).out.encode())
    assert git("status", "--short", ".") == ""
    git("apply", "--check", str(patch))
    git("apply", str(patch))
    assert git("diff", "--name-only", "--relative").splitlines() == sorted(MAKEFILES)
    assert "installed (" in call("kbuild", "status", tree).out
    assert call("kbuild", "install", "--print", tree).out == ""
    call("kbuild", "remove", tree)
    assert git("diff") == ""
    call("kbuild", "install", tree)
    git("apply", "-R", str(patch))
    assert git("diff") == ""


@pytest.mark.parametrize("command", ["install", "remove"])
@pytest.mark.parametrize("failing", [0, 1])
def test_all_makefiles_change_or_none(command: str, failing: int, mainline: Path) -> None:
    if command == "remove":
        call("kbuild", "install", mainline)
    before = contents(mainline)
    with failing_replace(failing):
        message = refusal("kbuild", command, mainline)
    reason = "cannot be written: No space left on device"
    assert re.fullmatch(rf"{mainline}/\S+: error: {reason}(; for .*)?\n", message)
    assert contents(mainline) == before


def test_a_read_only_tree(mainline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root is not stopped by modes, so the system call is made to fail."""

    def fail(*_words: object, **_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = contents(mainline)
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", fail)
        assert call("kbuild", "status", mainline).code == 0
        assert call("kbuild", "install", "--print", mainline).code == 0
        message = refusal("kbuild", "install", mainline)
    assert message.endswith(
        ": error: cannot be written: Read-only file system;"
        " for a read-only tree, print the change as a patch: kbuild install --print\n"
    )
    assert contents(mainline) == before


# The makefiles at work, with the replacement for kbuild

LINK = [*(f"{step} vmlinux.unstripped" for step in ("LD", "CHKHEAD", "CHKFTRC")), "OBJCOPY vmlinux"]
GENERATE = ["GEN vmlinux.arch.S", "UPD vmlinux.arch.S", "AS vmlinux.arch.o"]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build("mainline-7.2", tmp_path)


@pytest.fixture(params=["mainline-6.13", "rfc-v3"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    return Build(request.param, tmp_path)


def test_each_make_runs_what_has_to_run(build: Build) -> None:
    tools = build.out / "arch/powerpc/tools"
    source, obj, mark = (tools / name for name in ("vmlinux.arch.S", "vmlinux.arch.o", ".pfestubs.tmp"))
    assert build.steps() == ["LD vmlinux.o", *GENERATE, *LINK]
    assert build.checks() == ["vmlinux.unstripped"]
    assert (build.steps(), build.steps(), build.checks()) == ([], [], [])
    expected = call("generate", build.object).out
    assert source.read_text() == expected
    assert (build.out / "vmlinux").read_bytes() == build.object.read_bytes() + expected.encode()
    made = [path.stat().st_mtime_ns for path in (source, obj)]
    build.input()  # equal counts are not assembled again
    assert build.steps() == ["LD vmlinux.o", "GEN vmlinux.arch.S", *LINK]
    assert build.steps() == []
    assert made == [path.stat().st_mtime_ns for path in (source, obj)]
    build.version("9.1.1")  # nor are those of another version
    assert (build.steps(), build.steps()) == (["GEN vmlinux.arch.S"], [])
    options = "--spare 3"
    assert build.steps(f"PFESTUBS_FLAGS={options}") == [*GENERATE, *LINK]
    assert build.steps(f"PFESTUBS_FLAGS={options}") == []
    assert build.steps(env={"PFESTUBS_FLAGS": options}) == []
    assert build.steps() == [*GENERATE, *LINK]
    source.unlink()
    assert build.steps()[:2] == ["UPD vmlinux.arch.S", "AS vmlinux.arch.o"]
    obj.unlink()
    assert build.steps()[0] == "AS vmlinux.arch.o"
    mark.unlink()
    assert (build.steps(), build.steps()) == (["GEN vmlinux.arch.S"], [])
    assert build.make("clean", "PFESTUBS=nowhere").code == 0
    assert {path.name for path in build.out.rglob("*") if path.is_file()} == {"auto.conf"}
    build.input()
    assert build.steps() == ["LD vmlinux.o", *GENERATE, *LINK]
    build.object = OBJECTS / "traps-ppc64le-gnu.o"
    build.reserve(reserve_of(build.object))
    build.input()
    assert build.steps() == ["LD vmlinux.o", *GENERATE, *LINK]


def test_older_trees_do_the_same(older: Build) -> None:
    first = older.steps()
    assert first[-3:] == ["LD vmlinux", "CHKHEAD vmlinux", "CHKFTRC vmlinux"]
    assert older.checks() == ["vmlinux"]
    assert older.steps() == []
    older.input()
    again = older.steps()
    assert [step for step in again if step.startswith(("UPD", "AS"))] == []
    assert [step for step in again if step.startswith("GEN")]
    assert older.steps() == []
    older.version("9.2")
    assert len(older.steps()) == 1
    assert older.steps() == []
    older.check("exit 1")
    older.input()
    assert older.make().code == 2
    assert not (older.out / "vmlinux").exists()


def test_without_pfestubs_the_scripts_run_and_it_can_change_each_time(build: Build) -> None:
    script = ["GEN vmlinux.arch.S", "AS vmlinux.arch.o", *LINK]
    assert build.steps("PFESTUBS=") == ["LD vmlinux.o", *script]
    assert build.steps("PFESTUBS=") == []
    assert build.steps(env={"PFESTUBS": ""}) == []
    assert build.checks() == []
    assert build.steps() == [*GENERATE, *LINK]
    assert build.steps("PFESTUBS=") == script
    assert build.steps() == ["UPD vmlinux.arch.S", "AS vmlinux.arch.o", *LINK]
    assert build.steps() == []


@pytest.mark.slow
def test_without_pfestubs_the_rfc_script_runs(tmp_path: Path) -> None:
    build = Build("rfc-v3", tmp_path)
    for _ in range(2):
        assert "FTRACE .arch.vmlinux.o" in build.steps("PFESTUBS=")
        assert (build.out / ".arch.vmlinux.o").read_bytes() == b"by the script\n"
        assert build.steps()
        assert (build.out / ".arch.vmlinux.o").read_bytes() != b"by the script\n"
        assert build.steps() == []


def test_what_a_check_does_to_the_build(build: Build) -> None:
    """It breaks the build, or PFESTUBS_CHECK=warn goes on; one that could not look always breaks it."""
    kept, intermediate = build.out / "vmlinux", build.out / "vmlinux.unstripped"
    found = "echo vmlinux.unstripped: error: stub-out-of-range: f; exit 1"
    blind = "echo vmlinux: error: no table >&2; exit 2"
    keep = "build with PFESTUBS_CHECK=warn to keep it"
    unchecked = "PFESTUBS_CHECK=off builds without the check"
    for script, what, code, says, not_said, is_kept in (
        (found, "fail", 2, ["stub-out-of-range: f\n", keep], "earlier build", False),
        (found, "fail", 2, [keep], "earlier build", False),  # again
        (blind, "fail", 2, ["no table\n", unchecked], "PFESTUBS_CHECK=warn", False),
        (blind, "warn", 2, ["no table\n", unchecked], "PFESTUBS_CHECK=warn", False),
        (found, "no", 2, ['PFESTUBS_CHECK is "no", not fail, warn or off'], keep, False),
        (found, "warn", 0, ["stub-out-of-range: f\n", "continuing despite errors"], keep, True),
        ("exit 1", "fail", 2, ["vmlinux is still the kernel of an earlier build\n"], unchecked, True),
    ):
        build.check(script)
        if kept.exists():
            build.input()
        outcome = build.make(f"PFESTUBS_CHECK={what}")
        assert outcome.code == code, outcome
        assert all(words in outcome.err for words in says), outcome
        assert not_said not in outcome.err, outcome
        assert kept.exists() == is_kept, outcome
        assert intermediate.exists() == (code == 0), outcome
    build.checks()
    assert "CHKFTRC vmlinux.unstripped" not in build.steps("PFESTUBS_CHECK=off")
    assert build.checks() == []


def test_a_good_kernel_is_silent_unless_options_are_given(build: Build) -> None:
    build.check("echo vmlinux.unstripped: ok: with headroom; exit 0")
    assert "with headroom" not in build.make().out
    build.input()
    outcome = build.make("PFESTUBS_CHECK_FLAGS=-v")
    assert (outcome.code, outcome.out.count("with headroom")) == (0, 1)
    build.input()
    assert "with headroom" not in build.make("-s", "PFESTUBS_CHECK_FLAGS=-v").out


def test_no_check_where_mainline_has_none(build: Build) -> None:
    config = CONFIG.format(reserve_of(build.object))
    (build.tree / "config").write_text(f"{config}CONFIG_PPC64_ELF_ABI_V1=y\n")
    assert "CHKFTRC vmlinux.unstripped" not in build.steps()
    assert build.checks() == []


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize(("version", "says"), [("0.0.9", "0.0.9"), ("python", "python"), ("", "")])
@pytest.mark.slow
def test_a_pfestubs_that_is_too_old_is_one_sentence(
    name: str, version: str, says: str, tmp_path: Path
) -> None:
    build = Build(name, tmp_path)
    build.version(version)
    outcome = build.make()
    assert outcome.code == 2
    assert f"*** pfestubs {kbuild.MINIMUM_VERSION} or newer is needed: " in outcome.err
    assert f'--version" says "{says}"; install it, name its command' in outcome.err


def test_a_pfestubs_that_is_not_there_is_one_sentence(build: Build) -> None:
    outcome = build.make("PFESTUBS=no-such-pfestubs")
    assert outcome.code == 2
    assert re.search(r'"no-such-pfestubs --version" says ".*not found"; install it', outcome.err)
    assert "no-such-pfestubs" not in build.make("PFESTUBS=no-such-pfestubs", "clean").err


def test_a_pfestubs_that_breaks_shows_the_last_line(build: Build) -> None:
    script = "echo Traceback >&2; echo 'No module named click' >&2; exit 1"
    shell_script(build.directory / "pfestubs", script)
    outcome = build.make()
    assert outcome.code == 2
    assert 'says "No module named click"; install it' in outcome.err
    assert "Traceback" not in outcome.err


def test_silent_and_verbose(build: Build) -> None:
    outcome = build.make("-s")
    assert (outcome.code, [line for line in outcome.out.splitlines() if "vmlinux.o" not in line]) == (0, [])
    build.version("9.2")
    outcome = build.make("V=1")
    assert ": pfestubs 9.2; " in outcome.out
    assert "generate --layout ool --reserve" in outcome.out


def test_a_failing_generate_leaves_nothing(build: Build) -> None:
    build.object = FIXTURES / "README.md"
    outcome = build.make()
    assert outcome.code == 2
    assert "vmlinux.o: error: " in outcome.err
    assert not (build.out / "arch/powerpc/tools/vmlinux.arch.S").exists()
    assert not (build.out / "arch/powerpc/tools/.pfestubs.tmp").exists()


# Trees that an older version edited


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
@pytest.mark.parametrize("name", KNOWN)
def test_blocks_of_every_version_are_recognised_updated_and_removed(
    name: str, version: str, tmp_path: Path
) -> None:
    def old_tree(directory: str) -> Path:
        tree = copy_tree(name, tmp_path / directory)
        shutil.copytree(TREES / f"installed-by-{version}" / name, tree, dirs_exist_ok=True)
        return tree

    removed, updated = old_tree("removed"), old_tree("updated")
    fresh = copy_tree(name, tmp_path / "fresh")
    assert "another version" in call("kbuild", "status", removed).out
    assert call("kbuild", "remove", removed).code == 0
    assert contents(removed) == contents(fresh)
    assert call("kbuild", "install", updated).code == 0
    call("kbuild", "install", fresh)
    assert contents(updated) == contents(fresh)


# Makefiles that are legal but unusual: make says which lines belong to a rule


@pytest.mark.parametrize(
    "recipe",
    [
        f"ifdef CONFIG_64BIT\n{RECIPE}endif\n",
        f"ifndef CONFIG_64BIT\n\t@false\nelse\n{RECIPE}endif\n",
        f"\t@true \\\n  and more\n{RECIPE}",
    ],
)
@pytest.mark.slow
def test_a_recipe_with_conditionals_or_continued_lines(recipe: str, tmp_path: Path) -> None:
    """The kernel's script runs exactly when `PFESTUBS` is empty."""
    build = Build("mainline-7.2", tmp_path)
    call("kbuild", "remove", build.tree)
    edit(build.tree / TOOLS_MAKEFILE, RULE + RECIPE, RULE + recipe)
    before = contents(build.tree)
    installed = call("kbuild", "install", build.tree)
    assert installed.code == 0, installed.err
    source = build.out / "arch/powerpc/tools/vmlinux.arch.S"
    build.steps()
    assert source.read_text() == call("generate", build.object).out
    build.steps("PFESTUBS=")
    assert source.read_text().startswith("by the script")
    call("kbuild", "remove", build.tree)
    assert contents(build.tree) == before


# Files that are not what they seem


def test_a_tree_of_links_is_not_written_through(mainline: Path, tmp_path: Path) -> None:
    """As `cp -rs` makes it: the original must not change."""
    shadow = tmp_path / "shadow"
    shutil.copytree(mainline, shadow, copy_function=os.symlink)
    before = contents(mainline)
    assert call("kbuild", "status", shadow).code == 0
    assert call("kbuild", "install", "--print", shadow).code == 0
    message = refusal("kbuild", "install", shadow)
    assert "is in another tree, by a symbolic link" in message
    assert re.search(r"cp --remove-destination \S+ \S+", message)
    assert contents(mainline) == before
    for name in MAKEFILES:
        shutil.copy(mainline / name, shadow / "copy")
        (shadow / "copy").replace(shadow / name)
    assert call("kbuild", "install", shadow).code == 0
    assert contents(mainline) == before
    call("kbuild", "install", mainline)
    (shadow / TOOLS_MAKEFILE).unlink()
    (shadow / TOOLS_MAKEFILE).symlink_to(mainline / TOOLS_MAKEFILE)
    installed = contents(mainline)
    assert call("kbuild", "remove", shadow).code == 2
    assert contents(mainline) == installed


def test_a_link_inside_the_tree_is_followed(mainline: Path) -> None:
    (mainline / TOOLS_MAKEFILE).rename(mainline / "Makefile.tools")
    (mainline / TOOLS_MAKEFILE).symlink_to("../../../Makefile.tools")
    assert call("kbuild", "install", mainline).code == 0
    assert (mainline / TOOLS_MAKEFILE).is_symlink()
    assert "$(PFESTUBS)" in (mainline / "Makefile.tools").read_text()


@pytest.mark.parametrize("kind", ["endless", "huge", "directory", "bytes"])
@pytest.mark.parametrize("name", [*MAKEFILES, "Makefile", "scripts/Makefile.vmlinux"])
def test_a_makefile_that_cannot_be_read_is_refused(kind: str, name: str, mainline: Path) -> None:
    path = mainline / name
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "bytes":
        path.write_bytes(b"# \xff\n")
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    if name in MAKEFILES:
        reason = "cannot be read: Is|not UTF-8|is larger than expected: more than 65,536 bytes"
        assert re.search(reason, refusal("kbuild", "status", mainline))
    else:  # only looked at for the version
        assert call("kbuild", "status", mainline).code == 0


def test_the_name_of_the_tree_stays_on_its_line(tmp_path: Path) -> None:
    tree = copy_tree("mainline-7.2", tmp_path / "linux\n::error ::forged\x1b[31m")
    for words in (["status"], ["install"], ["remove"]):
        outcome = call("kbuild", *words, tree)
        assert outcome.code == 0
        for line in (outcome.out + outcome.err).splitlines():
            assert line.startswith(f"{tmp_path}/linux\\n::error ::forged\\x1b[31m: ")


def test_an_object_directory_leads_to_its_source(mainline: Path, tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    (objects / "arch/powerpc/tools").mkdir(parents=True)
    (objects / "source").symlink_to(mainline)
    note = f"{objects}: note: is an object directory; using its source tree, {mainline}\n"
    status = f"{mainline}: not installed (mainline 7.2)\n"
    assert call("kbuild", "status", objects) == Outcome(0, status, note)
    assert call("kbuild", "install", objects).code == 0
    assert call("kbuild", "status", mainline).out == f"{mainline}: installed (mainline 7.2)\n"
    assert call("kbuild", "remove", objects).code == 0
    mainline.rename(tmp_path / "moved")
    for words in ("install", "remove", "status"):
        assert refusal("kbuild", words, objects) == (
            f"{objects}/source: error: is an object directory's link to its source tree, {mainline}, which does"
            " not exist; give the kernel tree itself\n"
        )


# The kernel test (docs/kbuild.md): what it says where it cannot run


def kernel_test(**variables: str) -> Outcome:
    return run_program(
        ROOT / "tests" / "kernel" / "kernel-test", env={"PFESTUBS": executable_path("pfestubs"), **variables}
    )


def test_the_kernel_test_says_what_is_missing(tmp_path: Path) -> None:
    missing, tools = str(tmp_path / "missing"), {"CROSS_COMPILE": "no-such-", "KERNEL_CC": "gcc-99"}
    for done, reason in (
        (kernel_test(), "KERNEL_SRC is not set"),
        (kernel_test(KERNEL_SRC=missing), "missing is not a directory"),
        (
            kernel_test(KERNEL_SRC=str(tmp_path), **tools),
            r"no-such-gcc-99 no-such-ld(.|\n)*, or see CROSS_COMPILE",
        ),
    ):
        assert (done.code, done.out) == (2, "")
        assert re.search(reason, done.err)


@pytest.mark.parametrize(
    ("version", "reason"), [("12", "out-of-line stubs need GCC 13"), ("14", "not a kernel tree")]
)
def test_the_kernel_test_looks_at_the_compiler_and_the_tree(
    version: str, reason: str, tmp_path: Path
) -> None:
    for name in ("make", "flex", "bison", "bc", "t-gcc", "t-ld", "t-objcopy", "t-objdump", "t-nm"):
        shell_script(tmp_path / "bin" / name, f"echo {version}")
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = kernel_test(KERNEL_SRC=str(tmp_path), CROSS_COMPILE="t-", PATH=path)
    assert done.code == 2
    assert reason in done.err


def test_an_empty_tree_name_is_not_the_working_directory() -> None:
    assert "SRCTREE: error: is empty" in call("kbuild", "install", "").err
