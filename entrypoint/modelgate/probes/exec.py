"""exec: a command ends with exit code 0. No shell; stdin is empty; what it prints is the reason when it fails.

Each attempt has a process group of its own and is ended with it, so nothing of an attempt outlives it but what made
itself a session of its own. The group stays in the session of the gate's child, so the gate can end it as well.
"""

import contextlib
import errno
import os
import re
import resource
import select
import signal
import time

from modelgate.probes.answers import Answer, Cause, Failed, Never, NotYet, Ready
from modelgate.probes.call import Call
from modelgate.probes.spec import Spec
from modelgate.units import show_seconds

TAIL = 2048  # bytes of output kept
TICK = 0.02  # seconds between two looks where the kernel has no pidfd
DYING = 1.0  # seconds for a killed command to go

_HOPELESS: dict[int, Cause] = {
    errno.ENOENT: "file-missing",
    errno.ENOTDIR: "file-missing",
    errno.EACCES: "file-not-executable",
    errno.ENOEXEC: "file-not-executable",
    errno.EISDIR: "file-not-executable",
}


def ask(spec: Spec, call: Call) -> Answer:
    """Ready when the command ends with 0 within the attempt's time."""
    words = spec.exec or ()
    if (old := call.memory.get("undead")) is not None and not _gone(old):
        return NotYet(
            cause="failed", why=f"the command of an earlier attempt (pid {old}) cannot be ended, even by SIGKILL"
        )
    call.memory.pop("undead", None)
    path = _find(words[0], call)
    call.doing = ("file", path)
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            pid = _spawn(path, words, write_fd, call)
        finally:
            os.close(write_fd)
        _unbound(pid)
        call.doing = ("", "")
        os.set_blocking(read_fd, False)
        tail, status = _follow(pid, read_fd, call)
    finally:
        os.close(read_fd)
    return _answer(words[0], path, status, tail, call)


def _find(program: str, call: Call) -> str:
    if "/" in program:
        return program
    folders = call.environ.get("PATH", os.defpath)
    import shutil  # 5 ms of compression modules

    found = shutil.which(program, path=folders)
    if found is not None:
        return found
    there = [p for folder in folders.split(os.pathsep) if os.path.isfile(p := os.path.join(folder, program))]
    if there:
        why = f"{there[0]} is there and cannot be executed by this user (EACCES)"
        raise Failed(Never(cause="file-not-executable", why=why, errno="EACCES", path=there[0]))
    raise Failed(
        Never(cause="file-missing", why=f"{program} is in no folder of PATH ({folders})", errno="ENOENT", path=program)
    )


def _spawn(path: str, words: tuple[str, ...], write_fd: int, call: Call) -> int:
    # posix_spawn: the process has threads, so nothing of ours may run between fork and exec.
    try:
        return os.posix_spawn(
            path,
            words,
            call.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, write_fd, 1),
                (os.POSIX_SPAWN_DUP2, write_fd, 2),
            ],
            setpgroup=0,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    except OSError as error:
        number = error.errno or errno.EIO
        name, text = errno.errorcode.get(number, str(number)), os.strerror(number)
        why = f"cannot execute {path}: {text} ({name})"
        if number == errno.ENOENT and os.path.exists(path):
            why = f"cannot execute {path}: the interpreter of its first line, or its loader, is not there ({name})"
        cause = _HOPELESS.get(number)
        if cause is None:  # EAGAIN, ENOMEM, ETXTBSY: may pass
            raise Failed(NotYet(cause="local", why=why, errno=name, path=path)) from None
        raise Failed(Never(cause=cause, why=why, errno=name, path=path)) from None


def _unbound(pid: int) -> None:
    """The bound on memory of the gate's child is for us, not for somebody else's program."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.prlimit(pid, resource.RLIMIT_DATA, (hard, hard))


def _follow(pid: int, read_fd: int, call: Call) -> tuple[bytes, int | None]:
    """Its last output and its wait status; None when its time was over. Its process group is gone afterwards."""
    tail = b""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:  # an old kernel, or a sandbox that forbids it
        pidfd = -1
    poll = select.poll()
    poll.register(read_fd, select.POLLIN)
    if pidfd >= 0:
        poll.register(pidfd, select.POLLIN)
    ended = False
    try:
        while not (ended := _ended(pid)) and (left := call.deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(max(1, 1000 * (left if pidfd >= 0 else min(left, TICK)))):
                if fd == read_fd:
                    chunk = _read(read_fd)
                    tail = (tail + chunk)[-TAIL:]
                    if not chunk:  # closed by all who had it
                        poll.unregister(read_fd)
    finally:
        if pidfd >= 0:
            os.close(pidfd)
        # Not reaped yet, so the number of the group is still its own.
        _kill(pid)
        status = _reap(pid, call)
    for _ in range(16):  # bounded: what made itself a session of its own may write for ever
        tail = (tail + _read(read_fd))[-TAIL:]
    return tail, status if ended else None


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(pid: int) -> None:
    for end in (os.killpg, os.kill):
        try:
            end(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # gone, or set-uid
            pass


def _reap(pid: int, call: Call) -> int | None:
    until = time.monotonic() + DYING
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    call.memory["undead"] = pid
    return None


def _gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _answer(program: str, path: str, status: int | None, tail: bytes, call: Call) -> Answer:
    said = _last_words(tail)
    if status is None:
        why = f"{program} had not ended after {show_seconds(call.seconds)} and was killed{said}"
        return NotYet(cause="failed", why=why, path=path, errno="ETIMEDOUT")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        return NotYet(cause="failed", why=f"{program} was ended by {name}{said}", path=path, status=128 + number)
    code = os.WEXITSTATUS(status)
    if code:
        return NotYet(cause="failed", why=f"{program} ended with exit code {code}{said}", path=path, status=code)
    return Ready(why="exit code 0", path=path, status=0)


def _last_words(tail: bytes) -> str:
    """The last line that says something, and the one before it."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", tail.decode("utf-8", "replace"))
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    shown = " / ".join(lines[-2:])
    return f": {shown[-300:]}" if shown else ""
