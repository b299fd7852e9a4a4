"""The `launch` section of the manifest: how the server is started, and what a probe asks once it runs."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field

from modelgate.units import Duration

SUPERVISE_ONLY = ("forward", "signals", "drain", "grace", "exit_codes", "listen", "stall", "on_stall", "capture")

_SIGNALS = frozenset(
    {
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
        "PWR", "SYS",
    }
)  # fmt: skip
_HIGHEST = 64


class Health(str):
    """`http://host:port/path`, `https://…`, `tcp://host:port` or `unix:///path`."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "string",
        "pattern": "^(https?://[^/]+|tcp://.+:[0-9]+$|unix:///.)",
        "examples": ["http://127.0.0.1:8000/health", "tcp://127.0.0.1:8000", "unix:///run/app.sock"],
    }

    @classmethod
    def parse(cls, value: object) -> "Health":
        """Raise ValueError with a message for a person when `value` is no such URL."""
        scheme, _, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
        host = _host(rest.split("/")[0].rpartition("@")[2])
        good = {
            "http": host,
            "https": host,
            "tcp": bool(rest.rpartition(":")[0]) and _port(rest.rpartition(":")[2]),
            "unix": rest.startswith("/") and rest != "/",
        }
        if not good.get(scheme) or any(c.isspace() or c == "\0" for c in rest):
            raise ValueError(f"expected http(s)://HOST:PORT/PATH, tcp://HOST:PORT or unix:///PATH, got {value!r}")
        return cls(value)


class Listen(str):
    """`:9090` or `HOST:9090`."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {"type": "string", "pattern": "^.*:[0-9]+$", "examples": [":9090"]}

    @classmethod
    def parse(cls, value: object) -> "Listen":
        """Raise ValueError with a message for a person when `value` is no address to listen on."""
        if not isinstance(value, str) or ":" not in value or not _port(value.rpartition(":")[2]):
            raise ValueError(f'expected ":PORT" or "HOST:PORT" in quotes, got {value!r}')
        return cls(value)


class Text(str):
    """A word for the server. A number or true/false is taken as it would be written; 0.90 or 1.10 must be quoted."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {"type": ["string", "integer", "boolean"]}

    @classmethod
    def parse(cls, value: object) -> "Text":
        """Raise ValueError with a message for a person when `value` cannot be taken as text."""
        if isinstance(value, bool):
            return cls(str(value).lower())
        if isinstance(value, (str, int)):
            return cls(value)
        if isinstance(value, float):
            raise ValueError("a number with a point must be in quotes here: 0.90 is text, and not the same as 0.9")
        raise ValueError("expected text")


def _host(text: str) -> bool:
    """`HOST`, `HOST:PORT`, `[IPv6]:PORT`."""
    name, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        name, colon = text, ""
    return bool(name) and (not colon or _port(port))


def _port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to start the server. The first profile whose needs hold is used."""

    name: Annotated[str, Meta(min_length=1, description="What the log calls this profile")]
    needs: Annotated[
        dict[str, Any] | None, Meta(description="What must be there for this profile to be used; nothing: always")
    ] = None
    args: Annotated[tuple[Text, ...], Meta(description="Added to the end of the server's command line")] = ()
    env: Annotated[
        dict[str, Text], Meta(description="Added to the server's environment; a number or true/false is taken as text")
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.env:
            if not name or "=" in name:
                raise ValueError(f"env: a variable cannot be named {name!r}")


class LaunchSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest may ask of the start. From `forward` on the keys need `mode: supervise`."""

    mode: Annotated[
        Literal["exec", "supervise"],
        Meta(description="exec: the gate becomes the server. supervise: a small supervisor stays in front of it"),
    ] = "exec"
    health: Annotated[
        Health | None, Meta(description="What `modelgate probe` asks once the server runs: http(s)://, tcp://, unix://")
    ] = None
    profiles: Annotated[
        tuple[Profile, ...], Meta(description="Ways to start the server; the first whose needs hold is used")
    ] = ()
    forward: Annotated[
        Literal["child", "group"], Meta(description="Who gets the signals: the server alone, or its process group")
    ] = "child"
    signals: Annotated[
        dict[str, str | int], Meta(description="Signals to rewrite (USR1: USR2) or drop (HUP: none)")
    ] = field(default_factory=dict)
    drain: Annotated[Duration, Meta(description="How long the server is unready before it gets TERM")] = Duration(0)
    grace: Annotated[Duration, Meta(description="From TERM to KILL")] = Duration(25)
    exit_codes: Annotated[
        dict[int, int], Meta(description="Exit codes of the server to pass on as others: {143: 0}")
    ] = field(default_factory=dict)
    listen: Annotated[Listen | None, Meta(description="Address for /startupz /livez /readyz /metrics; default off")] = (
        None
    )
    stall: Annotated[
        Duration | None,
        Meta(description="A start that stands still for so long is reported; needs health; default off"),
    ] = None
    on_stall: Annotated[
        Literal["warn", "end"], Meta(description="What a stalled start leads to: a warning, or its end with exit 75")
    ] = "warn"
    capture: Annotated[bool, Meta(description="Keep the last 64 KiB of the server's stderr for the diagnosis")] = False

    def __post_init__(self) -> None:
        for name, to in self.signals.items():
            if not _signal(name):
                raise ValueError(f"signals: {name!r} is no signal that can be caught")
            if (
                str(to).lower() not in ("none", "0")
                and not _signal(str(to))
                and str(to) not in ("KILL", "SIGKILL", "9")
            ):
                raise ValueError(f"signals: {name} cannot become {to!r}; expected a signal, or none to drop it")
        if not all(0 <= code <= 255 for pair in self.exit_codes.items() for code in pair):
            raise ValueError("exit_codes: an exit code is a number from 0 to 255")
        if self.stall is not None and self.health is None:
            raise ValueError("stall: it needs `health`, which says when the start is over")


def _signal(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return len(text) <= 2 and 0 < int(text) <= _HIGHEST and text not in ("9", "19")
    return text.upper().removeprefix("SIG") in _SIGNALS
