"""What this process was given at its start, captured before anything changes it, handed on to the server as it came.

Signals ignored at the start stay ignored for the server. Two cannot be told: CPython itself ignores SIGPIPE and SIGXFSZ
before any of our code runs, so the server gets the default for both, as a shell or an init would give it. Resource
limits, nice, oom_score_adj, capabilities, the controlling terminal and the current directory are not recorded, because
the gate never changes them.
"""

import os
import signal
from types import FrameType

from msgspec import Struct, field

from modelgate.probe import proc as process

# CPython's own doing at start-up.
PYTHON_IGNORES = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
# What ends an open gate with 128+n.
ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})


class Inherited(Struct, frozen=True):
    """The start of this process.

    environ   name -> value, bytes as they came, the order kept
    ignoring  numbers of the signals that were ignored
    mask      numbers of the signals that were blocked
    umask     None when it could not be read
    closed    those of 0, 1, 2 that were closed; /dev/null stands in for them while the gate is open
    """

    environ: dict[bytes, bytes] = field(default_factory=dict)
    ignoring: frozenset[int] = frozenset()
    mask: frozenset[int] = frozenset()
    umask: int | None = None
    closed: frozenset[int] = frozenset()

    def text_environ(self) -> dict[str, str]:
        """The environment as str, undecodable bytes as surrogates: what Host and the manifest's ${VAR} read."""
        return {os.fsdecode(name): os.fsdecode(value) for name, value in self.environ.items()}

    def ignored(self, number: int) -> bool:
        """The signal was ignored when we were started."""
        return number in self.ignoring

    @property
    def ending(self) -> frozenset[signal.Signals]:
        """The signals that end the gate: not those the parent asked to be ignored (nohup, a background job)."""
        return frozenset(n for n in ENDING if n not in self.ignoring)


def capture(proc: str = process.PROC) -> Inherited:
    """Record the start and make the gate safe: it can be ended from here on.

    A Python that is PID 1 is deaf to TERM until a handler exists. The handlers set here leave with 128+n at once; the
    command line replaces them by its own.
    """
    environ = process.raw_environ(proc)
    mask = frozenset(int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    ignoring = frozenset(
        int(n) for n in signal.valid_signals() - PYTHON_IGNORES if signal.getsignal(n) is signal.SIG_IGN
    )
    inherited = Inherited(environ, ignoring, mask, _umask(proc), _closed())
    for number in inherited.ending:
        signal.signal(number, _leave)
    return inherited


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def _umask(proc: str) -> int | None:
    text = process.status("Umask", proc)  # reading it does not change it
    try:
        return int(text, 8) if text else None
    except ValueError:
        return None


def _closed() -> frozenset[int]:
    """Fill what is missing of 0-2, or the next file we open would become somebody's stdout."""
    missing = set()
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            missing.add(fd)
            os.dup2(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), fd)  # the lowest free number is fd itself
    return frozenset(missing)
