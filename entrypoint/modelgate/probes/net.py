"""A TCP connection within what is left of the attempt: all addresses of a name, IPv6 first, none waiting long for
another. A dead IPv6 route must not hide a live IPv4 one.
"""

import errno
import os
import selectors
import socket
import time
from collections import deque

from modelgate.probes.answers import Cause, Failed, NotYet
from modelgate.probes.call import Address, Call, show
from modelgate.probes.url import join

HEAD_START = 0.25  # seconds that an address has for itself before the next is tried beside it

# The most telling first: where one address refuses and another has no route, "refused" is the news.
_CAUSES: dict[int, Cause] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "closed",
    errno.ETIMEDOUT: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "unreachable",
    errno.EPERM: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EAFNOSUPPORT: "unreachable",
}
_RANK = {number: rank for rank, number in enumerate(_CAUSES)}


def connect(call: Call, host: str, port: int) -> tuple[socket.socket, str]:
    """A connected socket (blocking; the caller sets its timeout and closes it) and the address of the other end.

    Failed says what each address did.
    """
    waiting = deque(_in_turn(call.addresses(host, port)))
    errors: dict[Address, int] = {}
    trying: dict[socket.socket, Address] = {}
    with selectors.DefaultSelector() as selector:
        try:
            next_start = 0.0
            while waiting or trying:
                now = time.monotonic()
                if now >= call.deadline:
                    break
                if waiting and (not trying or now >= next_start):
                    address = waiting.popleft()
                    next_start = now + HEAD_START
                    _start(address, trying, errors, selector)
                    continue
                pause = min(call.deadline, next_start if waiting else call.deadline) - now
                for key, _ in selector.select(max(pause, 0)):
                    sock: socket.socket = key.data
                    address = trying.pop(sock)
                    selector.unregister(sock)
                    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or _to_itself(sock)
                    if not number:
                        sock.setblocking(True)
                        return sock, show(address)
                    sock.close()
                    errors[address] = number
        finally:
            for sock in trying:
                sock.close()
    for address in [*trying.values(), *waiting]:
        errors[address] = errno.ETIMEDOUT
    raise Failed(_answer(call, host, port, errors))


def _start(
    address: Address, trying: dict[socket.socket, Address], errors: dict[Address, int], selector: selectors.BaseSelector
) -> None:
    sock = None
    try:
        sock = socket.socket(address[0], socket.SOCK_STREAM)
        sock.setblocking(False)
        number = sock.connect_ex(address[1])
    except OSError as error:
        number = error.errno or errno.EIO
    if sock is not None and number in (0, errno.EINPROGRESS):
        trying[sock] = address
        selector.register(sock, selectors.EVENT_WRITE, sock)
        return
    if sock is not None:
        sock.close()
    errors[address] = number


def _in_turn(addresses: list[Address]) -> list[Address]:
    """IPv6 first, then the families by turns."""
    six = [a for a in addresses if a[0] == socket.AF_INET6]
    four = [a for a in addresses if a[0] != socket.AF_INET6]
    pairs = [a for pair in zip(six, four, strict=False) for a in pair]
    return pairs + six[len(four) :] + four[len(six) :]


def _to_itself(sock: socket.socket) -> int:
    """A port of the ephemeral range on loopback may be met by the very socket that asks: nobody listens there."""
    try:
        return errno.ECONNREFUSED if sock.getsockname() == sock.getpeername() else 0
    except OSError as error:
        return error.errno or errno.EIO


def _answer(call: Call, host: str, port: int, errors: dict[Address, int]) -> NotYet:
    peers = tuple(f"{show(a)} {errno.errorcode.get(n, str(n))}" for a, n in errors.items())
    if not errors:
        return NotYet(cause="dns", why=f"{host} resolves to no address", errno="EAI_NODATA")
    number = min(errors.values(), key=lambda n: _RANK.get(n, len(_RANK)))
    those = " and ".join(show(a) for a, n in errors.items() if n == number)
    through = those if those == join(host, port) else f"{those} ({host})"
    name = errno.errorcode.get(number, str(number))
    if number == errno.ECONNREFUSED:
        why = f"connection refused by {through} ({name})"
    elif number == errno.ETIMEDOUT:
        why = f"no answer to the connection attempt from {through} within {call.seconds:.1f} s"
    else:
        why = f"cannot connect to {through}: {os.strerror(number)} ({name})"
    return NotYet(cause=_CAUSES.get(number, "local"), why=why, errno=name, peers=peers)
