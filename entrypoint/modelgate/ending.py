"""TERM, INT, QUIT and HUP while the gate is open: children killed, verdict published, 128+n, all within a second.

The handler itself ends the process. An exception raised from it could be swallowed by whatever was running
(a __del__, a callback), and a Python PID 1 that misses its TERM sits there until KILL.
"""

import contextlib
import os
import signal
from types import FrameType
from typing import TYPE_CHECKING

from modelgate import exits, verdict

if TYPE_CHECKING:
    from modelgate.run import Run

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def install(run: "Run") -> None:
    """End `run` at any of SIGNALS. One that was ignored when we were started (nohup) stays ignored."""

    def end(number: int, _frame: FrameType | None) -> None:
        for other in SIGNALS:  # a second one must not interrupt the publishing
            signal.signal(other, signal.SIG_IGN)
        try:
            run.isolate.kill_all()
            run.log.patience = 0.2
            name = signal.Signals(number).name
            run.log.say("error", f"ended by {name} while the gate was open", signal=name, exit_code=128 + number)
            run.publish(exit_code=128 + number, seconds=0.4)
        finally:
            os._exit(128 + number)

    heard = [number for number in SIGNALS if not run.inherited.ignored(number)]
    for number in heard:
        signal.signal(number, end)
    # One that the starter had blocked would not be heard either; the server gets the mask as it came.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)


def fault(run: "Run", error: Exception) -> None:
    """A fault of our own is published like any other verdict. The caller raises it on: the door adds where it was."""
    with contextlib.suppress(Exception):
        run.add(verdict.fault(error, "modelgate", "a fault of its own"))
        run.publish(exit_code=exits.SOFTWARE)
