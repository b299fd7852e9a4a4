"""Where the manifest comes from: the one that was named, or the first that is found in its usual places.

## What is looked at
`--manifest` or MODELGATE_MANIFEST when given, and nothing else then; otherwise /etc/modelgate/manifest.yaml and
./modelgate.yaml. The first one there is read once, through one descriptor, and at most 1 MiB of it.

## Why it matters
A manifest says what is checked, which commands a wait runs and as whom the server is started. One that merely lies in
the working directory was chosen by nobody: whoever can write there would decide, for a gate that may run as root. So a
found one is believed only when it and its directory belong to root or to us and nobody else can write them. One that
was named was chosen by whoever wrote the command line.

## How to fix
Take the write permission away, or name the file with --manifest.

## Limits
Access control lists are seen only through the group bits. On a read-only mount the mode bits say nothing and are not
judged; the owner is. A found file in a directory that may not be searched looks like none; that is told as a warning.
"""

import errno
import os
import stat
from typing import Any

from msgspec import Struct

from modelgate.finding import IMAGE, Finding, Fix, fail, ok, warn
from modelgate.host import Host, Place
from modelgate.remedies.manifest import missing, naming, readable, trusted

LIMIT_BYTES = 1 << 20
PLACES = ("/etc/modelgate/manifest.yaml", "./modelgate.yaml")
_OPEN = os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK  # a FIFO in its place must not hold us up
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_WHY = "Nothing is checked and nothing started without the manifest that was asked for."
_WHY_FOUND = "Whoever can change a manifest decides what the gate checks, what it runs and as whom."


class Spec(Struct, frozen=True, kw_only=True):
    """`named` is what --manifest or MODELGATE_MANIFEST says; None: look in `places`."""

    named: str | None = None
    places: tuple[str, ...] = PLACES


class Facts(Struct, frozen=True, kw_only=True):
    """What was found. `path` is None when there is no manifest; `text` is what is in it.

    failed, message  errno name and text of the call that did not work, "" when all went well; `doing` is that call
    blocked          the directory on the way that may not be searched
    near             names beside a missing one that resemble it
    kind             "file", or what else is there: "directory", "FIFO", "socket", "device"
    uid, mode        of the file; folder, folder_uid, folder_mode: of the directory it really lies in
    read_only        it lies on a read-only mount
    unseen           places that could not be looked at
    """

    path: str | None = None
    text: bytes = b""
    absolute: str = ""
    doing: str = ""
    failed: str = ""
    message: str = ""
    blocked: str = ""
    near: tuple[str, ...] = ()
    kind: str = "file"
    size: int = 0
    uid: int = 0
    mode: int = 0
    folder: str = ""
    folder_uid: int = 0
    folder_mode: int = 0
    read_only: bool = False
    me: int = 0
    unseen: tuple[str, ...] = ()


def observe(spec: Spec, host: Host) -> Facts:
    """Read the one that was named, or the first that is there."""
    unseen = []
    for path in spec.places if spec.named is None else (spec.named,):
        absolute = _absolute(path)
        tell = host.tell_path if absolute.startswith("/") else host.tell
        tell(doing="read the manifest", path=absolute)
        try:
            found = os.stat(path)
        except OSError as error:
            if spec.named is None and not os.path.islink(path):
                if error.errno not in _ABSENT:
                    unseen.append(path)
                continue
            near = _near(absolute) if error.errno in _ABSENT else ()
            return _failed("stat", path, error, absolute, near)
        if not stat.S_ISREG(found.st_mode):
            return Facts(path=path, absolute=absolute, kind=_kind(found.st_mode))
        try:
            return _read(path, absolute)
        except OSError as error:
            return _failed("open", path, error, absolute)
    return Facts(unseen=tuple(unseen))


def _read(path: str, absolute: str) -> Facts:
    """Everything that is believed is asked of the two descriptors, so that nothing can be exchanged in between."""
    real = os.path.realpath(path)
    folder = os.path.dirname(real)
    # The directory that is judged is the one that is read from. A link under /proc leads to no such path, hence `path`.
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fd = os.open(os.path.basename(real), _OPEN | os.O_NOFOLLOW, dir_fd=folder_fd)
        except FileNotFoundError:
            fd = os.open(path, _OPEN)
        try:
            file, around = os.fstat(fd), os.fstat(folder_fd)
            text = _all(fd) if stat.S_ISREG(file.st_mode) else b""
            read_only = bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)
        finally:
            os.close(fd)
    finally:
        os.close(folder_fd)
    return Facts(
        path=path,
        absolute=absolute,
        text=text,
        kind=_kind(file.st_mode),
        size=file.st_size,
        uid=file.st_uid,
        mode=stat.S_IMODE(file.st_mode),
        folder=folder,
        folder_uid=around.st_uid,
        folder_mode=stat.S_IMODE(around.st_mode),
        read_only=read_only,
        me=os.geteuid(),
    )


def _all(fd: int) -> bytes:
    """One byte more than may be: that is how a file that is too large is known, and one that grows."""
    text = bytearray()
    while len(text) <= LIMIT_BYTES and (chunk := os.read(fd, LIMIT_BYTES + 1 - len(text))):
        text += chunk
    return bytes(text)


