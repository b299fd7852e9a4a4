"""http: a GET answers with the wanted status, body and JSON values.

Asked directly: neither the proxies of the environment nor .netrc are used, so what is seen is the dependency itself.
The attempt's time bounds everything together, however slowly a server drips. At most 5 redirects are followed; what
identifies us (credentials, cookies, the client certificate, headers that look secret) goes to the origin that the
manifest names and to no other, and https is never left for http. Bodies are read up to 1 MiB, and only when asked
about.
"""

import errno
import re
from typing import Any

from modelgate import __version__
from modelgate.probes import match, net, tls, url
from modelgate.probes.answers import Answer, Failed, Never, NotYet
from modelgate.probes.call import Call
from modelgate.probes.redact import basic
from modelgate.probes.spec import Spec
from modelgate.probes.stream import Stream
from modelgate.probes.url import Url

HOPS = 5
_MOVED = (301, 302, 303, 307, 308)
_HOME_ONLY = re.compile(r"(?i)host|auth|cookie|token|key|secret|pass|cred|session|sign")
_TLS_RECORD = ("\x15\x03", "\x16\x03")  # what a TLS port says to plain text: an alert


def ask(spec: Spec, call: Call) -> Answer:
    """Ready, or how far it came."""
    home = here = url.parse(str(spec.http))
    for hop in range(HOPS + 1):
        found = _visit(spec, here, call, home=home)
        if isinstance(found, Answer):
            return _with(found, url=here.text) if hop else found
        here = _next(here, found, home, spec)
    return NotYet(cause="redirect", why=f"more than {HOPS} redirects, the last to {here.text}", url=here.text)


def _visit(spec: Spec, here: Url, call: Call, *, home: Url) -> Answer | str:
    """The answer of one URL, or where it sends us."""
    import http.client
    import ssl

    sock, peer = net.connect(call, here.host, here.port)
    try:
        secure = ""
        try:
            if here.scheme == "https":
                sock = wrapped = tls.wrap(sock, here.host, spec, call, home=here.origin == home.origin)
                secure = tls.describe(wrapped)
            found = _exchange(spec, here, sock, call, home=home)
        except Failed as failed:
            return _with(failed.answer, peers=(peer,), tls=secure)
        except TimeoutError:
            why = f"{peer} accepted the connection and gave no complete answer within {call.seconds:.1f} s"
            return NotYet(cause="silent", why=why, errno="ETIMEDOUT", peers=(peer,), tls=secure)
        except ssl.SSLError as error:  # with TLS 1.3 a client certificate is turned down only now
            return _with(tls.failure(error), peers=(peer,), tls=secure)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
            number = getattr(error, "errno", None)
            name = errno.errorcode.get(number, "EOF") if number else "EOF"
            why = f"{peer} closed the connection before its answer was complete ({name})"
            return NotYet(cause="closed", why=why, errno=name, peers=(peer,), tls=secure)
        except (http.client.HTTPException, ValueError) as error:
            return _garbage(error, peer, secure)
        except OSError as error:
            why = f"the exchange with {peer} failed: {error.strerror or error}"
            return NotYet(cause="closed", why=why, errno=str(error.errno), peers=(peer,), tls=secure)
        return _with(found, peers=(peer,), tls=secure) if isinstance(found, Answer) else found
    finally:
        sock.close()


def _exchange(spec: Spec, here: Url, sock: Any, call: Call, *, home: Url) -> Answer | str:
    import http.client

    connection = http.client.HTTPConnection(here.host, here.port)
    connection.auto_open = 0  # a connection of its own would go round our deadline
    connection.sock = Stream(sock, call)
    response = None
    try:
        connection.request("GET", here.target, headers=_headers(spec, here, home))
        response = connection.getresponse()
        status = response.status
        wanted = match.wanted(spec)
        if status in wanted:
            return match.content(spec, response, status)
        location = response.getheader("Location")
        if status in _MOVED and location and spec.redirects is not False:
            return location
        said = match.excerpt(response, call)
        why = f"HTTP {status} {_reason(response.reason)}".rstrip() + (f": {said}" if said else "")
        if status in (401, 403):
            return Never(cause="denied", why=why, status=status)
        return NotYet(cause="status", why=why, status=status)
    finally:
        if response is not None:
            response.close()
        connection.close()


def _headers(spec: Spec, here: Url, home: Url) -> dict[str, str]:
    at_home = here.origin == home.origin
    headers = {"Host": here.authority, "User-Agent": f"modelgate/{__version__}", "Accept": "*/*"}
    headers |= {"Accept-Encoding": "identity", "Connection": "close"}
    if at_home and home.user is not None:
        headers["Authorization"] = f"Basic {basic(home.user, home.password or '')}"
    given = {n: v for n, v in (spec.headers or {}).items() if at_home or not _HOME_ONLY.search(n)}
    names = {n.lower() for n in given}
    return {n: v for n, v in headers.items() if n.lower() not in names} | given


def _next(here: Url, location: str, home: Url, spec: Spec) -> Url:
    from urllib.parse import urljoin

    # A Location comes as Latin-1 text; its userinfo is not ours to use.
    try:
        target = urljoin(f"{here.scheme}://{here.authority}{here.target}", location.strip())
        there = url.parse("".join(c for c in target if c > " " and c != "\x7f"))
    except ValueError as error:
        why = f"a redirect that cannot be followed: {error}"
        raise Failed(NotYet(cause="redirect", why=why, url=here.text)) from None
    if here.scheme == "https" and there.scheme == "http":
        why = f"a redirect from https to {there.text}, which is not followed"
        # Whoever must identify himself can never be served by a plain page.
        answer = Never if spec.headers or home.user is not None or spec.cert else NotYet
        raise Failed(answer(cause="redirect", why=why, url=there.text))
    return Url(there.scheme, there.host, there.port, there.target)


def _garbage(error: Exception, peer: str, secure: str) -> Answer:
    import http.client

    line = getattr(error, "line", "")
    if isinstance(error, http.client.BadStatusLine) and not secure and str(line).lstrip("'\"").startswith(_TLS_RECORD):
        why = f"{peer} speaks TLS on this port, and was asked in plain HTTP"
        return Never(cause="tls-needed", why=why, peers=(peer,))
    said = f"{type(error).__name__}: {str(error)[:80]!r}"
    return NotYet(cause="protocol", why=f"{peer} answered with what is not HTTP/1 ({said})", peers=(peer,), tls=secure)


def _reason(text: str) -> str:
    return text[:60]


def _with(answer: Answer, **fields: Any) -> Answer:
    from msgspec.structs import replace

    return replace(answer, **{name: value for name, value in fields.items() if value and not getattr(answer, name)})
