"""Ports that the server will listen on: free, and this identity may take them.

## What is looked at
A real TCP bind with SO_REUSEADDR, as the runtime identity, on every IPv4 and every IPv6 address (or on `address`
alone). The socket never listens and is closed at once. Where the port is taken, the kernel's tables name the holder.

## Why it matters
A server binds its port after the weights are loaded: minutes of loading end in "Address already in use".

## How to fix
End the holder, or give the server another port. Below 1024: another port, or the sysctl that lets everybody bind.

## Limits
What takes the port after the look is not seen. A holder of another user, another container of the pod, or with host
networking another process of the node is seen without its name. A port that two servers share on purpose
(SO_REUSEPORT) counts as taken. Connections in TIME_WAIT do not.
"""

import errno
import os
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct, to_builtins

from modelgate.finding import IMAGE, Finding, Fix, fail, ok, unknown, warn
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.remedies import host as remedies
from modelgate.sockets import Holder, holders

SHORTHAND = "port"  # an entry written as a bare number is {port: number}

_CAP_NET_BIND_SERVICE = 10


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest may ask of a port."""

    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port that must be free to bind")]
    address: Annotated[str | None, Meta(description="IP address to bind; default every address, IPv4 and IPv6")] = None

    def __post_init__(self) -> None:
        if self.address is not None and not _family(self.address):
            raise ValueError(f"expected an IP address like 127.0.0.1 or ::1, got {self.address!r}")

    @property
    def subject(self) -> str:
        if self.address is None:
            return f"port {self.port}"
        return f"port {self.port} on {self.address}"


class Bind(Struct, frozen=True):
    """One attempt; `errno` empty when it went well."""

    address: str
    errno: str = ""
    message: str = ""


class Facts(Struct, frozen=True):
    """The attempts, who holds the port, and why a low port may be denied."""

    binds: tuple[Bind, ...]
    holders: tuple[Holder, ...] = ()
    unprivileged_from: int = 0
    may_bind_low: bool = False


def prepare(_specs: Sequence[Spec]) -> None:
    """The runtime identity may not be able to read Python's own library (a venv below /root)."""
    import socket  # noqa: F401


def observe(spec: Spec, host: Host) -> Facts:
    """Bind and close; look for the holder where that fails."""
    addresses = ("0.0.0.0", "::") if spec.address is None else (spec.address,)  # noqa: S104 - what a server binds
    binds = []
    for address in addresses:
        host.tell(doing=f"bind {address} port {spec.port}")
        binds.append(_bind(address, spec.port))
    taken = any(b.errno == "EADDRINUSE" for b in binds)
    start = _number(host, "sys/net/ipv4/ip_unprivileged_port_start", 1024)
    held = holders(host, spec.port, spec.address) if taken else ()
    return Facts(tuple(binds), held, start, _may_bind_low(host))


def _family(address: str) -> int:
    import socket

    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address)
        except (OSError, ValueError):
            continue
        return family
    return 0


def _bind(address: str, port: int) -> Bind:
    import socket

    family = _family(address)
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as it:
            # As every server does: without it a connection in TIME_WAIT would count as a holder.
            it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                it.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            it.bind((address, port))
    except OSError as error:
        return Bind(address, errno.errorcode.get(error.errno or 0, str(error.errno)), os.strerror(error.errno or 0))
    return Bind(address)


def _number(host: Host, path: str, default: int) -> int:
    try:
        return int(host.read(host.proc(path)))
    except (OSError, ValueError):
        return default


def _may_bind_low(host: Host) -> bool:
    try:
        lines = host.read(host.proc("self/status")).splitlines()
    except OSError:
        return os.geteuid() == 0
    caps = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return bool(caps >> _CAP_NET_BIND_SERVICE & 1)


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """One finding for the port."""
    # A machine without IPv6 (or without IPv4) is no fault as long as one of them is there.
    absent = ("EAFNOSUPPORT", "EADDRNOTAVAIL", "EPROTONOSUPPORT")
    tried = [b for b in facts.binds if spec.address is not None or b.errno not in absent]
    said = {"port": spec.port, "binds": {b.address: b.errno or "ok" for b in facts.binds}}
    if not tried:
        observed = "; ".join(f"bind {b.address}: {b.errno} ({b.message})" for b in facts.binds)
        return [unknown("port-address", spec.subject, observed, "There is neither IPv4 nor IPv6 here.", **said)]
    bad = next((b for b in tried if b.errno), None)
    if bad is None:
        return [ok(spec.subject, f"free to bind on {' and '.join(b.address for b in tried)} as {place.who}", **said)]
    observed = f"bind {bad.address} port {spec.port} as {place.who}: {bad.errno} ({bad.message})"
    if bad.errno == "EADDRINUSE":
        return [_in_use(spec, facts, place, tried, observed)]
    if bad.errno in ("EACCES", "EPERM"):
        return [_denied(spec, facts, place, observed)]
    if bad.errno in absent:
        fix = Fix(when="the server may listen on any address", do="Remove `address` from this entry", who=IMAGE)
        why = "A server cannot listen on an address that this machine does not have."
        return [fail("port-address", spec.subject, observed, why, fix, **said)]
    return [unknown("port-in-use", spec.subject, observed, "Whether the port is free is not known.", **said)]


def _in_use(spec: Spec, facts: Facts, place: Place, tried: list[Bind], observed: str) -> Finding:
    said = {"port": spec.port, "holders": [to_builtins(h) for h in facts.holders]}
    observed += ". " + ("; ".join(_who(h) for h in facts.holders) or _NOBODY)
    fixes = remedies.port(place, spec.port)
    if spec.address is None and len(tried) > 1 and not tried[0].errno:
        only = Fix(when="the server listens on IPv4 only", do="Say so in the manifest", snippet=_V4.format(spec.port))
        why = "On IPv4 the port is free. A server that listens on `::` cannot start; one that listens on 0.0.0.0 can."
        return warn("port-in-use", spec.subject, observed, why, *fixes, only, **said)
    why = "The server would fail with the same error, after it has loaded."
    return fail("port-in-use", spec.subject, observed, why, *fixes, **said)


_V4 = 'ports:\n  - {{port: {}, address: "0.0.0.0"}}'
_NOBODY = (
    "No connection or listener of that port is in the kernel's table: perhaps a socket that is bound and not listening"
)


def _who(holder: Holder) -> str:
    what = f"{holder.local} is {holder.state}"
    if holder.pid is not None:
        return f"{what}: pid {holder.pid} ({holder.command}), uid {holder.uid}"
    return (
        f"{what}, uid {holder.uid}: a process outside this container or of another user"
        " (another container of the pod, or with host networking one of the node: which, cannot be seen from here)"
    )


def _denied(spec: Spec, facts: Facts, place: Place, observed: str) -> Finding:
    said = {"port": spec.port, "unprivileged_from": facts.unprivileged_from}
    if spec.port < facts.unprivileged_from and not facts.may_bind_low:
        why = (
            f"Below {facts.unprivileged_from} (net.ipv4.ip_unprivileged_port_start) a port needs the capability"
            " NET_BIND_SERVICE, which this identity does not have."
        )
        return fail("port-denied", spec.subject, observed, why, *remedies.low_port(place, spec.port), **said)
    why = (
        f"The rule for low ports is not the reason (it ends at {facts.unprivileged_from}):"
        " perhaps a security module (SELinux, a BPF program of the node) denies it; that is a guess."
    )
    other = Fix(when="another port will do", do="Let the server listen on another port, and change this entry")
    return fail("port-denied", spec.subject, observed, why, other, **said)
