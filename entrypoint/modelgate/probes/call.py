"""What one attempt may use: its deadline, name look-ups that can be given up on, and memory from attempt to attempt."""

import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from modelgate.probes.answers import Failed, NotYet
from modelgate.probes.url import join

Address = tuple[int, tuple[Any, ...]]  # family, socket address

_EAI = {
    number: name
    for name in ("EAI_NONAME", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "EAI_ADDRFAMILY", "EAI_SYSTEM", "EAI_MEMORY")
    if (number := getattr(socket, name, None)) is not None
}


class Call:
    """One attempt. `deadline` is on time.monotonic's clock and bounds the whole attempt, not one step of it.

    memory   kept between the attempts of one dependency
    doing    what may be hanging right now: ("file", PATH) or ("", "")
    """

    def __init__(self, *, seconds: float, names: "Names", environ: Mapping[str, str], memory: dict[str, Any]) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.names = names
        self.environ = environ
        self.memory = memory
        self.doing: tuple[str, str] = ("", "")

    def left(self) -> float:
        """Seconds left. TimeoutError when there are none, so that it can stand as a socket's timeout."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def addresses(self, host: str, port: int) -> list[Address]:
        """Where `host` lives, IPv6 and IPv4 in the resolver's order. Failed when it cannot be said."""
        return self.names.look_up(host, port, max(self.deadline - time.monotonic(), 0.0))


class _LookUp:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: list[Address] | Failed | None = None


class Names:
    """Name look-ups of all dependencies. getaddrinfo knows no timeout, so each runs in a thread that can be left
    alone; as long as one hangs, nobody starts a second for the same name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _LookUp] = {}

    def look_up(self, host: str, port: int, seconds: float) -> list[Address]:
        """Failed with cause dns, or dns-silent after `seconds`."""
        try:  # an address needs neither thread nor resolver
            return _answer(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST))
        except OSError:
            pass
        with self._lock:
            asked = self._running.get((host, port))
            if asked is None:
                asked = self._running[host, port] = _LookUp()
                thread = threading.Thread(target=self._run, args=(host, port, asked), name=f"dns {host}", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # the pids limit
                    del self._running[host, port]
                    raise Failed(NotYet(cause="local", why=f"no thread for the name look-up: {error}")) from None
        if not asked.done.wait(seconds):
            why = f"no answer from the resolver for {host} within {seconds:.1f} s"
            raise Failed(NotYet(cause="dns-silent", why=why, errno="ETIMEDOUT"))
        if isinstance(asked.result, list):
            return asked.result
        raise asked.result or Failed(NotYet(cause="local", why="the name look-up ended without a result"))

    def _run(self, host: str, port: int, asked: _LookUp) -> None:
        try:
            asked.result = _answer(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except socket.gaierror as error:
            asked.result = Failed(_unresolved(host, error))
        except (OSError, UnicodeError) as error:
            asked.result = Failed(NotYet(cause="local", why=f"the name look-up of {host} failed: {error}"))
        finally:
            with self._lock:
                del self._running[host, port]
            asked.done.set()


def _answer(found: list[Any]) -> list[Address]:
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _unresolved(host: str, error: socket.gaierror) -> NotYet:
    name = _EAI.get(error.errno, str(error.errno))
    said = f"{name}: {error.strerror}"
    if name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY"):
        return NotYet(cause="dns", why=f"{host} does not resolve ({said})", errno=name)
    if name == "EAI_AGAIN":
        # glibc says so when a name server answers SERVFAIL, and when none answers at all.
        return NotYet(cause="dns-silent", why=f"the resolver has no answer for {host} now ({said})", errno=name)
    return NotYet(cause="dns", why=f"the look-up of {host} failed ({said})", errno=name)


def show(address: Address) -> str:
    """`10.0.0.7:6379`, `[::1]:6379`."""
    return join(str(address[1][0]), int(address[1][1]))
