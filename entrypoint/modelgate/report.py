"""The report as text, JSON, JUnit and termination message. Pure: a report that was scrubbed goes in, bytes come out."""

import re
import signal
from collections.abc import Mapping
from typing import Any

from modelgate import exits
from modelgate.finding import Finding, Level, Report
from modelgate.lines import encode
from modelgate.outfile import termination_path, write_report, write_termination
from modelgate.scrub import visible
from modelgate.units import show_bytes, show_seconds

__all__ = [
    "event_of", "headline", "ordered", "progress_words", "said", "split", "summary", "termination",
    "termination_path", "to_json", "to_junit", "to_text", "where", "who_acts", "write_report", "write_termination",
]  # fmt: skip

WARNS = 5  # a start tells this many; the rest is in the report
TERMINATION_LIMIT = 4096  # what the kubelet reads of the file


def ordered(findings: list[Finding]) -> list[Finding]:
    """What to fix first stands first: stopping ones by rank, then warns, then what held, each as in the manifest.

    Outcomes come as the children end; the order of the report must not depend on that.
    """
    order = {Level.FAIL: 0, Level.UNKNOWN: 0, Level.WARN: 1, Level.OK: 2}

    def key(finding: Finding) -> tuple[int, int, float, list[tuple[int, str]]]:
        line = float("inf") if finding.line is None else finding.line
        words = [(int(w), "") if w.isdecimal() else (-1, w) for w in re.split(r"(\d+)", finding.check)]
        return order[finding.level], exits.rank(finding.code) if finding.stops else 0, line, words

    return sorted(findings, key=key)


def split(report: Report) -> tuple[list[Finding], list[Finding], int]:
    """What stops, the warns that are told, and how many more warns there are."""
    findings = ordered(report.findings)
    warns = [f for f in findings if f.level is Level.WARN]
    return [f for f in findings if f.stops], warns[:WARNS], max(0, len(warns) - WARNS)


def who_acts(exit_code: int) -> str:
    """`deployer (rights)`: whose turn it is after this exit code; empty when no table row says."""
    for code, who, _ in exits.ROWS:
        if code == exit_code:
            people, _, what = who.partition(": ")
            return f"{people} ({what})" if what else people
    return ""


def headline(report: Report) -> str:
    """The verdict in one line."""
    count = sum(f.level is Level.OK for f in report.findings)
    warns = sum(f.level is Level.WARN for f in report.findings)
    warned = f", {warns} warning{'' if warns == 1 else 's'}" if warns else ""
    if not report.exit_code:
        held = f"{count} check{'' if count == 1 else 's'} held"
        return f"passed: {held}{warned} in {show_seconds(report.seconds)}"
    if report.exit_code != exits.decide(report.findings) and report.exit_code > 128:
        number = report.exit_code - 128
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"ENDED by {name} while the gate was open, exit code {report.exit_code}"
    who = who_acts(report.exit_code)
    return f"FAILED, exit code {report.exit_code}" + (f", whose turn: {who}" if who else "") + warned


def summary(report: Report) -> dict[str, Any]:
    """The fields of the last JSON line."""
    failing = [f for f in ordered(report.findings) if f.stops]
    return {
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "who": who_acts(report.exit_code) or None,
        "code": failing[0].code if failing else None,
        "failed": len(failing),
        "warned": sum(f.level is Level.WARN for f in report.findings),
        "held": sum(f.level is Level.OK for f in report.findings),
        "unfinished": [f"{u.check} {u.subject}: {u.last}".rstrip(": ") for u in report.unfinished] or None,
        "seconds": report.seconds,
    }


def where(finding: Finding, manifest: str | None) -> str:
    """`/etc/modelgate/manifest.yaml:12 (files[0])`, or `implied by the command (command)`."""
    check = f" ({finding.check})" if finding.check and finding.check != "manifest" else ""
    if finding.implied_by:
        return f"implied by {finding.implied_by}{check}"
    file = finding.evidence.get("file") or manifest
    if finding.line is not None:
        return f"{file or 'line'}{':' if file else ' '}{finding.line}{check}"
    return finding.check or ""


