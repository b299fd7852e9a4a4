"""What the server depends on, waited for: HTTP, TCP, DNS, unix sockets, commands, gRPC.

## What is looked at
Each dependency is asked again and again, all of them at the same time, until it is ready or its `timeout` (5 minutes
when none is given) is over. Between two attempts passes a random time that grows up to `backoff.max`, so readiness is
noticed within that. Each failed attempt stands in the log with the error that the dependency really gave.

## Why it matters
A server that starts before its database, its registry or its vector store fails after minutes of loading, or worse,
comes up without it. Connection refused, an unknown name, a certificate and a missing token look alike in its log and
have different cures.

## How to fix
The finding names what was seen last and where to look: the Service's endpoints, the common network, the authority's
certificate, the token. What asking again cannot cure (401 and 403, a certificate that is not trusted, expired or made
out for another name, a command that is not there) ends the wait at once.

## Limits
Readiness is a moment: a dependency may go away again. The server is never started after a wait that failed, unless
the entry says `level: warn` or `optional: true`. Proxies and .netrc are not used. gRPC is asked without TLS.
A name that does not resolve is waited for: on Kubernetes it comes with its Service.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from modelgate.finding import Finding, fail, ok, warn
from modelgate.host import Host, Place
from modelgate.probes import probe, url
from modelgate.probes.answers import Answer, Cause, Never, NotYet, Ready
from modelgate.probes.spec import Spec
from modelgate.units import show_seconds

if TYPE_CHECKING:
    from modelgate.probes.engine import Outcome

__all__ = ["Facts", "Spec", "from_url", "judge", "observe", "observe_all", "prepare"]

CODES: dict[Cause, str] = {
    "refused": "wait-refused",
    "unreachable": "wait-timeout",
    "closed": "wait-timeout",
    "silent": "wait-timeout",
    "protocol": "wait-timeout",
    "absent": "wait-timeout",
    "failed": "wait-timeout",
    "local": "wait-timeout",
    "dns": "wait-dns",
    "dns-silent": "wait-dns",
    "status": "wait-status",
    "redirect": "wait-status",
    "denied": "wait-denied",
    "socket-denied": "wait-denied",
    "tls": "wait-tls",
    "tls-ca": "wait-tls",
    "tls-name": "wait-tls",
    "tls-expired": "wait-tls",
    "tls-not-yet": "wait-tls",
    "tls-client": "wait-tls",
    "tls-plain": "wait-tls",
    "tls-needed": "wait-tls",
    "tls-file": "wait-tls",
    "file-missing": "path-missing",
    "file-unreadable": "path-unreadable",
    "file-wrong-type": "path-wrong-type",
    "file-not-executable": "path-not-executable",
    "file-hung": "path-hung",
    "no-grpc": "manifest-unsupported",
}
_NEEDS = "The manifest says that the server depends on it (wait_for)."


class Facts(Struct, frozen=True, kw_only=True):
    """How the wait ended. Holds no secret.

    saw, error  for a person: what made it ready; or the last real error, and its `cause` and `errno` name
    hopeless    the wait ended early, because asking again could not help
    seconds     from the first attempt to the end
    status      of HTTP, or the exit code of a command
    peers       addresses, with the errno of those that failed
    url         where redirects ended, when any were followed
    path        the file that decided: a certificate, a socket, a command
    """

    ready: bool
    attempts: int
    seconds: float
    saw: str = ""
    cause: Cause | None = None
    error: str = ""
    errno: str = ""
    hopeless: bool = False
    status: int | None = None
    peers: tuple[str, ...] = ()
    url: str = ""
    tls: str = ""
    path: str = ""


def from_url(text: str) -> Spec:
    """The Spec of `--wait-for URL`. ValueError with a message for a person."""
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme in ("http", "https") and rest.startswith("//"):
        return Spec(http=text)
    if scheme == "tcp" and rest.startswith("//"):
        return Spec(tcp=rest[2:].rstrip("/"))
    if scheme == "unix" and rest.startswith("//"):
        return Spec(unix=rest[2:])
    if scheme == "dns" and colon and not rest.startswith("//"):
        return Spec(dns=rest)
    raise ValueError(f"expected http(s)://…, tcp://HOST:PORT, dns:NAME or unix:///PATH, got {url.show(text)!r}")


def prepare(specs: Sequence[Spec]) -> None:
    """Imports that the runtime identity may not be able to make."""
    import encodings.idna  # noqa: F401 - getaddrinfo asks for it
    import http.client  # noqa: F401

    import tenacity  # noqa: F401

    from modelgate.probes import engine  # noqa: F401

    for scheme in {spec.scheme for spec in specs}:
        probe(scheme)
    if any(spec.http for spec in specs):
        import ssl  # noqa: F401
    if any(spec.grpc for spec in specs):
        try:
            from grpc_health.v1 import health_pb2_grpc  # noqa: F401
        except ImportError:
            pass  # told by the probe, for the entries that need it


def observe_all(specs: Sequence[Spec], host: Host, done: Callable[[int, Facts], None]) -> None:
    """All waits at once; done(index, facts) as each is decided."""
    from modelgate.probes import engine

    engine.wait_all(specs, host, lambda index, outcome: done(index, _facts(outcome)))


def observe(spec: Spec, host: Host) -> Facts:
    """One wait."""
    found: list[Facts] = []
    observe_all([spec], host, lambda _, facts: found.append(facts))
    return found[0]


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """One finding. An optional dependency that never came is a warn; one that is there and refuses us is not."""
    evidence = {
        name: value
        for name in ("attempts", "errno", "cause", "status", "peers", "url", "tls", "path", "hopeless")
        if (value := getattr(facts, name))
    }
    times = f"{facts.attempts} attempt{'' if facts.attempts == 1 else 's'} in {show_seconds(facts.seconds)}"
    if facts.ready or facts.cause is None:
        return [ok(spec.subject, f"ready after {times}: {facts.saw}", **evidence)]
    code = CODES[facts.cause]
    by_path = code.startswith("path-") and facts.path
    subject = facts.path if by_path else spec.subject
    if facts.hopeless:
        observed = f"{facts.error} (attempt {facts.attempts}, after {show_seconds(facts.seconds)})"
        why = f"{_NEEDS} Asking again cannot change this, so the wait ended early."
    else:
        last = facts.error or "nothing was seen"
        observed = f"not ready after {times}; the last answer: {last}"
        why = f"{_NEEDS} Its timeout of {show_seconds(spec.timeout)} is over."
    if by_path:
        evidence["dependency"] = spec.subject
    from modelgate.remedies import waits

    fixes = waits.cure(facts.cause, spec, facts.path, place, facts.status)
    if spec.optional and not facts.hopeless:
        return [
            warn(code, subject, observed, f"{why} The entry is optional, so the server starts.", *fixes, **evidence)
        ]
    return [fail(code, subject, observed, why, *fixes, **evidence)]


def _facts(outcome: "Outcome") -> Facts:
    answer: Answer = outcome.answer
    ready = isinstance(answer, Ready)
    return Facts(
        ready=ready,
        attempts=outcome.attempts,
        seconds=round(outcome.seconds, 3),
        saw=answer.why if ready else "",
        cause=answer.cause if isinstance(answer, (NotYet, Never)) else None,
        error="" if ready else answer.why,
        errno=answer.errno,
        hopeless=isinstance(answer, Never),
        status=answer.status,
        peers=answer.peers,
        url=answer.url,
        tls=answer.tls,
        path=answer.path,
    )
