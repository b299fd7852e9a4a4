"""What a child has started goes with it: grandchildren in its group, in its session, in sessions of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from isolation_kit import Facts, Spec, end, gone, isolate, job, lost, nap, only, run

from modelgate.host import Host
from modelgate.isolate import Lost

HERE = Path(__file__).parent
SLEEP = ["sleep", "600"]


def _own_group() -> None:
    os.setpgid(0, 0)


@pytest.mark.parametrize(
    "how", [{}, {"preexec_fn": _own_group}, {"start_new_session": True}], ids=["group", "own group", "own session"]
)
@pytest.mark.usefixtures("no_leaks")
def test_what_a_hung_child_started_is_ended_with_it(how: dict[str, Any]) -> None:
    def observe(_spec: Spec, host: Host) -> Facts:
        with subprocess.Popen(SLEEP, **how) as started:
            host.tell(pid=started.pid)
        return Facts()

    outcome = lost(run(job(observe, silence=0.5)))

    assert outcome.how == "hung"
    assert gone(outcome.last["pid"], 0.5)


@pytest.mark.parametrize("last", [lambda: os.kill(os.getpid(), signal.SIGSEGV), lambda: os._exit(0), lambda: None])
@pytest.mark.parametrize("how", [{}, {"preexec_fn": _own_group}], ids=["group", "own group"])
def test_what_a_child_left_behind_is_ended_however_it_left(how: dict[str, Any], last: Any) -> None:
    heard: list[int] = []

    def observe(_spec: Spec, host: Host) -> Facts:
        host.tell(pid=subprocess.Popen(SLEEP, **how).pid)
        last()
        return Facts()

    list(isolate(told=lambda _job, words: heard.append(words["pid"])).run([job(observe)]))
    try:
        assert gone(heard[0])
    finally:
        end(heard[0])


def test_a_grandchild_that_holds_the_pipe_open_holds_nobody_up() -> None:
    def observe(_spec: Spec, host: Host) -> Facts:
        if (pid := os.fork()) == 0:
            time.sleep(600)
        host.tell(pid=pid)
        os._exit(5)

    outcome = lost(run(job(observe)))

    assert outcome.detail == "left with exit code 5 and no answer"
    assert outcome.seconds < 9
    assert gone(outcome.last["pid"], 0.5)


def test_a_grandchild_out_of_reach_that_writes_for_ever_holds_nobody_up() -> None:
    """It has a session of its own and no parent: nothing tells it from a stranger, so it is only left alone."""

    def observe(_spec: Spec, host: Host) -> Facts:
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            host.tell(pid=os.getpid())
            while True:
                host.tell(pid=os.getpid(), doing="x" * 1000)
        time.sleep(0.3)
        os._exit(5)

    outcome = lost(run(job(observe)))

    assert outcome.how == "crashed"
    assert outcome.seconds < 9
    assert gone(outcome.last["pid"])  # by SIGPIPE: nobody reads


def test_an_answer_with_a_grandchild_still_at_work_counts() -> None:
    def observe(_spec: Spec, _host: Host) -> Facts:
        return Facts(n=subprocess.Popen(SLEEP, close_fds=False).pid)

    pid = only(run(job(observe))).facts.n

    assert gone(pid)


def test_kill_all_ends_every_session_at_once() -> None:
    pids: list[int] = []
    isolated = isolate(told=lambda _job, words: pids.append(words["pid"]))

    def observe(_spec: Spec, host: Host) -> Facts:
        started = subprocess.Popen(SLEEP, start_new_session=True)
        host.tell(pid=started.pid)
        host.tell(pid=os.getpid())
        started.wait()
        return Facts()

    outcomes = isolated.run([job(observe), job(observe), job(nap(0.5))])
    next(outcomes)
    isolated.kill_all()

    assert len(pids) == 4
    assert all(gone(pid, 1) for pid in pids)
    assert sorted(o.how for o in outcomes if isinstance(o, Lost)) == ["crashed", "crashed"]


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param([], id="subreaper"),
        pytest.param(["unshare", "--pid", "--fork", "--mount-proc"], marks=pytest.mark.root, id="PID 1"),
    ],
)
def test_orphans_of_a_job_are_collected(wrap: list[str]) -> None:
    """As PID 1 the orphans of a child become our own children; they must not stay zombies, and none lives on."""
    done = subprocess.run(
        [*wrap, sys.executable, HERE / "orphans_driver.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout.split() == ["answered", "20", "children", "0"], done.stderr
    assert done.returncode == 0
