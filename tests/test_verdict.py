"""From outcomes to findings: levels, and judgements that fail themselves."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Literal

import pytest

from modelgate import verdict
from modelgate.finding import Finding, Fix, Level, fail
from modelgate.host import Place
from modelgate.isolate import Job, Lost, Seen
from modelgate.kind import Entry, Kind

Judge = Callable[..., list[Finding]]
PLACE = Place(uid=1001, gid=1002)


class Spec(Entry, frozen=True, kw_only=True):
    path: str = "/models/x"


def job(judge: Judge, *, level: Literal["fail", "warn"] = "fail", implied_by: str | None = None) -> Job:
    kind = Kind(key="test", module=SimpleNamespace(judge=judge))
    return Job(kind=kind, specs=(Spec(level=level),), checks=("test[0]",), lines=(7,), implied_by=implied_by)


def broken(*_: object) -> list[Finding]:
    raise KeyError("mount")


def test_a_judgement_that_fails_is_one_finding_that_names_the_check() -> None:
    (finding,) = verdict.judge(Seen(job(broken), 0, None, 0.1), PLACE)

    assert (finding.code, finding.level, finding.check, finding.line) == ("check-lost", Level.UNKNOWN, "test[0]", 7)
    assert "KeyError" in finding.observed


def test_of_an_implied_requirement_it_only_warns() -> None:
    (finding,) = verdict.judge(Seen(job(broken, implied_by="the command"), 0, None, 0.1), PLACE)

    assert finding.level is Level.WARN


@pytest.mark.parametrize(("level", "expected"), [("warn", Level.WARN), ("fail", Level.FAIL)])
def test_the_level_of_the_entry_lowers_a_failure(level: Literal["fail", "warn"], expected: Level) -> None:
    def judge(*_: object) -> list[Finding]:
        return [fail("path-missing", "/models/x", "ENOENT", "", Fix(when="always", do="Mount it"))]

    (finding,) = verdict.judge(Seen(job(judge, level=level), 0, None, 0.1), PLACE)

    assert finding.level is expected


def test_an_identity_that_cannot_be_taken_is_not_lowered_by_an_entry() -> None:
    lost = Lost(job(broken, level="warn"), 0, "identity", "cannot become 1001:1002", 0.1)

    (finding,) = verdict.judge(lost, PLACE)

    assert (finding.code, finding.level, finding.check, finding.line) == ("identity-denied", Level.FAIL, "run_as", None)