def _failed(doing: str, path: str, error: OSError, absolute: str, near: tuple[str, ...] = ()) -> Facts:
    blocked = ""
    if error.errno == errno.EACCES:
        above = os.path.dirname(absolute)
        steps = [above[:n] or "/" for n, char in enumerate(above) if char == "/"] + [above]
        blocked = next((s for s in steps if not os.access(s, os.X_OK, effective_ids=True)), "")
    return Facts(
        path=path,
        absolute=absolute,
        doing=doing,
        failed=errno.errorcode.get(error.errno or 0, str(error.errno)),
        message=os.strerror(error.errno or 0),
        blocked=blocked,
        near=near,
        me=os.geteuid(),
    )


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except OSError:  # the working directory is gone
        return path


def _near(absolute: str) -> tuple[str, ...]:
    import difflib
    import itertools

    try:
        with os.scandir(os.path.dirname(absolute)) as entries:
            names = [entry.name for entry in itertools.islice(entries, 1000)]
    except OSError:
        return ()
    names = [name for name in names if name.isprintable()]
    return tuple(difflib.get_close_matches(os.path.basename(absolute), names, n=2))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """One finding: the manifest can be read and believed, or why not."""
    if facts.path is None:
        return [_none(spec, facts)]
    said = {"file": facts.path, "path": facts.absolute, "named": spec.named is not None}
    if facts.failed:
        return [_unread(spec, facts, place, said)]
    if facts.kind != "file":
        observed = f"it is a {facts.kind}; a manifest is a regular file"
        file = os.path.join(facts.path, "manifest.yaml") if facts.kind == "directory" else "FILE"
        do = Fix(when="the manifest is somewhere else", do="Name the file itself", snippet=naming(file), who=IMAGE)
        return [fail("manifest-invalid", facts.path, observed, _WHY, do, **said, kind=facts.kind)]
    if len(facts.text) > LIMIT_BYTES:
        observed = f"it is larger than 1 MiB ({max(facts.size, len(facts.text))} bytes) and was not read further"
        do = Fix(when="it is another file", do="Name the manifest", snippet=naming("FILE"), who=IMAGE)
        return [fail("manifest-invalid", facts.path, observed, _WHY, do, **said, size=facts.size)]
    if reasons := [] if spec.named is not None else _doubts(facts):
        observed = f"it was found, not named, and is not believed: {'; '.join(reasons)}"
        seen = {"owner": facts.uid, "mode": f"{facts.mode:04o}", "uid": facts.me, "folder": facts.folder}
        return [fail("manifest-invalid", facts.path, observed, _WHY_FOUND, *trusted(facts, place), **said, **seen)]
    return [ok(facts.path, f"read, {len(facts.text)} bytes", **said)]


def _none(spec: Spec, facts: Facts) -> Finding:
    if not facts.unseen:
        return ok("manifest", f"there is none (looked for {', '.join(spec.places)})")
    observed = f"none was found, but {', '.join(facts.unseen)} could not be looked at"
    why = "It is a guess that there is none: the directory may not be searched by this identity."
    do = Fix(when="there is one", do="Name it, then it must be readable", snippet=naming(facts.unseen[0]))
    return warn("manifest-missing", "manifest", observed, why, do, unseen=list(facts.unseen))


def _unread(spec: Spec, facts: Facts, place: Place, said: dict[str, Any]) -> Finding:
    path = facts.path or ""
    observed = f"{facts.doing} {path}: {facts.failed} ({facts.message})"
    said = {**said, "errno": facts.failed}
    if facts.failed in ("ENOENT", "ENOTDIR"):
        if spec.named is None:
            observed += "; the link is there, and what it leads to is not"
        cures = missing(facts, place, named=spec.named is not None)
        return fail("manifest-missing", path or "--manifest", observed, _WHY, *cures, **said, near=list(facts.near))
    if facts.blocked:
        observed += f": {facts.blocked} may not be searched by uid {facts.me}"
    return fail("manifest-invalid", path, observed, _WHY, *readable(facts, place), **said, component=facts.blocked)


def _doubts(facts: Facts) -> list[str]:
    # Read-only here is no proof of ownership: the same volume may be mounted writable somewhere else.
    doubts = []
    if facts.uid not in (0, facts.me):
        doubts.append(f"it belongs to uid {facts.uid}, not to root or to us (uid {facts.me})")
    if facts.mode & 0o022 and not facts.read_only:
        doubts.append(f"others can write it (mode {facts.mode:04o})")
    if facts.folder_uid not in (0, facts.me):
        doubts.append(f"its directory {facts.folder} belongs to uid {facts.folder_uid}")
    # In a sticky directory (/tmp) only the owner of a file can exchange it, and that one is root or us.
    if facts.folder_mode & 0o022 and not facts.folder_mode & stat.S_ISVTX and not facts.read_only:
        doubts.append(f"others can write its directory {facts.folder} (mode {facts.folder_mode:04o})")
    return doubts


def lost(spec: Spec, lost: Any, place: Place) -> list[Finding] | None:
    """A mount that does not answer holds the manifest: that stops the gate, whether it was named or found."""
    if lost.how != "hung" or not lost.last.get("path"):
        return None
    from modelgate.walk.refusal import hung

    return [hung(spec.named or str(lost.last["path"]), lost.last, place, lost.detail)]
