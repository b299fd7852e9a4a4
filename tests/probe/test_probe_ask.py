"""How the probe asks a server: against real sockets, by one deadline."""

import socket
import ssl
import time
from pathlib import Path

import pytest
import trustme
from probe_kit import OK, saying, serving

from modelgate.probe.ask import ask


@pytest.mark.parametrize(
    ("answer", "yes", "says"),
    [
        (OK, True, "HTTP 200 after "),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, "HTTP 204 after "),
        (b"HTTP/1.0 200\n\n", True, "HTTP 200 after "),
        (b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n", False, "it redirects"),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", False, "needs no login"),
        (b"HTTP/1.1 500 \x1b[31mred\r\n\r\n", False, "HTTP 500 after "),
        (b"SSH-2.0-OpenSSH_9\r\n", False, "answered 'SSH-2.0-OpenSSH_9', which is not HTTP"),
        (b"HTTP/1.1 OK\r\n", False, "which is not HTTP"),
        (b"", False, "closed the connection without an answer"),
    ],
)
def test_http_answers(answer: bytes, yes: bool, says: str) -> None:
    with serving(saying(answer)) as port:
        got, text = ask(f"http://127.0.0.1:{port}/health", 5)

    assert got is yes, text
    assert says in text


def test_the_request_is_whole_and_carries_credentials_and_query() -> None:
    seen = []

    def handler(connection: socket.socket) -> None:
        seen.append(connection.recv(65536).decode())
        connection.sendall(OK)

    with serving(handler) as port:
        assert ask(f"http://us%40er:p%3Ass@127.0.0.1:{port}/a%20b?x=1#part", 5)[0]

    lines = seen[0].split("\r\n")
    assert lines[0] == "GET /a%20b?x=1 HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}" in lines
    assert "Authorization: Basic dXNAZXI6cDpzcw==" in lines
    assert lines[-2:] == ["", ""]


def test_credentials_are_not_shown() -> None:
    for url in ("http://user:hunter2@127.0.0.1:1/x?token=hunter2", "ftp://user:hunter2@h/x?hunter2"):
        assert "hunter2" not in ask(url, 2)[1]


def test_one_deadline_for_all_of_it() -> None:
    """A server that sends a byte at a time does not hold the probe."""

    def drip(connection: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK" * 20:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with serving(drip) as port:
        started = time.monotonic()
        yes, text = ask(f"http://127.0.0.1:{port}/", 0.5)

        assert not yes
        assert time.monotonic() - started < 5
    assert f"no answer from 127.0.0.1:{port} within 5" in text


def test_an_answer_that_does_not_end_is_an_answer() -> None:
    """The status line says it all; a body without end costs a tenth of a second."""

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(400):
            connection.sendall(b"x" * 1000)
            time.sleep(0.01)

    with serving(endless) as port:
        yes, text = ask(f"http://127.0.0.1:{port}/", 5)

    assert yes, text


def test_https_is_asked_without_verifying() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("nobody.example").configure_cert(context)

    def handler(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as stream:
            stream.recv(65536)
            stream.sendall(OK)

    with serving(handler) as port:
        yes, text = ask(f"https://localhost:{port}/health", 10)

    assert yes, text
    assert text.startswith("HTTP 200 after ")


def test_https_of_a_server_that_speaks_plain_http_says_so() -> None:
    with serving(saying(OK)) as port:
        yes, text = ask(f"https://127.0.0.1:{port}/", 10)

    assert not yes
    assert f"asking 127.0.0.1:{port}: " in text


def test_tcp_unix_and_ipv6(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with serving(lambda _: None, socket.AF_UNIX, path), serving(lambda _: None) as port:
        assert ask(f"unix://{path}", 5) == (True, ask(f"unix://{path}", 5)[1])
        assert ask(f"tcp://localhost:{port}", 5)[0]
    assert "ENOENT" in ask("unix:///nonexistent/s", 5)[1]
    assert "ECONNREFUSED" in ask(f"unix://{path}", 5)[1]
    assert "[::1]:1: " in ask("http://[::1]:1/", 5)[1]
    assert "AF_UNIX path too long" in ask("unix:///" + "x" * 200, 5)[1]


def test_localhost_is_tried_on_both_addresses() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        with serving(saying(OK), socket.AF_INET6, ("::1", 0)) as port:
            yes, text = ask(f"http://localhost:{port}/", 5)
    except OSError as error:
        pytest.skip(f"no ::1 here: {error}")

    assert yes, text


def test_a_name_is_resolved_within_the_deadline() -> None:
    started = time.monotonic()
    yes, text = ask("http://no-such-host.invalid:8000/", 1)

    assert not yes
    assert "no-such-host.invalid:8000" in text
    assert time.monotonic() - started < 10


def test_this_hosts_own_name_is_asked() -> None:
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        pytest.skip(f"this host cannot resolve its own name: {error}")
    with serving(saying(OK), socket.AF_INET, ("0.0.0.0", 0)) as port:
        yes, text = ask(f"http://{name}:{port}/", 5)

    assert yes, (address, text)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("127.0.0.1:8000", "expected http://"),
        ("ftp://h/", "expected http://"),
        ("tcp://h", "no port"),
        ("http://h:0/", "is no port"),
        ("http://h:x/", "is no port"),
        ("http://:80/", "no host"),
        ("http://h/a b", "control character"),
        ("http://h/\r\nX: y", "control character"),
        ("unix://run/s", "three slashes"),
    ],
)
def test_an_url_that_cannot_be_asked_is_named(url: str, says: str) -> None:
    yes, text = ask(url, 1)

    assert not yes
    assert text.startswith("launch.health ")
    assert says in text
