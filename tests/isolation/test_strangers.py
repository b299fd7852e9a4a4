"""Children that are not ours, and others who collect what is ours: neither is taken for the other."""

import os
import signal
import subprocess

import pytest
from isolation_kit import gone, isolate, job, lost, nap, only, run, state

from modelgate.isolate import Lost

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_children_of_others_are_collected_and_disturb_nobody() -> None:
    foreign = os.fork()
    if foreign == 0:
        os._exit(7)

    assert only(run(job(nap(0)))).facts.n == 0
    while gone(foreign, 0.01) and os.path.exists(f"/proc/{foreign}"):
        isolate().reap()


def test_ignored_sigchld_takes_no_status_from_us() -> None:
    """A starter that ignores SIGCHLD hands that down; the kernel then buries children unseen."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert "SIGKILL" in lost(run(job(lambda _s, _h: os.kill(os.getpid(), signal.SIGKILL)))).detail
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_status_that_somebody_else_collects_costs_one_finding() -> None:
    def collect(*_: object) -> None:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass

    before = signal.signal(signal.SIGCHLD, collect)
    try:
        outcomes = run(job(nap(0)), job(lambda _s, _h: os._exit(3)))
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert sorted(type(o).__name__ for o in outcomes) == ["Lost", "Seen"]
    assert next(o for o in outcomes if isinstance(o, Lost)).how == "crashed"


def test_a_process_of_a_stranger_is_left_alone() -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        run(job(lambda _s, _h: os.kill(os.getpid(), signal.SIGSEGV)), job(nap(9), silence=0.2))

        assert state(stranger.pid) == "S"
    finally:
        stranger.kill()
        stranger.wait()
