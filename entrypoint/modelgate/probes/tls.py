"""The TLS layer of an HTTP probe: contexts, the handshake within the attempt's time, and what a failure means.

Server names are sent (SNI) and checked. A certificate is trusted when the system's store or `ca` leads to it; `ca`
may also be an intermediate authority or the server's own certificate, as with curl and Go. The extra strictness of
Python 3.13 (VERIFY_X509_STRICT) is not asked for: the server behind the gate may well accept what it refuses.
"""

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, NoReturn

from modelgate.probes.answers import Answer, Cause, Failed, Never, NotYet
from modelgate.probes.call import Call
from modelgate.probes.spec import Spec

if TYPE_CHECKING:
    import ssl

# OpenSSL's verify codes (x509_vfy.h).
_VERIFY: dict[int, Cause] = {
    9: "tls-not-yet",
    10: "tls-expired",
    **dict.fromkeys((2, 18, 19, 20, 21, 24, 26, 27), "tls-ca"),
    **dict.fromkeys((62, 63, 64), "tls-name"),
}
# Alerts by which a server turns a client's certificate down, or asks for one.
_CLIENT = ("CERTIFICATE_REQUIRED", "UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED",
           "CERTIFICATE_UNKNOWN", "UNSUPPORTED_CERTIFICATE", "ACCESS_DENIED")  # fmt: skip
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


def wrap(sock: socket.socket, host: str, spec: Spec, call: Call, *, home: bool) -> "ssl.SSLSocket":
    """`sock` after a handshake. `home`: it is the origin that the manifest names, so the client certificate is shown.

    Failed, with `sock` closed, when there is no agreement.
    """
    import ssl

    known = "tls at home" if home else "tls elsewhere"
    context: ssl.SSLContext = call.memory.get(known) or _context(spec, call, home=home)
    call.memory[known] = context
    wrapped = None
    try:
        wrapped = context.wrap_socket(sock, server_hostname=host.removesuffix("."), do_handshake_on_connect=False)
        wrapped.settimeout(call.left())
        wrapped.do_handshake()
    except (OSError, ValueError) as error:
        (wrapped or sock).close()
        if isinstance(error, ssl.SSLError):
            raise Failed(failure(error)) from None
        if isinstance(error, TimeoutError):
            why = f"the TLS handshake got no answer within {call.seconds:.1f} s"
            raise Failed(NotYet(cause="silent", why=why, errno="ETIMEDOUT")) from None
        if isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE, 0, None):
            name = errno.errorcode.get(error.errno or 0, "EOF")
            raise Failed(
                NotYet(cause="closed", why=f"connection closed in the TLS handshake ({name})", errno=name)
            ) from None
        raise Failed(NotYet(cause="tls", why=f"the TLS handshake failed: {error}")) from None
    return wrapped


def describe(sock: "ssl.SSLSocket") -> str:
    """`TLSv1.3, certificate until Jan  1 00:00:00 2027 GMT`."""
    end = dict(sock.getpeercert() or {}).get("notAfter")
    version = sock.version() or "TLS"
    return f"{version}, certificate until {end}" if end else f"{version}, certificate not checked"


def failure(error: "ssl.SSLError") -> Answer:
    """What OpenSSL says, told apart by whether asking again can help."""
    import ssl

    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = _VERIFY.get(error.verify_code, "tls")
        why = f"certificate verify failed: {error.verify_message.rstrip('.')}"
        # A clock may still be set; a certificate that is wrong today needs somebody's hand.
        kind = NotYet if cause in ("tls-not-yet", "tls") else Never
        return kind(cause=cause, why=why, errno=f"X509_V_ERR {error.verify_code}")
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return NotYet(cause="closed", why="connection closed in the TLS handshake (EOF)", errno="EOF")
    text = reason.lower().replace("_", " ") or str(error)
    if "ALERT" in reason and reason.endswith(_CLIENT):
        return Never(cause="tls-client", why=f"the server refuses our side of TLS: {text}", errno=reason)
    if reason in _PLAIN:
        return Never(cause="tls-plain", why=f"the port does not speak TLS: {text}", errno=reason)
    return NotYet(cause="tls", why=f"the TLS handshake failed: {text}", errno=reason)


def _context(spec: Spec, call: Call, *, home: bool) -> "ssl.SSLContext":
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if spec.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_default_certs()
    if spec.ca:
        folder = _look(spec.ca, call)
        try:
            context.load_verify_locations(**{"capath" if folder else "cafile": spec.ca})
        except (OSError, ValueError) as error:
            _unusable("ca", spec.ca, error)
    if spec.cert and home:
        for path in (spec.cert, spec.key):
            if path and _look(path, call):
                why = f"{path} is a directory, not a PEM file"
                raise Failed(Never(cause="file-wrong-type", why=why, errno="EISDIR", path=path))
        try:
            # A password would be asked for on the terminal; there is none to ask.
            context.load_cert_chain(spec.cert, spec.key or None, password=_no_password)
        except (OSError, ValueError) as error:
            _unusable("cert and key", spec.key or spec.cert, error)
    call.doing = ("", "")
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; a probe knows no passphrase")


def _unusable(what: str, path: str, error: Exception) -> NoReturn:
    reason = getattr(error, "reason", None)
    text = str(reason).lower().replace("_", " ") if reason else str(error)
    raise Failed(
        Never(cause="tls-file", why=f"{what}: {path} is not usable: {text}", path=path, errno=str(reason or ""))
    )


def _look(path: str, call: Call) -> bool:
    """True for a directory. OpenSSL's own message for a file that cannot be read names neither file nor errno."""
    call.doing = ("file", path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            mode = os.fstat(fd).st_mode
        finally:
            os.close(fd)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, str(error.errno))
        cause: Cause = "file-unreadable" if error.errno in (errno.EACCES, errno.EPERM) else "file-missing"
        why = f"cannot open {path}: {error.strerror} ({name})"
        answer = Never if error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR) else NotYet
        raise Failed(answer(cause=cause if answer is Never else "local", why=why, errno=name, path=path)) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        why = f"{path} is neither a file nor a directory"
        raise Failed(Never(cause="file-wrong-type", why=why, path=path))
    return stat.S_ISDIR(mode)
