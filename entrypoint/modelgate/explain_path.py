"""`modelgate explain PATH`: the walk as a table, the component that decides, and what would change it.

Has the shape of a check, so that the walk is made in a child that runs as the identity asked about.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from modelgate.finding import Finding, Level, fail, ok
from modelgate.host import Host, Place
from modelgate.remedies.mounts import no_dev
from modelgate.walk import Step, Walk, walk
from modelgate.walk.acl import beyond_mode
from modelgate.walk.around import closer
from modelgate.walk.asks import load
from modelgate.walk.refusal import evidence, refused, tried
from modelgate.walk.tries import Try

Facts = Walk
_HEAD = ("COMPONENT", "TYPE", "MODE", "OWNER", "GROUP", "ACL", "MOUNT", "VERDICT", "WHO CAN CHANGE IT")
_VERBS = {
    "directory": {"r": "list", "w": "write", "x": "enter"},
    "": {"r": "read", "w": "write", "x": "execute"},
}


class Spec(Struct, frozen=True, kw_only=True):
    """The path asked about."""

    path: Annotated[str, Meta(description="The path to explain")]


def prepare(specs: Sequence[Spec]) -> None:
    """Imports, before the identity is taken."""
    del specs
    load()


def observe(spec: Spec, host: Host) -> Walk:
    """Only looks: opens nothing, so that a device, a FIFO or a huge file may be asked about."""
    found = walk(spec.path, host, "explain")
    return closer(found, host, ["EACCES"] if found.last is not None and _lacking(found.last) else [])


def judge(spec: Spec, facts: Walk, place: Place) -> list[Finding]:
    """Refused on the way, refused at its end, or fine."""
    del spec
    end = facts.last
    if end is None:
        return [refused(facts, place)]
    if end.type.endswith("device") and "nodev" in end.options:
        observed = f"{facts.path}: {end.type} on the mount {end.mount} ({end.fs}, nodev)"
        why = "On a nodev mount every open() of a device gives EACCES, and faccessat() says that it may be used."
        return [fail("device-denied-mode", facts.path, observed, why, *no_dev(end), **evidence(facts, end))]
    if _lacking(end):
        tries = [Try(c, f"faccessat({c.upper()}_OK)", "EACCES", "Permission denied") for c in _lacking(end)]
        return tried(facts, end, tries, place)
    return [ok(facts.path, f"{facts.who} may {_may(end)} it", **evidence(facts, end))]


def _lacking(end: Step) -> str:
    return "".join(letter for letter in ("rx" if end.type == "directory" else "r") if letter not in end.may)


def render(facts: Walk, findings: Sequence[Finding], place: Place) -> str:
    """The table, the verdict and the fixes, as text that ends in a newline."""
    del place
    rows = [_HEAD, *(_row(facts, index, step) for index, step in enumerate(facts.steps))]
    widths = [max(len(row[n]) for row in rows) for n in range(len(_HEAD))]
    lines = [f"{facts.path} as {facts.who}", ""]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for finding in findings:
        lines += ["", f"{'ok' if finding.level is Level.OK else finding.code}: {finding.observed}"]
        if finding.why:
            lines.append(f"  {finding.why}")
        for fix in finding.fixes:
            lines.append(f"  {fix.when}: {fix.do} ({fix.who})")
            lines += [f"      {line}" for line in fix.snippet.splitlines()]
    return "".join(_plain(line) + "\n" for line in lines)


def _row(walk: Walk, index: int, step: Step) -> tuple[str, ...]:
    name = step.path + (f" -> {step.target}" if step.type == "link" else "")
    if index == walk.deciding:
        verdict = f"REFUSED: {walk.errno}"
    elif step.errno:
        verdict = step.errno
    elif step.type == "link":
        verdict = "followed"
    else:
        verdict = _may(step)
    mount = f"{step.mount} {step.fs}" + (" ro" if "ro" in step.options else "") if step.mount else ""
    return (name, step.type or "?", step.mode, step.owner, step.group, _acl(step), mount, verdict, _who(step))


def _acl(step: Step) -> str:
    """What the mode does not show; `d:` in front of the default ACL, which new entries of a directory inherit."""
    return ",".join(t for t in (beyond_mode(step.acl), step.acl_default and f"d:{beyond_mode(step.acl_default)}") if t)


def _may(step: Step) -> str:
    verbs = _VERBS.get(step.type, _VERBS[""])
    return ", ".join(verbs[c] for c in "rwx" if c in step.may) or "nothing"


def _who(step: Step) -> str:
    """The owner may chmod, root may all; on a read-only mount only who mounts it."""
    if "ro" in step.options:
        return f"who mounts {step.mount}"
    if step.type == "absent" or not step.owner:
        return "who fills the directory above" if step.type == "absent" else ""
    return "root" if step.uid == 0 else f"{step.owner}, root"


def _plain(line: str) -> str:
    """Foreign names must not drive the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
