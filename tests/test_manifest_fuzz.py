"""A manifest is foreign text. Whatever it is: an answer, in bounded time, that somebody can act on."""

import copy
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelgate import exits
from modelgate.checks import KINDS
from modelgate.finding import Finding
from modelgate.manifest import Manifest, load

FULL = (Path(__file__).parent / "golden" / "manifest" / "full.yaml").read_bytes()
DATA = yaml.safe_load(FULL)
ENVIRON = {
    "DB_TOKEN": "hunter2hunter2",
    "PORT": "8000",
    "N": "0755",
    "EMPTY": "",
    "DEEP": "[" * 10_000,
    "ODD": "a\udce9\0",
}
CODES = {"manifest-invalid", "manifest-unsupported"}

slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
some = settings(max_examples=100, deadline=None, suppress_health_check=slow)
few = settings(max_examples=15, deadline=None, suppress_health_check=slow)


def answered(raw: bytes) -> Manifest | list[Finding]:
    """What load says, after everything that must hold for any answer was asserted."""
    began = time.monotonic()
    loaded = load(raw, "m.yaml", ENVIRON, KINDS)
    assert time.monotonic() - began < 30
    if isinstance(loaded, Manifest):
        assert loaded.shown()["version"] == 1
        return loaded
    assert loaded
    assert exits.decide(loaded) == 78
    lines = raw.count(b"\n") + raw.count(b"\r") + 1
    for finding in loaded:
        assert finding.code in CODES
        assert finding.fixes
        assert all(fix.do and fix.when for fix in finding.fixes)
        assert finding.line is not None
        assert 1 <= finding.line <= lines + 1  # the end of the text counts as a line
        assert finding.subject == f"m.yaml:{finding.line}"
        assert 0 < len(finding.observed) < 1000
        assert "hunter2" not in repr(finding)
    return loaded


@some
@given(st.binary(max_size=500))
def test_any_bytes(raw: bytes) -> None:
    answered(raw)


@some
@given(st.text(alphabet="abc:-?[]{}&*!|>'\"%@`#,\\ \n\t\r0179.~<=${}\ufeff\u2028é", max_size=120))
def test_any_text_of_what_yaml_gives_a_meaning_to(text: str) -> None:
    answered(text.encode())


@some
@given(st.data())
def test_a_good_manifest_with_bytes_changed(data: st.DataObject) -> None:
    """Cut out, put in, put twice."""
    raw = bytearray(FULL)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        end = min(len(raw), at + data.draw(st.integers(0, 60)))
        middle = data.draw(
            st.sampled_from(
                [
                    b"",
                    bytes(raw[at:end]) * 2,
                    b"\t",
                    b"\n",
                    b"*a",
                    b"&a ",
                    b"${",
                    b"${N}",
                    b"- ",
                    b": ",
                    b"0755",
                    b"'",
                    b"\x00",
                ]
            )
        )
        raw[at:end] = middle
    answered(bytes(raw))


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["${PORT}", "${N}", "${EMPTY}", "${DEEP}", "${ODD}", "${NOPE}", "${NOPE:-8}", "${"]),
    st.sampled_from(["5m", "1GiB", "r", "/x", "warn"]),
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path of the data."""
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@some
@given(st.data())
def test_a_good_manifest_with_values_exchanged(data: st.DataObject) -> None:
    """Any value, where any other one should be; under any key as well."""
    changed = copy.deepcopy(DATA)
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(places(changed)[1:]))
        inside = changed
        for key in path[:-1]:
            inside = inside[key]
        if isinstance(inside, dict) and data.draw(st.booleans()):
            inside[data.draw(st.text(max_size=12) | st.sampled_from(["wait", "size", "type", "memory", "needs"]))] = (
                data.draw(trees)
            )
        else:
            inside[path[-1]] = data.draw(trees)
    answered(yaml.safe_dump(changed, allow_unicode=True).encode("utf-8", "surrogatepass"))


@few
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from(["[{}]", "{{a: {}}}", "{{<<: [{}]}}", "{{k: 1, k: 2, z: [{}]}}"]),
)
def test_any_graph_of_aliases(levels: int, width: int, form: str) -> None:
    """Under a real key, so that the walk for errors sees what it became."""
    lines = ["a0: &a0 {x: 1}"]
    for n in range(1, levels):
        inner = ", ".join([f"*a{n - 1}"] * width)
        lines.append(f"a{n}: &a{n} " + form.format(inner if "[" in form else f"*a{n - 1}"))
    answered("\n".join([*lines, f"files: [*a{levels - 1}]", f"env: {{set: *a{levels - 1}}}"]).encode())


@pytest.mark.parametrize("depth", [10, 63, 64, 65, 1000, 100_000])
@pytest.mark.parametrize("form", ["{", "[", "- ", "? "])
def test_any_depth(depth: int, form: str) -> None:
    """Neither the parser's recursion nor ours."""
    answered(b"files:\n" + b" " + form.encode() * depth)
    answered(("files: " + "[" * depth + "]" * depth).encode())
    answered(("files: " + "{a: " * depth + "1" + "}" * depth).encode())


@few
@given(st.integers(10**18, 10**40), st.integers(-300, 5000))
def test_any_number(number: int, exponent: int) -> None:
    """No OverflowError, no minutes of int()."""
    for text in (
        number,
        -number,
        f"{number}.5",
        f"{number}e{exponent}",
        f"0x{number:x}",
        f"0o{number:o}",
        "9" * abs(exponent),
    ):
        for key in ("timeout", "run_as", "version", "cache", "ports", "disk"):
            answered(f"{key}: {text}".encode())
            answered(f"{key}: [{text}]".encode())
        answered(f"disk: [{{path: /, free: {text}, inodes: {text}}}]".encode())
        answered(f"files: [{{path: /, size: '{text}', mode: {text}}}]".encode())
