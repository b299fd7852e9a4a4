"""Jobs for the tests of isolation: an `observe` is all that a test has to write.

    outcome = only(run(job(lambda spec, host: Facts(n=1))))

Drivers (the scripts beside this file) use it too: they are processes of their own, so that a child that cannot be
ended never holds up pytest.
"""

import contextlib
import os
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from msgspec import Struct

from modelgate.finding import Finding
from modelgate.host import Host
from modelgate.identity import Identity, current
from modelgate.isolate import Isolate, Job, Lost, Seen
from modelgate.kind import Entry, Kind

Observe = Callable[[Any, Host], Any]


class Spec(Entry, frozen=True):
    n: int = 0
    path: str = ""


class Facts(Struct, frozen=True):
    n: int = 0
    text: str = ""
    numbers: tuple[int, ...] = ()


def _no_findings(*_: Any) -> list[Finding]:
    return []


def job(observe: Observe, *specs: Spec, key: str = "test", wait: float = 0.0, **rest: Any) -> Job:
    """A job of `specs` (one when none is given). `rest`: judge=, prepare=, observe_all=, else fields of Kind."""
    names = ("judge", "prepare", "observe_all")
    module = {name: rest.pop(name) for name in names if name in rest}
    module = {"Spec": Spec, "Facts": Facts, "observe": observe, "judge": _no_findings, **module}
    kind = Kind(key=key, module=SimpleNamespace(**module), **rest)
    specs = specs or (Spec(),)
    checks = tuple(f"{key}[{i}]" for i in range(len(specs)))
    return Job(kind=kind, specs=specs, checks=checks, lines=(None,) * len(specs), wait=wait)


def together(observe_all: Callable[..., None], *specs: Spec, **rest: Any) -> Job:
    """A job whose entries share one call: observe_all(specs, host, done)."""
    return job(lambda _spec, _host: None, *specs, observe_all=observe_all, together=True, **rest)


def run(*jobs: Job, identity: Identity | None = None, **rest: Any) -> list[Seen | Lost]:
    """Every outcome, by an Isolate of its own."""
    return list(isolate(identity).run(jobs, **rest))


def isolate(identity: Identity | None = None, **rest: Any) -> Isolate:
    _one_thread()
    return Isolate(Host(), identity or current(), **rest)


def _one_thread() -> None:
    # pytest-randomly imports numpy, whose BLAS keeps threads; it ends them before a fork and starts them when needed.
    if len(os.listdir("/proc/self/task")) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            os._exit(0)
        with contextlib.suppress(ChildProcessError):  # a test may ignore SIGCHLD
            os.waitpid(pid, 0)


def only(outcomes: Sequence[Seen | Lost]) -> Seen:
    """The one answer; an assertion with the reason when it was lost."""
    (outcome,) = outcomes
    assert isinstance(outcome, Seen), outcome
    return outcome


def lost(outcomes: Sequence[Seen | Lost]) -> Lost:
    """The one loss."""
    (outcome,) = outcomes
    assert isinstance(outcome, Lost), outcome
    return outcome


def sleeper(_spec: Spec, _host: Host) -> Facts:
    """Never answers, never speaks."""
    time.sleep(600)
    return Facts()


def nap(seconds: float) -> Observe:
    """Answers after a while."""

    def observe(spec: Spec, _host: Host) -> Facts:
        time.sleep(seconds)
        return Facts(n=spec.n)

    return observe


def gone(pid: int, seconds: float = 5.0) -> bool:
    """The process has ended (a zombie has), in `seconds` at most."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if state(pid) in ("", "Z", "X"):
            return True
        time.sleep(0.01)
    return False


def state(pid: int) -> str:
    """One letter, as ps shows it; nothing when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return ""


def session(sid: int) -> list[int]:
    """Every live process of a session."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == sid and fields[0] not in (b"Z", b"X"):
            found.append(int(name))
    return found


def end(pid: int) -> None:
    """For a `finally`: whatever the test left is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
