# SPDX-License-Identifier: GPL-2.0-or-later
"""The formats of `check`: valid by their published schemas, complete on a clean run, safe with any name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from jsonschema import Draft4Validator, Draft202012Validator

from conftest import SCHEMAS
from pfestubs import __version__
from pfestubs.formats.check import FORMATS, RenderOptions, render
from pfestubs.formats.check import sarif as check_sarif
from pfestubs.rules.check import AreaUse, Baseline, CheckOptions, CheckResult, NamedHeadroom
from pfestubs.rules.findings import RULES, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PUBLISHED = Path(__file__).parent / "schemas"
NASTY = 'a<b>&"%,:\n\r\x1b[31m\x00\udc80é\u2028'


def verdict(findings: Sequence[Finding] = (), **changes: Any) -> CheckResult:
    room = NamedHeadroom(-4, "fn0", 0xC000000000001000, "stub")
    values: dict[str, Any] = {
        "file": "vmlinux",
        "layout": "ool",
        "locations": 5,
        "stub_size": 24,
        "areas": [
            AreaUse("text", 0xC000000000000200, 2, 2, 2),
            AreaUse("text_end", 0xC000000000001080, 1, 1, 3),
            AreaUse("inittext", 0xC000000000003070, 2, 2, 2),
        ],
        "headroom": room,
        "by_branch": [room, NamedHeadroom(8, "fn1", 0xC000000000001010, "tracer")],
        "findings": list(findings),
        "demands": CheckOptions(),
        **changes,
    }
    return CheckResult(**values)


def finding(rule: str, **changes: Any) -> Finding:
    values = {
        "rule": rule,
        "message": f"about {rule}",
        "function": "fn2+0x8",
        "location": 0xC000000000001020,
        "stub": 0xC000000000001098,
        "distance": -33554436,
        "limit": -33554432,
        **changes,
    }
    return Finding(**values)


EMPTY = dict.fromkeys(("function", "location", "stub", "distance", "limit"))
CASES: dict[str, CheckResult] = {
    "clean": verdict(),
    "every rule": verdict([finding(rule) for rule in RULES]),
    "notes": verdict([finding(r.name) for r in RULES.values() if r.severity == "note"]),
    "nothing known": verdict([finding("table-damaged", **EMPTY)], headroom=None, by_branch=[], locations=0),
    "nasty": verdict([finding("area-exhausted", function=NASTY, message=NASTY)], file=NASTY),
    "many": verdict([finding("area-exhausted", function=f"f{i}") for i in range(50)]),
    "inline": verdict(layout="inline", stub_size=None, areas=[]),
    "baseline": verdict(demands=CheckOptions(baseline=Baseline("old.json", 3, -8))),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> CheckResult:
    return CASES[request.param]


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_is_a_document(format_: str, case: CheckResult) -> None:
    text = render(case, format_, RenderOptions())
    assert text.endswith("\n")
    assert text.strip()
    assert "\x1b" not in text
    text.encode("utf-8", "strict")
    assert render(case, format_, RenderOptions()) == text


# -- json -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours() -> Draft202012Validator:
    schema = json.loads((SCHEMAS / "check-1.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_json_is_valid(case: CheckResult, ours: Draft202012Validator) -> None:
    ours.validate(json.loads(render(case, "json", RenderOptions())))


def test_json_values() -> None:
    found = json.loads(render(verdict([finding("stub-out-of-range")]), "json", RenderOptions()))
    assert found["ok"] is False
    assert found["areas"][1] == {
        "name": "text_end",
        "address": "0xc000000000001080",
        "reserved": 1,
        "used": 1,
        "needed": 3,
    }
    assert found["headroom"]["bytes"] == -4
    assert found["headroom"]["by_branch"][1]["function"] == "fn1"
    assert found["findings"] == [
        {
            "rule": "stub-out-of-range",
            "severity": "error",
            "function": "fn2+0x8",
            "location": "0xc000000000001020",
            "stub": "0xc000000000001098",
            "distance": -33554436,
            "limit": -33554432,
            "message": "about stub-out-of-range",
        }
    ]


def test_json_holds_every_finding_in_order() -> None:
    found = json.loads(render(CASES["many"], "json", RenderOptions()))
    assert [f["function"] for f in found["findings"]] == [f"f{i}" for i in range(50)]


def test_our_schema_is_strict(ours: Draft202012Validator) -> None:
    good = json.loads(render(CASES["every rule"], "json", RenderOptions()))
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
    ]
    for change in changes:
        assert not ours.is_valid({**good, **change}), change
    for key in good:
        assert not ours.is_valid({k: v for k, v in good.items() if k != key}), key


def test_our_schema_knows_the_rules(ours: Draft202012Validator) -> None:
    properties: Any = ours.schema
    items = properties["properties"]["findings"]["items"]
    assert items["properties"]["rule"]["enum"] == list(RULES)
    notes = [rule.name for rule in RULES.values() if rule.severity == "note"]
    assert items["if"]["properties"]["rule"]["enum"] == notes


# -- junit ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def junit_schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(PUBLISHED / "junit-10.xsd"))


def test_junit_is_valid(case: CheckResult, junit_schema: xmlschema.XMLSchema) -> None:
    for every in (False, True):
        junit_schema.validate(ET.fromstring(render(case, "junit", RenderOptions(every=every))))


def test_the_junit_schema_refuses_something(junit_schema: xmlschema.XMLSchema) -> None:
    assert not junit_schema.is_valid(ET.fromstring("<testsuites><testsuite name='x'/></testsuites>"))


def junit(given: CheckResult, view: RenderOptions | None = None) -> ET.Element:
    suite = ET.fromstring(render(given, "junit", view or RenderOptions())).find("testsuite")
    assert suite is not None
    return suite


def test_junit_has_one_case_a_rule() -> None:
    for given in CASES.values():
        suite = junit(given)
        assert [case.get("name") for case in suite.iter("testcase")] == list(RULES)
        assert suite.get("tests") == str(len(RULES))


def test_junit_of_a_clean_run() -> None:
    suite = junit(verdict())
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "3")
    assert not list(suite.iter("failure"))
    assert {c.get("name") for c in suite.iter("testcase") if c.find("skipped") is not None} == {
        "count-mismatch",
        "low-headroom",
        "growth",
    }
    asked = junit(verdict(demands=CheckOptions(min_headroom=1)))
    assert asked.get("skipped") == "2"


def test_junit_of_every_rule() -> None:
    suite = junit(CASES["every rule"])
    failed = [c.get("name") for c in suite.iter("testcase") if c.find("failure") is not None]
    assert failed == [rule.name for rule in RULES.values() if rule.severity == "error"]
    assert suite.get("failures") == str(len(failed))
    assert suite.get("skipped") == "0"
    noted = [c.get("name") for c in suite.iter("testcase") if c.find("system-out") is not None]
    assert noted == [rule.name for rule in RULES.values() if rule.severity == "note"]


def test_junit_messages() -> None:
    failure = next(junit(CASES["many"]).iter("failure"))
    assert failure.get("message") == "50 findings; the first: about area-exhausted"
    assert failure.get("type") == "area-exhausted"
    assert failure.text is not None
    assert failure.text.splitlines()[-1] == "30 more (--all shows every one)"
    every = next(junit(CASES["many"], RenderOptions(every=True)).iter("failure"))
    assert every.text is not None
    assert len(every.text.splitlines()) == 50


# -- sarif ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sarif_schema() -> Draft4Validator:
    schema = json.loads((PUBLISHED / "sarif-2.1.0-rtm.5.json").read_text())
    Draft4Validator.check_schema(schema)
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


def sarif(given: CheckResult) -> Any:
    return json.loads(render(given, "sarif", RenderOptions()))


def test_sarif_is_valid(case: CheckResult, sarif_schema: Draft4Validator) -> None:
    sarif_schema.validate(sarif(case))


def test_the_sarif_schema_refuses_something(sarif_schema: Draft4Validator) -> None:
    broken = sarif(verdict())
    broken["runs"][0]["tool"]["driver"]["rule"] = []
    assert not sarif_schema.is_valid(broken)


def test_sarif_names_tool_and_rules() -> None:
    (run,) = sarif(verdict())["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("pfestubs", __version__)
    assert [rule["id"] for rule in driver["rules"]] == list(RULES)
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True}]


def test_sarif_results() -> None:
    (run,) = sarif(CASES["every rule"])["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert {result["ruleId"] for result in run["results"]} == set(RULES)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] == RULES[result["ruleId"]].severity
        (location,) = result["locations"]
        assert location["physicalLocation"] == {"artifactLocation": {"uri": "vmlinux"}}
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
    (result,) = sarif(verdict([finding("growth")], file=file))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def fingerprints(findings: Sequence[Finding]) -> list[str]:
    return [
        result["partialFingerprints"]["primaryLocationLineHash"]
        for result in sarif(verdict(findings))["runs"][0]["results"]
    ]


def test_sarif_fingerprints_survive_a_rebuild() -> None:
    old = [finding("area-exhausted"), finding("stub-out-of-range", function="0xc000000000001000")]
    new = [
        finding("area-exhausted", location=1, stub=2, distance=3, message="other", function="fn2+0x10"),
        finding("stub-out-of-range", function="0xc000000000002000"),
    ]
    assert fingerprints(old) == fingerprints(new)
    assert fingerprints([finding("area-exhausted")]) != fingerprints([finding("stub-out-of-range")])
    assert fingerprints([finding("growth", function="a")]) != fingerprints([finding("growth", function="b")])


def test_sarif_fingerprints_are_distinct() -> None:
    same = [finding("area-exhausted")] * 3 + [finding("growth", **EMPTY)] * 2
    assert len(set(fingerprints(same))) == 5


def test_sarif_stays_below_githubs_limit(
    sarif_schema: Draft4Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_sarif.LIMIT == 25_000
    monkeypatch.setattr(check_sarif, "LIMIT", 3)
    given = verdict([finding("area-unused")] + [finding("area-exhausted")] * 3)
    document = sarif(given)
    sarif_schema.validate(document)
    (run,) = document["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["area-exhausted"] * 3
    (note,) = run["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"].startswith("4 findings, of which the first 3 are given")


# -- github -----------------------------------------------------------------------------------------------


def github(given: CheckResult, view: RenderOptions | None = None) -> list[str]:
    return render(given, "github", view or RenderOptions()).splitlines()


def test_github_aggregate_first_then_nine() -> None:
    lines = github(replace(CASES["many"], stops_at="f0"))
    assert len(lines) == 10
    assert lines[0] == (
        "::error file=vmlinux,title=pfestubs check::vmlinux: failed: 50 errors (area-exhausted 50), 5 locations;"
        " at boot all tracing would end at f0"
    )
    assert lines[1] == "::error file=vmlinux,title=area-exhausted::about area-exhausted"
    assert len(github(CASES["many"], RenderOptions(every=True))) == 51


def test_github_of_a_clean_run() -> None:
    (line,) = github(verdict())
    assert line.startswith("::notice file=vmlinux,title=pfestubs check::vmlinux: ok: 5 locations served")


def test_github_notes_only_when_asked() -> None:
    assert len(github(CASES["notes"])) == 1
    shown = github(CASES["notes"], RenderOptions(verbose=True))
    assert [line.split("::")[1].split(" ")[0] for line in shown] == ["notice"] * 3


def test_github_escapes(unescape: Callable[[str], str]) -> None:
    lines = github(CASES["nasty"])
    assert len(lines) == 2
    for line in lines:
        _, head, message = line.split("::", 2)
        assert head.count(",title=") == 1
        assert unescape(message).count("%") >= 1
        file = unescape(head.split("file=")[1].split(",title=")[0])
        assert file == r'a<b>&"%,:\n\r\x1b[31m\x00\udc80é' + r"\u2028"


@pytest.fixture
def unescape() -> Callable[[str], str]:
    """What GitHub's runner makes of an escaped word."""

    def undo(text: str) -> str:
        for escape, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            text = text.replace(escape, meant)
        return text

    return undo


# -- text -------------------------------------------------------------------------------------------------


def test_text_colours_and_nothing_else_changes() -> None:
    for given in CASES.values():
        plain = render(given, "text", RenderOptions(verbose=True))
        coloured = render(given, "text", RenderOptions(verbose=True, colour=True))
        assert "\x1b[" in coloured
        for code in ("\x1b[31;1m", "\x1b[32;1m", "\x1b[1m", "\x1b[0m"):
            coloured = coloured.replace(code, "")
        assert [line.rstrip() for line in coloured.splitlines()] == plain.splitlines()


def test_text_never_wraps() -> None:
    name = "f" * 5000
    given = verdict(by_branch=[NamedHeadroom(1, name, 0, "stub")])
    assert any(
        line.endswith(name) for line in render(given, "text", RenderOptions(verbose=True)).splitlines()
    )
