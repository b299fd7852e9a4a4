"""Everything that is wrong with a manifest's data, with path, line and near match.

Imported only after the fast way has failed: msgspec stops at the first error, this walks its view of the types to the
end. msgspec keeps the last word: what this does not find, manifest_findings.unexplained tells in its words.
"""

import difflib
import itertools
import re
from typing import Any

import msgspec
from msgspec import inspect as types

from modelgate.finding import Fix
from modelgate.manifest import parse_custom
from modelgate.not_built import SECTIONS
from modelgate.schema_words import example_line, expected, found, hidden, put_right, quoted_line, scalar_problem
from modelgate.units import Duration
from modelgate.yaml_lines import LIMIT_ISSUES, Document
from modelgate.yaml_text import Issue, Path, fix, show

_WHY_VALUE = "A requirement that cannot be asked as it is written is refused; skipped, nobody would notice."
_WHY_KEY = "A key that is not known is refused: a misspelt requirement would never be checked, and nobody would notice."


def collect(document: Document, wanted: type[Any]) -> Any:
    """Append an Issue for each error; return the data, where a variable has two readings with the one that fits."""
    if document.data is None:
        return None
    return _Collector(document).value(types.type_info(wanted), document.data, (), "")


class _Collector:
    """One walk. Every method returns the value as it should be converted."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def value(self, wanted: Any, value: Any, path: Path, about: str) -> Any:
        while isinstance(wanted, types.Metadata):
            about = (wanted.extra_json_schema or {}).get("description", about)
            wanted = wanted.type
        if path in self.document.broken or len(self.document.issues) >= LIMIT_ISSUES:
            return value
        readings = self.document.soft.get(path)
        if readings is None:
            return self._one(wanted, value, path, about)
        tried = [self._try(wanted, reading, path, about) for reading in readings]
        result, issues = next((t for t in tried if not t[1]), tried[0])
        self.document.issues += issues
        return result

    def _try(self, wanted: Any, value: Any, path: Path, about: str) -> tuple[Any, list[Issue]]:
        kept = self.document.issues
        self.document.issues = []
        try:
            return self._one(wanted, value, path, about), self.document.issues
        finally:
            self.document.issues = kept

    def _one(self, wanted: Any, value: Any, path: Path, about: str) -> Any:
        if isinstance(wanted, types.AnyType):
            return value
        if isinstance(wanted, types.UnionType):
            return self._union(wanted, value, path, about)
        if value is None and not isinstance(wanted, (types.NoneType, types.CustomType)):
            cures = (
                fix("Write a value after it", when="it was forgotten"),
                fix("Remove it", when="nothing is to be asked for here"),
            )
            self._issue(path, f"has no value; {expected(wanted)} is expected", about, *cures)
            return None
        if isinstance(wanted, types.StructType):
            return self._struct(wanted, value, path, about)
        if isinstance(wanted, types.DictType):
            return self._dict(wanted, value, path, about)
        if isinstance(wanted, (types.ListType, types.VarTupleType, types.SetType, types.FrozenSetType)):
            return self._list(wanted, value, path, about)
        if isinstance(wanted, types.CustomType):
            return self._custom(wanted, value, path, about)
        return self._scalar(wanted, value, path, about)

    def _union(self, wanted: types.UnionType, value: Any, path: Path, about: str) -> Any:
        if value is None and any(isinstance(member, types.NoneType) for member in wanted.types):
            return None
        members = [member for member in wanted.types if not isinstance(member, types.NoneType)]
        if len(members) == 1:
            return self.value(members[0], value, path, about)
        tried = [(self._try(_bare(member), value, path, about), member) for member in members]
        for (result, issues), _ in tried:
            if not issues:
                return result
        # The error inside the member that was meant says more than "expected a list or a mapping".
        for (result, issues), member in tried:
            if _same_shape(_bare(member), value):
                self.document.issues += issues
                return result
        words = " or ".join(dict.fromkeys(expected(_bare(member)) for member in members))
        texts = any(isinstance(_bare(member), types.StrType) for member in members)
        quote = texts and not isinstance(value, (dict, list))
        cure = fix("Quote it", quoted_line(self.document, value, path)) if quote else fix(f"Write {words}")
        self._issue(path, f"expected {words}, found {found(self.document, value, path)}", about, cure)
        return value

    def _struct(self, wanted: types.StructType, value: Any, path: Path, about: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(wanted, value, path, about)
        before = len(self.document.issues)
        fields = {f.encode_name: f for f in wanted.fields}
        strange = itertools.islice((key for key in value if key not in fields), LIMIT_ISSUES)
        known = [*fields, *(SECTIONS if not path else ())]
        meant = {key: _near(key, known) for key in strange}
        for key, near in meant.items():
            self._unknown((*path, key), near, list(fields))
        result = {
            key: self.value(fields[key].type, item, (*path, key), "") for key, item in value.items() if key in fields
        }
        for name, member in fields.items():
            if member.required and name not in value and name not in meant.values():
                self._missing(path, name, member)
        untouched = not any(broken[: len(path)] == path for broken in self.document.broken)
        if len(self.document.issues) == before and untouched and hasattr(wanted.cls, "__post_init__"):
            self._whole(wanted.cls, result, path, about)
        return result

    def _whole(self, cls: type[Any], value: Any, path: Path, about: str) -> None:
        """What only the struct itself can say: its __post_init__."""
        try:
            msgspec.convert(value, cls, dec_hook=parse_custom, str_keys=True)
        except Exception as error:  # noqa: BLE001 - re.error and the like pass through msgspec
            message = str(error.__cause__ or error)
            named = re.match(r"`?([A-Za-z_]\w*)`?: ", message)
            if named and named[1] in cls.__struct_fields__:
                path, message = (*path, named[1]), message[named.end() :]
                about = about or _WHY_VALUE
            about = about or "Every value is good on its own, but the whole of it asks for what cannot be."
            wanted = re.match(r"expected (.+), (?:got|found) ", message)
            do = f"Write {wanted[1]}" if wanted else f"Change `{show(path)}` so that this holds: {message}"
            self._issue(path, message, about, fix(do))

    def _unknown(self, path: Path, near: str | None, known: list[str]) -> None:
        if near is not None:
            cure = fix(f"Did you mean `{near}`?", f"{near}: ...")
        else:
            cure = fix(f"Remove it, or use one of: {', '.join(sorted(known))}")
        self._issue(path, "unknown key", _WHY_KEY, cure)

    def _missing(self, path: Path, name: str, member: Any) -> None:
        wanted, about = member.type, ""
        while isinstance(wanted, types.Metadata):
            about = (wanted.extra_json_schema or {}).get("description", about)
            wanted = wanted.type
        self._issue(path, f"the key `{name}` is missing", about, fix(f"Add `{name}`", example_line(wanted, (name,))))

    def _dict(self, wanted: types.DictType, value: Any, path: Path, about: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(wanted, value, path, about)
        result = {}
        for key, item in value.items():
            self._key(wanted.key_type, key, (*path, key))
            result[key] = self.value(wanted.value_type, item, (*path, key), "")
        self._length(wanted, len(value), path, about, "keys")
        return result

    def _key(self, wanted: Any, key: str, path: Path) -> None:
        bare = _bare(wanted)
        number = isinstance(bare, types.IntType)
        if number and not re.fullmatch(r"-?[0-9]{1,18}", key):
            self._issue(path, "this key must be a whole number", "", fix("Write a number as the key", "0: ..."))
        elif isinstance(bare, types.StrType) and scalar_problem(self.document, bare, key, path) is not None:
            self._issue(
                path, "this key does not have the form of a name", "", fix("Write a name as the key", "NAME: ...")
            )

    def _list(self, wanted: Any, value: Any, path: Path, about: str) -> Any:
        if not isinstance(value, list):
            return self._wrong(wanted, value, path, about)
        self._length(wanted, len(value), path, about, "entries")
        return [self.value(wanted.item_type, item, (*path, n), "") for n, item in enumerate(value)]

    def _length(self, wanted: Any, length: int, path: Path, about: str, what: str) -> None:
        least, most = wanted.min_length, wanted.max_length
        if least is not None and length < least:
            self._issue(path, f"at least {least} {what} are needed, found {length}", about, fix(f"Add {what}"))
        if most is not None and length > most:
            self._issue(path, f"at most {most} {what} are allowed, found {length}", about, fix(f"Remove {what}"))

    def _custom(self, wanted: types.CustomType, value: Any, path: Path, about: str) -> Any:
        try:
            parse_custom(wanted.cls, value)
        except Exception as error:  # noqa: BLE001 - whatever a parse raises, it means no
            snippet = example_line(wanted, path)
            if isinstance(value, (int, float)) and issubclass(wanted.cls, Duration):
                snippet = snippet.rpartition(" ")[0] + f" {value}s"
            if issubclass(wanted.cls, str) and isinstance(value, (float, bool)):
                snippet = quoted_line(self.document, value, path)
            source = self.document.sources.get(path)
            message = f"{error} (from {source})" if source else str(error)
            if hidden(self.document, path):
                message = f"expected {expected(wanted)}, found {found(self.document, value, path)}"
            self._issue(path, message, about, fix("Write it in a form that is understood, like this", snippet))
        return value

    def _scalar(self, wanted: Any, value: Any, path: Path, about: str) -> Any:
        problem = scalar_problem(self.document, wanted, value, path)
        if problem is not None:
            message, cures = problem
            self._issue(path, message, about, *cures)
        return value

    def _wrong(self, wanted: Any, value: Any, path: Path, about: str) -> Any:
        message = f"expected {expected(wanted)}, found {found(self.document, value, path)}"
        self._issue(path, message, about, put_right(self.document, wanted, value, path))
        return value

    def _issue(self, path: Path, message: str, why: str, *cures: Fix) -> None:
        given = cures or (fix(f"Correct `{show(path)}`: {message}"),)
        line = self.document.line(path)
        self.document.issues.append(Issue(line=line, path=path, message=message, fixes=given, why=why))


def _bare(wanted: Any) -> Any:
    while isinstance(wanted, types.Metadata):
        wanted = wanted.type
    return wanted


def _same_shape(wanted: Any, value: Any) -> bool:
    if isinstance(value, dict):
        return isinstance(wanted, (types.StructType, types.DictType))
    if isinstance(value, list):
        return isinstance(wanted, (types.ListType, types.VarTupleType, types.SetType, types.FrozenSetType))
    if isinstance(wanted, (types.StrType, types.CustomType)):
        return isinstance(value, str)
    return isinstance(wanted, types.IntType) and isinstance(value, int) and not isinstance(value, bool)


def _near(key: str, known: list[str]) -> str | None:
    plain = key.strip().lower().replace("-", "_")
    if plain in known:
        return plain
    return next(iter(difflib.get_close_matches(plain[:60], known, n=1)), None)
