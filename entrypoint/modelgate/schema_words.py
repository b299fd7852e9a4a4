"""Words for schema_errors: what is expected, what was found, and how a single value is put right."""

import difflib
import re
import shlex
from typing import Any

from msgspec import inspect as types

from modelgate.finding import Fix
from modelgate.secret_shapes import secret_name
from modelgate.yaml_lines import Document
from modelgate.yaml_text import Path, fix, in_quotes, line_of, typed

_BARE = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./-]*")
Problem = tuple[str, tuple[Fix, ...]]

_BOOLEANS = {
    "yes": "true",
    "on": "true",
    "y": "true",
    "1": "true",
    "no": "false",
    "off": "false",
    "n": "false",
    "0": "false",
}
_EXAMPLES: dict[type, str] = {
    types.IntType: "1",
    types.FloatType: "1.0",
    types.BoolType: "true",
    types.StrType: '"..."',
}
_WORDS: dict[type, str] = {
    types.StrType: "text",
    types.IntType: "a whole number",
    types.FloatType: "a number",
    types.BoolType: "true or false",
    types.NoneType: "nothing",
    types.StructType: "a mapping",
    types.DictType: "a mapping",
    types.ListType: "a list",
    types.VarTupleType: "a list",
    types.SetType: "a list",
    types.FrozenSetType: "a list",
}


def expected(wanted: Any) -> str:
    """`a whole number`, `one of exec, supervise`."""
    while isinstance(wanted, types.Metadata):
        wanted = wanted.type
    if isinstance(wanted, types.LiteralType):
        values = [str(v) for v in wanted.values]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    if isinstance(wanted, types.CustomType):
        return wanted.cls.__name__.lower()
    if isinstance(wanted, types.UnionType):
        return " or ".join(dict.fromkeys(expected(t) for t in wanted.types if not isinstance(t, types.NoneType)))
    return _WORDS.get(type(wanted), "another kind of value")


def found(document: Document, value: Any, path: Path) -> str:
    """What is there: `the number 0.5`, `the text 'yes'`, `a list`; never what may be a secret."""
    source = document.sources.get(path)
    origin = f" (from {source})" if source else ""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return f"nothing{origin}"
    kind = "the text" if isinstance(value, str) else "" if isinstance(value, bool) else "the number"
    if hidden(document, path):
        return f"{kind or 'a value'} that is not shown{origin}"
    shown = repr(value) if isinstance(value, str) else document.written.get(path, _plain(value))
    return f"{kind} {shown if len(shown) <= 60 else shown[:57] + '...'}{origin}".strip()


def hidden(document: Document, path: Path) -> bool:
    """The value at `path` has the name of a secret, or came from a variable that has one."""
    names = [*re.findall(r"\w+", document.sources.get(path, "")), *(part for part in path if isinstance(part, str))]
    return any(secret_name(name) for name in names)


def quoted_line(document: Document, value: Any, path: Path) -> str:
    """The line with its value in quotes, as it was written."""
    return line_of(path, "..." if hidden(document, path) else document.written.get(path, _plain(value)))


def example_line(wanted: Any, path: Path = ()) -> str:
    """A line that would be right, as far as the type tells: `timeout: 30s`, `- true`."""
    while isinstance(wanted, types.Metadata):
        wanted = wanted.type
    if isinstance(wanted, types.UnionType):
        wanted = next(t for t in wanted.types if not isinstance(t, types.NoneType))
    if isinstance(wanted, types.CustomType):
        examples = getattr(wanted.cls, "SCHEMA", {}).get("examples") or ["..."]
        value = str(examples[0])
        value = value if isinstance(_typed(value), str) and ":" not in value else in_quotes(value)
    elif isinstance(wanted, types.LiteralType):
        value = str(wanted.values[0])
    else:
        value = _EXAMPLES.get(type(wanted), "...")
    key = path[-1] if path else ""
    return f"- {value}" if isinstance(key, int) else f"{key}: {value}" if key else value


def put_right(document: Document, wanted: Any, value: Any, path: Path) -> Fix:
    """What stands where a list or a mapping should, as it was probably meant."""
    key = path[-1] if path and isinstance(path[-1], str) else ""
    simple = not isinstance(value, (dict, list))
    text = "..." if hidden(document, path) or not simple else document.written.get(path, _plain(value))
    shown = text if _BARE.fullmatch(text) else in_quotes(text) if len(text) < 200 else "..."
    if not isinstance(wanted, (types.StructType, types.DictType)):
        words = _words(text) if key == "exec" else None  # a command line: one text would be one program's name
        line = f"{key}: [{words or shown}]" if simple and key else f"{key}:\n  - ..." if key else "- ..."
        return fix("Write a list", line)
    needed = [f.encode_name for f in wanted.fields if f.required] if isinstance(wanted, types.StructType) else []
    if simple and len(needed) == 1:
        pair = f"{needed[0]}: {shown}"
        return fix(
            f"Write it under the key that it is for, probably `{needed[0]}`",
            f"{key}:\n  {pair}" if key else f"- {pair}",
        )
    return fix(
        "Write keys and values, not a list or a single value", f"{key}:\n  key: value" if key else "- key: value"
    )


