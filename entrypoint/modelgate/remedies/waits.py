"""Cures for a dependency that was waited for in vain: one for each cause."""

from collections.abc import Callable

from modelgate.finding import Fix
from modelgate.host import Place
from modelgate.probes.answers import Cause
from modelgate.probes.spec import Spec
from modelgate.remedies import wait_answers, wait_local, wait_reach, wait_tls


def cure(cause: Cause, spec: Spec, path: str, place: Place, status: int | None = None) -> tuple[Fix, ...]:
    """At least one Fix. `path` is the file that decided, `status` the last one of HTTP, if there were any."""
    if cause == "status" and spec.http:
        return wait_answers.status(spec, path, place, status)
    found = _CURES[cause]
    if cause != "local" and not cause.startswith("file-"):
        if spec.unix and cause != "socket-denied":
            found = wait_local.socket
        elif spec.exec:
            found = wait_local.command
        elif spec.dns and cause != "dns-silent":
            found = wait_reach.dns
    return found(spec, path, place)


_CURES: dict[Cause, Callable[[Spec, str, Place], tuple[Fix, ...]]] = {
    "refused": wait_reach.refused,
    "unreachable": wait_reach.no_way,
    "closed": wait_answers.look_at_it,
    "silent": wait_answers.slow,
    "protocol": wait_answers.look_at_it,
    "dns": wait_reach.dns,
    "dns-silent": wait_reach.resolver,
    "status": wait_answers.status,
    "redirect": wait_answers.redirect,
    "denied": wait_answers.denied,
    "socket-denied": wait_local.socket_denied,
    "absent": wait_local.socket,
    "failed": wait_local.command,
    "tls-ca": wait_tls.authority,
    "tls-name": wait_tls.name,
    "tls-expired": wait_tls.expired,
    "tls-not-yet": wait_tls.expired,
    "tls-client": wait_tls.client,
    "tls-plain": wait_tls.plain,
    "tls-needed": wait_tls.needs_tls,
    "tls-file": wait_local.file,
    "tls": wait_tls.handshake,
    "file-missing": wait_local.file,
    "file-unreadable": wait_local.file,
    "file-wrong-type": wait_local.wrong_type,
    "file-not-executable": wait_local.program,
    "file-hung": wait_local.hung,
    "no-grpc": wait_answers.grpc,
    "local": wait_local.local,
}
