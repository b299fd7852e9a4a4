"""Observations as data: `modelgate facts` dumps them, `modelgate judge FILE` replays the judgement on them."""

from typing import Any

import msgspec

from modelgate import __version__, exits, publish, verdict
from modelgate.checks import KINDS
from modelgate.finding import Finding, Report
from modelgate.host import Place
from modelgate.isolate import Job, Lost, Seen
from modelgate.options import Options, UsageError
from modelgate.scrub import Scrubber
from modelgate.units import plain, revive


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One observation: what was asked (spec), what was seen (facts), or how the child was lost."""

    kind: str
    check: str
    line: int | None = None
    implied_by: str | None = None
    seconds: float = 0.0
    spec: dict[str, Any] = {}
    facts: dict[str, Any] | None = None
    how: str = ""
    detail: str = ""
    last: dict[str, Any] = {}


class Recording(msgspec.Struct, kw_only=True):
    """The file. schema 1."""

    schema: int = 1
    version: str = ""
    place: Place
    rows: list[Row]


def row(outcome: Seen | Lost) -> Row:
    """One outcome as plain data."""
    job, index = outcome.job, outcome.index
    spec = msgspec.to_builtins(job.specs[index], enc_hook=plain)
    made = Row(
        kind=job.kind.key,
        check=job.checks[index],
        line=job.lines[index],
        implied_by=job.implied_by,
        seconds=round(outcome.seconds, 4),
        spec=spec,
    )
    if isinstance(outcome, Seen):
        made.facts = msgspec.to_builtins(outcome.facts, enc_hook=plain)
    else:
        made.how, made.detail, made.last = outcome.how, outcome.detail, outcome.last
    return made


def replay(text: bytes) -> list[Finding]:
    """Findings of a recording. ValueError with a message for a person when it is none."""
    try:
        recording = msgspec.json.decode(text, type=Recording)
        findings: list[Finding] = []
        by_key = {kind.key: kind for kind in KINDS}
        for r in recording.rows:
            kind = by_key.get(r.kind)
            if kind is None:
                raise ValueError(f"{r.check}: no kind called {r.kind!r} in this version")
            spec = msgspec.convert(r.spec, kind.module.Spec, dec_hook=revive)
            checks, lines = (r.check,), (r.line,)
            job = Job(kind=kind, specs=(spec,), checks=checks, lines=lines, implied_by=r.implied_by)
            outcome: Seen | Lost
            if r.facts is not None:
                outcome = Seen(job, 0, msgspec.convert(r.facts, kind.module.Facts), r.seconds)
            else:
                outcome = Lost(job, 0, r.how, r.detail, r.seconds, r.last)  # type: ignore[arg-type]
            findings += verdict.judge(outcome, recording.place)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a recording: {error}") from None
    return findings


def judge(options: Options) -> int:
    """`modelgate judge FILE`: the report of a recording. UsageError when it cannot be read."""
    try:
        with open(options.arguments[0], "rb") as file:
            findings = verdict.sort(replay(file.read()))
    except OSError as error:
        raise UsageError(f"{options.arguments[0]}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{options.arguments[0]}: {error}") from None
    code = exits.decide(findings)
    report = Report(version=__version__, verdict="fail" if code else "pass", exit_code=code, findings=findings)
    publish.to_stdout(report, options.format)
    return code


def dump(rows: list[Row], place: Place, scrubber: Scrubber, patience: float | None = None) -> None:
    """`modelgate facts`: the recording on standard output, readable, secrets hidden."""
    recording = msgspec.to_builtins(Recording(version=__version__, place=place, rows=rows), enc_hook=plain)
    publish.write_stdout(msgspec.json.format(msgspec.json.encode(scrubber.data(recording)), indent=1), patience)
