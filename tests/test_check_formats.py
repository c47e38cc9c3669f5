# SPDX-License-Identifier: GPL-2.0-or-later
"""The formats of `check`: valid by their published schemas, complete on a clean run, safe with any name."""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from jsonschema import Draft4Validator

from pfestubs import __version__
from pfestubs.formats import FORMATS, RenderOptions
from pfestubs.formats import render as render_pieces
from pfestubs.formats.check import documents
from pfestubs.formats.findings import SENTENCES, WORDS, finding_message
from pfestubs.formats.markdown import LIMIT, code
from pfestubs.layouts import LAYOUTS
from pfestubs.model import Kernel, KernelFigures, KernelIdentity
from pfestubs.model.findings import RULES, Action, Finding, Remedy
from pfestubs.rules.check import CheckOptions, CheckResult, Remedies
from pfestubs.rules.kernel.boot import Headroom
from pfestubs.rules.kernel.simulation import boot_kernel
from support import assert_strict, validator
from support.kernelwriter import LinkedKernel, NamedAddresses, inline_kernel

PUBLISHED = Path(__file__).parent / "schemas"
UNSAFE_NAME = 'a<b>&"%,:\n\r\x1b[31m\x00\udc80é\u2028'


TEXT, TEXT_END, INITTEXT = LAYOUTS["ool"].areas


def render(result: CheckResult, format_: str, **options: Any) -> str:
    return "".join(render_pieces("check", format_, result, RenderOptions(**options)))


def document(result: CheckResult, format_: str = "json", **options: Any) -> Any:
    return json.loads(render(result, format_, **options))


FN0, FN1 = 0xC000000000001000, 0xC000000000001010
ROOMS = (Headroom(-4, FN0, "stub"), Headroom(8, FN1, "tracer"))


def check_result(
    findings: Sequence[Finding] = (),
    *,
    linked: Kernel | None = None,
    rooms: Sequence[Headroom] = ROOMS,
    stops_at: str | None = None,
    name: str = "",
    options: CheckOptions | None = None,
    **known: Any,
) -> CheckResult:
    """The result of a small kernel; `name` is that of its second function, `known` what is known of the kernel."""
    kernel = replace(linked or LinkedKernel().kernel(), **known)
    boot = boot_kernel(replace(kernel, symbols=NamedAddresses({"fn0": FN0, name: FN1})) if name else kernel)
    vars(boot).update(headrooms={room.branch: room for room in rooms}, stop_function=stops_at)
    return CheckResult(boot, options or CheckOptions(), list(findings), Remedies(boot))


# What sentences are made from, more than any of them needs.
FIGURES: dict[str, Any] = (
    {"area": TEXT_END, "other": TEXT, "end": 0x20, "outer": range(0x100, 0x200), "alignment": 8}
    | {"text": range(4), "inittext": range(2, 8), "address": 0x1000, "word": 0x7C0802A6, "bytes": 1200}
    | {"stubs": 1, "stub_size": 24, "needed": 3, "missing": 2, "unused": 1, "found": 1, "expected": 1759}
    | {"entries": 16, "skipped": 15, "unlisted": 1759, "source": "c.json", "locations": 5, "grown": 2}
    | {"baseline": 3, "allowed": Decimal("2.5"), "minimum": 1024, "branch": "stub"}
    | dict.fromkeys(("symbol", "tracer"), "ftrace_caller")
)
FIRST_CASES = {
    "table-damaged": "entry-misaligned",
    "area-damaged": "area-size",
    "count-mismatch": "area-count",
}


def finding(rule: str, **changes: Any) -> Finding:
    place = {"function": "fn2+0x8", "location": 0xC000000000001020, "stub": 0xC000000000001098}
    values = {"case": FIRST_CASES.get(rule, ""), "figures": FIGURES, **place, "distance": -33554436}
    return Finding(rule, **{**values, "limit": -33554432, **changes})


