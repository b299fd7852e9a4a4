"""Writing where nobody may be reading: never blocks, never raises, never changes the descriptor."""

import fcntl
import os
import pty
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelgate.writer import Writer

BOUND = 10.0  # seconds; the machine may be busy, a blocked write would take for ever


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass


def drain(fd: int) -> bytes:
    os.set_blocking(fd, False)
    out = b""
    try:
        while chunk := os.read(fd, 1 << 16):
            out += chunk
    except (BlockingIOError, OSError):
        pass
    return out


def fill(writer: Writer) -> None:
    started = time.monotonic()
    while writer.write(b"x" * 999 + b"\n"):
        assert time.monotonic() - started < BOUND


def test_a_full_pipe_drops_the_line_within_a_bound_and_counts_it(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1])
    started = time.monotonic()

    fill(writer)
    taken = [writer.write(b"y" * 999 + b"\n") for _ in range(50)]  # not a second for each

    assert time.monotonic() - started < BOUND
    assert not any(taken)
    assert writer.dropped == 51
    assert not fcntl.fcntl(pipe[1], fcntl.F_GETFL) & os.O_NONBLOCK


def test_lines_get_through_again_once_somebody_reads(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1])
    fill(writer)
    drain(pipe[0])

    assert writer.write(b"again\n")
    assert drain(pipe[0]).endswith(b"again\n")


def test_a_line_longer_than_the_pipe_arrives_whole_at_a_reader(pipe: tuple[int, int]) -> None:
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(pipe[0], 5000), b"")))
    reader.start()
    line = b"z" * 300_000 + b"\n"

    assert Writer(pipe[1]).write(line, patience=BOUND)

    os.close(pipe[1])
    reader.join(BOUND)
    assert b"".join(got) == line


def test_a_line_cut_by_a_full_pipe_does_not_run_into_the_next(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1])

    assert not writer.write(b"a" * 200_000 + b"\n", patience=0.0)
    drain(pipe[0])

    assert writer.write(b"next\n")
    assert drain(pipe[0]) == b"\nnext\n"


@pytest.mark.parametrize("kind", ["closed", "no reader", "full disk", "regular", "null"])
def test_every_kind_of_descriptor_is_survived(kind: str, tmp_path: Path) -> None:
    if kind == "closed":
        read, fd = os.pipe()
        os.close(read)
        os.close(fd)
    elif kind == "no reader":
        read, fd = os.pipe()
        os.close(read)
    else:
        path = {"full disk": "/dev/full", "null": "/dev/null"}.get(kind, str(tmp_path / "log"))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        assert Writer(fd).write(b"x\n") is (kind in ("regular", "null"))
    finally:
        if kind != "closed":
            os.close(fd)


def test_a_number_that_was_closed_at_the_start_is_never_written_to(pipe: tuple[int, int], tmp_path: Path) -> None:
    """Whatever is opened later may get that number."""
    fd = os.dup(pipe[1])
    os.close(fd)
    writer = Writer(fd)
    later = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    os.dup2(later, fd)
    try:
        assert not writer.write(b"x\n")
        assert os.fstat(later).st_size == 0
    finally:
        os.close(fd)
        if later != fd:
            os.close(later)


def test_a_socket_that_nobody_reads_does_not_block() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = Writer(ours.fileno())
        fill(writer)

        assert writer.dropped == 1


def test_a_terminal_that_nobody_reads_does_not_block_and_keeps_its_flags() -> None:
    master, slave = pty.openpty()
    writer = Writer(slave)
    try:
        fill(writer)

        assert writer.dropped == 1
        assert not fcntl.fcntl(slave, fcntl.F_GETFL) & os.O_NONBLOCK
    finally:
        writer.close()
        os.close(slave)
        os.close(master)


def test_a_line_written_by_a_signal_handler_inside_another_loses_neither(pipe: tuple[int, int]) -> None:
    writer = Writer(pipe[1])
    long = b"L" * 150_000 + b"\n"
    before = signal.signal(signal.SIGALRM, lambda *_: writer.write(b"from the handler\n", patience=BOUND))
    got: list[bytes] = []

    def read() -> None:
        time.sleep(0.3)  # the long line is stuck half-way when the signal comes
        got.extend(iter(lambda: os.read(pipe[0], 5000), b""))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert writer.write(long, patience=BOUND)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    os.close(pipe[1])
    reader.join(BOUND)

    lines = b"".join(got).split(b"\n")
    assert b"from the handler" in lines
    assert long.rstrip() in lines
