"""From the issues of a manifest to findings: FILE:LINE, path, cause and cure."""

import re

from msgspec.structs import replace

from modelgate.finding import Finding, Level
from modelgate.yaml_lines import LIMIT_ISSUES, Document
from modelgate.yaml_text import Issue, Path, fix, show

_WHY_TYPE = "A value that has to be guessed at could check something else than what was meant."
_WHY_TEXT = "A manifest that cannot be read to its end is not used at all: what is missing might be what matters."
_LONGEST = 600


def unexplained(document: Document, error: Exception) -> None:
    """What msgspec refuses and the walk did not find."""
    text = str(error)
    at = re.search(r" - at `\$\.?(.*)`$", text)
    path: Path = tuple(int(p) if p.isdigit() else p for p in re.findall(r"\w+", at[1])) if at else ()
    message = text[: at.start()] if at else text
    cure = fix(f"Change it as the message says: {message}")
    document.issues.append(Issue(line=document.line(path), path=path, message=message, fixes=(cure,)))


def findings(document: Document, file: str, secrets: frozenset[str]) -> list[Finding]:
    """The issues in the order of the file. `file` is what the manifest is called; secrets are hidden."""
    from modelgate.scrub import Scrubber

    issues = sorted(document.issues, key=lambda issue: issue.line)
    if len(issues) >= LIMIT_ISSUES:
        cure = fix("Correct these first, then look again", f"modelgate manifest lint {file}")
        issues = [
            *issues[:LIMIT_ISSUES],
            Issue(line=1, message="there is more that is wrong than is told", fixes=(cure,)),
        ]
    scrubber = Scrubber({}, secrets)
    return [scrubber.data(_finding(issue, file)) for issue in issues]


def _cut(text: str) -> str:
    """Foreign text may be a megabyte long; nobody reads that, and a log line cannot hold it."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _finding(issue: Issue, file: str) -> Finding:
    path = show(issue.path)
    entry = 2 if len(issue.path) > 1 and isinstance(issue.path[1], int) else 1
    return Finding(
        code=issue.code,
        level=Level.FAIL,
        subject=f"{file}:{issue.line}",
        observed=_cut(f"{path}: {issue.message}" if path else issue.message),
        why=_cut(issue.why) or (_WHY_TYPE if path else _WHY_TEXT),
        fixes=tuple(replace(cure, do=_cut(cure.do)) for cure in issue.fixes),
        check=show(issue.path[:entry]) or "manifest",
        line=issue.line,
        evidence={"file": file, "line": issue.line, "path": path},
    )
