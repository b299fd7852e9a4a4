"""Device nodes: really opened as the runtime identity.

## What is looked at
Every node that the path (a glob) matches is opened for reading and writing and closed again; nothing is read from it.

## Why it matters
access(2) and `ls` say yes on a node that the device cgroup, a nodev mount or a missing driver refuses; frameworks then
report "no GPU" or run on the CPU.

## How to fix
EACCES is the mode of the node: its group by number. EPERM is the device cgroup: pass the node as a device.
ENXIO and ENODEV are the driver.

## Limits
EACCES hides a refusal of the device cgroup, which is asked only after the mode: it is problem 1 of possibly 2.
Opening a GPU node may initialise the GPU, which takes seconds. Watchdogs are never opened.
"""

import itertools
import os
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from modelgate.finding import Finding, fail, ok
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.remedies import devices as remedies
from modelgate.walk import Step, Walk, raw, shown, walk
from modelgate.walk.asks import has_acl, load, name_of
from modelgate.walk.refusal import absent, as_seen, evidence, hung, refused, tried
from modelgate.walk.tries import Try

MOST = 256  # nodes opened for one entry
BUSY = 3  # times a busy node is tried
_WATCHDOG = "10:130"
_FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest may ask of device nodes."""

    path: Annotated[
        Annotated[str, Meta(pattern="^/[^\x00]*$")], Meta(description="A node, or a glob that matches several")
    ]
    count: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="How many must open, at least; without it every match, and at least one"),
    ] = None
    access: Annotated[Literal["r", "w", "rw"], Meta(description="How the node is opened")] = "rw"

    def __post_init__(self) -> None:
        if os.path.basename(self.path).startswith("watchdog"):
            raise ValueError("opening a watchdog starts its countdown and reboots the machine; modelgate opens none")


class Node(Struct, frozen=True):
    """One match. `errno` is that of open(), "" when it opened; `state` says why it was not opened."""

    path: str
    walk: Walk
    state: Literal["opened", "refused", "no-node", "no-way", "watchdog"]
    errno: str = ""
    words: str = ""
    acl: bool = False


class Facts(Struct, frozen=True):
    """All matches, and with none the walk of the path up to its first wildcard."""

    nodes: tuple[Node, ...]
    walk: Walk | None = None
    readable: bool = True  # the directory before the first wildcard can be listed


def prepare(specs: Sequence[Spec]) -> None:
    """Imports, before the identity is taken."""
    del specs
    load()
    import glob  # noqa: F401


def observe(spec: Spec, host: Host) -> Facts:
    """Open and close every match, one after the other."""
    from glob import glob, has_magic

    fixed = "/".join(itertools.takewhile(lambda part: not has_magic(part), spec.path.split("/"))) or "/"
    host.tell_path("list", fixed)
    matches = sorted(glob(raw(spec.path)), key=_natural)[:MOST] if has_magic(spec.path) else [raw(spec.path)]
    nodes = [_open(match, spec, host) for match in matches]
    if nodes:
        return Facts(tuple(nodes))
    before = walk(fixed, host, "list")
    return Facts((), before, (end := before.last) is None or end.type != "directory" or "r" in end.may)


def _open(match: bytes, spec: Spec, host: Host) -> Node:
    path = shown(match)
    seen = walk(os.fsdecode(match), host, "open")
    end = seen.last
    if end is None:
        return Node(path, seen, "no-way", seen.errno, seen.words)
    if not end.type.endswith("device"):
        return Node(path, seen, "no-node")
    if end.device == _WATCHDOG or any(os.path.basename(p).startswith("watchdog") for p in (path, end.path)):
        return Node(path, seen, "watchdog")
    for left in reversed(range(BUSY)):
        host.tell(doing="open", path=path, mount=end.mount, fs=end.fs, source=end.source, silence=30)
        try:
            # Without O_NONBLOCK: with it a GPU driver may answer before it knows whether the device works.
            os.close(os.open(match, _FLAGS[spec.access] | os.O_CLOEXEC | os.O_NOCTTY))
        except OSError as error:
            if name_of(error) in ("EBUSY", "EAGAIN") and left:
                time.sleep(0.3)
                continue
            return Node(path, seen, "refused", name_of(error), error.strerror or "", acl=has_acl(end.path))
        return Node(path, seen, "opened")
    raise AssertionError("unreachable")


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """One finding for all nodes that one cause refuses, one when there are too few."""
    nodes = [n for n in facts.nodes if n.state != "watchdog"]
    if not nodes:
        return _nothing(spec, facts, place)
    good = [n for n in nodes if n.state == "opened"]
    wanted = len(nodes) if spec.count is None else spec.count
    about = {"opened": [n.path for n in good], "refused": [n.path for n in nodes if n not in good]}
    who = nodes[0].walk.who
    if len(good) >= wanted and good:
        return [ok(spec.path, f"{len(good)} of {len(nodes)} opened ({spec.access}) as {who}", **about)]
    missing = [n for n in nodes if n.state == "no-way" and absent(n.walk)]
    if spec.optional and missing == nodes:
        return [ok(spec.path, "absent, optional", **about)]
    found = _group(spec, [n for n in nodes if n not in good], place)
    if len(nodes) < wanted:
        found.append(_too_few(spec, good, nodes, place, about))
    return found


def _group(spec: Spec, nodes: Sequence[Node], place: Place) -> list[Finding]:
    causes: dict[tuple[str, str, str], list[Node]] = {}
    for node in nodes:
        end = node.walk.last
        nodev = "nodev" if end is not None and "nodev" in end.options else ""
        causes.setdefault((node.state, node.errno, nodev), []).append(node)
    return [_one(spec, same, place) for same in causes.values()]


def _one(spec: Spec, nodes: list[Node], place: Place) -> Finding:
    first, place = nodes[0], as_seen(place, nodes[0].walk)
    end, seen = first.walk.last, first.walk
    subject = first.path if len(nodes) == 1 else spec.path
    if first.state == "no-way" or end is None:
        return _no_way(spec, nodes, place)
    paths_ = [n.path for n in nodes]
    about = evidence(seen, end, errno=first.errno, device=end.device, nodes=paths_, access=spec.access)
    if first.state == "no-node":
        observed = f"{', '.join(paths_)}: a {end.type}, and no device node"
        why = "Docker makes an empty directory of a missing path given with -v; a program may have made a file."
        return fail("device-missing", subject, observed, why, *remedies.hand_over(place, first.path), **about)
    told = f"open {', '.join(paths_)} ({spec.access}): {first.errno} ({first.words}) as {seen.who}"
    ends = [s for n in nodes if (s := n.walk.last) is not None]
    if first.errno == "EACCES":
        return _denied(subject, told, ends, place, about)
    if first.errno in ("EPERM", "EROFS"):
        why = "The mode allows it; the device cgroup of the container does not (or the node was passed read-only)."
        fixes = remedies.allow(place, first.path, end.device, end.type)
        return fail("device-denied-cgroup", subject, told, why, *fixes, **about)
    why = {
        "ENXIO": f"No driver is registered for device {end.device}: module not loaded, or the node is an old one.",
        "ENODEV": f"The driver is there, and device {end.device} is gone: lost, reset, or bound to another driver.",
        "EBUSY": "Another process holds it, or its driver is resetting it; it was tried several times.",
        "EAGAIN": "Its driver is resetting it; it was tried several times.",
        "EIO": "The driver could not start the device.",
    }.get(first.errno, "The driver refused.")
    return fail("device-gone", subject, told, why, *remedies.driver(place), **about)


def _denied(subject: str, told: str, ends: list[Step], place: Place, about: dict[str, Any]) -> Finding:
    access, end, groups = about["access"], ends[0], frozenset((place.gid, *place.groups))
    if "nodev" in end.options:
        why = f"{end.mount} is mounted nodev: no device on it opens, whatever its mode."
        return fail("device-denied-mode", subject, told, why, *remedies.without_nodev(place, end), **about)
    nodes = ", ".join(sorted({f"{s.mode} {s.owner}:{s.group} (gid {s.gid})" for s in ends}))
    why = f"The mode of the node refuses: {nodes}. This is problem 1 of possibly 2: EACCES hides a device cgroup."
    if all(s.gives(access, s.part(place.uid, groups)) for s in ends):
        why = f"The mode would allow it ({nodes}): a security module refuses, or an ACL (a guess)."
    about["node_gids"] = sorted({s.gid for s in ends})
    return fail("device-denied-mode", subject, told, why, *remedies.let_in(place, ends, access), **about)


def _no_way(spec: Spec, nodes: list[Node], place: Place) -> Finding:
    seen = nodes[0].walk
    if seen.errno not in ("ENOENT", "ENOTDIR"):
        return refused(seen, place)
    step = seen.decider
    names = ", ".join(n.path for n in nodes)
    observed = f"{names}: {seen.errno} ({seen.words})"
    why = "The node was not passed to this container, or the driver of the machine did not make it."
    if step is not None and step.type == "link":
        observed += f"; the link leads to {seen.missing}, which is not there"
        why = "Only some of the nodes were passed: the links of the others lead nowhere."
    elif seen.near:
        observed += f"; there is {', '.join(seen.near)}"
    about = evidence(seen, step, nodes=[n.path for n in nodes])
    subject = nodes[0].path if len(nodes) == 1 else spec.path
    return fail("device-missing", subject, observed, why, *remedies.hand_over(place, spec.path), **about)


def _nothing(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    before = facts.walk
    if before is not None and before.errno and not absent(before) and before.errno != "ENOTDIR":
        return [refused(before, place)]
    end = before.last if before is not None else None
    if before is not None and end is not None and not facts.readable:
        return tried(before, end, [Try("r", "list", "EACCES", "Permission denied")], place)
    if spec.optional:
        return [ok(spec.path, "absent, optional")]
    observed = f"{spec.path}: nothing matches"
    if before is not None and before.errno:
        observed += f"; {before.missing or before.path}: {before.errno} ({before.words})"
    why = "The nodes were not passed to this container, or the driver of the machine did not make them."
    about = evidence(before, end or before.decider) if before is not None else {}
    return [fail("device-missing", spec.path, observed, why, *remedies.hand_over(place, spec.path), **about)]


def _too_few(spec: Spec, good: list[Node], nodes: list[Node], place: Place, about: dict[str, Any]) -> Finding:
    observed = f"{spec.path}: {len(nodes)} there, {len(good)} opened, and {spec.count} are asked for"
    fixes = (*remedies.hand_over(place, spec.path), remedies.ask_less(max(1, len(good)), spec.path))
    return fail("device-too-few", spec.path, observed, "Fewer devices were passed to this container.", *fixes, **about)


def _natural(name: bytes) -> tuple[tuple[int, bytes], ...]:
    import re

    return tuple((int(digits or 0), text) for text, digits in re.findall(rb"(\D*)(\d*)", name))


def lost(spec: Spec, lost: Any, place: Place) -> list[Finding] | None:
    """An open that never came back: the driver, or the mount the node lies on."""
    if lost.how != "hung" or not lost.last.get("path"):
        return None
    finding = hung(spec.path, lost.last, place, lost.detail)
    if lost.last.get("fs") not in ("devtmpfs", "tmpfs"):
        return [finding]
    why = "The driver does not answer, and what waits in it cannot even be killed. The machine must recover first."
    return [fail("path-hung", spec.path, finding.observed, why, *remedies.driver(place), **finding.evidence)]
