"""Free space and free inodes where the server will write.

## What is looked at
`statvfs` on the path, as the runtime identity. A path that is not there yet is asked of its nearest parent that is, and
the finding says so. Root is shown every free block; other users only those that the file system does not keep back.

## Why it matters
A cache, a compiled kernel or a downloaded shard fails half way with ENOSPC after minutes of loading. A file system with
gigabytes free and no inode left fails with the same words.

## How to fix
Make the volume larger, or remove what fills it; the finding carries the command that shows what does.

## Limits
Quotas of a user or project, and the ephemeral-storage limit of a pod, are mostly not visible to statvfs: a write may
still fail with EDQUOT, or the pod be evicted. What others write after the look is not known. File systems without
inodes of a fixed number (btrfs, some FUSE ones) report 0 and pass with a note.
"""

import errno
import os
from typing import Annotated

from msgspec import Meta, Struct

from modelgate.finding import Finding, Fix, fail, ok, unknown, warn
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.remedies import host as remedies
from modelgate.remedies import quote
from modelgate.units import Size, show_bytes

_CODES = {
    "EACCES": "path-blocked",
    "ENOENT": "path-missing",
    "ENOTDIR": "path-wrong-type",
    "ELOOP": "path-link-loop",
    "ENAMETOOLONG": "path-missing",
}


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest may ask of a file system."""

    path: Annotated[str, Meta(min_length=1, pattern="^[^\x00]+$", description="Where the server will write")]
    free: Annotated[Size | None, Meta(description="At least this much must be free: 100GiB")] = None
    inodes: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="At least this many inodes must be free")] = (
        None
    )

    def __post_init__(self) -> None:
        if self.free is None and self.inodes is None:
            raise ValueError("ask for `free`, `inodes` or both")


class Facts(Struct, frozen=True):
    """What statvfs said of `looked` (the path, or the nearest parent that is there). Bytes; -1 where it did not answer.

    `link` is where a dangling link points to. `usable` are the bytes this identity may take, `inodes` likewise.
    """

    looked: str
    errno: str = ""
    message: str = ""
    link: str = ""
    total: int = -1
    usable: int = -1
    kept_back: int = 0
    inodes_total: int = -1
    inodes: int = -1
    fs: str = ""
    mount: str = ""
    source: str = ""


def observe(spec: Spec, host: Host) -> Facts:
    """statvfs, upwards until something is there."""
    looked = spec.path
    while True:
        host.tell_path("statvfs", looked)
        try:
            return _measured(looked, os.statvfs(looked), host)
        except OSError as error:
            parent = os.path.dirname(looked.rstrip("/")) or ("/" if looked.startswith("/") else ".")
            link = _link(looked) if error.errno == errno.ENOENT else ""
            if error.errno != errno.ENOENT or link or parent == looked:
                code = errno.errorcode.get(error.errno or 0, str(error.errno))
                return Facts(looked, errno=code, message=error.strerror or "", link=link)
            looked = parent


def _measured(looked: str, found: os.statvfs_result, host: Host) -> Facts:
    root = os.geteuid() == 0 and _is_real_root(host)
    mount = host.mount_of(os.path.realpath(looked))
    size = found.f_frsize or found.f_bsize
    return Facts(
        looked,
        total=found.f_blocks * size,
        usable=(found.f_bfree if root else found.f_bavail) * size,
        kept_back=0 if root else max(0, found.f_bfree - found.f_bavail) * size,
        inodes_total=found.f_files,
        inodes=found.f_ffree if root else found.f_favail,
        fs=mount.fs if mount else "",
        mount=mount.point if mount else "",
        source=mount.source if mount else "",
    )


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """A finding for the bytes and one for the inodes, each where asked for."""
    if spec.optional and facts.looked != spec.path:
        return [ok(spec.path, "not there, and optional", looked=facts.looked)]
    if facts.errno:
        return [_not_seen(spec, facts, place)]
    findings = []
    if spec.free is not None:
        findings.append(_bytes(spec.path, spec.free, facts, place))
    if spec.inodes is not None:
        findings.append(_inodes(spec.path, spec.inodes, facts, place))
    return findings


def _bytes(path: str, wanted: int, facts: Facts, place: Place) -> Finding:
    said = {"looked": facts.looked, "mount": facts.mount, "fs": facts.fs, "free": facts.usable, "wanted": int(wanted)}
    if facts.total == 0:
        why = "Whether there is room enough cannot be seen here; a write will tell."
        fix = Fix(when="the requirement is of no use here", do="Remove `free` for this path from the manifest")
        return warn("disk-full", path, f"the file system reports no sizes{_at(path, facts)}", why, fix, **said)
    observed = f"{show_bytes(facts.usable)} of {show_bytes(facts.total)} free for {place.who}{_at(path, facts)}"
    if facts.usable >= wanted:
        return ok(path, observed, **said)
    if facts.kept_back and facts.usable + facts.kept_back >= wanted:
        observed += f"; {show_bytes(facts.kept_back)} more are kept back for root"
    why = f"The manifest asks for {show_bytes(wanted)}: {show_bytes(wanted - facts.usable)} are missing."
    fixes = remedies.room(place, path=path, looked=facts.looked, fs=facts.fs, wanted=wanted)
    return fail("disk-full", path, observed, why, *fixes, **said)


def _inodes(path: str, wanted: int, facts: Facts, place: Place) -> Finding:
    said = {"looked": facts.looked, "mount": facts.mount, "fs": facts.fs, "inodes": facts.inodes, "wanted": wanted}
    if facts.inodes_total == 0:
        return ok(path, f"the file system has no fixed number of inodes{_at(path, facts)}", **said)
    observed = f"{facts.inodes} of {facts.inodes_total} inodes free for {place.who}{_at(path, facts)}"
    if facts.inodes >= wanted:
        return ok(path, observed, **said)
    why = f"The manifest asks for {wanted}. Without an inode no file can be made, however many bytes are free."
    fixes = remedies.inodes(place, path=path, looked=facts.looked, fs=facts.fs, wanted=wanted)
    return fail("disk-inodes", path, observed, why, *fixes, **said)


def _not_seen(spec: Spec, facts: Facts, place: Place) -> Finding:
    code = "path-dangling-link" if facts.link else _CODES.get(facts.errno, "path-io-error")
    observed = f"statvfs {facts.looked} as {place.who}: {facts.errno} ({facts.message})"
    if facts.link:
        observed = f"{facts.looked} is a link to {facts.link}, which is not there: {facts.errno}"
    fix = Fix(
        when="the path is right",
        do="See which component decides, and what would let the runtime identity through",
        snippet=f"modelgate explain {quote(spec.path)}",
    )
    why = "How much is free there is not known."
    return unknown(code, spec.path, observed, why, fix, looked=facts.looked, errno=facts.errno)


def _at(path: str, facts: Facts) -> str:
    mount = f" on {facts.mount} ({facts.fs})" if facts.mount else ""
    return mount if facts.looked == path else f"{mount}, seen at {facts.looked} because {path} is not there yet"


def _link(path: str) -> str:
    try:
        return os.readlink(path.rstrip("/") or "/").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except OSError:
        return ""


def _is_real_root(host: Host) -> bool:
    """The blocks kept back are for the machine's root; the root of a user namespace is somebody else."""
    try:
        first = host.read(host.proc("self/uid_map")).split()
    except OSError:
        return True
    return first[:2] == ["0", "0"]
