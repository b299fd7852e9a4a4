"""wait_for: http, against servers that drip, hang, talk nonsense or leave."""

import gzip
import socket
import struct
import time

import pytest
from wait_kit import OK, Request, answers, hold, look, reply, serve

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_a_server_that_drips_does_not_stretch_the_attempt() -> None:
    def drip(connection: socket.socket, _request: Request) -> None:
        for byte in OK * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    with serve(drip) as server:
        seen = look(http=server.url(), attempt_timeout="300ms", timeout="1s")

    assert (seen.finding.code, seen.facts.cause) == ("wait-timeout", "silent")
    assert seen.facts.attempts >= 2
    assert "accepted the connection and gave no complete answer within 0.3 s" in seen.facts.error
    assert seen.seconds < 5


def test_a_server_that_drips_its_body_does_not_stretch_the_attempt() -> None:
    def drip(connection: socket.socket, _request: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"x")
            time.sleep(0.1)

    with serve(drip) as server:
        seen = look(http=server.url(), body="y", attempt_timeout="300ms", timeout="400ms")

    assert (seen.facts.cause, seen.seconds < 5) == ("silent", True)


def test_a_silent_server_is_wait_timeout() -> None:
    with serve(hold) as server:
        seen = look(http=server.url(), attempt_timeout="200ms")

    assert (seen.finding.code, seen.facts.cause, seen.facts.errno) == ("wait-timeout", "silent", "ETIMEDOUT")


def test_continue_and_chunks_are_http_too() -> None:
    chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"2\r\nre\r\n3\r\nady\r\n0\r\n\r\n"
    with serve(answers(chunked)) as server:
        assert look(http=server.url(), body="^ready$").facts.ready


def test_endless_continues_end_with_the_attempt() -> None:
    def handler(connection: socket.socket, _request: Request) -> None:
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    with serve(handler) as server:
        seen = look(http=server.url(), attempt_timeout="200ms", timeout="300ms")

    assert (seen.facts.cause, seen.seconds < 5) == ("silent", True)


def test_an_encoded_body_is_not_guessed_at() -> None:
    packed = reply("200 OK", gzip.compress(b"ready"), **{"Content-Encoding": "gzip"})
    with serve(answers(packed)) as server:
        seen = look(http=server.url(), body="ready")

    assert "encoded as gzip, though identity was asked for" in seen.facts.error
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("garbage", "cause"),
    [
        (b"+PONG\r\n", "protocol"),
        (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "protocol"),
        (b"HTTP/1.1 abc def\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(500)) + b"\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "closed"),
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrea", "status"),
    ],
)
def test_garbage_is_told_as_what_it_is(garbage: bytes, cause: str) -> None:
    with serve(answers(garbage)) as server:
        seen = look(http=server.url(), body="ready", timeout="150ms")

    assert (seen.facts.ready, seen.facts.cause) == (False, cause)
    assert seen.finding.code == ("wait-status" if cause == "status" else "wait-timeout")


def test_a_reset_is_told_as_one() -> None:
    def reset(connection: socket.socket, _request: Request) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serve(reset) as server:
        seen = look(http=server.url())

    assert (seen.facts.cause, seen.facts.errno) == ("closed", "ECONNRESET")


def test_control_characters_of_a_server_do_not_reach_the_log() -> None:
    with serve(answers(reply("503 \x1b[31mRed", b"\x1b]0;owned\x07"))) as server:
        seen = look(http=server.url(), timeout="150ms")

    assert seen.facts.error.isprintable()