def event_of(finding: Finding, manifest: str | None) -> str:
    """`FILE:LINE: observed` for an error of the manifest's own text, else `SUBJECT: observed`."""
    if finding.code.startswith("manifest-") and finding.line is not None:
        return f"{finding.evidence.get('file') or manifest or finding.subject}:{finding.line}: {finding.observed}"
    return said(finding)


def said(finding: Finding) -> str:
    """`SUBJECT: observed`; the subject is not said twice where the observation begins with it."""
    if finding.observed.startswith(finding.subject):
        return finding.observed
    return f"{finding.subject}: {finding.observed}"


def progress_words(words: Mapping[str, Any]) -> str:
    """`hash: 4.2 GiB of 17 GiB`, `waiting: connection refused`."""
    error, total = words.get("error"), words.get("total")
    doing = str(words.get("doing") or ("" if error else "working"))
    if total:
        done = words.get("done") or 0
        return f"{doing or 'read'}: {show_bytes(done)} of {show_bytes(total)}"
    return f"{doing}: {error}" if doing and error else doing or str(error)


def to_text(
    report: Report,
    width: int = 100,
    *,
    color: bool = False,
    verbose: bool = False,
    short: bool = False,
    notes: tuple[str, ...] = (),
) -> str:
    """As a person sees it, ending in a newline. Prose is wrapped to `width`; what is to be copied never is.

    verbose: what held is listed too. short: the first rows of it, before a verdict that passes.
    notes: told behind the verdict (a child that could not be buried).
    """
    from modelgate import layout

    shown = layout.verdict(report, width, verbose=verbose, short=short, notes=notes)
    return "".join(layout.paint(line, color=color) + "\n" for line in shown)


def to_json(report: Report) -> bytes:
    """Schema 1. Findings stand in the order of what to fix first."""
    import msgspec

    sorted_report = msgspec.structs.replace(report, findings=ordered(report.findings))
    return encode(sorted_report, indent=2) + b"\n"


def to_junit(report: Report) -> bytes:
    """One test case for each finding; XML is imported only here."""
    from modelgate.junit import to_junit as write

    return write(report)


def termination(report: Report, notes: tuple[str, ...] = ()) -> bytes:
    """At most 4096 bytes: cause and first fix of the deciding finding first, then the other failures, a line each."""
    failing, _, _ = split(report)
    out = [f"modelgate: {headline(report)}"]
    for finding in failing[:1]:
        at = where(finding, report.manifest)
        about = "" if finding.observed.startswith(finding.subject) else f"{_cut(finding.subject, 600)}: "
        out += [f"{finding.code}: {about}{_cut(finding.observed, 900)}"]
        out += [f"at: {_cut(at, 300)}"] if at else []
        for fix in finding.fixes[:1]:
            out += [f"fix, {_cut(fix.when, 200)}: {_cut(fix.do, 500)} ({fix.who})"]
            out += [f"  {visible(line)}" for line in fix.snippet.splitlines()[:20]]
        out += [f"why: {_cut(finding.why, 500)}"] if finding.why else []
    out += [f"note: {_cut(note, 300)}" for note in notes]
    out += [f"also {f.code}: {_cut(said(f), 400)}" for f in failing[1:]]
    out += [f"not finished: {_cut(u.check, 100)} {_cut(u.subject, 200)}" for u in report.unfinished]
    raw = ("\n".join(out) + "\n").encode("utf-8", "backslashreplace")
    if len(raw) <= TERMINATION_LIMIT:
        return raw
    more = b"\n... the rest is in the log\n"
    return raw[: TERMINATION_LIMIT - len(more)].decode("utf-8", "ignore").encode() + more


def _cut(text: str, longest: int) -> str:
    """One visible line of `longest` bytes at most: the fix behind it must still find room."""
    raw = visible(text).encode("utf-8", "backslashreplace")
    return raw.decode() if len(raw) <= longest else raw[:longest].decode("utf-8", "ignore") + "..."
