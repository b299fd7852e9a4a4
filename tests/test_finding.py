"""What the gate says: a failure has a fix, `ok` is called ok, and all of it can be written as JSON and read back."""

import msgspec
import pytest

from modelgate.finding import Finding, Fix, Level, Report, StageTime, Unfinished, fail, ok, unknown, warn

FIX = Fix(when="always", do="mend it", snippet="chmod o+x /models")


def test_a_failure_without_a_fix_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="'path-blocked' fails without a fix"):
        fail("path-blocked", "/models", "no x", "why")


@pytest.mark.parametrize("level", [Level.WARN, Level.FAIL, Level.UNKNOWN])
def test_only_what_is_ok_is_called_ok(level: Level) -> None:
    with pytest.raises(ValueError, match="at level"):
        Finding(code="ok", level=level, subject="", observed="", fixes=(FIX,))
    with pytest.raises(ValueError, match="at level ok"):
        Finding(code="path-missing", level=Level.OK, subject="", observed="")


def test_a_failure_that_is_read_back_needs_its_fix_too() -> None:
    with pytest.raises(msgspec.ValidationError, match="fails without a fix"):
        msgspec.json.decode(b'{"code":"disk-full","level":"fail","subject":"/","observed":""}', type=Finding)


def test_what_stops_the_gate() -> None:
    made = [
        ok("/", "there"),
        warn("disk-full", "/", "", ""),
        fail("disk-full", "/", "", "", FIX),
        unknown("x", "/", "", ""),
    ]

    assert [f.level.value for f in made] == ["ok", "warn", "fail", "unknown"]
    assert [f.stops for f in made] == [False, False, True, True]


def test_evidence_is_kept_by_name() -> None:
    finding = fail("path-blocked", "/models/x", "stat: EACCES", "why", FIX, component="/models", mode="0700")

    assert finding.evidence == {"component": "/models", "mode": "0700"}
    assert finding.fixes == (FIX,)
    assert ok("/", "there", free=5).evidence == {"free": 5}


def test_a_report_has_the_fields_of_schema_1_and_comes_back_equal() -> None:
    report = Report(
        verdict="fail",
        exit_code=77,
        findings=[ok("/", "there"), fail("path-blocked", "/models", "no x", "why", FIX, component="/models")],
        unfinished=[Unfinished("wait_for[0]", "http://db", "connection refused")],
        stages=[StageTime("look", "2024-01-01T00:00:00Z", 0.5)],
    )
    text = msgspec.json.encode(report)
    data = msgspec.json.decode(text)

    assert msgspec.json.decode(text, type=Report) == report
    assert (data["schema"], data["verdict"], data["exit_code"]) == (1, "fail", 77)
    assert set(data["findings"][1]) == set(
        "code level subject observed why fixes check line implied_by seconds evidence".split()  # noqa: SIM905
    )
    assert set(data["findings"][1]["fixes"][0]) == {"when", "do", "snippet", "who"}
    assert set(data["stages"][0]) == {"name", "started", "seconds"}


def test_a_fresh_report_shares_nothing_with_the_next() -> None:
    Report().findings.append(ok("/", "there"))

    assert Report().findings == []
    assert Report().verdict == "pass"
