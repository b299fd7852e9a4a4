"""What the reader of the manifest knows of text: decoding, the YAML 1.2 core scalars, how a path is written."""

import re
from typing import Any

from msgspec import Struct, json

from modelgate.finding import IMAGE, Fix

Path = tuple[str | int, ...]

LIMIT_BYTES = 1 << 20
LONGEST_NUMBER = 40  # characters; a longer row of digits is a digest or an id, and int() of a megabyte takes minutes

_CONSTANTS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]+")
_ZERO = re.compile(r"[-+]?0[0-9]+")
_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(?:inf|Inf|INF)")

# NEL, LS and PS end a line for YAML 1.1 parsers and for no editor: lines would be told wrong, or hide a key.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_DIRECTIVES = 16


class Issue(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with the manifest, with at least one cure. `line` is 1-based."""

    line: int
    message: str
    fixes: tuple[Fix, ...]
    path: Path = ()
    why: str = ""
    code: str = "manifest-invalid"


class Refused(Exception):  # noqa: N818 - it says what happened
    """Reading ends here: what follows could not be told from the consequences."""

    def __init__(self, line: int, message: str, *fixes: Fix) -> None:
        super().__init__(message)
        self.issue = Issue(line=line, message=message, fixes=fixes)


def fix(do: str, snippet: str = "", when: str = "in the manifest") -> Fix:
    """A cure that the author of the manifest applies."""
    return Fix(when=when, do=do, snippet=snippet, who=IMAGE)


def show(path: Path) -> str:
    """`files[0].mode`, `host.sysctl["vm.swappiness"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(part) <= 100 and _NAME.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{in_quotes(part[:100])}]"
    return text


def in_quotes(text: str) -> str:
    """As YAML and JSON write it."""
    return json.encode(text).decode()


def line_of(path: Path, value: str) -> str:
    """`mode: "0755"`, or `- "0755"` in a list: the line as it should be, the value in quotes."""
    key = path[-1] if path else ""
    quoted = in_quotes(value) if len(value) <= 200 else '"…"'
    return f"- {quoted}" if isinstance(key, int) else f"{key}: {quoted}"


def echo(part: str, line: str) -> str:
    """`part` of a `line` of the manifest, to be shown again: a few words, and none of a line that may hold a secret."""
    from modelgate.secret_shapes import secret_name

    hidden = "://" in line or any(secret_name(word) for word in re.findall(r"[\w-]+", line[:1000]))
    return "…" if hidden else part.strip()[:60]


def decode(raw: bytes) -> str:
    """The text of a manifest file. Refused for what is no text."""
    if len(raw) > LIMIT_BYTES:
        do = fix("Name the manifest itself: this looks like another file")
        raise Refused(1, f"it is larger than 1 MiB ({len(raw)} bytes) and was not read", do)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:4]:
        utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        what = "it is UTF-16 text" if utf16 else "it is binary (a NUL byte in line 1)"
        do = fix("Save it as UTF-8", "iconv -f utf-16 -t utf-8 OLD > NEW") if utf16 else _NOT_BINARY
        raise Refused(1, f"{what}; a manifest is UTF-8 text", do)
    if b"\0" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
        raise Refused(line, f"it is binary (a NUL byte in line {line}); a manifest is UTF-8 text", _NOT_BINARY)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The signature is cut off before `start` counts.
        at = error.start + (3 if raw.startswith(b"\xef\xbb\xbf") else 0)
        message = f"byte 0x{raw[at]:02x} is not UTF-8"
        do = fix("Save it as UTF-8", "iconv -f latin1 -t utf-8 OLD > NEW", when="it was saved as Latin-1")
        raise Refused(raw.count(b"\n", 0, at) + 1, message, do) from None
    if found := _CONTROL.search(text):
        line = _line_at(text, found.start())
        message = f"the control character U+{ord(found[0]):04X} stands in the text"
        raise Refused(line, message, fix("Remove it; in a text in double quotes it may be written as an escape (\\a)"))
    directives = list(re.finditer(r"^%", text, re.MULTILINE))
    if len(directives) > _DIRECTIVES:  # libyaml takes quadratic time for them
        line = _line_at(text, directives[_DIRECTIVES].start())
        raise Refused(line, "too many lines begin with %", fix("Remove the %TAG lines: a manifest needs none"))
    return text


_NOT_BINARY = fix("Name the manifest itself: this looks like another file", "modelgate -m FILE -- COMMAND")


def _line_at(text: str, offset: int) -> int:
    return len(text[:offset].replace("\r\n", "\n").replace("\r", "\n").split("\n"))


def typed(text: str) -> Any:
    """A plain scalar by the YAML 1.2 core rules. ValueError for a number that readers would not agree on."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if len(text) > LONGEST_NUMBER:
        # Decided by the characters alone: the patterns are quick, the conversion of so many digits is not.
        if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
            raise ValueError(f"{text[:20]}… would be a number of {len(text)} digits")
        return text
    if _ZERO.fullmatch(text):
        raise ValueError(f"{text} is read as one number by some programs and as another, octal one by others")
    if _INT.fullmatch(text) or _BASE.fullmatch(text):
        number = int(text, 10 if _INT.fullmatch(text) else 0)
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"{text} is too large for a number")
        return number
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "", 1)) if _INF.fullmatch(text) else text


def canonical(text: str) -> Any:
    """The typed value of `text` when it would be printed as just that, else the text: `8` is 8, but `True` is text.

    ValueError as of `typed`.
    """
    value = typed(text)
    if value is None or isinstance(value, bool):
        printed = {None: "null", True: "true", False: "false"}[value]
    else:
        printed = str(value)
    return value if printed == text else text


def without_zero(text: str) -> list[str]:
    """`0755` -> [`755`]; [] when that is not what is wrong with it."""
    return [str(int(text))] if len(text) <= LONGEST_NUMBER and _ZERO.fullmatch(text) else []


def unusable(text: str) -> str:
    """What no path, argument or variable can hold, in words; empty when there is nothing of that."""
    found = _UNUSABLE.search(text)
    if found is None:
        return ""
    return "a NUL character" if found[0] == "\0" else f"U+{ord(found[0]):04X}, which is no character (half a pair)"
