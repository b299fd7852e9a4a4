"""For the tests of the probe: a state to read, the probe as a kubelet runs it, servers that say what a test wants."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelgate.host import Host
from modelgate.identity import current
from modelgate.state import State

Handler = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def probe(*args: str, state_dir: Path | None = None, **popen: Any) -> "subprocess.CompletedProcess[str]":
    named = ["--state-dir", str(state_dir)] if state_dir else []
    argv = [sys.executable, "-I", "-m", "modelgate", "probe", *args, *named]
    options = {"env": {}, "capture_output": True, "text": True, "timeout": 30, **popen}
    return subprocess.run(argv, check=False, **options)


def answers(*args: str, state_dir: Path) -> tuple[int, str]:
    done = probe(*args, state_dir=state_dir)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout.rstrip("\n")


@contextlib.contextmanager
def serving(handler: Handler, family: int = socket.AF_INET, address: Any = ("127.0.0.1", 0)) -> Iterator[int]:
    """A server in a thread, one connection after the other. Yields its port."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()

        def loop() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    handler(connection)

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1] if family != socket.AF_UNIX else 0
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def saying(answer: bytes) -> Handler:
    def handler(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return handler


@pytest.fixture
def state(tmp_path: Path) -> State:
    """Of a gate that is this very process."""
    made = State.open(Host(), str(tmp_path / "state"), current(), {})
    assert made.path.startswith(str(tmp_path)), made.why
    return made


@pytest.fixture
def folder(state: State) -> Path:
    return Path(state.path).parent


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every uid can reach: pytest keeps its own to its user."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
