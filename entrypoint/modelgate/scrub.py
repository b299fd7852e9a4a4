"""Keep secrets and foreign control characters out of everything that is shown.

What is hidden: every value known to be secret (variables whose name says so, passwords inside URLs of the environment,
secrets that the manifest expanded) in its plain, quoted, escaped and base64 forms; and what looks like a secret
wherever it stands: URL passwords, tokens in query strings, Authorization headers, option values, well-known shapes.
What stays: digests, paths, model names. A path in HF_TOKEN_PATH is no secret.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, TypeVar, cast

import msgspec

from modelgate import secret_shapes as shapes

MASK = shapes.MASK
SHORTEST = 6  # a shorter value stands in ordinary text by chance
_LONGEST = 128  # a longer one is hidden piece by piece as well: it may be shown wrapped or cut
_NEAR = 8  # a value shorter than this is hidden only as a word of its own

T = TypeVar("T")


def visible(text: str) -> str:
    r"""One line that a terminal can show as it is: `\x1b`, `\n`, `\u202e`, `\udc80` for what is not printable."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(char: str) -> str:
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    code = ord(char)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


class Scrubber:
    """Built once from the environment that the server will get, and from the secrets that the manifest expanded."""

    def __init__(self, environ: Mapping[str, str], extra_secrets: Iterable[str] = ()) -> None:
        values: set[str] = set()
        for name, value in environ.items():
            if shapes.secret_name(name) and not shapes.ordinary(value):
                values.add(value)
            if "://" in value and "@" in value:
                values.update(shapes.url_passwords(value))
        values.update(extra_secrets)
        # Longest first is not needed: all spans are found in the untouched text and joined.
        self._secrets = [_Secret(v) for v in sorted(set(_pieces(values)))]

    def text(self, text: str) -> str:
        """`text` with every secret replaced by ***."""
        if len(text) < 3:
            return text
        spans = sorted(span for secret in self._secrets for span in secret.spans(text))
        if spans:
            text = _replace(text, spans)
        return shapes.hide(text)

    def data(self, obj: T) -> T:
        """The same shape with `text` applied to every string in it; what is not plain data becomes its text.

        Structs stay Structs, so a scrubbed Report is a Report. A value under a name that says "secret" is hidden
        whatever it looks like, and so is what follows an option like --api-key in a list of words.
        """
        return cast("T", self._data(obj))

    def _data(self, obj: Any) -> Any:
        if isinstance(obj, str) and not isinstance(obj, Enum):
            return self.text(obj)
        if obj is None or isinstance(obj, (bool, int, float, Enum)):
            return obj
        if isinstance(obj, msgspec.Struct):
            fields = {name: self._data(getattr(obj, name)) for name in obj.__struct_fields__}
            return msgspec.structs.replace(obj, **fields)
        if isinstance(obj, Mapping):
            return {self._data(key): self._under(key, value) for key, value in obj.items()}
        if isinstance(obj, (list, tuple)):
            return type(obj)(self._words(obj)) if type(obj) in (list, tuple) else list(self._words(obj))
        if isinstance(obj, (set, frozenset)):
            return sorted((self._data(item) for item in obj), key=str)
        if isinstance(obj, (bytes, bytearray)):
            return self.text(bytes(obj).decode("utf-8", "backslashreplace"))
        return self.text(str(obj))

    def _under(self, key: object, value: Any) -> Any:
        if (
            isinstance(value, str)
            and isinstance(key, str)
            and not shapes.ordinary(value)
            and (shapes.secret_name(key, variable=False))
        ):
            return MASK
        return self._data(value)

    def _words(self, items: Iterable[Any]) -> Iterator[Any]:
        after_option = False
        for item in items:
            if after_option and isinstance(item, str) and not item.startswith("-"):
                yield MASK
                after_option = False
                continue
            after_option = isinstance(item, str) and shapes.secret_option(item)
            yield self._data(item)


