"""A socket whose every wait ends with the attempt: http.client reads and writes through it.

A socket's own timeout starts anew with every byte, so a server that drips one a second would never be given up on.
"""

import io
import socket
from typing import Any

from modelgate.probes.call import Call


class Stream:
    """As much of a socket as http.client uses. Does not own `sock`."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        self._sock = sock
        self._call = call

    def sendall(self, data: Any) -> None:
        """TimeoutError when the attempt is over."""
        view = memoryview(data).cast("B")
        while view:
            self._sock.settimeout(self._call.left())
            view = view[self._sock.send(view) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        """For reading only."""
        return io.BufferedReader(_Reader(self._sock, self._call))

    def close(self) -> None:
        """Its owner closes the socket."""


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, call: Call) -> None:
        super().__init__()
        self._sock = sock
        self._call = call

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._call.left())
        return self._sock.recv_into(buffer)
