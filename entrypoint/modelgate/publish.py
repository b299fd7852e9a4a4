"""The verdict on stdout, in the report file and in the termination message.

Files are written in a child with a bounded wait: a path on a mount that does not answer must not hold the exit back.
"""

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from modelgate import identity, verdict
from modelgate import report as texts
from modelgate.finding import Finding, Report
from modelgate.host import Host, Place
from modelgate.isolate import Isolate, Job, Lost
from modelgate.kind import Kind, Shape
from modelgate.writer import Writer

if TYPE_CHECKING:
    from modelgate.run import Run


class Spec(Struct, frozen=True):
    """What to write where; None where there is nothing to write."""

    report: str | None
    report_bytes: bytes
    termination: str | None
    termination_bytes: bytes
    level: str = "warn"


class Facts(Struct, frozen=True):
    """What could not be written, for a person."""

    errors: tuple[str, ...]


def observe(spec: Spec, host: Host) -> Facts:
    """Write both. Never raises."""
    errors = []
    if spec.termination is not None:
        host.tell_path("write", spec.termination)
        errors.append(texts.write_termination(spec.termination, spec.termination_bytes))
    if spec.report is not None:
        host.tell_path("write", spec.report)
        errors.append(texts.write_report(spec.report, spec.report_bytes))
    return Facts(tuple(e for e in errors if e))


def judge(_spec: Spec, _facts: Facts, _place: Place) -> list[Finding]:
    """Nothing that could not be published changes the verdict."""
    return []


def to_files(run: "Run", report: Report, seconds: float) -> list[str]:
    """What could not be written, a line each. Takes `seconds` at most, and half a second to bury a stuck child."""
    failed = report.exit_code != 0
    termination = texts.termination_path(run.host) if failed and run.options.command == "run" else None
    if termination is None and run.options.report is None:
        return []
    body = texts.to_json(report)
    spec = Spec(run.options.report, body, termination, texts.termination(report) if failed else b"")
    return _write(run.host, spec, seconds)


def usage(text: str, environ: Mapping[str, str]) -> None:
    """A container that was told nonsense: `kubectl describe` shows why, and not only 64."""
    host = Host(environ=environ)
    path = texts.termination_path(host)
    if path is not None:
        _write(host, Spec(None, b"", path, text.encode("utf-8", "backslashreplace")[: texts.TERMINATION_LIMIT]), 2.0)


def _write(host: Host, spec: Spec, seconds: float) -> list[str]:
    kind = Kind(key="publish", module=sys.modules[__name__], shape=Shape.IMPLIED, silence=seconds)
    job = Job(kind=kind, specs=(spec,), checks=("publish",), lines=(None,))
    errors: list[str] = []
    # As whoever we are by now: a start that failed at the very end has taken the server's identity already.
    isolate, until = Isolate(host, identity.current()), time.monotonic() + seconds
    for outcome in isolate.run([job], until=until):
        if isinstance(outcome, Lost):
            doing = verdict.last_words(outcome.last)
            errors.append(f"the report could not be written: {outcome.detail}" + (f" ({doing})" if doing else ""))
        else:
            errors += outcome.facts.errors
    return errors


def to_stdout(report: Report, form: str, patience: float | None = None, *, verbose: bool = False) -> None:
    """`check` prints the report; `patience` as for write_stdout. verbose: what held is listed too."""
    if form == "json":
        body = texts.to_json(report)
    elif form == "junit":
        body = texts.to_junit(report)
    else:
        body = texts.to_text(report, color=os.isatty(1), verbose=verbose).encode("utf-8", "backslashreplace")
    write_stdout(body, patience)


def write_stdout(body: bytes, patience: float | None = None) -> None:
    """All of it, with a newline at the end; a reader that has gone away changes nothing.

    One who reads slowly (a pager) is waited for; with `patience` so many seconds at most, then the rest is dropped.
    """
    body = body if body.endswith(b"\n") else body + b"\n"
    if patience is not None:
        Writer(1).write(body, patience=patience)
        return
    try:
        view = memoryview(body)
        while view:
            view = view[os.write(1, view) :]
    except OSError:
        pass
