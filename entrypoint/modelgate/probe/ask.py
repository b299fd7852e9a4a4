"""Ask a server whether it is well: http(s)://, tcp://host:port, unix:///path. One deadline for everything.

HTTP is spoken by hand: http.client would double the start of the probe. An https server is asked without verifying its
certificate: the probe asks over loopback, and no authority signs 127.0.0.1; whoever answers there shares the
container. A name that needs a resolver is asked in a forked child, because getaddrinfo takes no deadline.
"""

from __future__ import annotations

import _socket
import errno
import os
import time

from modelgate.probe.http_get import Target, get, left, since

TYPE_CHECKING = False  # typing costs a fifth of a bare interpreter
if TYPE_CHECKING:
    from typing import Any


class NotAskedError(Exception):
    """The URL is not one that can be asked; the message says why."""


def ask(url: str, seconds: float) -> tuple[bool, str]:
    """(well, one line for a person). Never raises, never takes much longer than `seconds`."""
    try:
        target = split(url)
    except NotAskedError as error:
        return False, f"launch.health {shown(url)!r}: {error}"
    if target.scheme == "https":
        import ssl  # noqa: F401 - before the clock starts
    deadline = time.monotonic() + seconds
    if target.scheme == "unix" or addresses(target.host):
        return _ask(target, deadline)
    return _in_child(target, deadline)


def shown(url: str) -> str:
    """The URL without what may be secret: user, password and query."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def split(url: str) -> Target:
    """NotAskedError when it is none of these URLs."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https", "tcp", "unix"):
        raise NotAskedError("expected http://, https://, tcp://host:port or unix:///path")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise NotAskedError("a space or control character in it")
    if scheme == "unix":
        if not rest.startswith("/"):
            raise NotAskedError("a unix URL has three slashes: unix:///run/app.sock")
        return Target(scheme, "", 0, rest, "")
    cut = min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:].partition("#")[0]
    userinfo, _, authority = authority.rpartition("@")
    host, colon, number = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
    if not colon:
        host, number = authority, {"http": "80", "https": "443"}.get(scheme, "")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host:
        raise NotAskedError("no host in it")
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise NotAskedError(f"{number!r} is no port" if number else "no port in it")
    return Target(scheme, host, int(number), path if path.startswith("/") else f"/{path}", userinfo)


def addresses(host: str) -> list[tuple[int, str]]:
    """(family, address) of a host that no resolver need be asked for; localhost is one. Empty for any other name."""
    if host.lower() == "localhost":
        return [(_socket.AF_INET, "127.0.0.1"), (_socket.AF_INET6, "::1")]
    for family, text in ((_socket.AF_INET, host), (_socket.AF_INET6, host.partition("%")[0])):
        try:
            _socket.inet_pton(family, text)
        except OSError:
            continue
        return [(family, host)]
    return []


def _ask(target: Target, deadline: float) -> tuple[bool, str]:
    started, place = time.monotonic(), target.place
    sock = None
    try:
        sock = _connect(target, deadline)
        if target.scheme in ("tcp", "unix"):
            return True, f"connected to {place} after {since(started)}"
        if target.scheme == "https":
            sock = _tls(sock, target.host, deadline)
        return get(sock, target, started, deadline)
    except TimeoutError:
        stage = "no connection to" if sock is None else "no answer from"
        return False, f"{stage} {place} within {since(started)}"
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        doing = "connecting to" if sock is None else "asking"
        return False, f"{doing} {place}: {error.strerror or error} ({name}) after {since(started)}"
    except (ValueError, OverflowError) as error:  # a path with a NUL, a socket path over 107 bytes
        return False, f"asking {place}: {error}"
    finally:
        if sock is not None:
            sock.close()


def _connect(target: Target, deadline: float) -> Any:
    targets: list[tuple[int, Any]]
    if target.scheme == "unix":
        targets = [(_socket.AF_UNIX, os.fsencode(target.path))]
    elif known := addresses(target.host):
        targets = [(family, (text, target.port)) for family, text in known]
    else:
        answers = _socket.getaddrinfo(target.host, target.port, 0, _socket.SOCK_STREAM)
        targets = [(family, address) for family, _, _, _, address in answers]
    failed: OSError = OSError(errno.EADDRNOTAVAIL, "no address")
    for family, address in targets:
        sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(left(deadline))
            sock.connect(address)
        except TimeoutError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            # localhost: that ::1 is not there is no news when 127.0.0.1 refused.
            failed = failed if failed.errno == errno.ECONNREFUSED else error
            continue
        return sock
    raise failed


def _tls(sock: Any, host: str, deadline: float) -> Any:
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.socket(fileno=sock.detach())
    plain.settimeout(left(deadline))
    return context.wrap_socket(plain, server_hostname=None if addresses(host) else host)


def _in_child(target: Target, deadline: float) -> tuple[bool, str]:
    import select

    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            well, words = _ask(target, deadline)
            os.write(write_fd, (b"1" if well else b"0") + words.encode("utf-8", "backslashreplace")[:4000])
        finally:
            os._exit(0)
    os.close(write_fd)
    try:
        ready, _, _ = select.select([read_fd], [], [], max(0.0, deadline - time.monotonic()) + 0.05)
        answer = os.read(read_fd, 4096) if ready else b""
    finally:
        os.close(read_fd)
        try:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        except OSError:
            pass
    if not answer:
        return False, f"{target.place}: its name was not resolved in time"
    return answer[:1] == b"1", answer[1:].decode("utf-8", "replace")
