"""The verdict as lines of styled words, for a person at 3 a.m.: plain words only, so that any terminal can show it."""

from collections.abc import Iterator

from modelgate import report as texts
from modelgate.finding import Finding, Fix, Level, Report
from modelgate.scrub import visible
from modelgate.units import show_seconds

Line = list[tuple[str, str]]  # (text, style)

_ANSI = {"fail": "1;31", "ok": "1;32", "warn": "33", "bold": "1", "dim": "2", "copy": "36"}
_HANG = 9
ALSO = 8  # subjects that the same cure mends
ROWS = 20  # of the table of what held, at a start


def paint(line: Line, *, color: bool) -> str:
    """One line of text, with ANSI colours or without."""
    if not color:
        return "".join(text for text, _ in line).rstrip()
    return "".join(f"\x1b[{_ANSI[style]}m{text}\x1b[0m" if style in _ANSI and text else text for text, style in line)


def verdict(
    report: Report, width: int, *, verbose: bool = False, short: bool = False, notes: tuple[str, ...] = ()
) -> Iterator[Line]:
    """Header, what stops with its fixes, warns, what did not finish."""
    failing, warns, more = texts.split(report)
    held = [f for f in report.findings if f.level is Level.OK]
    if short and not report.exit_code:
        yield from table(report, ROWS)
    yield [("modelgate: ", "bold"), (visible(texts.headline(report)), "fail" if report.exit_code else "ok")]
    if report.exit_code or verbose:
        yield from _paragraph("", _circumstances(report), width, style="dim")
    for note in notes:
        yield from _paragraph("note", note, width, style="warn")
    for number, (finding, *same) in enumerate(folded(failing), 1):
        yield []
        yield from _failure(number, finding, same, report.manifest, width)
    if warns:
        if failing or verbose:
            yield []
        for finding in warns:
            yield from _warn(finding, report.manifest, width)
        if more:
            yield [(f"and {more} more in the report (--report FILE, or modelgate check --format json)", "dim")]
    if report.unfinished:
        yield []
        yield [("not finished, because the gate had been stopped already:", "bold")]
        for item in report.unfinished:
            last = f": {item.last}" if item.last else ""
            yield [(f"  - {visible(f'{item.check} {item.subject}{last}')}", "")]
    if verbose and held:
        yield []
        yield from table(report)


def table(report: Report, most: int | None = None) -> Iterator[Line]:
    """check, subject, result, seconds: a row for each finding that does not stop, `most` rows at most."""
    findings = [f for f in texts.ordered(report.findings) if not f.stops]
    shown = findings[:most]
    rows = [(visible(f.check), visible(f.subject), f.level.value, seconds(f)) for f in shown]
    wide = [max((len(row[n]) for row in rows), default=0) for n in range(4)]
    for row in rows:
        yield [
            (f"  {row[0]:<{wide[0]}}  ", "dim"),
            (f"{row[1]:<{wide[1]}}  ", ""),
            (f"{row[2]:<{wide[2]}}  ", "ok" if row[2] == "ok" else "warn"),
            (f"{row[3]:>{wide[3]}}", "dim"),
        ]
    if len(findings) > len(shown):
        yield [(f"  and {len(findings) - len(shown)} more", "dim")]


def folded(findings: list[Finding]) -> list[list[Finding]]:
    """Findings that one cure mends stand together: one closed directory above forty shards is one thing to read."""
    groups: dict[object, list[Finding]] = {}
    for n, finding in enumerate(findings):
        component = finding.evidence.get("component")
        key = (finding.code, component, finding.fixes) if component else n
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def seconds(finding: Finding) -> str:
    """`0.012`; empty when it was not measured."""
    return "" if finding.seconds is None else f"{finding.seconds:.3f}"


def _circumstances(report: Report) -> str:
    who = ""
    if "uid" in report.identity:
        groups = [g for g in report.identity.get("groups", ()) if g != report.identity.get("gid")]
        who = f"{report.identity['uid']}:{report.identity.get('gid')}" + "".join(f",{g}" for g in groups)
    places = " or ".join(map(str, report.place.get("platforms", ())))
    manifest = report.manifest or next((str(f.evidence["file"]) for f in report.findings if "file" in f.evidence), None)
    parts = [
        f"manifest {manifest}" if manifest else "",
        f"looked as {who}" if who else "",
        f"on {places}" if places else "",
        f"after {show_seconds(report.seconds)}",
        f"modelgate {report.version}" if report.version else "",
    ]
    return ", ".join(p for p in parts if p)


def _failure(number: int, finding: Finding, same: list[Finding], manifest: str | None, width: int) -> Iterator[Line]:
    unknown = " (could not look)" if finding.level is Level.UNKNOWN else ""
    yield [(f"{number}. ", "bold"), (f"{finding.code}{unknown}", "fail"), (f": {visible(finding.subject)}", "bold")]
    at = texts.where(finding, manifest)
    if at:
        yield [("   at    ", "dim"), (visible(at), "")]
    for other in same[:ALSO]:
        yield [("   also  ", "dim"), (visible(f"{other.subject} ({other.check})"), "")]
    if len(same) > ALSO:
        yield [("   also  ", "dim"), (f"{len(same) - ALSO} more, all in the report", "")]
    yield from _paragraph("seen", finding.observed, width)
    yield from _paragraph("why", finding.why, width)
    yield from _fixes(finding.fixes, width)


def _fixes(fixes: tuple[Fix, ...], width: int) -> Iterator[Line]:
    before: Fix | None = None
    for fix in fixes:
        label = "or" if before else "fix"
        same = before is not None and (fix.do, fix.who) == (before.do, before.who)
        text = f"{fix.when}:" if same else f"{fix.when}: {fix.do} ({fix.who})"
        yield from _paragraph(label, text, width, label_style="ok")
        # Never wrapped, never cut: it is there to be copied.
        for line in fix.snippet.splitlines():
            yield [(" " * (_HANG + 2), ""), ("\t".join(map(visible, line.split("\t"))), "copy")]
        before = fix


def _warn(finding: Finding, manifest: str | None, width: int) -> Iterator[Line]:
    """Two lines as a rule: a start that passes is no place for snippets, the report has them."""
    at = texts.where(finding, manifest)
    text = f"{finding.code}: {texts.said(finding)}" + (f"; at {at}" if at else "")
    yield from _paragraph("warn", f"{text}. {finding.why}" if finding.why else text, width, label_style="warn")
    for fix in finding.fixes[:1]:
        text = f"{fix.when}: {fix.do} ({fix.who})"
        one_line = fix.snippet and "\n" not in fix.snippet
        yield from _paragraph("fix", text + (":" if one_line else ""), width, label_style="ok")
        if one_line:
            yield [(" " * (_HANG + 2), ""), (visible(fix.snippet), "copy")]


def _paragraph(label: str, text: str, width: int, *, style: str = "", label_style: str = "dim") -> Iterator[Line]:
    """`   label text`, wrapped with a hanging indent; a long path or word is never broken."""
    if not text:
        return
    room = max(20, width - _HANG)
    line = ""
    for word in visible(text).split(" "):
        if line and len(line) + 1 + len(word) > room:
            yield [(f"   {label:<6}", label_style), (line, style)]
            label, line = "", word
        else:
            line = f"{line} {word}" if line else word
    yield [(f"   {label:<6}", label_style), (line, style)]
