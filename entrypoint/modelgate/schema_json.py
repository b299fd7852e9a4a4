"""JSON Schema of the manifest, for editors: completion, descriptions, and most errors while typing.

Why not msgspec.json.schema: it cannot write the default of a type of ours, knows nothing of `${VAR}`, and shares by
$ref, beside which editors show no description. Draft 7, for that is what the YAML plugins of editors understand.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import inspect as types

from modelgate.kind import Kind
from modelgate.units import Duration

_VARIABLE = {"type": "string", "pattern": r"\$\{"}
_SIMPLE: dict[type, dict[str, Any]] = {types.AnyType: {}, types.NoneType: {"type": "null"}}
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_TEXT = {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}


def build(top: type[Any], kinds: Sequence[Kind]) -> dict[str, Any]:
    """`top` is the struct of the whole file; each kind may allow a bare value for an entry."""
    schema = _schema(types.type_info(top))
    for kind in kinds:
        name = getattr(kind.module, "SHORTHAND", None)
        if name is not None:
            entry = schema["properties"][kind.key]["items"]
            schema["properties"][kind.key]["items"] = {"anyOf": [entry, entry["properties"][name]]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "modelgate manifest",
        "description": "What must hold before the server is started. Values may hold ${VAR}, ${VAR:-default}.",
        **schema,
    }


def _schema(wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, types.Metadata):
        return {**(wanted.extra_json_schema or {}), **_schema(wanted.type)}
    if isinstance(wanted, types.StructType):
        return _struct(wanted)
    if isinstance(wanted, types.DictType):
        names = _bare(wanted.key_type)
        form = "^-?[0-9]+$" if isinstance(names, types.IntType) else getattr(names, "pattern", None)
        described = {"propertyNames": {"pattern": form}} if form else {}
        return {"type": "object", "additionalProperties": _schema(wanted.value_type), **described}
    if isinstance(wanted, (types.ListType, types.VarTupleType, types.SetType, types.FrozenSetType)):
        bounds = {"minItems": wanted.min_length, "maxItems": wanted.max_length}
        return {
            "type": "array",
            "items": _schema(wanted.item_type),
            **{k: v for k, v in bounds.items() if v is not None},
        }
    if isinstance(wanted, types.UnionType):
        return {"anyOf": [_schema(member) for member in wanted.types]}
    if type(wanted) in _SIMPLE:
        return dict(_SIMPLE[type(wanted)])
    simple = _scalar(wanted)
    return simple if simple == {"type": "string"} else {"anyOf": [simple, _VARIABLE]}


def _struct(wanted: types.StructType) -> dict[str, Any]:
    properties = {}
    for member in wanted.fields:
        properties[member.encode_name] = _schema(member.type)
        default = member.default.text if isinstance(member.default, Duration) else member.default
        if isinstance(default, (str, int, float)):
            properties[member.encode_name]["default"] = msgspec.to_builtins(default)
    needed = [member.encode_name for member in wanted.fields if member.required]
    schema = {"type": "object", "properties": properties, "additionalProperties": not wanted.forbid_unknown_fields}
    return {**schema, "required": needed} if needed else schema


def _scalar(wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, types.CustomType):
        return dict(getattr(wanted.cls, "SCHEMA", {}))
    if isinstance(wanted, types.LiteralType):
        return {"enum": list(wanted.values)}
    if isinstance(wanted, types.BoolType):
        return {"type": "boolean"}
    names = _TEXT if isinstance(wanted, types.StrType) else _BOUNDS
    kind = (
        "string" if isinstance(wanted, types.StrType) else "integer" if isinstance(wanted, types.IntType) else "number"
    )
    given = {word: getattr(wanted, ours, None) for ours, word in names.items()}
    return {"type": kind, **{word: value for word, value in given.items() if value is not None}}


def _bare(wanted: Any) -> Any:
    while isinstance(wanted, types.Metadata):
        wanted = wanted.type
    return wanted
