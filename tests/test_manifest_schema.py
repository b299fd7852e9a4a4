"""The JSON Schema: what an editor makes of the manifest."""

from pathlib import Path
from typing import Any

import jsonschema
import yaml

from modelgate import manifest
from modelgate.checks import KINDS
from modelgate.manifest import Manifest, json_schema, load

FULL = Path(__file__).parent / "golden" / "manifest" / "full.yaml"


def properties(schema: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every property at any depth with its path."""
    found = []
    for key, value in schema.get("properties", {}).items():
        found += [(f"{path}.{key}", value), *properties(value, f"{path}.{key}")]
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            found += properties(schema[word], path)
    for part in schema.get("anyOf", []):
        found += properties(part, path)
    return found


def test_every_property_of_the_schema_is_described() -> None:
    """An editor shows it beside the key."""
    found = properties(json_schema(KINDS))
    assert len(found) > 60
    assert [path for path, schema in found if not schema.get("description")] == []


def test_the_schema_takes_what_the_loader_takes_and_refuses_what_it_refuses() -> None:
    validator = jsonschema.Draft7Validator(json_schema(KINDS))
    jsonschema.Draft7Validator.check_schema(json_schema(KINDS))

    assert list(validator.iter_errors(yaml.safe_load(FULL.read_text()))) == []
    for text in (
        "ports: [80000]",
        "timeout: 30",
        "fiels: []",
        "launch: {mode: exce}",
        "files: [{}]",
        "disk: [{path: /, free: ten}]",
    ):
        assert not validator.is_valid(yaml.safe_load(text)), text
        assert not isinstance(load(text.encode(), "m", {}, KINDS), Manifest)
    for text in ("ports: ['${PORT}']", "timeout: ${T}", "timeout: 0s", "run_as: 1000", "no_new_privs: ${N:-true}"):
        assert validator.is_valid(yaml.safe_load(text)), text


def test_the_schema_names_the_defaults() -> None:
    schema = json_schema(KINDS)["properties"]
    assert schema["launch"]["properties"]["mode"]["default"] == "exec"
    assert schema["launch"]["properties"]["grace"]["default"] == "25s"
    assert "default" not in schema["timeout"]


def test_the_type_of_the_file_is_one_that_msgspec_can_walk() -> None:
    """A constraint on a union converts and cannot be inspected: then no error of any manifest could be told."""
    assert manifest.file_type(KINDS)
    assert properties(json_schema(KINDS))
