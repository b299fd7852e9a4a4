"""What else than mode and ACL may refuse: capabilities, security modules, inode flags, the rule for links."""

import os
import struct
from collections.abc import Sequence

from msgspec.structs import replace

from modelgate.host import Host
from modelgate.walk.names import raw
from modelgate.walk.steps import Around, Step, Walk

_GETFLAGS = 0x80086601  # FS_IOC_GETFLAGS where long has 64 bits; elsewhere it is refused, and the flags stay unknown
_FLAGS = ((0x10, "i"), (0x20, "a"))
_RIGHTS = ("EACCES", "EPERM")


def closer(walk: Walk, host: Host, refused: Sequence[str] = ()) -> Walk:
    """`walk` with what else may decide, where rights refused it or what was tried on its end (`refused`: errnos)."""
    if walk.around is not None or not any(number in _RIGHTS for number in (walk.errno, *refused)):
        return walk
    step = walk.decider or walk.last
    if step is not None and step.type == "absent":  # it was to be made: its directory refuses that
        above = os.path.dirname(step.path)
        step = next((s for s in walk.steps if s.path == above), None)
    return replace(walk, around=around(host, step))


def around(host: Host, step: Step | None) -> Around:
    """Looked at as this process; what cannot be read is left as unknown."""
    context = _line(host, host.proc("self/attr/current"))
    status = dict(row.split(":", 1) for row in _text(host, host.proc("self/status")).splitlines() if ":" in row)
    held = status.get("CapEff", "").strip()
    return Around(
        capabilities=int(held, 16) if held else -1,
        context="" if context == "unconfined" else context,
        # In a container its file system is often hidden; the context of a process has the form of SELinux all the same.
        selinux=context.count(":") >= 3 or bool(_line(host, host.sys("fs/selinux/enforce"))),
        label=_label(step),
        flags=_flags(step),
        links=_line(host, host.proc("sys/fs/protected_symlinks")) == "1",
    )


def _label(step: Step | None) -> str:
    if step is None or not step.type or step.type == "absent":
        return ""
    try:
        found = os.getxattr(raw(step.path), "security.selinux", follow_symlinks=False)
    except OSError:
        return ""
    return found.rstrip(b"\0").decode("utf-8", "backslashreplace")


def _flags(step: Step | None) -> str:
    if step is None or step.type not in ("file", "directory"):
        return ""
    try:
        import fcntl

        fd = os.open(raw(step.path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            (bits,) = struct.unpack("l", fcntl.ioctl(fd, _GETFLAGS, struct.pack("l", 0)))
        finally:
            os.close(fd)
    except (ImportError, OSError):  # not loaded in time, not ours to read, or a file system without flags
        return ""
    return "".join(letter for bit, letter in _FLAGS if bits & bit)


def _line(host: Host, path: str) -> str:
    return _text(host, path).strip("\0 \n")


def _text(host: Host, path: str) -> str:
    try:
        return host.read(path, 65536)
    except OSError:
        return ""