NOTES = [rule.name for rule in RULES.values() if rule.severity == "note"]
ERRORS = [rule.name for rule in RULES.values() if rule.severity == "error"]
EMPTY = dict.fromkeys(("function", "location", "stub", "distance", "limit"))
CASES: dict[str, CheckResult] = {
    "clean": check_result(),
    "every rule": check_result([finding(rule) for rule in RULES]),
    "notes": check_result([finding(rule) for rule in NOTES]),
    "nothing known": check_result(
        [finding("table-damaged", **EMPTY)], rooms=(), linked=LinkedKernel(table=[]).kernel()
    ),
    "unsafe name": check_result([finding("area-exhausted", function=UNSAFE_NAME)], file=UNSAFE_NAME),
    "many": check_result([finding("area-exhausted", function=f"f{i}") for i in range(50)]),
    "inline": check_result(linked=inline_kernel().kernel()),
    "baseline": check_result(
        options=CheckOptions(
            baseline=KernelFigures(
                KernelIdentity("old.json", "ool", release="6.13.0"), "check", 3, headroom=-8
            )
        ),
        banner="Linux version 7.2.13 (b@h)",
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> CheckResult:
    return CASES[request.param]


@pytest.mark.parametrize("format_", FORMATS["check"])
def test_every_format_is_a_document(format_: str, case: CheckResult) -> None:
    text = render(case, format_)
    assert text.endswith("\n")
    assert text.strip()
    assert "\x1b" not in text
    text.encode("utf-8", "strict")
    assert render(case, format_) == text


# -- json -------------------------------------------------------------------------------------------------


def test_json_is_valid(case: CheckResult) -> None:
    validator("check").validate(document(case))


def test_json_values() -> None:
    found = document(check_result([finding("stub-out-of-range")]))
    assert found["ok"] is False
    figures = {"reserved": 1, "used": 1, "needed": 1}
    assert found["areas"][1] == {"name": "text_end", "address": "0xc000000000001080", **figures}
    assert found["headroom"]["bytes"] == -4
    assert found["headroom"]["by_branch"][1]["function"] == "fn1"
    place = {"function": "fn2+0x8", "location": "0xc000000000001020", "stub": "0xc000000000001098"}
    message = finding_message(finding("stub-out-of-range"))
    assert found["findings"] == [
        {"rule": "stub-out-of-range", "severity": "error", "message": message, "remedy": None}
        | {**place, "distance": -33554436, "limit": -33554432}
    ]


def test_json_holds_every_finding_in_order() -> None:
    assert [f["function"] for f in document(CASES["many"])["findings"]] == [f"f{i}" for i in range(50)]


def test_our_schema_is_strict() -> None:
    good = document(CASES["every rule"])
    one = good["findings"][0]
    changes: list[dict[str, Any]] = [
        {"schema": "pfestubs/check/2"},
        {"extra": 1},
        {"layout": "other"},
        {"layout": None},
        {"layout": "inline"},
        {"stub_size": None},
        {"stub_size": 20},
        {"locations": -1},
        {"areas": []},
        {"areas": [{**good["areas"][0], "address": "0xC0"}]},
        {"headroom": {**good["headroom"], "bytes": 1.5}},
        {"headroom": {**good["headroom"], "branch": "call"}},
        {"ok": True},
        {"findings": []},
        {"findings": [{**one, "rule": "other"}]},
        {"findings": [{**one, "severity": "note"}]},
        {"findings": [{k: v for k, v in one.items() if k != "limit"}]},
        {"findings": [{**one, "location": 5}]},
        {"findings": [{**one, "remedy": {"action": "other"}}]},
        {"findings": [{**one, "remedy": {"action": "lower-reserve", "value": -1}}]},
        {"kernel": {"release": None, "banner": None}},
        {"kernel": {**good["kernel"], "build_id": "XYZ"}},
        {"pfestubs": None},
    ]
    assert_strict("check", good, changes)


def test_our_schema_knows_the_rules() -> None:
    properties: Any = validator("check").schema
    items = properties["properties"]["findings"]["items"]
    assert items["properties"]["rule"]["enum"] == list(RULES)
    assert items["if"]["properties"]["rule"]["enum"] == NOTES


# -- junit ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def junit_schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(PUBLISHED / "junit-10.xsd"))


def test_junit_is_valid(case: CheckResult, junit_schema: xmlschema.XMLSchema) -> None:
    for show_all in (False, True):
        junit_schema.validate(ET.fromstring(render(case, "junit", show_all=show_all)))


def test_the_junit_schema_refuses_something(junit_schema: xmlschema.XMLSchema) -> None:
    assert not junit_schema.is_valid(ET.fromstring("<testsuites><testsuite name='x'/></testsuites>"))


def junit(given: CheckResult, **options: Any) -> ET.Element:
    suite = ET.fromstring(render(given, "junit", **options)).find("testsuite")
    assert suite is not None
    return suite


def test_junit_has_one_case_a_rule() -> None:
    for given in CASES.values():
        suite = junit(given)
        assert [case.get("name") for case in suite.iter("testcase")] == list(RULES)
        assert suite.get("tests") == str(len(RULES))


def test_junit_of_a_clean_run() -> None:
    suite = junit(check_result())
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "3")
    assert not list(suite.iter("failure"))
    skipped = {c.get("name") for c in suite.iter("testcase") if c.find("skipped") is not None}
    assert skipped == {"count-mismatch", "low-headroom", "growth"}
    assert junit(check_result(options=CheckOptions(min_headroom=1))).get("skipped") == "2"


def test_junit_of_every_rule() -> None:
    suite = junit(CASES["every rule"])
    failed = [c.get("name") for c in suite.iter("testcase") if c.find("failure") is not None]
    assert failed == ERRORS
    assert suite.get("failures") == str(len(failed))
    assert suite.get("skipped") == "0"
    noted = [c.get("name") for c in suite.iter("testcase") if c.find("system-out") is not None]
    assert noted == NOTES


def test_junit_messages() -> None:
    failure = next(junit(CASES["many"]).iter("failure"))
    assert failure.get("message") == "50 findings; the first: f0 at 0xc000000000001020 gets no stub"
    assert failure.get("type") == "area-exhausted"
    assert failure.text is not None
    assert failure.text.splitlines()[4:] == ["46 more (--all shows all)"]
    every = next(junit(CASES["many"], show_all=True).iter("failure"))
    assert every.text is not None
    assert len(every.text.splitlines()) == 50


def test_junit_tells_kernels_apart() -> None:
    def names(file: str) -> set[tuple[str | None, str | None]]:
        return {(c.get("classname"), c.get("name")) for c in junit(check_result(file=file)).iter("testcase")}

    assert names("a/vmlinux").isdisjoint(names("b/vmlinux"))
    assert ("pfestubs.check.a/vmlinux", "growth") in names("a/vmlinux")


# -- sarif ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sarif_schema() -> Draft4Validator:
    schema = json.loads((PUBLISHED / "sarif-2.1.0-rtm.5.json").read_text())
    Draft4Validator.check_schema(schema)
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


def sarif(given: CheckResult, **options: Any) -> Any:
    """The run of the document."""
    (run,) = document(given, "sarif", **options)["runs"]
    return run


def test_sarif_is_valid(case: CheckResult, sarif_schema: Draft4Validator) -> None:
    sarif_schema.validate(document(case, "sarif"))


def test_the_sarif_schema_refuses_something(sarif_schema: Draft4Validator) -> None:
    broken = document(check_result(), "sarif")
    broken["runs"][0]["tool"]["driver"]["rule"] = []
    assert not sarif_schema.is_valid(broken)


def test_sarif_names_tool_and_rules() -> None:
    run = sarif(check_result())
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("pfestubs", __version__)
    assert [rule["id"] for rule in driver["rules"]] == list(RULES)
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True}]


