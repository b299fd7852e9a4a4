"""One HTTP GET over a connection that is there, by a deadline. Standard library's C modules only."""

from __future__ import annotations

import time

TYPE_CHECKING = False  # typing costs a fifth of a bare interpreter
if TYPE_CHECKING:
    from typing import Any

AGENT = "modelgate-probe"
HEAD = 16 << 10  # bytes of status line and headers that are read at most
BODY = 64 << 10


class Target:
    """A URL taken apart. `path`: with its query; of unix, the socket. `userinfo`: as it stands in the URL."""

    def __init__(self, scheme: str, host: str, port: int, path: str, userinfo: str = "") -> None:
        self.scheme, self.host, self.port, self.path, self.userinfo = scheme, host, port, path, userinfo

    @property
    def place(self) -> str:
        if self.scheme == "unix":
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def left(deadline: float) -> float:
    """Seconds until the deadline; TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def since(started: float) -> str:
    return f"{(time.monotonic() - started) * 1000:.0f} ms"


def _request(target: Target) -> bytes:
    name = target.place if target.port != {"http": 80, "https": 443}[target.scheme] else target.place.rpartition(":")[0]
    lines = [f"GET {target.path} HTTP/1.1", f"Host: {name}", f"User-Agent: {AGENT}", "Accept: */*", "Connection: close"]
    if target.userinfo:
        import binascii

        lines.append(f"Authorization: Basic {binascii.b2a_base64(_unquote(target.userinfo), newline=False).decode()}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _unquote(text: str) -> bytes:
    head, *parts = text.encode("utf-8", "surrogateescape").split(b"%")
    for part in parts:
        try:
            head += bytes.fromhex(part[:2].decode("ascii")) + part[2:] if len(part) >= 2 else b"%" + part
        except ValueError:
            head += b"%" + part
    return head


def get(stream: Any, target: Target, started: float, deadline: float) -> tuple[bool, str]:
    stream.settimeout(left(deadline))
    stream.sendall(_request(target))
    answer = b""
    while b"\n" not in answer and len(answer) < HEAD:
        stream.settimeout(left(deadline))
        chunk = stream.recv(HEAD)
        if not chunk:
            break
        answer += chunk
    took = since(started)
    line = answer.partition(b"\n")[0].decode("latin-1").strip()
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        what = f"answered {line[:80]!r}, which is not HTTP" if line else "closed the connection without an answer"
        return False, f"{target.place} {what}, after {took}"
    _drain(stream, answer, deadline)
    status = int(words[1])
    hint = ""
    if 300 <= status < 400:
        hint = "; it redirects: name the URL that answers 200 in launch.health"
    elif status in (401, 403):
        hint = "; launch.health must be a URL that needs no login"
    return 200 <= status < 300, f"HTTP {status} after {took}{hint}"


def _drain(stream: Any, answer: bytes, deadline: float) -> None:
    """Take the rest of a short answer: a server whose answer is cut off logs a broken pipe for every probe."""
    deadline = min(deadline, time.monotonic() + 0.1)
    try:
        while len(answer) < BODY and not _whole(answer):
            stream.settimeout(left(deadline))
            chunk = stream.recv(HEAD)
            if not chunk:
                return
            answer += chunk
    except OSError:
        pass


def _whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
        if name == b"transfer-encoding" and b"chunked" in value:
            return body.endswith(b"0\r\n\r\n")
    return False
