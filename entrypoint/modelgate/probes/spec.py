"""What the manifest may ask under `wait_for`, checked as far as text can be checked."""

import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from modelgate.kind import Entry
from modelgate.probes import url
from modelgate.probes.redact import command
from modelgate.units import Duration

SCHEMES = ("http", "tcp", "dns", "unix", "exec", "grpc")
HTTP_ONLY = ("status", "body", "json", "headers", "ca", "cert", "key", "insecure", "redirects")
SOCKET_PATH_MAX = 107  # bytes of sun_path without its end

_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110
_Status = Annotated[int, Meta(ge=100, le=599)]
_Path = Annotated[str, Meta(min_length=1)]


class Backoff(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to sleep between two attempts: a random time up to initial * factor^n, never longer than max."""

    initial: Annotated[Duration, Meta(description="Longest sleep after the first attempt (default 100ms)")] = field(
        default_factory=lambda: Duration(0.1)
    )
    max: Annotated[Duration, Meta(description="Longest sleep of all: readiness is noticed within it (default 5s)")] = (
        field(default_factory=lambda: Duration(5))
    )
    factor: Annotated[float, Meta(ge=1, le=100, description="Growth from attempt to attempt (default 2)")] = 2.0
    jitter: Annotated[
        Literal["full", "none"],
        Meta(description="full: a random time up to the limit, so that many replicas spread; none: the limit itself"),
    ] = "full"

    def __post_init__(self) -> None:
        if not 0.001 <= self.initial <= 3600:
            raise ValueError("backoff.initial must be between 1ms and 1h")
        if not self.initial <= self.max <= 3600:
            raise ValueError("backoff.max must be between backoff.initial and 1h")


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One dependency: exactly one of http, tcp, dns, unix, exec, grpc."""

    http: Annotated[
        str | UnsetType,
        Meta(description="http:// or https:// URL, asked by GET", examples=["http://vector-db:6333/readyz"]),
    ] = UNSET
    tcp: Annotated[
        str | UnsetType, Meta(description="HOST:PORT that accepts a connection", examples=["redis:6379", "[::1]:6379"])
    ] = UNSET
    dns: Annotated[str | UnsetType, Meta(description="Name that resolves to an address")] = UNSET
    unix: Annotated[
        str | UnsetType, Meta(description="Path of a socket that accepts a connection; @NAME for an abstract one")
    ] = UNSET
    exec: Annotated[
        tuple[str, ...] | UnsetType,
        Meta(description="Command, without a shell, that ends with exit code 0", examples=[["pg_isready", "-h", "db"]]),
    ] = UNSET
    grpc: Annotated[
        str | UnsetType, Meta(description="HOST:PORT whose grpc.health.v1 answers SERVING (needs modelgate[grpc])")
    ] = UNSET
    service: Annotated[
        str | UnsetType, Meta(description='grpc: the service asked about (default "": the whole server)')
    ] = UNSET

    status: Annotated[
        _Status | tuple[_Status, ...] | UnsetType, Meta(description="http: wanted status or list (default any 2xx)")
    ] = UNSET
    body: Annotated[str | UnsetType, Meta(description="http: regular expression searched in the first MiB")] = UNSET
    json: Annotated[
        dict[str, Any] | UnsetType,
        Meta(description="http: dotted path to wanted value; a number is an index", examples=[{"data.0.state": "ok"}]),
    ] = UNSET
    headers: Annotated[
        dict[str, str] | UnsetType, Meta(description="http: request headers; never shown, never sent to another origin")
    ] = UNSET
    ca: Annotated[
        _Path | UnsetType, Meta(description="http: PEM file or directory trusted beside the system's authorities")
    ] = UNSET
    cert: Annotated[_Path | UnsetType, Meta(description="http: PEM file with the client certificate")] = UNSET
    key: Annotated[_Path | UnsetType, Meta(description="http: PEM file with its key, unless cert holds it")] = UNSET
    insecure: Annotated[
        bool | UnsetType, Meta(description="http: do not check the server's certificate (default false)")
    ] = UNSET
    redirects: Annotated[bool | UnsetType, Meta(description="http: follow up to 5 redirects (default true)")] = UNSET

    attempt_timeout: Annotated[
        Duration, Meta(description="Longest time for one attempt, from name look-up to last byte (default 5s)")
    ] = field(default_factory=lambda: Duration(5))
    timeout: Annotated[
        Duration, Meta(description="How long to wait at most; the server is never started after it (default 5m)")
    ] = field(default_factory=lambda: Duration(300))
    backoff: Annotated[Backoff, Meta(description="Sleeps between attempts")] = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        given = [name for name in SCHEMES if getattr(self, name) is not UNSET]
        if len(given) != 1:
            found = "none is given" if not given else f"{' and '.join(given)} are given: write one entry for each"
            raise ValueError(f"an entry waits for exactly one of {', '.join(SCHEMES)}; {found}")
        scheme = given[0]
        stray = [name for name in HTTP_ONLY if getattr(self, name) is not UNSET and scheme != "http"]
        if stray:
            raise ValueError(f"{', '.join(stray)} {'is' if len(stray) == 1 else 'are'} for http only, not for {scheme}")
        if self.service is not UNSET and scheme != "grpc":
            raise ValueError(f"service is for grpc only, not for {scheme}")
        for name, value in (("attempt_timeout", self.attempt_timeout), ("timeout", self.timeout)):
            if value < 0.001:
                raise ValueError(f"{name} must be at least 1ms")
        _CHECKS[scheme](self)

    @property
    def scheme(self) -> str:
        """Which of http, tcp, dns, unix, exec, grpc it is."""
        return next(name for name in SCHEMES if getattr(self, name) is not UNSET)

    @property
    def subject(self) -> str:
        """The thing waited for, without a secret in it."""
        if self.http:
            return url.show(self.http)
        if self.exec:
            return command(self.exec)
        if self.unix:
            return f"unix://{self.unix}"
        return f"dns:{self.dns}" if self.dns else f"{self.scheme}://{getattr(self, self.scheme)}"


def _check_http(spec: Spec) -> None:
    url.parse(str(spec.http))
    if isinstance(spec.body, str):
        try:
            re.compile(spec.body)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"body is no regular expression: {error}") from None
    if spec.status == ():
        raise ValueError("status is an empty list: nothing could ever match it")
    for path in spec.json or {}:
        if not all(path.split(".")):
            raise ValueError(f"json: {path!r} is no dotted path like status or data.0.state")
    for name, value in (spec.headers or {}).items():
        if not re.fullmatch(_HEADER_NAME, name):
            raise ValueError(f"headers: {name!r} is no header name")
        # The value is a secret more often than not: it stands in no message.
        if value != value.strip(" \t\r\n"):
            raise ValueError(f"headers: the value of {name} begins or ends with a blank or a line end")
        if any(c < " " or c == "\x7f" or c > "\xff" for c in value):
            raise ValueError(f"headers: the value of {name} holds a character that a header cannot carry")
    if spec.key and not spec.cert:
        raise ValueError("key without cert: name the client certificate too")
    if spec.insecure and spec.ca:
        raise ValueError("ca and insecure contradict each other: with insecure no certificate is checked")
    if (
        not str(spec.http).lower().startswith("https:")
        and (spec.cert or spec.ca or spec.insecure)
        and not (spec.redirects is UNSET or spec.redirects)
    ):
        raise ValueError("ca, cert and insecure need an https:// URL")


def _check_endpoint(spec: Spec) -> None:
    url.endpoint(str(getattr(spec, spec.scheme)), spec.scheme)


def _check_dns(spec: Spec) -> None:
    url.host(str(spec.dns))


def _check_unix(spec: Spec) -> None:
    path = str(spec.unix)
    if not path.startswith(("/", "@")) or len(path) < 2 or "\0" in path:
        raise ValueError("unix: expected an absolute path like /run/app.sock, or @NAME for an abstract socket")
    if len(path.encode("utf-8", "surrogateescape")) > SOCKET_PATH_MAX:
        raise ValueError(f"unix: a socket path has at most {SOCKET_PATH_MAX} bytes")


def _check_exec(spec: Spec) -> None:
    words = spec.exec or ()
    if not words or not words[0]:
        raise ValueError("exec: expected a command, like [pg_isready, -h, db]")
    if any("\0" in word for word in words):
        raise ValueError("exec: a word holds a NUL character")


_CHECKS = {
    "http": _check_http,
    "tcp": _check_endpoint,
    "dns": _check_dns,
    "unix": _check_unix,
    "exec": _check_exec,
    "grpc": _check_endpoint,
}