def test_sarif_results() -> None:
    run = sarif(CASES["every rule"])
    rules = run["tool"]["driver"]["rules"]
    assert {result["ruleId"] for result in run["results"]} == set(RULES)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] == RULES[result["ruleId"]].severity
        (location,) = result["locations"]
        assert location["physicalLocation"] == {
            "artifactLocation": {"uri": "vmlinux"},
            "region": {"startLine": 1},
        }
        assert location["logicalLocations"] == [{"fullyQualifiedName": "fn2+0x8", "kind": "function"}]
        assert result["properties"]["distance"] == -33554436


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("vmlinux", "vmlinux"),
        ("./vmlinux", "vmlinux"),
        ("out dir/vm:linux", "out%20dir/vm%3Alinux"),
        ("/b/vmlinux", "file:///b/vmlinux"),
        ("\udcff", "%FF"),
    ],
)
def test_sarif_uri(file: str, uri: str) -> None:
    (result,) = sarif(check_result([finding("growth")], file=file))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_sarif_rules_are_described() -> None:
    rules = sarif(check_result())["tool"]["driver"]["rules"]
    for rule in rules:
        assert rule["shortDescription"]["text"].endswith(".")
        assert rule["fullDescription"]["text"] == WORDS[rule["id"]].background
        assert WORDS[rule["id"]].help in rule["help"]["text"]
        assert not re.search(r"(?<![`\w])\w*_\w+", rule["help"]["markdown"]), "read as emphasis"
        assert "helpUri" not in rule  # no such page
    assert len({rule["shortDescription"]["text"] for rule in rules}) == len(RULES)


