"""End a child with all it started, see what is left, and say how it died. Never waits.

A job's processes are those of its session, and those of other sessions that descend from it while it lives. One that
has made a session of its own and lost its parent is out of reach: nothing tells it from a process that somebody else
started in this container (a postStart hook, an exec).
"""

import os
import signal
from collections.abc import Iterable
from typing import NamedTuple

from modelgate.host import PROC

# What a child of ours leaves with, unlike anything that code inside `observe` may leave with.
ANSWERED = 100  # nothing it started is left
COMPANY = 101  # something it started still runs


class Process(NamedTuple):
    pid: int
    state: str
    parent: int
    session: int


def processes() -> list[Process]:
    """Every process that this one can see. Empty without /proc."""
    try:
        names = os.listdir(PROC)
    except OSError:
        return []
    return [p for name in names if "0" <= name[0] <= "9" and (p := _look(int(name))) is not None]


def threads() -> int:
    """How many threads this process has. 1 where there is no /proc to ask."""
    try:
        return len(os.listdir(PROC + "/self/task"))
    except OSError:
        return 1


def end(pid: int, table: Iterable[Process] | None = None) -> set[int]:
    """SIGKILL to the job's leader, its group, its session and its descendants. The others, who may need a moment.

    Only to be called while the leader is not yet waited for: its number is then still its own.
    """
    rows = processes() if table is None else table
    family = {pid}
    grown = True
    while grown:
        more = {p.pid for p in rows if p.pid not in family and (p.parent in family or p.session == pid)}
        family |= more
        grown = bool(more)
    end_group(pid)
    family.discard(pid)
    for other in family:
        _kill(other)
    return family


def end_group(pid: int) -> None:
    """SIGKILL to the leader and its process group, without a look around."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    _kill(pid)  # it may have been ended before it had a group of its own


def living(pids: Iterable[int]) -> set[int]:
    """Those that still run. A zombie does not."""
    return {pid for pid in pids if (p := _look(pid)) is not None and p.state not in "ZX"}


def exists(pid: int) -> bool:
    """The number is taken: running, or a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def state(pid: int) -> str:
    """`D (request_wait_answer)`: the state and what it waits for in the kernel, where that may be seen; else `?`."""
    process = _look(pid)
    if process is None:
        return "?"
    where = _text(f"{PROC}/{pid}/wchan")
    return f"{process.state} ({where})" if where not in ("", "0") else process.state


def death(status: int | None) -> str:
    """What a wait status says, for a person, of a child that was not killed from here."""
    if status is None:
        return "it went, and somebody else collected its exit status"
    if not os.WIFSIGNALED(status):
        code = os.WEXITSTATUS(status)
        return "ended without an answer" if code in (ANSWERED, COMPANY) else f"left with exit code {code} and no answer"
    number = os.WTERMSIG(status)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        return f"killed by {name}, which modelgate did not send (the kernel does when memory runs out)"
    words = signal.strsignal(number)
    return f"killed by {name} ({words})" if words else f"killed by {name}"


def _look(pid: int) -> Process | None:
    text = _text(f"{PROC}/{pid}/stat")
    # pid (comm) state ppid pgrp session: a command's name may hold brackets and spaces.
    fields = text[text.rfind(")") + 1 :].split(None, 4)
    if len(fields) < 4:
        return None
    return Process(pid, fields[0], int(fields[1]), int(fields[3]))


def _text(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 4096).decode("utf-8", "replace")
    except OSError:  # it died in between
        return ""
    finally:
        os.close(fd)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
