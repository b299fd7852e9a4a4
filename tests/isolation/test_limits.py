"""At the edges: no process to be had, signals in the middle of a fork, children that write without end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
UID = "54321"  # nobody else's: RLIMIT_NPROC counts all processes of a user


def _drive(script: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, HERE / script, *args], capture_output=True, text=True, timeout=90, check=False, cwd=HERE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.root
@pytest.mark.parametrize("limit", ["2", "4"])
def test_at_the_process_limit_of_a_user_jobs_wait_for_running_ones(limit: str) -> None:
    assert sorted(json.loads(_drive("limits_driver.py", UID, limit, "7"))) == list(range(7))


@pytest.mark.root
def test_with_no_process_to_be_had_at_all_every_job_says_so_in_seconds() -> None:
    outcomes = json.loads(_drive("limits_driver.py", UID, "1", "3"))

    assert outcomes == [["no-fork", "Resource temporarily unavailable"]] * 3


@pytest.fixture
def two_processes() -> Iterator[Path]:
    """A cgroup that holds two processes."""
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/pids"):
        group = Path(top) / f"modelgate-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if not (group / "pids.max").exists():  # the kernel makes it, where the controller is to be had
            group.rmdir()
            continue
        (group / "pids.max").write_text("2")
        try:
            yield group
        finally:
            group.rmdir()
        return
    pytest.skip("no pids controller that we may use")


@pytest.mark.root
def test_at_the_process_limit_of_a_cgroup_jobs_wait_for_running_ones(two_processes: Path) -> None:
    shell = shutil.which("sh")
    assert shell
    enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    driver: list[str | Path] = [sys.executable, HERE / "limits_driver.py", UID, "cgroup", "4"]
    argv = [shell, "-c", enter, two_processes, *driver]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=HERE)

    assert sorted(json.loads(done.stdout)) == list(range(4)), done.stderr


def test_signals_at_any_moment_end_the_launcher_and_every_child() -> None:
    told = json.loads(_drive("term_storm.py", "250", "1"))

    assert told == {"ended": 250, "codes": [128], "survivors": 0, "handled by a child": 0}


def test_a_pause_of_the_whole_container_is_nobodys_silence() -> None:
    """Launcher and child are stopped for longer than the silence, as `docker pause` does; neither is to blame."""
    argv: list[str | Path] = [sys.executable, HERE / "paused_driver.py"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=HERE) as launcher:
        assert launcher.stdout is not None
        pids = [launcher.pid, int(launcher.stdout.readline())]
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                os.kill(pid, number)
            time.sleep(4 if number == signal.SIGSTOP else 0)

        assert launcher.stdout.read() == "Seen\n"


def test_children_that_write_without_end_do_not_fill_the_memory_of_the_launcher() -> None:
    outcomes, grown = map(int, _drive("flood_driver.py").split())

    assert outcomes == 6
    assert grown < 100 * 1024  # two frames of 16 MiB, begun and held, and what growing them costs
