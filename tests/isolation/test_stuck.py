"""A child in state D, which no signal ends: one finding in time, the others go on, exec and exit go through at once."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from isolation_kit import end, state

HERE = Path(__file__).parent
pytestmark = pytest.mark.root


@contextmanager
def _mounted(script: str, *args: str) -> Iterator[int]:
    """The script in a mount namespace of its own, mounted; its pid. Gone afterwards, and so is the mount."""
    argv: list[str | Path] = ["unshare", "-m", "--propagation", "private", sys.executable, HERE / script, *args]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                pytest.skip(f"{script}: cannot be mounted here")
            yield process.pid
        finally:
            assert process.stdin is not None
            process.stdin.close()
            if script == "deaf_fuse.py":  # it never reads it
                process.kill()
            process.wait(30)


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse")
    with _mounted("deaf_fuse.py", str(tmp_path)) as pid:
        yield pid, tmp_path


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    if not os.path.exists("/dev/loop-control") or not shutil.which("mkfs.ext4"):
        pytest.skip("no loop devices, or no mkfs.ext4")
    where = tmp_path / "frozen"
    where.mkdir()
    with _mounted("frozen_ext4.py", str(tmp_path / "image"), str(where)) as pid:
        yield pid, where


def _drive(namespace: int, *args: str) -> tuple[dict[str, Any], str, int, float]:
    """What the driver printed, the line after that, its exit code, and how long the end took after the verdict."""
    argv: list[str | Path] = ["nsenter", "-m", "-t", str(namespace), sys.executable, HERE / "stuck_driver.py", *args]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=HERE) as process:
        assert process.stdout is not None
        verdict = json.loads(process.stdout.readline())
        told = time.monotonic()
        rest = process.stdout.read()
        return verdict, rest, process.wait(30), time.monotonic() - told


def _check(namespace: int, how: str, path: Path, ending: str) -> None:
    fs, wchan = ("ext4", "percpu_rwsem") if how == "make" else ("fuse.deaf", "request_wait")
    verdict, rest, code, seconds = _drive(namespace, how, str(path / "model.safetensors"), ending)
    try:
        ((pid, where),) = verdict["stuck"].items()
        (lost,) = [o for o in verdict["outcomes"] if "how" in o]

        assert state(int(pid)) == "D", "the child left by itself: this test has shown nothing"
        assert where.startswith("D")
        assert wchan in where or where == "D"
        assert lost["how"] == "hung"
        assert ("in state S" if how == "cat" else "in state D") in lost["detail"]
        assert f"SIGKILL does not end process {pid}" in lost["detail"]
        assert (lost["last"]["mount"], lost["last"]["fs"]) == (str(path), fs)
        assert lost["last"]["path"] == str(path / "model.safetensors")
        assert sorted(o["seen"] for o in verdict["outcomes"] if "seen" in o) == [0, 1, 2, 3]
        assert verdict["seconds"] < 8
        assert seconds < 5
        assert (rest, code) == (("exec'd\n", 0) if ending == "exec" else ("", 69))
    finally:
        for stuck in verdict["stuck"]:
            end(int(stuck))


@pytest.mark.parametrize("ending", ["exec", "exit"])
def test_a_file_system_that_never_answers(deaf: tuple[int, Path], ending: str) -> None:
    namespace, path = deaf

    _check(namespace, "read", path, ending)


def test_a_program_that_a_child_ran_on_it(deaf: tuple[int, Path]) -> None:
    """The child itself can be ended; what it ran cannot, and is named."""
    namespace, path = deaf

    _check(namespace, "cat", path, "exit")


@pytest.mark.parametrize("ending", ["exec", "exit"])
def test_a_frozen_file_system(frozen: tuple[int, Path], ending: str) -> None:
    namespace, path = frozen

    _check(namespace, "make", path, ending)