def _pieces(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        bare = value.strip()
        scheme, _, rest = bare.partition(" ")
        for whole in (value, bare, rest.strip() if scheme.lower() in ("bearer", "basic", "token") else ""):
            if len(whole) < SHORTEST:
                continue
            yield whole
            if "\n" in whole or len(whole) > _LONGEST:
                for line in whole.splitlines():
                    parts = [line[at : at + _LONGEST] for at in range(0, len(line), _LONGEST)]
                    yield from (part for part in parts if len(part) >= 2 * _NEAR)


class _Secret:
    """One literal value and the forms it may take. Patterns are built when a text first needs them."""

    def __init__(self, value: str) -> None:
        self.value = value
        self._loose: re.Pattern[str] | None = None
        self._base64: tuple[str, ...] | None = None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it stands in `text`; spans may overlap."""
        value = self.value
        at = text.find(value)
        while at >= 0:
            end = at + len(value)
            if len(value) >= _NEAR or not (_word(text, at - 1) or _word(text, end)):
                yield at, end
            at = text.find(value, at + 1)
        if len(value) < _NEAR:
            return
        if len(value) <= _LONGEST and not (value.isascii() and value.isalnum()) and any(c in text for c in "%\\&+"):
            self._loose = self._loose or re.compile("".join(map(_any_form, value)))
            yield from (m.span() for m in self._loose.finditer(text))
        if len(text) > len(value):
            if self._base64 is None:
                self._base64 = tuple(_base64_forms(value))
            for form in self._base64:
                at = text.find(form)
                while at >= 0:
                    yield _widen(text, at, at + len(form))
                    at = text.find(form, at + 1)


def _word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isalnum()


def _any_form(char: str) -> str:
    """A pattern for `char` as it is, percent-encoded, as an HTML entity, or escaped by JSON, repr() or visible()."""
    if char.isascii() and (char.isalnum() or char in "_-."):
        return re.escape(char)
    code = ord(char)
    raw = char.encode("utf-8", "surrogateescape" if 0xDC80 <= code <= 0xDCFF else "surrogatepass")
    units = char.encode("utf-16-be", "surrogatepass")
    pairs = [units[n : n + 2].hex() for n in range(0, len(units), 2)]
    forms = [
        re.escape(char),
        "".join(f"%(?i:{b:02x})" for b in raw),
        rf"\\+{re.escape(char)}",
        "".join(rf"\\+x(?i:{b:02x})" for b in raw),
        "".join(rf"\\+u(?i:{p})" for p in pairs),
        rf"\\+U(?i:{code:08x})",
        rf"&\#(?i:0*{code}|x0*{code:x});",
    ]
    if code < 0x100:
        forms.append(rf"\\+x(?i:{code:02x})")
    short = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}.get(char)
    if short:
        forms.append(rf"\\+{short}")
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", " ": r"\+"}.get(char)
    if named:
        forms.append(named)
    return f"(?:{'|'.join(forms)})"


def _base64_forms(value: str) -> Iterator[str]:
    """The part of any base64 text holding `value` that does not depend on what stands before and behind it."""
    raw = value.encode("utf-8", "surrogateescape" if not _lone(value) else "surrogatepass")
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode()
        first = (0, 2, 3)[before]
        last = (before + len(raw)) * 8 // 6
        middle = whole[first:last]
        if len(middle) >= _NEAR:
            yield middle
            if "+" in middle or "/" in middle:
                yield middle.replace("+", "-").replace("/", "_")


def _lone(value: str) -> bool:
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return True
    return False


_BASE64 = r"[A-Za-z0-9+/=_-]*"


def _widen(text: str, start: int, end: int) -> tuple[int, int]:
    """To the whole base64 word: its first and last letters hold bits of the secret too."""
    match = re.match(_BASE64, text[end:])
    back = re.match(_BASE64, text[:start][::-1])
    return start - (back.end() if back else 0), end + (match.end() if match else 0)


def _replace(text: str, spans: list[tuple[int, int]]) -> str:
    out, at = [], 0
    start, end = spans[0]
    for next_start, next_end in [*spans[1:], (len(text) + 1, 0)]:
        if next_start <= end:
            end = max(end, next_end)
            continue
        out += [text[at:start], MASK]
        at, start, end = end, next_start, next_end
    return "".join(out) + text[at:]
