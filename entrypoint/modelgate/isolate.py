"""One forked child per job: frames, a silence clock, kill; never wait for the dead.

Why a process and not a thread: with one thread stuck in state D, execve does not complete and the process cannot
exit; with a stuck child both go through at once. A fork costs 1-2 ms, a fresh interpreter 200 ms.
"""

import errno
import gc
import os
import select
import signal
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence

from modelgate import burial, child
from modelgate.host import Host
from modelgate.identity import Identity
from modelgate.running import BURIAL, How, Job, Lost, Running, Seen, Told, Turn, never

__all__ = ["ENDING", "Isolate", "Job", "Lost", "Seen"]

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})
TICK = 0.25  # seconds; how late a death is noticed at most when somebody else holds the child's pipe open
PIPE = 65536  # bytes; what a pipe holds
NO_FORK = 5.0  # seconds that a process is waited for when none of ours runs that could make room


class Isolate:
    """Runs jobs in children. Keep one for the life of the gate: it knows every child that could not be buried.

    told      hears what a child says it is doing
    turn      is called once a turn of the loop, at least every TICK, when the children that can be are at work
    sessions  every live child's session id; what is in one of them is ours to end
    stuck     pid -> `D (request_wait_answer)`: what SIGKILL did not end. While one is there, a PID namespace that is
              told to die cannot
    """

    def __init__(
        self, host: Host, identity: Identity, *, cap: int = 8, told: Told = lambda _job, _words: None, turn: Turn = int
    ) -> None:
        self.host, self.identity, self.cap, self.told, self.turn = host, identity, cap, told, turn
        self.sessions: set[int] = set()
        self.stuck: dict[int, str] = {}
        self._running: dict[int, Running] = {}
        self._hurry: float | None = None
        self._no_fork: float | None = None
        self._awake = 0.0  # when the pipes were last looked at

    def run(
        self, jobs: Sequence[Job], *, cap: int | None = None, until: float | None = None
    ) -> Generator[Seen | Lost, None, None]:
        """Yield an outcome for every spec of every job, as they come. `until` is on time.monotonic's clock.

        Call `hurry(seconds)` between two outcomes to cancel what is not finished by then. Closing the generator
        early ends what still runs. One run at a time.
        """
        self._hurry = self._no_fork = None
        return self._loop(deque(jobs), cap or self.cap, until)

    def hurry(self, seconds: float) -> None:
        """Cancel everything that is not finished `seconds` from now."""
        when = time.monotonic() + seconds
        self._hurry = when if self._hurry is None else min(self._hurry, when)

    def kill_all(self) -> None:
        """End every child and what it left behind. Made for a signal handler: it waits for nothing."""
        for _ in range(2):  # what was forked during the first look dies in the second
            table = burial.processes()
            for running in list(self._running.values()):
                if not running.dead:
                    burial.end(running.pid, table)

    def reap(self) -> None:
        """Collect every dead child: ours, and as PID 1 everybody's orphans."""
        while True:
            try:
                # Look first, collect then: until it is collected the number of the dead is nobody else's.
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if info is None:
                    break
                running = self._running.get(info.si_pid)
                if running is not None:
                    self._clear_up(running, clean=info.si_status == burial.ANSWERED)
                    running.dead = True  # before its number is free: a signal handler must not kill the next one
                pid, status = os.waitpid(info.si_pid, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            if running is not None:
                running.status = status
            self.stuck.pop(pid, None)
        if self.stuck:
            self.stuck = {pid: words for pid, words in self.stuck.items() if burial.exists(pid)}

    # -- the loop ------------------------------------------------------------------------------------------------

    def _loop(self, waiting: deque[Job], width: int, until: float | None) -> Generator[Seen | Lost, None, None]:
        self._awake = time.monotonic()
        gc.freeze()  # a collection in a child would copy every page that an old object lies on
        ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN  # the kernel then buries children unseen
        if ignored:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            while waiting or self._running:
                passed = self._passed(until)
                yield from self._fill(waiting, width, passed)
                self.turn()
                if not (waiting or self._running):
                    return
                yield from self._listen(passed, until)
                passed = self._passed(until)  # it may have come to pass while we listened
                self.reap()
                for running in list(self._running.values()):
                    if self._ended(running, passed):
                        yield from self._finish(running)
        finally:
            self._abandon()
            if ignored:
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    def _passed(self, until: float | None) -> How | None:
        now = time.monotonic()
        if until is not None and now >= until:
            return "timeout"
        return "cancelled" if self._hurry is not None and now >= self._hurry else None

    def _fill(self, waiting: deque[Job], width: int, passed: How | None) -> Iterator[Lost]:
        while waiting and passed:
            yield from never(waiting.popleft(), passed, "it had not begun")
        while waiting and len(self._running) < width:
            try:
                self._fork(waiting[0])
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC):
                    raise
                now = time.monotonic()
                self._no_fork = self._no_fork or now
                if self._running or now - self._no_fork < NO_FORK:
                    return  # at a limit: a child that ends makes room
                yield from never(waiting.popleft(), "no-fork", os.strerror(error.errno))
            else:
                self._no_fork = None
                waiting.popleft()

    def _listen(self, passed: How | None, until: float | None) -> Iterator[Seen]:
        """Wait until a child says something or has to be looked at, and take in what was said."""
        before = time.monotonic()
        bounds = [] if passed else [b for b in (until, self._hurry) if b is not None]
        bounds += [running.due(before) for running in self._running.values()]
        kill = passed and any(running.killed is None for running in self._running.values())
        patience = 0.0 if kill else max(0.0, min([TICK, *(b - before for b in bounds)]))
        by_fd = {running.fd: running for running in self._running.values() if not running.eof}
        poll = select.poll()
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(patience * 1000)
        now = time.monotonic()
        overslept, self._awake = now - self._awake - patience, now
        if overslept > 1:  # a paused container, a starved machine: the children had no chance to speak either
            for running in self._running.values():
                running.heard = min(now, running.heard + overslept)
        for fd, _ in ready:
            yield from self._read(by_fd[fd])

    def _read(self, running: Running) -> Generator[Seen, None, bool]:
        """Take in one chunk. False when there is nothing to be had now."""
        try:
            chunk = os.read(running.fd, PIPE)
        except BlockingIOError:
            return False
        now = time.monotonic()
        if not chunk:
            running.eof, running.done = True, running.done or now
            return False
        yield from running.hear(chunk, now, self.told)
        return True

    # -- one child -----------------------------------------------------------------------------------------------

    def _fork(self, job: Job) -> None:
        if burial.threads() > 1:
            raise RuntimeError("the launcher has a second thread: a plain fork would not be safe")
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        # A signal between fork and registration must find the child in the table, and never our handler in the child.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            try:
                pid = os.fork()
            except OSError:
                os.close(read_fd)
                raise
            if pid == 0:
                child.main(job, self.host, self.identity, write_fd, before)  # never returns
            self._running[pid] = Running(job, pid, read_fd, time.monotonic())
            self.sessions.add(pid)
        finally:
            os.close(write_fd)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.set_blocking(read_fd, False)

    def _ended(self, running: Running, passed: How | None) -> bool:
        """Nothing more is to be expected of it. Kills it when its time is over."""
        # Silence is measured up to when the pipes were looked at: we may have been paused since.
        if not running.dead and running.killed is None and (reason := running.over(passed, self._awake)):
            running.lose(*reason)
            running.killed = time.monotonic()
            running.left = burial.end(running.pid)
        if running.killed is None:
            return running.dead
        if not burial.exists(running.pid):  # somebody else has collected it
            running.dead = True
        running.left = burial.living(running.left)
        return (running.dead and not running.left) or time.monotonic() - running.killed > BURIAL

    def _clear_up(self, running: Running, *, clean: bool) -> None:
        """It is dead, not yet collected. What it left behind goes too."""
        if clean:
            burial.end_group(running.pid)
            return
        running.left |= burial.end(running.pid)
        if running.left and running.killed is None:
            running.killed = time.monotonic()

    def _finish(self, running: Running) -> Iterator[Seen | Lost]:
        """Its last words, what became of the entries it never answered for, its burial."""
        for _ in range(64):  # bounded: a grandchild may hold the pipe open and write on
            if running.eof or not (yield from self._read(running)):
                break
        if running.how is None:
            running.lose("crashed", burial.death(running.status))
        self._bury(running)
        yield from running.losses(time.monotonic())

    def _bury(self, running: Running) -> None:
        del self._running[running.pid]
        os.close(running.fd)
        still = burial.living(running.left | (set() if running.dead else {running.pid}))
        if not still:
            self.sessions.discard(running.pid)
        for pid in still:
            self.stuck[pid] = burial.state(pid)
            running.detail += f"; SIGKILL does not end process {pid}, it is in state {self.stuck[pid]}"

    def _abandon(self) -> None:
        """The consumer has gone: end and bury all that still runs."""
        if not self._running:
            return
        self.kill_all()
        deadline = time.monotonic() + BURIAL
        while time.monotonic() < deadline:
            self.reap()
            if all(running.dead or not burial.exists(running.pid) for running in self._running.values()):
                break
            time.sleep(0.002)
        for running in list(self._running.values()):
            self._bury(running)
