"""Write to a descriptor that nobody may be reading. PID 1 must never block on a full pipe.

Why not O_NONBLOCK: the flag belongs to the open file, which is shared with whoever gave us descriptors 0 to 2 and with
the server that inherits them. A pipe or socket is written with RWF_NOWAIT, a terminal through a second opening of its
own; where neither is to be had, poll() says that there is room for the few bytes that are written next.
"""

import errno
import os
import select
import stat
import time

from modelgate.host import PROC

CHUNK = 4096  # PIPE_BUF: a pipe that polls as writable takes this many bytes at once
_RWF_NOWAIT = 8
_READER_GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ECONNRESET, errno.ENXIO})
_NO_NOWAIT = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE})


class Writer:
    """One descriptor. `dropped` counts the lines that nobody took; errors of the descriptor are never raised."""

    def __init__(self, fd: int) -> None:
        self.dropped = 0
        self._fd: int | None = fd
        self._own: int | None = None
        self._chunk = CHUNK
        self._nowait = False
        self._full = False  # the last line did not get through: the next one does not wait either
        self._half = False  # a line is half written: what comes next begins on a line of its own
        self._turn = 0
        try:
            mode = os.fstat(fd).st_mode
            self.terminal = os.isatty(fd)
        except OSError:  # closed when we were started; whatever gets this number later is not ours to write to
            self._fd, self.terminal = None, False
            return
        self._nowait = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if self.terminal:
            self._reopen(fd)

    def write(self, data: bytes, *, patience: float = 1.0, insist: bool = False) -> bool:
        """True when all of `data` was taken. Waits `patience` seconds at most for a reader, not at all when the line
        before was dropped, unless `insist`. Safe in a signal handler that interrupts another write: the line that was
        cut is written again from its start.
        """
        if self._fd is None:
            return False
        self._turn += 1
        turn = self._turn
        if self._half:
            data = b"\n" + data
        until = time.monotonic() + (patience if insist or not self._full else 0.0)
        at = 0
        while at < len(data):
            self._half = self._half or len(data) > self._chunk
            try:
                count = self._some(data[at : at + self._chunk])
            except OSError as error:
                self._half = at > 0
                if error.errno not in _READER_GONE:
                    self.dropped += 1  # a full disk may have room later; a reader that has gone never hears of it
                return False
            at += count
            if turn != self._turn and not at == count == len(data):
                turn, at, data = self._turn, 0, b"\n" + data.lstrip(b"\n")
            elif at < len(data):
                self._half = at > 0
                if not count and not self._wait(until):
                    self._full = True
                    self.dropped += 1
                    return False
        self._half = self._full = False
        return True

    def close(self) -> None:
        """Let go of the second opening; the descriptor itself stays as it is."""
        if self._own is not None:
            os.close(self._own)
        self._own = self._fd = None

    def _some(self, chunk: bytes) -> int:
        """How many bytes were taken now; 0 when there is no room."""
        fd = self._own if self._own is not None else self._fd
        if fd is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        try:
            if self._nowait:
                try:
                    return os.pwritev(fd, [chunk], -1, _RWF_NOWAIT)
                except OSError as error:
                    if error.errno not in _NO_NOWAIT:
                        raise
                    self._nowait = False
            return os.write(fd, chunk) if self._own is not None or self._room(0.0) else 0
        except BlockingIOError:
            return 0

    def _wait(self, until: float) -> bool:
        """True when there may be room again before `until` (time.monotonic)."""
        if time.monotonic() >= until:
            return False
        if self._room(until):
            time.sleep(0.001)  # a terminal may have room for one byte and want two
        return time.monotonic() < until

    def _room(self, until: float) -> bool:
        """Poll until then. An error of the descriptor counts as room: the write will tell."""
        fd = self._own if self._own is not None else self._fd
        poller = select.poll()
        poller.register(-1 if fd is None else fd, select.POLLOUT)
        return bool(poller.poll(max(0.0, until - time.monotonic()) * 1000))

    def _reopen(self, fd: int) -> None:
        # A terminal with little room left polls as writable and still blocks in the middle of a line.
        try:
            self._own = os.open(
                os.path.join(PROC, f"self/fd/{fd}"), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except OSError:
            self._chunk = 64