def test_sarif_has_one_result_per_cause() -> None:
    many = [finding("area-exhausted", function=f"f{i}") for i in range(50)]
    other = {"area": INITTEXT, "stubs": 1, "needed": 3, "missing": 2}
    given = check_result(
        [finding("growth"), *many, finding("area-exhausted", figures=other), finding("area-damaged", **EMPTY)]
        * 1
    )
    results = sarif(given)["results"]
    assert [r["ruleId"] for r in results] == ["growth", "area-exhausted", "area-exhausted", "area-damaged"]
    assert results[1]["message"]["text"] == (
        "f0 at 0xc000000000001020 gets no stub; 50 functions fail in this way, also f1, f2, f3 and 46 more"
    )
    related = results[1]["relatedLocations"]
    assert [where["logicalLocations"][0]["fullyQualifiedName"] for where in related] == ["f1", "f2", "f3"]
    assert "fail in this way" not in results[0]["message"]["text"] + results[2]["message"]["text"]
    every = sarif(given, show_all=True)
    assert len(every["results"]) == 53
    assert not any("relatedLocations" in result for result in every["results"])
    assert every["invocations"] == [{"executionSuccessful": True}]


def test_sarif_tells_kernels_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = ["a/vmlinux", "b/vmlinux", str(tmp_path / "a" / "vmlinux"), "/c/vmlinux"]
    ids = [sarif(check_result(file=file))["automationDetails"]["id"] for file in files]
    assert ids == ["pfestubs/a/vmlinux/", "pfestubs/b/vmlinux/", "pfestubs/a/vmlinux/", "pfestubs/c/vmlinux/"]


def fingerprints(findings: Sequence[Finding], **options: Any) -> list[str]:
    return [
        result["partialFingerprints"]["primaryLocationLineHash"]
        for result in sarif(check_result(findings), **options)["results"]
    ]


def test_sarif_fingerprints_survive_a_rebuild() -> None:
    old = [finding("area-exhausted"), finding("stub-out-of-range", function="0xc000000000001000")]
    new = [
        finding("area-exhausted", location=1, stub=2, distance=3, function="fn2+0x10"),
        finding("stub-out-of-range", function="0xc000000000002000"),
    ]
    assert fingerprints(old) == fingerprints(new)
    assert fingerprints([finding("area-exhausted")]) != fingerprints([finding("stub-out-of-range")])
    assert fingerprints([finding("growth", function="a")]) != fingerprints([finding("growth", function="b")])


def test_sarif_fingerprints_are_distinct() -> None:
    same = [finding("area-exhausted")] * 3 + [finding("growth", **EMPTY)] * 2
    assert len(set(fingerprints(same))) == 3
    assert len(set(fingerprints(same, show_all=True))) == 5


