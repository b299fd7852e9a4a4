"""Signals at the worst moment of the hand-over."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest
from handover_kit import DRIVER, ENV, driver, finish


def test_a_term_at_any_moment_ends_it_or_reaches_the_server() -> None:
    """Never lost: either 143, or the server's own handler has seen it."""
    server = 'trap "echo got it; exit 7" TERM; echo up; while :; do sleep 0.05; done'
    # Seeded by nothing on purpose: each run tries other moments.
    for _ in range(30):
        argv = driver(["sh", "-c", server], dirt=["handlers", "files", "ready"])
        with subprocess.Popen(argv, env=ENV, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(random.uniform(0, 0.02))
            process.terminate()
            text, _ = process.communicate(timeout=20)

            assert process.returncode in (-signal.SIGTERM, 143, 7), text
            assert process.returncode != 7 or "got it" in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_a_signal_before_the_exec_ends_the_gate_with_128_plus_n(number: signal.Signals) -> None:
    argv = driver(["echo", "server"], dirt=["ready", "spin"], spin=20)
    with subprocess.Popen(argv, env=ENV, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)

        assert process.communicate(timeout=20)[0] == ""
        assert process.returncode == 128 + number


@pytest.mark.root
def test_a_pending_term_ends_pid_1_with_143() -> None:
    """A Python PID 1 would drop it: the default action of TERM does nothing to PID 1."""
    body = (
        "import os, signal, sys; sys.argv = ['x', sys.argv[1]]\n"
        "real = signal.sigpending\n"  # sent while everything is blocked, after the last look at what is pending
        "def late():\n    seen = real(); os.kill(os.getpid(), signal.SIGTERM); return seen\n"
        f"signal.sigpending = late\nexec(compile(open({DRIVER!r}).read(), 'driver', 'exec'))\n"
    )
    spec = json.dumps({"command": ["echo", "server"], "dirt": ["handlers"]})
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-I", "-c", body, spec]

    done = finish(argv)

    assert (done.returncode, done.stdout) == (143, "")
