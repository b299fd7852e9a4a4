"""Who holds a TCP port: the kernel's tables of sockets, and the processes whose descriptors may be seen."""

import os
import sys

from msgspec import Struct

from modelgate.host import Host

# TIME_WAIT (06) and SYN_RECV (03) keep nobody from binding.
_STATES = {
    "01": "established",
    "02": "syn-sent",
    "04": "fin-wait-1",
    "05": "fin-wait-2",
    "08": "close-wait",
    "09": "last-ack",
    "0A": "listening",
    "0B": "closing",
}
_MOST = 4  # told of one port


class Holder(Struct, frozen=True):
    """One socket of the port; pid and command only where this identity may see them."""

    state: str
    uid: int
    local: str = ""
    pid: int | None = None
    command: str = ""


def holders(host: Host, port: int, address: str | None = None) -> tuple[Holder, ...]:
    """At most four sockets that have `port` (on `address` or on every address), listeners before all others."""
    found: dict[str, Holder] = {}
    for table in ("net/tcp", "net/tcp6"):
        try:
            rows = host.read(host.proc(table), 8 << 20).splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            words = row.split()
            if len(words) > 9 and words[1].endswith(f":{port:04X}") and words[3] in _STATES:
                local = _address(words[1])
                if address is None or local in (address, "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
                    found[words[9]] = Holder(_STATES[words[3]], int(words[7]), local)
    # A listener explains more than the connections that it has accepted.
    chosen = {inode: h for inode, h in found.items() if h.state == "listening"} or found
    first = dict(list(chosen.items())[:_MOST])
    owners = _owners(host, set(first)) if first else {}
    return tuple(Holder(h.state, h.uid, h.local, *owners.get(inode, (None, ""))) for inode, h in first.items())


def _owners(host: Host, inodes: set[str]) -> dict[str, tuple[int, str]]:
    owners: dict[str, tuple[int, str]] = {}
    for pid in (name for name in os.listdir(host.proc()) if name.isdigit()):
        try:
            for fd in os.listdir(host.proc(f"{pid}/fd")):
                target = os.readlink(host.proc(f"{pid}/fd/{fd}"))
                if target.startswith("socket:[") and target[8:-1] in inodes:
                    # comm and not the command line: that one may hold a password.
                    comm = host.read(host.proc(f"{pid}/comm")).strip()
                    owners.setdefault(target[8:-1], (int(pid), comm.encode("utf-8", "replace").decode()))
        except OSError:  # another user's, or gone already
            continue
    return owners


def _address(word: str) -> str:
    """`0100007F:1F40` -> `127.0.0.1`: words of 32 bits in the byte order of the machine."""
    import socket

    raw = bytes.fromhex(word.partition(":")[0])
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
