"""Kernel parameters (sysctl) as the server will find them.

## What is looked at
Each name under `host.sysctl`, read from the kernel's own files as the runtime identity, and compared with what the
manifest asks: `<=10`, `<10`, `>=65530`, `>1`, `==1`, or the value itself. Several values in one parameter
(`4096 131072 6291456`) are compared as text, with every run of blanks taken as one.

## Why it matters
A high vm.swappiness swaps weights out while they are loaded, a low vm.max_map_count ends a server that maps many
files, and the error that follows names neither.

## How to fix
Parameters that belong to a container (net.ipv4.*, kernel.shm*, kernel.msg*, fs.mqueue.*) are set where the container
is described; all others belong to the node and are set there.

## Limits
A parameter may change after the look. Some exist only outside of a container's network namespace and are then told as
not there; `optional: true` lets those pass.
"""

import errno
import os
import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct, field

from modelgate.finding import IMAGE, Finding, Fix, fail, ok, unknown
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.remedies import host as remedies

NOT_YET = ("memory", "shm", "memlock", "nofile", "swap")  # known keys of `host` that this version refuses

_WANTED = re.compile(r"\s*(<=|>=|==|<|>|)\s*(\S.*?)\s*", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@/-]*", re.ASCII)


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest may ask of the kernel."""

    sysctl: Annotated[
        dict[str, str | int],
        Meta(
            description="Kernel parameters: the value itself, or a comparison with a whole number",
            examples=[{"vm.swappiness": "<=10", "net.ipv4.tcp_rmem": "4096 131072 6291456"}],
        ),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, wanted in self.sysctl.items():
            file_of(name)
            parse(str(wanted))

    @property
    def subject(self) -> str:
        return "host"


class Seen(Struct, frozen=True):
    """One parameter: its text, or the errno name of the attempt to read it."""

    path: str
    value: str = ""
    errno: str = ""
    message: str = ""
    near: tuple[str, ...] = ()
    hidden: bool = False  # no parameter is there at all: that this one is not says nothing


class Facts(Struct, frozen=True):
    """What was read, by the name that the manifest uses."""

    sysctl: dict[str, Seen]


def file_of(name: str) -> str:
    """`vm.swappiness` -> `vm/swappiness`. Where a slash comes first, dots stay: `net/ipv4/conf/eth0.100/rp_filter`.

    ValueError with a message for a person.
    """
    first = re.search(r"[./]", name)
    path = name if first and first[0] == "/" else name.translate(str.maketrans("./", "/."))
    if not _NAME.fullmatch(name) or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{name!r} is no kernel parameter: expected a name like vm.swappiness")
    return path


def parse(wanted: str) -> tuple[str, str]:
    """`<=10` -> ("<=", "10"); a bare value -> ("", value). ValueError with a message for a person."""
    match = _WANTED.fullmatch(wanted)
    if match is None:
        raise ValueError(f"expected a value or a comparison like '<=10', got {wanted!r}")
    operator, value = match[1], " ".join(match[2].split())
    if operator in ("<", "<=", ">", ">=") and not _INTEGER.fullmatch(value):
        raise ValueError(f"{operator} compares whole numbers, got {wanted!r}")
    return operator, value


def prepare(_specs: Sequence[Spec]) -> None:
    """The runtime identity may not be able to read Python's own library (a venv below /root)."""
    import difflib  # noqa: F401


def observe(spec: Spec, host: Host) -> Facts:
    """Read every parameter."""
    return Facts({name: _read(name, host) for name in spec.sysctl})


def _read(name: str, host: Host) -> Seen:
    path = host.proc("sys/" + file_of(name))
    host.tell(doing="read", path=path)
    try:
        # More than a page is no sysctl; surrogates could not be sent.
        text = host.read(path, 65536).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return Seen(path, " ".join(text.split()))
    except OSError as error:
        number = error.errno or 0
        code = errno.errorcode.get(number, str(number))
        if number != errno.ENOENT:
            return Seen(path, errno=code, message=os.strerror(number))
        hidden = not os.path.isdir(host.proc("sys/kernel"))
        message = f"none of the kernel's parameters is visible under {host.proc('sys')}" if hidden else ""
        return Seen(path, errno=code, message=message or os.strerror(number), near=_near(path, name), hidden=hidden)


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """One finding for each parameter."""
    return [_judge(name, str(wanted), facts.sysctl[name], spec, place) for name, wanted in spec.sysctl.items()]


def _judge(name: str, wanted: str, seen: Seen, spec: Spec, place: Place) -> Finding:
    operator, value = parse(wanted)
    said = {"wanted": wanted, "path": seen.path, "errno": seen.errno, "value": seen.value}
    if seen.errno == "ENOENT" and not seen.hidden:
        return ok(name, "not there, and optional", **said) if spec.optional else _absent(name, seen, said)
    if seen.errno:
        observed = f"reading {seen.path} as {place.who}: {seen.errno} ({seen.message})"
        drop = Fix(when="the server does not depend on it", do=f"Remove {name} from host.sysctl", who=IMAGE)
        return unknown("host-sysctl", name, observed, "Its value is not known.", drop, **said)
    if _holds(operator, value, seen.value):
        return ok(name, f"{seen.value} ({wanted.strip()} asked for)" if operator else seen.value, **said)
    observed = f"{name} is {seen.value or 'empty'}, the manifest asks for {wanted.strip()}"
    if operator in ("<", "<=", ">", ">=") and not _INTEGER.fullmatch(seen.value):
        fix = Fix(when="it has several values", do="Write all of them, without a comparison", who=IMAGE)
        return fail("host-sysctl", name, observed, "That is not one number, so it cannot be compared.", fix, **said)
    why = "The manifest says that the server needs it (host.sysctl)."
    target = str(int(value) + {"<": -1, ">": 1}.get(operator, 0)) if operator in ("<", ">") else value
    return fail("host-sysctl", name, observed, why, *remedies.sysctl(place, _dotted(name), target), **said)


def _absent(name: str, seen: Seen, said: dict[str, str]) -> Finding:
    observed = f"no such parameter here: {seen.path}: ENOENT"
    if seen.near:
        observed += f"; perhaps {' or '.join(seen.near)} is meant"
    fixes = [
        Fix(when="the name is a slip", do="Correct it in host.sysctl", snippet="sysctl -a", who=IMAGE),
        Fix(
            when="the server can do without",
            do="Let it pass where it is not there",
            snippet="optional: true",
            who=IMAGE,
        ),
    ]
    why = "This kernel, or this container's namespace, has no parameter of that name."
    return fail("host-sysctl", name, observed, why, *fixes, **said)


def _holds(operator: str, value: str, seen: str) -> bool:
    if not (_INTEGER.fullmatch(value) and _INTEGER.fullmatch(seen)):
        return operator in ("", "==") and value == seen
    a, b = int(seen), int(value)
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}.get(operator, a == b)


def _dotted(name: str) -> str:
    return file_of(name).translate(str.maketrans("./", "/."))


def _near(path: str, name: str) -> tuple[str, ...]:
    from difflib import get_close_matches

    folder, last = os.path.split(path)
    try:
        names = [n for n in os.listdir(folder) if n.isprintable()]
    except OSError:
        return ()
    head = name[: len(name) - len(last)]
    return tuple(head + n for n in get_close_matches(last, names, n=2, cutoff=0.7))
