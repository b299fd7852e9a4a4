"""Servers that misbehave, and a wait on them as the gate's child makes it. Real sockets, all closed at the end."""

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from modelgate.checks import wait_for
from modelgate.finding import Finding
from modelgate.host import Host, Place
from modelgate.units import Duration

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Handler = Callable[[socket.socket, "Request"], None]


def spec(**fields: Any) -> wait_for.Spec:
    """An entry as the manifest gives it; impatient unless said otherwise."""
    fields = {"timeout": "600ms", "backoff": {"initial": "20ms", "max": "100ms"}} | fields

    def revive(kind: type, value: object) -> object:
        assert kind is Duration
        return Duration.parse(value)

    return msgspec.convert(fields, wait_for.Spec, dec_hook=revive)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """This process as uid 65534 for a moment. What it will import comes first, as in the gate's child: the library may
    lie where nobody may read, and a codec that could not be found once is not looked for again."""
    wait_for.prepare([spec(http="https://x/"), spec(tcp="x:1"), spec(unix="/x")])
    before = os.geteuid()
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


class Seen(NamedTuple):
    """How a wait ended, and what was told meanwhile."""

    facts: wait_for.Facts
    told: list[dict[str, Any]]
    finding: Finding
    seconds: float


def look(environ: Any = None, **fields: Any) -> Seen:
    """Wait for one dependency in this process; none of its threads may be left."""
    entry, told = spec(**fields), []
    began = time.monotonic()
    facts = wait_for.observe(entry, Host(tell=lambda **words: told.append(words), environ=environ))
    seconds = time.monotonic() - began
    no_threads()
    # Facts travel as JSON, and a judge that is pure says the same twice.
    facts = msgspec.json.decode(msgspec.json.encode(facts), type=wait_for.Facts)
    findings = wait_for.judge(entry, facts, Place())
    assert findings == wait_for.judge(entry, facts, Place())
    (finding,) = findings
    return Seen(facts, told, finding, seconds)


def no_threads() -> None:
    left = [t.name for t in threading.enumerate() if t.name.startswith(("wait ", "dns "))]
    assert left == []


class Request(NamedTuple):
    """What a client sent: the first line, and its headers in lower case."""

    line: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return self.line.split()[1]


class Server:
    """One TCP listener on loopback; a thread for each connection."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None, family: int, port: int, *, http: bool) -> None:
        self.handler, self.context, self.http = handler, context, http
        self.requests: list[Request] = []
        self.connections = 0
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self._main = threading.Thread(target=self._accept)
        self._main.start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http{'s' if self.context else ''}://{host}:{self.port}{path}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.append(connection)
        with contextlib.suppress(OSError, ValueError):
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            request = Request("", {})
            if self.http:
                head = b""
                while b"\r\n\r\n" not in head and (chunk := connection.recv(65536)):
                    head += chunk
                lines = head.decode("latin-1").split("\r\n")
                pairs = (line.partition(": ") for line in lines[1:] if line)
                request = Request(lines[0], {name.lower(): value for name, _, value in pairs})
                self.requests.append(request)
            self.handler(connection, request)
        with contextlib.suppress(OSError):
            connection.close()

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError), socket.create_connection(self._listener.getsockname()[:2], timeout=1):
            pass
        self._main.join()
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._open:
            connection.close()


@contextlib.contextmanager
def serve(
    handler: Handler,
    *,
    context: ssl.SSLContext | None = None,
    family: int = socket.AF_INET,
    port: int = 0,
    http: bool = True,
) -> Iterator[Server]:
    """handler(connection, request) for each connection; closed after it returns. http=False reads no request."""
    server = Server(handler, context, family, port, http=http)
    try:
        yield server
    finally:
        server.close()


def answers(*replies: bytes) -> Handler:
    """One reply for each connection, the last for all that follow."""
    left = list(replies)

    def handler(connection: socket.socket, _request: Request) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return handler


def reply(status: str, body: bytes = b"", **headers: str) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def hold(connection: socket.socket, _request: Request) -> None:
    """Say nothing until the client leaves."""
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def free_port(family: int = socket.AF_INET) -> int:
    """A port on which nobody listens now."""
    with socket.socket(family) as sock:
        sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return int(sock.getsockname()[1])