def _words(line: str) -> str | None:
    """A command line as the entries of a list; None when no shell would understand it."""
    try:
        return ", ".join(w if _BARE.fullmatch(w) else in_quotes(w) for w in shlex.split(line)) or None
    except ValueError:
        return None


def scalar_problem(document: Document, wanted: Any, value: Any, path: Path) -> Problem | None:
    """The message and the cures when `value` is not what a simple type wants; None when it is."""
    if isinstance(wanted, types.LiteralType):
        return _literal(document, wanted, value, path)
    if isinstance(wanted, types.StrType):
        return _text(document, wanted, value, path)
    if isinstance(wanted, types.BoolType) and not isinstance(value, bool):
        meant = _BOOLEANS.get(str(value).lower())
        line = example_line(wanted, path).replace("true", meant or "true")
        return _mismatch(document, wanted, value, path), (fix("Write true or false, without quotes", line),)
    if isinstance(wanted, (types.IntType, types.FloatType)):
        return _number(document, wanted, value, path)
    return None  # a type that no Spec uses: msgspec has the last word


def _mismatch(document: Document, wanted: Any, value: Any, path: Path) -> str:
    return f"expected {expected(wanted)}, found {found(document, value, path)}"


def _literal(document: Document, wanted: Any, value: Any, path: Path) -> Problem | None:
    if not isinstance(value, (dict, list)) and any(value == v and type(value) is type(v) for v in wanted.values):
        return None
    choices = [str(v) for v in wanted.values]
    text = document.written.get(path, str(value))
    same = next((c for c in choices if c == text.strip().lower()), None)
    short = [c for c in choices if len(text.strip()) > 1 and c.startswith(text.strip().lower())]
    near = same or (short[0] if len(short) == 1 else None)
    near = near or next(iter(difflib.get_close_matches(text[:60], choices, n=1)), None)
    key = f"{path[-1]}: " if path and isinstance(path[-1], str) else ""
    if near is not None:
        cure = fix(f"Did you mean {near}?", f"{key}{near}")
    else:
        cure = fix(f"Write {expected(wanted)}", f"{key}{choices[0]}")
    return _mismatch(document, wanted, value, path), (cure,)


def _text(document: Document, wanted: Any, value: Any, path: Path) -> Problem | None:
    if not isinstance(value, str):
        message = _mismatch(document, wanted, value, path)
        if isinstance(value, (dict, list)):
            return message, (fix("Write one text", example_line(wanted, path)),)
        return message, (fix("Quote it", quoted_line(document, value, path)),)
    if wanted.min_length and len(value) < wanted.min_length:
        what = "must not be empty" if not value else f"must be {wanted.min_length} characters or longer"
        return f"the text {what}", (fix("Write the text, or remove the key", example_line(wanted, path)),)
    if wanted.max_length is not None and len(value) > wanted.max_length:
        what = f"the text has {len(value)} characters; {wanted.max_length} are allowed"
        return what, (fix("Write a shorter text", example_line(wanted, path)),)
    if wanted.pattern is not None and not re.search(wanted.pattern, value):
        form = wanted.pattern.replace("\0", "\\0")
        return f"{found(document, value, path)} does not have the form {form}", (fix(f"Write it in the form {form}"),)
    return None


def _number(document: Document, wanted: Any, value: Any, path: Path) -> Problem | None:
    whole = isinstance(wanted, types.IntType)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        reading = _typed(value) if isinstance(value, str) else None
        if isinstance(reading, int if whole else (int, float)) and not isinstance(reading, bool):
            cure = fix(
                "Write it without quotes", example_line(wanted, path).replace("1.0" if not whole else "1", str(value))
            )
        else:
            cure = fix(f"Write {expected(wanted)}", example_line(wanted, path))
        return _mismatch(document, wanted, value, path), (cure,)
    bounds = (
        (wanted.ge is not None and value < wanted.ge, f"at least {wanted.ge}"),
        (wanted.gt is not None and value <= wanted.gt, f"above {wanted.gt}"),
        (wanted.le is not None and value > wanted.le, f"at most {wanted.le}"),
        (wanted.lt is not None and value >= wanted.lt, f"below {wanted.lt}"),
        (
            wanted.multiple_of is not None and value % (wanted.multiple_of or 1) != 0,
            f"a multiple of {wanted.multiple_of}",
        ),
    )
    for outside, words in bounds:
        if outside:
            return f"must be {words}, found {found(document, value, path)}", (fix(f"Write a number that is {words}"),)
    return None


def _typed(text: str) -> Any:
    try:
        return typed(text)
    except ValueError:
        return text


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