def test_sarif_stays_below_githubs_limit(
    sarif_schema: Draft4Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert documents.SARIF_LIMIT == 25_000
    monkeypatch.setattr(documents, "SARIF_LIMIT", 3)
    given = check_result([finding("area-unused")] + [finding("area-exhausted")] * 3)
    whole = document(given, "sarif", show_all=True)
    sarif_schema.validate(whole)
    (run,) = whole["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["area-exhausted"] * 3
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("4 findings, of which 3 are given")


def test_sarif_says_what_the_baseline_is() -> None:
    (note,) = sarif(CASES["baseline"])["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("against old.json (of kernel 6.13.0, this is 7.2.13): ")


# -- github -----------------------------------------------------------------------------------------------


def github(given: CheckResult, **options: Any) -> list[str]:
    return render(given, "github", **options).splitlines()


def test_github_aggregate_first_then_one_per_cause() -> None:
    lines = github(check_result(CASES["many"].findings, stops_at="f0"))
    assert len(lines) == 2
    assert lines[0] == (
        "::error file=vmlinux,title=pfestubs check::vmlinux: failed: 50 errors (area-exhausted 50), 5 locations;"
        " ftrace would be disabled at boot, at f0"
    )
    assert lines[1] == (
        "::error file=vmlinux,title=area-exhausted::f0 at 0xc000000000001020 gets no stub;"
        " 50 functions fail in this way, also f1, f2, f3 and 46 more"
    )
    damaged = [finding("area-damaged", **EMPTY)] * 20
    assert len(github(check_result(damaged))) == 10
    assert len(github(CASES["many"], show_all=True)) == 51


def test_github_of_a_clean_run() -> None:
    (line,) = github(check_result())
    assert line.startswith(
        "::notice file=vmlinux,title=pfestubs check::vmlinux: ok: all 5 functions get a working stub"
    )


def test_github_notes_only_when_asked() -> None:
    assert len(github(CASES["notes"])) == 1
    shown = github(CASES["notes"], verbose=True)
    assert [line.split("::")[1].split(" ")[0] for line in shown] == ["notice"] * (1 + len(NOTES))


def unescape(text: str) -> str:
    """What GitHub's runner makes of an escaped word."""
    for escape, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, meant)
    return text


def test_github_escapes() -> None:
    lines = github(CASES["unsafe name"])
    assert len(lines) == 2
    for line in lines:
        _, head, message = line.split("::", 2)
        assert head.count(",title=") == 1
        assert unescape(message).count("%") >= 1
        file = unescape(head.split("file=")[1].split(",title=")[0])
        assert file == r'a<b>&"%,:\n\r\x1b[31m\x00\udc80é' + r"\u2028"


# -- markdown ---------------------------------------------------------------------------------------------


def markdown(given: CheckResult, **options: Any) -> str:
    return render(given, "markdown", **options)


def test_markdown_of_a_clean_run() -> None:
    assert markdown(check_result(banner="Linux version 7.2.13-amd64 (b@h)", build_id="ab12")) == (
        "### Out-of-line ftrace stubs: `vmlinux`\n\n"
        "**Ok: all 5 functions get a working stub (text 2 of 2, text_end 1 of 1, inittext 2 of 2), headroom -4"
        " bytes (stub branch of `fn0`).**\n\n"
        "Kernel `7.2.13-amd64`, 64-bit, little-endian, layout ool, build ID `ab12`.\n\n"
        "| area | address | reserved | used | needed |\n"
        "|---|---|---:|---:|---:|\n"
        "| text | 0xc000000000000200 | 2 | 2 | 2 |\n"
        "| text_end | 0xc000000000001080 | 1 | 1 | 1 |\n"
        "| inittext | 0xc000000000003070 | 2 | 2 | 2 |\n\n"
        "| branch | headroom, bytes | location | function |\n"
        "|---|---:|---|---|\n"
        "| stub | -4 | 0xc000000000001000 | `fn0` |\n"
        "| tracer | 8 | 0xc000000000001010 | `fn1` |\n\n"
        "Kernel text 8.0 KiB, init text 4.0 KiB; the largest gap without a traced function is 3.5 KiB, after"
        " `ftrace_ool_stub_text`, before `fn0`.\n"
    )


def test_markdown_names_the_setting_as_a_line_to_paste() -> None:
    setting = Remedy(Action.LOWER_RESERVE, "CONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE", 17000)
    given = check_result(
        [
            finding("area-exhausted", remedy=setting),
            finding("stub-out-of-range", remedy=setting),
            finding("tracer-unreachable", remedy=Remedy(Action.RESTORE_LINK_ORDER)),
        ],
        stops_at="fn2",
    )
    out = markdown(given)
    assert (
        "Lower the reserve: set this line in .config and link again.\n\n"
        "```\nCONFIG_PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE=17000\n```\n\n"
        "As a command: `scripts/config --set-val PPC_FTRACE_OUT_OF_LINE_NUM_RESERVE 17000`.\n\n"
        "Restore the position of .tramp.ftrace.text and .tramp.ftrace.init in the linker script.\n"
    ) in out
    assert out.count("```\nCONFIG") == 1
    assert "ftrace would be disabled at boot, at `fn2`.**" in out


def test_markdown_folds_the_first_of_a_cause() -> None:
    out = markdown(CASES["many"])
    assert "<summary>area-exhausted: a function gets no stub (50 errors)</summary>" in out
    assert out.count("gets no stub\n") == 4
    assert "\n... and 46 more\n</pre>" in out
    every = markdown(CASES["many"], show_all=True)
    assert every.count("gets no stub\n") == 50
    assert " more\n" not in every


def test_markdown_notes_only_when_asked() -> None:
    assert "<details>" not in markdown(CASES["notes"])
    assert markdown(CASES["notes"], verbose=True).count("(1 note)") == len(NOTES)
    out = markdown(CASES["every rule"])
    assert out.count("(1 error)") == len(ERRORS)
    titles = re.findall(r"<summary>(.*) \(1 error\)</summary>", out)
    assert [html.unescape(title) for title in titles] == [f"{rule}: {WORDS[rule].title}" for rule in ERRORS]


def test_markdown_of_unsafe_names() -> None:
    name = "a|b`c``d<img src=x>@user **x** _y_ ::set-output ##[group]"
    banner = "Linux version a|b`c``d<img@user**x**_y_"
    rooms, linked = [Headroom(1, FN1, "stub")], LinkedKernel(text=[0x1000, 0x1010, 0x9000]).kernel()
    given = check_result(
        [finding("growth", function=name)],
        linked=linked,
        file=name,
        banner=banner,
        rooms=rooms,
        stops_at=name,
        name=name,
    )
    out = markdown(given)
    assert f"is 32.0 KiB, after {code(name)}, before " in out
    rows = [line for line in out.splitlines() if line.startswith("| stub |")]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 5
    inside = out[out.index("<pre>\n") + 6 : out.index("</pre>")]
    assert "<" not in inside
    assert "a|b`c``d<img" in html.unescape(markdown(check_result([finding("area-exhausted", function=name)])))
    # Outside of <pre>, nothing of a name is outside of a code span.
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", out[: out.index("<details>")], flags=re.DOTALL)
    for part in ("<img", "@user", "_y_"):
        assert part not in outside


@pytest.mark.parametrize("length", [10, 400, 5_000, 70_000])
def test_markdown_fits_a_comment(length: int) -> None:
    name = "&" * length
    findings = [finding(rule, function=name) for rule in RULES for _ in range(100)]
    given = check_result(findings, file=name, banner=f"Linux version {name}", stops_at=name, build_id="ab")
    for everything in (False, True):
        out = markdown(given, show_all=everything, verbose=everything)
        assert len(out) <= LIMIT
        assert out.count("<details>") == out.count("</details>") == len(RULES if everything else ERRORS)
        assert out.endswith("</pre>\n\n</details>\n")


# -- text -------------------------------------------------------------------------------------------------


def test_text_colours_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in CASES.values():
        plain = render(given, "text", verbose=True)
        monkeypatch.setenv("FORCE_COLOR", "1")
        coloured = render(given, "text", verbose=True, on_stdout=True)
        assert "\x1b[" in coloured
        coloured = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
        assert [line.rstrip() for line in coloured.splitlines()] == plain.splitlines()


def test_text_never_wraps() -> None:
    name = "f" * 5000
    given = check_result(rooms=[Headroom(1, FN1, "stub")], name=name)
    assert any(line.endswith(name) for line in render(given, "text", verbose=True).splitlines())


# -- sentences --------------------------------------------------------------------------------------------


MESSAGES = {
    "table-length": "has 1,200 bytes, not a multiple of 2080899750",
    "table-empty": "all 16 entries of the location table at 0x1000 are empty",
    "no-entries": "has no entries: no function can be traced",
    "no-locations": "none of the 16 entries of the location table at 0x1000 is in kernel text or init text: no"
    " function can be traced",
    "entries-skipped": "15 of 16 entries of the location table at 0x1000 are empty, or outside kernel text and"
    " init text: 5 locations left",
    "table-short": "at 0x1000 has 1 location, 1,759 are expected from c.json: most are missing",
    "areas-unfilled": "0x1000 has 1 location, 1,759 are expected from the size of the areas: most are missing",
    "init-area-unfilled": "has 1 location in init text, 1,759 are expected from the size of the areas",
    "functions-unlisted": "has 1 location of a text in which 1,759 more functions begin with the nop for ftrace",
    "table-continues": "continues beyond its symbols, with 0x1000",
    "entry-misaligned": "fn2+0x8 at 0xc000000000001020 is not aligned to an instruction",
    "entry-repeated": "is in the location table more than once",
    "area-size": "text_end at 0xc000000000001098 has 1,200 bytes, expected 1,759 (1 stub of 24)",
    "area-outside-text": "text_end (0xc000000000001098 to 0x20) is outside kernel text (0x100 to 0x200)",
    "area-outside-init": "text_end (0xc000000000001098 to 0x20) is outside init text (0x100 to 0x200)",
    "area-misaligned": "area text_end at 0xc000000000001098 is not aligned to 8 bytes",
    "area-overlap": "area text_end ends at 0x20, after area text starts (0xc000000000001098)",
    "area-occupied": "the file holds there (1,200 bytes)",
    "texts-overlap": "kernel text (0x0 to 0x4) and init text (0x2 to 0x8) overlap",
    "target-misplaced": "ftrace_caller at 0xc000000000001098 is in an area, on a traced function, or not in",
    # count-mismatch
    "area-count": "area text_end has 1 stub, expected 1,759 from c.json",
    "entry-count": "the location table has 16 entries, expected 1,759 from c.json: objects were linked that were",
    "nothing-to-count": "the location table has no locations to compare with the 1,759 entries of c.json",
    "location-not-nop": "holds 0x7c0802a6, expected what the compiler leaves",
    "location-unreadable": "holds nothing, expected what the compiler leaves",
    "area-exhausted": "fn2+0x8 at 0xc000000000001020 gets no stub",
    "reserve-trapped": "fn2+0x8 at 0xc000000000001020 gets no stub",
    "stub-out-of-range": "33,554,436 bytes from its stub at 0xc000000000001098 (limit 33,554,432)",
    "return-out-of-range": "33,554,436 bytes from the last branch of its stub at 0xc000000000001098",
    "tracer-unreachable": "the stub at 0xc000000000001098 of fn2+0x8 at 0xc000000000001020 is 33,554,436 bytes"
    " from ftrace_caller (limit 33,554,432), and no trampoline is in range",
    "init-trampoline-only": "which is freed after boot",
    "low-headroom": "the headroom is 1,200 bytes (stub branch of fn2+0x8), at least 1,024 are required",
    "no-headroom": "there is no headroom to measure, at least 1,024 bytes are required",
    "growth": "5 locations, 2 more than in c.json (3); at most 2 more are allowed",
    "growth-in-percent": "5 locations, 2 more than in c.json (3); at most 2.5% more are allowed",
    "nothing-to-compare": "there are no locations to compare with c.json (3)",
    "location-skipped": "is neither in kernel text nor in init text",
    "entry-empty": "an entry of the location table is empty",
    "area-unused": "1 of 1 stubs of area text_end are unused",
}


@pytest.mark.parametrize("case", SENTENCES)
def test_messages(case: str) -> None:
    assert MESSAGES[case] in finding_message(finding("growth", case=case))


def test_figures_of_messages() -> None:
    for case, number, message in (
        ("table-length", 1, "has 1 byte, not"),
        ("low-headroom", -4, "the headroom is -4 bytes (stub"),
        ("area-size", 0, "has 0 bytes, expected"),
    ):
        assert message in finding_message(finding("growth", case=case, figures={**FIGURES, "bytes": number}))


@pytest.mark.parametrize("action", Action)
def test_every_action_has_a_sentence(action: Action) -> None:
    given = finding("area-exhausted", remedy=Remedy(action, "CONFIG_X", 17000))
    message = finding_message(given)
    assert message != finding_message(given._replace(remedy=None))
    assert ("CONFIG_X=17000" in message) == (action in {Action.LOWER_RESERVE, Action.RAISE_RESERVE})


def test_every_rule_is_described() -> None:
    assert list(WORDS) == list(RULES)


def test_the_trapped_reserve_is_explained() -> None:
    figures = {
        "area": TEXT_END,
        "stubs": 42043,
        "needed": 56928,
        "missing": 14885,
        "reserve": 32768,
        "usable": 17883,
    }
    remedy = Remedy(Action.LOWER_RESERVE, "CONFIG_X", 17000)
    given = finding("area-exhausted", case="reserve-trapped", figures=figures, remedy=remedy)
    assert finding_message(given) == (
        "fn2+0x8 at 0xc000000000001020 gets no stub: area text_end has 42,043 stubs, 56,928 functions"
        " need one: 14,885 functions get no stub; of the 32,768 stubs of the reserve only 17,883 are in range;"
        " lower the reserve: set CONFIG_X=17000 in .config and link again"
    )
