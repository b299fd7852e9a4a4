"""For the tests of the hand-over: a gate that has done its worst to itself, and the server it becomes."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DRIVER = os.path.join(os.path.dirname(__file__), "handover_driver.py")
ALL_DIRT = ["handlers", "files", "timers", "mask"]
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
SLEEP = ["sleep", "60"]


def driver(command: list[str], **spec: Any) -> list[str]:
    return [sys.executable, "-I", DRIVER, json.dumps({"command": command, "dirt": ALL_DIRT, **spec})]


def status(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text()
    return {k: v.strip() for k, _, v in (line.partition(":") for line in text.splitlines())}


@contextlib.contextmanager
def running(argv: list[str], **popen: Any) -> Iterator[int]:
    """The pid of a process that has become `sleep`."""
    options = {"env": ENV, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **popen}
    with subprocess.Popen(argv, **options) as process:
        try:
            deadline = time.monotonic() + 30
            # Sleeping, not still being loaded: the loader has files open.
            while not Path(f"/proc/{process.pid}/stat").read_text().startswith(f"{process.pid} (sleep) S"):
                assert process.poll() is None, (process.stdout and process.stdout.read(), process.returncode)
                assert time.monotonic() < deadline, "it never became the server"
                time.sleep(0.01)
            yield process.pid
        finally:
            process.kill()


def both(look: Callable[[int], Any], **popen: Any) -> tuple[Any, Any]:
    """What `look` sees of the server behind the gate, and of the same server without one."""
    with running(driver(SLEEP), **popen) as pid:
        gated = look(pid)
    with running(SLEEP, **popen) as pid:
        direct = look(pid)
    return gated, direct


def finish(argv: list[str], **popen: Any) -> "subprocess.CompletedProcess[Any]":
    options = {"env": ENV, "capture_output": True, "text": True, "timeout": 60, **popen}
    return subprocess.run(argv, check=False, **options)
