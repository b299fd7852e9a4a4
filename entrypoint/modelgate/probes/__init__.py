"""The schemes of `wait_for`: one module each, one line each.

A probe has `ask(spec, call) -> Ready | NotYet | Never`. It runs in a thread beside the other probes, keeps to
`call.left()` in everything that can wait, closes what it opens, and may raise Failed to end an attempt midway.
The table holds names, so that PID 1, which only reads the manifest, imports none of them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from modelgate.probes.answers import Answer
    from modelgate.probes.call import Call
    from modelgate.probes.spec import Spec


class Probe(Protocol):
    """What mypy holds every probe module to."""

    def ask(self, spec: "Spec", call: "Call") -> "Answer": ...


PROBES: Mapping[str, str] = {
    "http": "modelgate.probes.http",
    "tcp": "modelgate.probes.tcp",
    "dns": "modelgate.probes.dns",
    "unix": "modelgate.probes.unix",
    "exec": "modelgate.probes.exec",
    "grpc": "modelgate.probes.grpc",
}

if TYPE_CHECKING:
    from modelgate.probes import dns, exec, grpc, http, tcp, unix  # noqa: A004 - the scheme is called exec

    _CHECKED: tuple[Probe, ...] = (http, tcp, dns, unix, exec, grpc)


def probe(scheme: str) -> Probe:
    """The module of a scheme."""
    from importlib import import_module

    return cast("Probe", import_module(PROBES[scheme]))
