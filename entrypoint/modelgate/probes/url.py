"""URLs, HOST:PORT and host names: parsed strictly, shown without their secrets. ValueErrors are for a person."""

import re

from msgspec import Struct

PORTS = {"http": 80, "https": 443}
# Patterns are text, compiled when first used: PID 1 reads this module too.
_TELLING = r"(?i)key|token|secret|pass|pwd|auth|sig|cred|session|jwt|code"
_UNSAFE = r"""[\x00-\x20\x7f"<>\\^`{}]"""
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"


class Url(Struct, frozen=True):
    """An http or https URL, ready to be asked. `host` without brackets; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str
    user: str | None = None
    password: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials belong to."""
        return self.scheme, self.host.lower(), self.port

    @property
    def authority(self) -> str:
        """The Host header; the port only where it is not the scheme's own."""
        return bracket(self.host) if self.port == PORTS[self.scheme] else join(self.host, self.port)

    @property
    def text(self) -> str:
        """Without userinfo and query: a redirect's query is often a signature."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"


def parse(text: str) -> Url:
    """An http(s) URL. The message of a ValueError holds no userinfo."""
    shown = show(text)
    if any(c <= " " or c == "\x7f" for c in text):
        raise ValueError(f"http: {shown!r} holds a blank or a control character")
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in PORTS:
        raise ValueError(f"http: expected http://HOST… or https://HOST…, got {shown!r}")
    authority, tail = _split(rest)
    info, at, place = authority.rpartition("@")
    if place.endswith("]") or ":" not in place:
        place += f":{PORTS[scheme]}"
    elif place.endswith(":"):
        place += str(PORTS[scheme])
    try:
        name, port = endpoint(place, "http")
    except ValueError:
        if not at and "@" in tail:  # then what stands there is a part of a password, and is not shown
            text = "http: user and password in a URL are percent-encoded: %2F for /, %3F for ?, %23 for #, %40 for @"
            raise ValueError(text) from None
        raise
    path, mark, query = tail.partition("#")[0].partition("?")
    user, _, password = info.partition(":")
    return Url(
        scheme,
        name,
        port,
        _encode((path or "/") + mark + query),
        _decode(user) if at else None,
        _decode(password) if at else None,
    )


def _split(rest: str) -> tuple[str, str]:
    """What stands behind `://`: authority, and path with all that follows."""
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    return rest[:end], rest[end:]


def _encode(target: str) -> str:
    """Percent-encoded where HTTP cannot carry it; what is encoded already stays so."""
    if target.isascii() and not re.search(_UNSAFE, target):
        return target
    return "".join(c if c.isascii() and not re.match(_UNSAFE, c) else _percent(c) for c in target)


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def endpoint(text: str, key: str = "tcp") -> tuple[str, int]:
    """`HOST:PORT` or `[IPV6]:PORT`."""
    if "@" in text:
        raise ValueError(
            f"{key}: expected HOST:PORT alone; what stands before the @ is no part of it, and not shown here"
        )
    if "://" in text:
        raise ValueError(
            f'{key}: write "{text.partition("://")[2].rstrip("/")}", without {text.partition("://")[0]}://'
        )
    if text.startswith("["):
        name, bracket_end, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not bracket_end or ":" not in name:
            raise ValueError(f"{key}: expected [IPV6]:PORT, got {text!r}")
    else:
        name, colon, port = text.rpartition(":")
        if ":" in name:
            raise ValueError(f'{key}: an IPv6 address stands in brackets: "[{name}]:{port}"')
    if not colon:
        raise ValueError(f"{key}: expected HOST:PORT, got {text!r}")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f"{key}: {port!r} in {text!r} is no port: 1 to 65535")
    return host(name, key), int(port)


def host(text: str, key: str = "dns") -> str:
    """A name or an address, as getaddrinfo takes it; names beyond ASCII in their IDNA form."""
    if not text:
        raise ValueError(f"{key}: there is no host name")
    if ":" in text or "%" in text:
        return _address(text, key)
    name = text
    if not text.isascii():
        try:
            name = text.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"{key}: {text!r} is no host name: {error}") from None
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(re.fullmatch(_LABEL, label) for label in labels):
        raise ValueError(f"{key}: {text!r} is no host name")
    return name


def _address(text: str, key: str) -> str:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{key}: {text!r} is neither a host name nor an IP address") from None
    return text


def bracket(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def join(name: str, port: int) -> str:
    """`redis:6379`, `[::1]:6379`."""
    return f"{bracket(name)}:{port}"


def show(text: str) -> str:
    """`text` without userinfo, and with the values of secret-looking query fields replaced by ***."""
    head, separator, rest = text.partition("://")
    if not separator:
        return text
    authority, tail = _split(rest)
    authority = authority.rpartition("@")[2]
    path, mark, query = tail.partition("#")[0].partition("?")
    fields = [
        f"{name}=***" if equals and value and re.search(_TELLING, name) else f"{name}{equals}{value}"
        for name, equals, value in (field.partition("=") for field in query.split("&"))
    ]
    return f"{head}://{authority}{path}{mark}{'&'.join(fields)}"


def secrets(text: str) -> set[str]:
    """Every piece of `text` that `show` takes away, as written and as decoded."""
    _, separator, rest = text.partition("://")
    authority, tail = _split(rest)
    info, at, _ = authority.rpartition("@")
    user, _, password = info.partition(":")
    found = {info, password or user} if separator and at else set()
    for name, _, value in (field.partition("=") for field in tail.partition("#")[0].partition("?")[2].split("&")):
        if re.search(_TELLING, name):
            found.add(value)
    return {form for piece in found if piece for form in (piece, _decode(piece))}
