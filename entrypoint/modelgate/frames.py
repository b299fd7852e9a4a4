"""The wire between a child and PID 1: frames over a pipe. Whatever comes in, PID 1 stays up and its memory bounded.

A frame is a header (body length, index of the spec, what the body is) and a body. Words and facts are JSON, never
pickle: the child runs as a less trusted identity than the one that reads. A file name that is no UTF-8 arrives from
the kernel as lone surrogates, which JSON libraries refuse; such a body goes through the standard library's json
(loaded then only), which writes and reads them as escapes.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from modelgate.units import plain, revive

HEADER = struct.Struct("<IIc")
TELL, FACTS = b"T", b"F"
ODD_TELL, ODD_FACTS = b"t", b"f"  # the same two with lone surrogates
ERROR = b"E"  # text: `observe` raised
DENIED = b"I"  # text: the runtime identity could not be taken

FACTS_LIMIT = 16 << 20
WORDS_LIMIT = 64 << 10
LIMITS = {
    TELL: WORDS_LIMIT,
    ODD_TELL: WORDS_LIMIT,
    FACTS: FACTS_LIMIT,
    ODD_FACTS: FACTS_LIMIT,
    ERROR: WORDS_LIMIT,
    DENIED: WORDS_LIMIT,
}


_ENCODER = msgspec.json.Encoder(enc_hook=plain)


class Broken(ValueError):  # noqa: N818 - reads as what it says of a frame
    """What came is no frame, or not what it should hold. The message is for a person."""


class Frame(NamedTuple):
    what: bytes
    entry: int
    body: bytes


class Reader:
    """Cuts a stream of bytes into frames, however it was chunked. Holds less than one frame between two calls."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Every frame that is complete now. Broken at the first header that no child of ours writes."""
        self.buffer += chunk
        while len(self.buffer) >= HEADER.size:
            length, index, what = HEADER.unpack_from(self.buffer)
            limit = LIMITS.get(what)
            if limit is None:
                raise Broken(f"no frame begins with {bytes(self.buffer[: HEADER.size])!r}")
            if length > limit:
                raise Broken(f"{length} bytes at once, more than the {limit} that are taken")
            end = HEADER.size + length
            if len(self.buffer) < end:
                return
            body = bytes(self.buffer[HEADER.size : end])
            del self.buffer[:end]
            yield Frame(what, index, body)


def pack(what: bytes, index: int, body: bytes) -> bytes:
    return HEADER.pack(len(body), index, what) + body


def pack_facts(index: int, facts: Any) -> bytes:
    """The frame that answers for specs[index]. Broken when it is larger than FACTS_LIMIT."""
    odd, body = _encode(facts)
    if len(body) > FACTS_LIMIT:
        raise Broken(f"its answer has {len(body)} bytes, more than the {FACTS_LIMIT} that are taken")
    return pack(ODD_FACTS if odd else FACTS, index, body)


def pack_words(words: dict[str, Any]) -> bytes:
    """The frame of `Host.tell`. Words never fail: what has no JSON is told as its repr, what is too long is cut."""
    try:
        odd, body = _encode(words)
        if len(body) <= WORDS_LIMIT:
            return pack(ODD_TELL if odd else TELL, 0, body)
    except (TypeError, ValueError, NotImplementedError, RecursionError):
        pass
    kept = {k: v if isinstance(v, (int, float)) else _short(v) for k, v in list(words.items())[:16]}
    return pack(ODD_TELL, 0, _encode_odd(kept))


def words_of(frame: Frame) -> dict[str, Any]:
    """The words of a TELL. Broken when they are none."""
    return _decode(frame, dict[str, Any])  # type: ignore[no-any-return]


def facts_of(frame: Frame, kind: Any) -> Any:
    """The answer as the kind's Facts. Broken when it is not what Facts says."""
    return _decode(frame, kind)


def _encode(value: Any) -> tuple[bool, bytes]:
    try:
        return False, _ENCODER.encode(value)
    except (UnicodeEncodeError, OverflowError):  # OverflowError: a number beyond 64 bits
        return True, _encode_odd(value)


def _encode_odd(value: Any) -> bytes:
    import json

    return json.dumps(msgspec.to_builtins(value, enc_hook=plain, str_keys=True)).encode("ascii")


def _decode(frame: Frame, kind: Any) -> Any:
    try:
        if frame.what in (TELL, FACTS):
            return msgspec.json.decode(frame.body, type=kind, dec_hook=revive)
        import json

        return msgspec.convert(json.loads(frame.body), kind, dec_hook=revive, str_keys=True)
    except Exception as error:  # noqa: BLE001 - deep nesting, a million digits, no UTF-8: PID 1 survives all of it
        raise Broken(f"{type(error).__name__}: {_short(error)}") from None


def _short(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= 1024 else text[:1024] + "…"
