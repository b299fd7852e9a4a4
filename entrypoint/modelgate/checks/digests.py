"""Content: the SHA-256 of a file is the one that the manifest names.

## What is looked at
The whole file, read once from the start to the end in large pieces; the same read warms the page cache.

## Why it matters
A copy that differs in one byte loads, and answers nonsense; nothing else finds it.

## How to fix
Fetch the file again. When the file is right and the manifest is old, write the digest that was found.

## Limits
What is read later may differ from what was read now; a file that changes while it is hashed shows as a wrong digest.
"""

import os
import stat
import time
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from modelgate.finding import Finding, fail, ok
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.remedies import paths as remedies
from modelgate.remedies import quote
from modelgate.units import Duration, show_bytes
from modelgate.walk import Walk, raw, shown, walk
from modelgate.walk.around import closer
from modelgate.walk.asks import load, name_of
from modelgate.walk.refusal import absent, as_seen, evidence, hung, refused, tried
from modelgate.walk.tries import Try

PIECE = 8 << 20
AHEAD = 4 * PIECE
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of no bytes


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file and the digest it must have."""

    path: Annotated[str, Meta(description="The file")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits, lower case")]
    wait: Annotated[Duration, Meta(description="May still be arriving: looked at again for so long")] = Duration(0)


class Facts(Struct, frozen=True):
    """`sha256` of `read` bytes, or why it could not be read: the walk (errno), or what was tried on its end."""

    walk: Walk
    sha256: str = ""
    read: int = 0
    tries: tuple[Try, ...] = ()


def prepare(specs: Sequence[Spec]) -> None:
    """The import loads OpenSSL: in the child, and before the identity is taken."""
    del specs
    load()
    import hashlib  # noqa: F401


def observe(spec: Spec, host: Host) -> Facts:
    """Hash the file, telling bytes done and total several times a second; again when it changed within `wait`."""
    os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), 10))  # the waits and probes go first
    until = host.now() + spec.wait
    facts, version = _look(spec, host)
    while facts.sha256 != spec.sha256 and (left := until - host.now()) > 0:
        host.tell(doing="wait for", path=shown(spec.path), left=round(left, 1))
        time.sleep(min(0.5, left))
        now = _version(spec.path)
        if now is not None and now != version:
            facts, version = _look(spec, host)
    return facts


def _look(spec: Spec, host: Host) -> tuple[Facts, tuple[int, int] | None]:
    seen, version = walk(spec.path, host, "hash"), _version(spec.path)
    end = seen.last
    if end is None or end.type != "file":
        return Facts(seen), version
    how = "open(O_RDONLY)"
    words = {"doing": "hash", "path": shown(spec.path), "mount": end.mount, "fs": end.fs, "source": end.source}
    host.tell(**words, silence=120)
    try:
        fd = os.open(raw(spec.path), os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode):
                return Facts(seen), version
            how = "read()"
            digest, read = _hash(fd, about.st_size, host, words)
        finally:
            os.close(fd)
    except OSError as error:
        seen = closer(seen, host, [name_of(error)])
        return Facts(seen, tries=(Try("r", how, name_of(error), error.strerror or ""),)), version
    return Facts(seen, digest, read), version


def _version(path: str) -> tuple[int, int] | None:
    try:
        now = os.stat(raw(path))
    except OSError:
        return None
    return now.st_size, now.st_mtime_ns


def _hash(fd: int, total: int, host: Host, words: dict[str, str]) -> tuple[str, int]:
    import hashlib

    digest, done, told = hashlib.sha256(), 0, host.now()
    piece = memoryview(bytearray(min(PIECE, total + 1)))
    host.tell(**words, done=0, total=total)
    while True:
        if done % PIECE == 0:
            try:
                os.posix_fadvise(fd, done, AHEAD, os.POSIX_FADV_WILLNEED)
            except OSError:
                pass  # advice only
        got = os.readv(fd, [piece])
        if not got:
            break
        digest.update(piece[:got])
        done += got
        now = host.now()
        if now - told >= 0.2:
            told = now
            host.tell(**words, done=done, total=total)
    host.tell(**words, done=done, total=total)
    return digest.hexdigest(), done


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    seen, end = facts.walk, facts.walk.last
    if seen.errno or end is None:
        if spec.optional and absent(seen):
            return [ok(spec.path, "absent, optional", **evidence(seen, seen.decider))]
        return [refused(seen, place)]
    if facts.tries:
        return tried(seen, end, facts.tries, as_seen(place, seen))
    if not facts.sha256:
        fix = remedies.in_manifest("Name a file, or leave sha256 out", f"path: {spec.path}/FILE")
        observed = f"{spec.path} is a {end.type}, and only a file has a SHA-256"
        return [
            fail("path-wrong-type", spec.path, observed, "There is no content to hash.", fix, **evidence(seen, end))
        ]
    about = evidence(seen, end, expected=spec.sha256, actual=facts.sha256, bytes=facts.read, source="manifest")
    if facts.sha256 == spec.sha256.lower():
        return [ok(spec.path, f"SHA-256 of {show_bytes(facts.read)} as in the manifest", **about)]
    return [_differs(spec, facts, end.path, about)]


def _differs(spec: Spec, facts: Facts, real: str, about: dict[str, Any]) -> Finding:
    observed = f"{spec.path}: SHA-256 of its {facts.read} bytes is {facts.sha256}, and the manifest says {spec.sha256}"
    why = "This is not the file that the manifest means: a damaged or other copy."
    again = remedies.hub_again(real) or remedies.copy_again(spec.path)
    if facts.sha256 == NOTHING:
        observed = (
            f"{spec.path} is empty: {facts.sha256} is the SHA-256 of no bytes, and the manifest says {spec.sha256}"
        )
        why = "The download or copy wrote nothing."
    elif spec.sha256.lower() == NOTHING:
        again = ()
        why = "The digest in the manifest is that of an empty file: it was taken of a download that had failed."
    do = f"Write the digest it has, once `{quote('sha256sum', spec.path)}` at its source agrees"
    line = remedies.in_manifest(do, f'sha256: "{facts.sha256}"', "this is the right file")
    return fail("weights-digest", spec.path, observed, why, *again, line, **about)


def lost(spec: Spec, lost: Any, place: Place) -> list[Finding] | None:
    """Hung while it hashed this very file."""
    mine = lost.how == "hung" and lost.last.get("path") == shown(spec.path)
    return [hung(spec.path, lost.last, place, lost.detail)] if mine else None
