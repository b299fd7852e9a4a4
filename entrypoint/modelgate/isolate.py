"""One forked child per job: frames, a silence clock, kill; never wait for the dead.

Why a process and not a thread: with one thread stuck in state D, execve does not complete and the process cannot
exit; with a stuck child both go through at once. A fork costs 1-2 ms, a fresh interpreter 200 ms.
"""

import os
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from modelgate import child
from modelgate.host import Host
from modelgate.identity import Identity
from modelgate.kind import Kind

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})
TICK = 0.25  # seconds; how late a death without EOF, or a passed deadline, is noticed at most
FRAME_LIMIT = 16 << 20


class Job(Struct, frozen=True, kw_only=True):
    """What one child does: look at every one of `specs` (one, unless the kind's entries share a child).

    checks      the manifest keys of the specs (`files[0]`)
    lines       their lines in the manifest; None for an implied one, then implied_by says by what
    wait        look again until the judgement holds, this many seconds at most
    prove       overrides the kind's stage (an entry with `wait:`)
    """

    kind: Kind
    specs: tuple[Any, ...]
    checks: tuple[str, ...]
    lines: tuple[int | None, ...]
    implied_by: str | None = None
    wait: float = 0.0

    @property
    def silence(self) -> float:
        return self.kind.silence if not self.wait else max(self.kind.silence, 10.0)


class Seen(Struct, frozen=True):
    """The child answered for specs[index]."""

    job: Job
    index: int
    facts: Any
    seconds: float


class Lost(Struct, frozen=True):
    """The child never answered for specs[index].

    how     hung: silent for `silence` seconds · crashed: died by a signal or left without an answer ·
            failed: `observe` raised · cancelled: another finding had stopped the gate ·
            timeout: the gate's own upper bound had passed · no-fork: no process could be made
    detail  for a person: "killed by SIGSEGV", the last line of the traceback, "in state D (…) after SIGKILL"
    last    the last words of the child (Host.tell)
    """

    job: Job
    index: int
    how: Literal["hung", "crashed", "failed", "cancelled", "timeout", "no-fork"]
    detail: str
    seconds: float
    last: dict[str, Any] = field(default_factory=dict)


class _Running:
    """One live child."""

    def __init__(self, job: Job, pid: int, fd: int, now: float) -> None:
        self.job, self.pid, self.fd = job, pid, fd
        self.started = self.heard = now
        self.silence = job.silence
        self.buffer = bytearray()
        self.last: dict[str, Any] = {}
        self.missing = set(range(len(job.specs)))
        self.failed = ""
        self.eof = False
        self.status: int | None = None


