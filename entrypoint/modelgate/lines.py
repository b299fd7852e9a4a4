"""One log line as bytes, and structlog without its luggage."""

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from modelgate.scrub import visible


def json(words: dict[str, Any], longest: int, leave_out: tuple[str, ...]) -> bytes:
    """One JSON object and a newline. Too long: `leave_out` goes first, then texts are cut; `"cut":true` says so."""
    line = encode(words)
    for key in leave_out:
        if len(line) <= longest:
            break
        if words.pop(key, None) is not None:
            line = encode({**words, "cut": True})
    room = longest // 8
    while len(line) > longest and room > 8:
        short = {k: v[:room] if isinstance(v, str) else v for k, v in words.items() if _scalar(v)}
        line = encode({**short, "cut": True})
        room //= 2
    return line + b"\n"


def _scalar(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float))


def encode(data: Any, *, indent: int | None = None) -> bytes:
    """JSON that is safe to look at: what is not printable is escaped, lone surrogates become their text."""
    try:
        raw = msgspec.json.encode(data, enc_hook=_plain)
    except UnicodeEncodeError:
        raw = msgspec.json.encode(_whole(msgspec.to_builtins(data, enc_hook=_plain)))
    if indent is not None:
        raw = msgspec.json.format(raw, indent=indent)
    text = raw.decode()
    if text.isprintable() or (raw.isascii() and b"\x7f" not in raw):
        return raw
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text).encode()


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))


def _plain(value: Any) -> Any:
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base(value)
    return str(value)


def _whole(data: Any) -> Any:
    if isinstance(data, str):
        return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in data)
    if isinstance(data, Mapping):
        return {_whole(k): _whole(v) for k, v in data.items()}
    return [_whole(v) for v in data] if isinstance(data, (list, tuple)) else data


def plain(words: Mapping[str, Any]) -> bytes:
    """`modelgate: warning: /models/x: Permission denied [path-blocked]` and a newline."""
    level = words.get("level", "info")
    text = f"{level}: {words['event']}" if level in ("warning", "error") else str(words["event"])
    if words.get("command"):
        import shlex

        text += f": {shlex.join(map(str, words['command']))}"
    if words.get("code", "ok") != "ok":
        text += f" [{words['code']}]"
    if words.get("dropped"):
        text += f" (before this, {words['dropped']} lines could not be written)"
    return f"modelgate: {visible(text)}\n".encode("utf-8", "backslashreplace")


class _Sink:
    """What structlog hands its finished lines to."""

    def __init__(self, put: Callable[[bytes], bool]) -> None:
        self.debug = self.info = self.warning = self.error = put


def make_logger(put: Callable[[bytes], bool], processors: list[Callable[..., Any]]) -> Any:
    """A structlog logger whose methods return what `put` returns; False when structlog cannot be loaded."""
    structlog = _import_structlog()
    if structlog is None:
        return False
    return structlog.wrap_logger(
        _Sink(put),
        processors=processors,
        wrapper_class=structlog.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )


def _import_structlog() -> Any:
    """Import structlog without what it imports for others: rich (its tracebacks) and asyncio (its async methods).

    Together they cost more than all the rest of the gate's start. Hidden only while structlog loads. None: not there.
    """
    hidden: dict[str, types.ModuleType | None] = {"rich": None, "asyncio": types.ModuleType("asyncio")}
    hidden = {name: module for name, module in hidden.items() if name not in sys.modules}
    for attempt in (hidden, {}):
        sys.modules.update(attempt)  # type: ignore[arg-type]  # None is how an import is refused
        try:
            import structlog
        except (ImportError, AttributeError):
            for name in [n for n in sys.modules if n.partition(".")[0] == "structlog"]:
                del sys.modules[name]
        else:
            return structlog
        finally:
            for name in attempt:
                sys.modules.pop(name, None)
    return None
