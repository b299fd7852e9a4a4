"""unix: a socket accepts a connection. It is closed at once; nothing is sent."""

import errno
import os
import socket
import stat
import time

from modelgate.probes.answers import Answer, Cause, Never, NotYet, Ready
from modelgate.probes.call import Call
from modelgate.probes.spec import Spec

SETTLE = 1.0  # seconds: a server may bind first and open the mode of its socket right after

_CAUSES: dict[int, Cause] = {
    errno.ENOENT: "absent",
    errno.ENOTDIR: "absent",
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "closed",
    errno.EAGAIN: "silent",  # the backlog is full
    errno.ETIMEDOUT: "silent",
}


def ask(spec: Spec, call: Call) -> Answer:
    """Ready when it accepts, whatever the socket's type."""
    path = str(spec.unix)
    number = errno.EPROTOTYPE
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        if number == errno.EPROTOTYPE:
            number = _connect(kind, "\0" + path[1:] if path.startswith("@") else path, call)
    if number not in (errno.EACCES, errno.EPERM):
        call.memory.pop("denied", None)
    if not number:
        return Ready(why=f"{path} accepted the connection", path=path)
    name, text = errno.errorcode.get(number, str(number)), os.strerror(number)
    why = f"connect {path}: {text} ({name})"
    if number in (errno.EACCES, errno.EPERM):
        since = call.memory.setdefault("denied", time.monotonic())
        answer = NotYet if time.monotonic() - since < SETTLE else Never
        return answer(cause="socket-denied", why=why, errno=name, path=path)
    if number == errno.ECONNREFUSED and not path.startswith("@") and (found := _other_type(path)):
        return Never(cause="file-wrong-type", why=f"{path} is {found}, not a socket", errno=name, path=path)
    if number == errno.ECONNREFUSED and not path.startswith("@"):
        why = f"connection refused: {path} is there and nobody listens on it ({name})"
    if number == errno.EAGAIN:
        why = f"connect {path}: its queue of connections is full ({name})"
    return NotYet(cause=_CAUSES.get(number, "local"), why=why, errno=name, path=path)


def _connect(kind: int, address: str, call: Call) -> int:
    """Errno of the attempt, 0 when it went through."""
    try:
        with socket.socket(socket.AF_UNIX, kind) as sock:
            sock.settimeout(call.left())
            sock.connect(address)
    except TimeoutError:
        return errno.ETIMEDOUT
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _other_type(path: str) -> str:
    """A connection to a regular file is refused too: told apart by a look at it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return ""
    if stat.S_ISSOCK(mode):
        return ""
    return "a directory" if stat.S_ISDIR(mode) else "a regular file" if stat.S_ISREG(mode) else "no socket"
