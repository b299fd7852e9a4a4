"""The report as JUnit XML, for CI systems that show test results."""

from xml.etree import ElementTree as ET

from modelgate import report as texts
from modelgate.finding import Finding, Level, Report
from modelgate.scrub import visible


def to_junit(report: Report) -> bytes:
    """Each finding a test case; a warn passes and says so in system-out; what did not finish is skipped."""
    findings = texts.ordered(report.findings)
    suite = ET.Element(
        "testsuite",
        name="modelgate",
        tests=str(len(findings) + len(report.unfinished)),
        failures=str(sum(f.level is Level.FAIL for f in findings)),
        errors=str(sum(f.level is Level.UNKNOWN for f in findings)),
        skipped=str(len(report.unfinished)),
        time=f"{report.seconds:.3f}",
    )
    if report.started:
        suite.set("timestamp", visible(report.started))
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("verdict", report.verdict),
        ("exit_code", str(report.exit_code)),
        ("manifest", report.manifest or ""),
        ("version", report.version),
    ):
        ET.SubElement(properties, "property", name=name, value=visible(value))
    for finding in findings:
        _case(suite, finding, report.manifest)
    for item in report.unfinished:
        case = ET.SubElement(suite, "testcase", classname=_class(item.check), name=visible(item.subject))
        last = f"; the last it did was: {visible(item.last)}" if item.last else ""
        ET.SubElement(case, "skipped", message=f"not finished{last}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    raw: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return raw + b"\n"


def _case(suite: ET.Element, finding: Finding, manifest: str | None) -> None:
    case = ET.SubElement(suite, "testcase", classname=_class(finding.check), name=visible(finding.subject))
    case.set("time", f"{finding.seconds or 0:.3f}")
    if finding.level is Level.OK:
        return
    text = "\n".join(visible(line) for line in _body(finding, manifest))
    if finding.level is Level.WARN:
        ET.SubElement(case, "system-out").text = f"warning {finding.code}: {visible(finding.observed)}\n{text}"
        return
    tag = "failure" if finding.level is Level.FAIL else "error"
    ET.SubElement(case, tag, message=visible(finding.observed), type=finding.code).text = text


def _class(check: str) -> str:
    return f"modelgate.{visible(check).partition('[')[0]}" if check else "modelgate"


def _body(finding: Finding, manifest: str | None) -> list[str]:
    at = texts.where(finding, manifest)
    out = [f"at: {at}"] if at else []
    out += [f"why: {finding.why}"] if finding.why else []
    for fix in finding.fixes:
        out.append(f"fix, {fix.when}: {fix.do} ({fix.who})")
        out += [f"    {line}" for line in fix.snippet.splitlines()]
    return out
