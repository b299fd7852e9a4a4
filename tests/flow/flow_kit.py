"""What the flow tests share: ports, and the gate's children as /proc shows them."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SERVER = [sys.executable, "-c", "print('the server runs')"]


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def child_of(process: "subprocess.Popen[str]") -> int:
    """A child of the gate that has taken its own session, so that it is past its beginnings."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, IndexError, ValueError):
            pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
            if os.getsid(pid) == pid and b"null" in os.readlink(f"/proc/{pid}/fd/0").encode():
                # The child that reads the manifest comes first: take one that stays.
                time.sleep(0.3)
                if os.path.exists(f"/proc/{pid}") and state_of(pid) != "Z":
                    return pid
        time.sleep(0.02)
    raise AssertionError("the gate made no child")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def open_parents(path: Path) -> None:
    """pytest's own folders are 0700: let others through to the test's."""
    for parent in path.parents:
        if parent == Path("/tmp") or parent == Path("/"):
            break
        parent.chmod(parent.stat().st_mode | 0o011)


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that is full and that nobody reads."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    try:
        yield write
    finally:
        os.close(read)
        os.close(write)


def until(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it held before the time was over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False
