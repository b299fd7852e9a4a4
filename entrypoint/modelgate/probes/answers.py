"""What a probe answers: Ready, NotYet (ask again) or Never (asking again cannot help). Plain data."""

from typing import Literal

from msgspec import Struct

# Why a dependency is not ready. The judge of `wait_for` turns each into a finding code and a fix.
Cause = Literal[
    "refused",  # the host answered that nobody listens there
    "unreachable",  # no route, or no answer at all to the connection attempt
    "closed",  # accepted, then reset or closed without an answer
    "silent",  # accepted, then no complete answer in time
    "protocol",  # answered with something that is not the protocol asked for
    "dns",  # the name does not resolve
    "dns-silent",  # no name server answered
    "status",  # HTTP status, body or JSON value other than asked for; gRPC NOT_SERVING
    "redirect",  # redirects that are not followed: too many, or to another scheme
    "denied",  # HTTP 401 or 403, gRPC UNAUTHENTICATED or PERMISSION_DENIED
    "socket-denied",  # the mode of a unix socket or of its directory
    "absent",  # no such unix socket
    "failed",  # a command ended with another exit code than 0, or not in time
    "tls-ca",  # signed by nobody we trust
    "tls-name",  # made out for another name
    "tls-expired",
    "tls-not-yet",  # valid from a later time on: a clock may be wrong
    "tls-client",  # the server wants another client certificate than the one it got, or one at all
    "tls-plain",  # TLS spoken to a port that does not speak it
    "tls-needed",  # plain HTTP spoken to a port that speaks TLS
    "tls-file",  # ca, cert or key is no usable PEM file
    "tls",  # any other failure of the handshake
    "file-missing",
    "file-unreadable",
    "file-wrong-type",
    "file-not-executable",
    "file-hung",  # the file system under ca, cert, key or command does not answer
    "no-grpc",  # this installation has no grpcio
    "local",  # this container's own limits: open files, memory, processes
]


class Answer(Struct, frozen=True, kw_only=True):
    """One attempt.

    why     for a person, in one line: "connection refused by 10.0.0.7:6379"
    errno   ECONNREFUSED, EAI_NONAME, an OpenSSL or gRPC reason
    status  of HTTP, or the exit code of a command
    peers   every address tried, with the errno of those that failed
    url     where redirects ended, when any were followed
    tls     protocol version and the end of the certificate's life
    path    the file that decided: a certificate, a socket, a command
    """

    why: str
    errno: str = ""
    status: int | None = None
    peers: tuple[str, ...] = ()
    url: str = ""
    tls: str = ""
    path: str = ""


class Ready(Answer, frozen=True, kw_only=True):
    """The dependency is there; `why` says what was seen."""


class NotYet(Answer, frozen=True, kw_only=True):
    """Ask again."""

    cause: Cause


class Never(Answer, frozen=True, kw_only=True):
    """Asking again cannot help: the wait ends here."""

    cause: Cause


class Failed(Exception):  # noqa: N818 - not an error of ours: it carries the answer up to the one who asked
    """Raised inside a probe to end the attempt with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.why)
        self.answer = answer