class Isolate:
    """Runs jobs in children. Keep one for the life of the gate: it knows every child that could not be buried."""

    def __init__(
        self,
        host: Host,
        identity: Identity,
        *,
        cap: int = 8,
        told: Callable[[Job, dict[str, Any]], None] = lambda _job, _words: None,
    ) -> None:
        self.host, self.identity, self.cap, self.told = host, identity, cap, told
        self.sessions: set[int] = set()  # every child's session id; what is left in one of them is ours to end
        self.stuck: dict[int, str] = {}  # pid -> what could not be buried
        self._running: dict[int, _Running] = {}
        self._statuses: dict[int, int] = {}

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self, jobs: Sequence[Job], *, cap: int | None = None, until: float | None = None) -> Iterator[Seen | Lost]:
        """Yield an outcome for every spec of every job, as they come. `until` is on time.monotonic's clock.

        Call `hurry(seconds)` between two outcomes to cancel what is not finished by then.
        """
        waiting = deque(jobs)
        width = cap or self.cap
        self._hurry: float | None = None
        no_fork_since: float | None = None
        with selectors.DefaultSelector() as selector:
            while waiting or self._running:
                now = time.monotonic()
                bounds = [(b, how) for b, how in ((until, "timeout"), (self._hurry, "cancelled")) if b is not None]
                passed = next((how for b, how in bounds if now >= b), None)
                if passed:
                    while waiting:
                        yield from self._never(waiting.popleft(), passed)
                while waiting and len(self._running) < width:
                    try:
                        running = self._fork(waiting[0])
                    except OSError as error:
                        # The pids limit: a running child will make room; with none running, give it five seconds.
                        no_fork_since = no_fork_since or now
                        if self._running or now - no_fork_since < 5:
                            break
                        yield from self._never(waiting.popleft(), "no-fork", os.strerror(error.errno or 0))
                        continue
                    no_fork_since = None
                    waiting.popleft()
                    selector.register(running.fd, selectors.EVENT_READ, running)
                for key, _ in selector.select(TICK):
                    yield from self._read(key.data)
                self.reap()
                for running in list(self._running.values()):
                    yield from self._check(running, selector, passed)

    def hurry(self, seconds: float) -> None:
        """Cancel everything that is not finished `seconds` from now."""
        when = time.monotonic() + seconds
        self._hurry = when if self._hurry is None else min(self._hurry, when)

    def kill_all(self) -> None:
        """End every child and what it left behind. Safe in a signal handler: no wait, no allocation to speak of."""
        for pid in list(self._running):
            _kill(pid)

    def reap(self) -> None:
        """Collect every dead child: ours, and as PID 1 everybody's orphans."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.stuck.pop(pid, None)
            if (running := self._running.get(pid)) is not None:
                running.status = status

    # -- one child -----------------------------------------------------------------------------------------------

    def _fork(self, job: Job) -> _Running:
        if _threads(self.host) > 1:
            raise RuntimeError("the launcher has a second thread: a plain fork would not be safe")
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        # A signal between fork and registration must find the child in the table, and never our handler in the child.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            try:
                pid = os.fork()
            except OSError:
                os.close(read_fd)
                os.close(write_fd)
                raise
            if pid == 0:
                child.main(job, self.host, self.identity, write_fd, before)  # never returns
            os.close(write_fd)
            running = _Running(job, pid, read_fd, time.monotonic())
            self._running[pid] = running
            self.sessions.add(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.set_blocking(read_fd, False)
        return running

    def _read(self, running: _Running) -> Iterator[Seen | Lost]:
        try:
            chunk = os.read(running.fd, 1 << 20)
        except BlockingIOError:
            return
        if not chunk:
            running.eof = True
            return
        running.heard = time.monotonic()
        running.buffer += chunk
        while len(running.buffer) >= child.HEADER.size:
            length, index, what = child.HEADER.unpack_from(running.buffer)
            if length > FRAME_LIMIT:
                running.failed = f"its answer was larger than {FRAME_LIMIT} bytes"
                _kill(running.pid)
                running.buffer.clear()
                return
            if len(running.buffer) < child.HEADER.size + length:
                return
            body = bytes(running.buffer[child.HEADER.size : child.HEADER.size + length])
            del running.buffer[: child.HEADER.size + length]
            yield from self._frame(running, index, what, body)

    def _frame(self, running: _Running, index: int, what: bytes, body: bytes) -> Iterator[Seen | Lost]:
        try:
            if what == child.TELL:
                words = msgspec.json.decode(body, type=dict[str, Any])
                running.silence = max(running.silence, float(words.pop("silence", 0)))
                running.last = words
                self.told(running.job, words)
            elif what == child.FACTS:
                facts = msgspec.json.decode(body, type=running.job.kind.module.Facts)
                running.missing.discard(index)
                yield Seen(running.job, index, facts, time.monotonic() - running.started)
            else:
                running.failed = body.decode("utf-8", "replace")
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            running.failed = f"its answer could not be read: {error}"

    def _check(self, running: _Running, selector: selectors.BaseSelector, passed: str | None) -> Iterator[Seen | Lost]:
        if running.status is None and not running.eof:
            silent = time.monotonic() - running.heard
            if passed is None and silent < running.silence:
                return
            how, detail = passed or "hung", self._bury(running)
            if passed is None:
                detail = f"no sign of life for {silent:.0f} s{detail}"
        else:
            while not running.eof and running.buffer is not None:  # what it wrote before it died
                got = len(running.buffer)
                yield from self._read(running)
                if not running.eof and len(running.buffer) == got:
                    break
            detail = self._bury(running)
            how = "failed" if running.failed else "crashed"
            detail = running.failed or _death(running.status) + detail
        selector.unregister(running.fd)
        os.close(running.fd)
        del self._running[running.pid]
        for index in sorted(running.missing):
            seconds = time.monotonic() - running.started
            yield Lost(running.job, index, how, detail, seconds, running.last)  # type: ignore[arg-type]

    def _bury(self, running: _Running) -> str:
        """Kill the child and its session, wait a moment for it to go; say so when it does not."""
        _kill(running.pid)
        deadline = time.monotonic() + 0.5
        while running.status is None:
            self.reap()
            if running.status is not None:
                break
            if time.monotonic() > deadline:
                words = f", in state {self._state(running.pid)} even after SIGKILL"
                self.stuck[running.pid] = words
                return words
            time.sleep(0.002)
        return ""

    def _state(self, pid: int) -> str:
        try:
            state = self.host.read(self.host.proc(f"{pid}/stat")).rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            return "?"
        try:
            where = self.host.read(self.host.proc(f"{pid}/wchan"))
        except OSError:
            where = ""
        return f"{state} ({where})" if where not in ("", "0") else state

    def _never(self, job: Job, how: str, detail: str = "") -> Iterator[Lost]:
        for index in range(len(job.specs)):
            yield Lost(job, index, how, detail or "it had not begun", 0.0)  # type: ignore[arg-type]


def _threads(host: Host) -> int:
    try:
        return len(os.listdir(host.proc("self/task")))
    except OSError:  # no /proc: nothing to go by
        return 1


def _kill(pid: int) -> None:
    for end in (os.killpg, os.kill):
        try:
            end(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _death(status: int | None) -> str:
    if status is None:
        return "closed its pipe and never left"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = str(number)
        return f"killed by {name}"
    return f"left with exit code {os.WEXITSTATUS(status)} and no answer"
