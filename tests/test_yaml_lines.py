"""YAML to plain data with lines: YAML 1.2 core scalars, and a clear word for everything that is wrong."""

import time
import tracemalloc

import pytest
import yaml

from modelgate import yaml_lines, yaml_nodes
from modelgate.yaml_lines import Document, parse

LOADERS = [yaml.SafeLoader] + ([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With libyaml, and with the parser that is used where libyaml is missing."""
    monkeypatch.setattr(yaml_nodes, "_LOADER", request.param)


def read(text: str) -> Document:
    return parse(text.encode())


def only(text: str | bytes) -> tuple[int, str]:
    """Line and message of the one issue."""
    document = parse(text if isinstance(text, bytes) else text.encode())
    assert [i.message for i in document.issues][1:] == []
    issue = document.issues[0]
    assert issue.fixes
    assert all(cure.do and cure.when for cure in issue.fixes)
    return issue.line, issue.message


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1000:0", "1000:0"), ("12:30:00", "12:30:00"), ("on", "on"), ("yes", "yes"), ("No", "No"), ("y", "y"),
        ("1_000", "1_000"), ("2024-01-01", "2024-01-01"), ("0b11", "0b11"), ("0.5.1", "0.5.1"), ("=", "="),
        ("8", 8), ("-8", -8), ("+8", 8), ("0", 0), ("0o17", 15), ("0x1F", 31), ("0o8", "0o8"),
        ("9223372036854775807", 2**63 - 1), ("-x", "-x"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-.inf", float("-inf")), ("+.INF", float("inf")),
        ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("nUll", "nUll"),
        ('"8"', "8"), ("'true'", "true"), ('""', ""), ("!!str 8", "8"), ("! 8", "8"), ("|\n  8\n", "8\n"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_yaml_1_2_core(text: str, value: object) -> None:
    """What is text in YAML 1.2 stays text: 1000:0 is no number in base 60, `on` is no boolean."""
    document = read(f"a: {text}")

    assert document.issues == []
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


@pytest.mark.parametrize("text", ["0755", "-012", "00", "08"])
def test_a_leading_zero_is_refused_with_both_ways_out(text: str) -> None:
    """YAML 1.1 reads 0755 as 493, YAML 1.2 as 755."""
    document = read(f"x: 1\nmode: {text}")

    assert [(i.line, i.path) for i in document.issues] == [(2, ("mode",))]
    assert [cure.snippet for cure in document.issues[0].fixes] == [f'mode: "{text}"', str(int(text))]
    assert document.broken == {("mode",)}


def test_a_refused_number_under_a_secrets_name_is_not_shown() -> None:
    document = read("password: 0123456\napi_key: 99999999999999999999999")
    assert "123456" not in repr(document.issues)
    assert "99999" not in repr(document.issues)
    assert len(document.issues) == 2


@pytest.mark.parametrize("text", ["9" * 5000, "-" + "9" * 41, "9223372036854775808", "0x" + "f" * 17, "1." + "0" * 60])
def test_a_number_that_is_too_large_is_refused_and_not_computed(text: str) -> None:
    """An all-digit digest without quotes is one of these."""
    line, message = only(f"a: {text}")
    assert line == 1
    assert "number" in message
    assert len(message) < 200


def test_every_value_knows_its_line_and_how_it_was_written() -> None:
    document = read("# c\nfiles:\n  - path: /a\n    mode: '1'\n  -\n    path: /b\nn: 1.10\nt: |\n  x\n")

    assert document.lines == {
        (): 2, ("files",): 2, ("files", 0): 3, ("files", 0, "path"): 3, ("files", 0, "mode"): 4,
        ("files", 1): 6, ("files", 1, "path"): 6, ("n",): 7, ("t",): 8,
    }  # fmt: skip
    assert document.written == {("n",): "1.10"}
    assert document.quoted == {("files", 0, "mode"), ("t",)}
    assert document.line(("files", 1, "nothing")) == 6


@pytest.mark.usefixtures("both")
def test_duplicate_keys_are_all_refused_with_both_lines() -> None:
    document = read("a: 1\nb: {c: 1, c: 2}\na: 2\n\na: 3\n")

    assert [(i.line, i.path, i.message) for i in document.issues] == [
        (3, ("a",), "the key is here twice: first in line 1, again in line 3"),
        (5, ("a",), "the key is here twice: first in line 1, again in line 5"),
        (2, ("b", "c"), "the key is here twice: first in line 2, again in line 2"),
    ]
    assert document.data == {"a": 1, "b": {"c": 1}}


@pytest.mark.usefixtures("both")
def test_aliases_and_merge_keys_work() -> None:
    """As people know them from compose files; what stands in the mapping itself wins, then the first of a list."""
    document = read("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\nd: *a\ne: {'<<': 1}\n")

    assert document.issues == []
    assert document.data["c"] == {"x": 3, "y": 1, "z": 2}
    assert document.data["d"] == {"x": 1, "y": 1}
    assert document.data["e"] == {"<<": 1}
    assert document.lines["c", "z"] == 2
    assert document.lines["d",] == 6


SYNTAX = [
    ("\ta: 1", 1, "a tab indents this line"),
    ("a:\n  b: 1\n\tc: 2\n", 3, "a tab indents this line"),
    ("a: 1\nb: c: d", 2, "a second `: ` stands here"),
    ("a: 1\n b: 2", 2, "a key cannot begin here"),
    ("a: [1, 2\nb: 3", 2, "the [ ] that opens in line 1"),
    ("a: {b: 1", None, "the { } that opens in line 1"),
    ("a: 1\nb: 'x\nc: 2\n", 2, "the quote that opens in this line is never closed"),
    ('a: "\\d"', 1, "a backslash in double quotes begins an escape"),
    ('a: "b" c', 1, "cannot stand here: the value before it has ended"),
    ("a: 'it's'", 1, "cannot stand here: the value before it has ended"),
    ("path: *.safetensors", 1, "* begins an alias"),
    ("a: @x", 1, "@ is reserved"),
    ("a: %x", 1, "% begins a directive"),
    ("a: 1\nb", 2, "this line should be `key: value`"),
    ("a:\n    b: 1\n  c: 2", 3, "this line is indented by 2 spaces and fits no block"),
    ("a: - b", 1, "a list cannot begin here"),
    ("a: 1\n---\nb: 2", 2, "a second document begins here"),
    ("a: 1\n...\nb: 2", 3, "the document ended above"),
    ("ports: [${PORT}]", 1, "inside [ ] and { } a variable needs quotes"),
    ("a: *x", 1, "the alias *x has no anchor &x before it"),
    ("a: &a\n  b: *a", 2, "the alias *a stands inside its own anchor &a of line 1"),
    ("a: !include x", 1, "the tag !include means nothing"),
    ("a: !!python/object/apply:os.system [id]", 1, "the tag !!python/object/apply:os.system means nothing"),
    ("? [a]\n: b", 1, "a key is a list; keys are text"),
    ("? {a: 1}\n: b", 1, "a key is a mapping; keys are text"),
    ("?\n: x", None, "a key is missing before the `:`"),
    ("a: {<<: 1}", 1, "`<<` merges mappings, but this is a single value"),
    ('a: "\\0"', 1, "it holds a NUL character"),
    ("- a\n- b", 1, "a manifest is a mapping of keys to values, but this is a list"),
    ("\n\njust text", 3, "a manifest is a mapping of keys to values, but this is a single value"),
    ("", 1, "there is nothing in it but blank lines and comments"),
    ("# only\n\n# comments\n", 1, "there is nothing in it but blank lines and comments"),
    ("---\n", 1, "there is nothing in it but blank lines and comments"),
    ("%TAG !a! b\n" * 20 + "--- {}", 17, "too many lines begin with %"),
    ("a: 1\nb: \x07", 2, "the control character U+0007"),
    ("a: x\u2028b: 1", 1, "the control character U+2028"),
    ("a: x\u0085b: 1", 1, "the control character U+0085"),
]


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(("text", "line", "words"), SYNTAX)
def test_what_is_no_manifest_is_told_with_its_line_and_a_cure(text: str, line: int | None, words: str) -> None:
    """The two parsers word it differently; we say the same. (One names the end of an open bracket a line later.)"""
    at, message = only(text)
    assert words in message
    assert line in (None, at)


@pytest.mark.parametrize(
    ("raw", "line", "words"),
    [
        (b"a: 1\nb: \xe9", 2, "byte 0xe9 is not UTF-8"),
        (b"\xef\xbb\xbfa: 1\nb: \xe9", 2, "byte 0xe9 is not UTF-8"),
        (b"a: 1\n\nb: \0", 3, "it is binary (a NUL byte in line 3)"),
        (b"\x7fELF\x02\x01\x01\0\0", 1, "it is binary"),
        ("a: 1".encode("utf-16"), 1, "it is UTF-16 text"),
        ("a: 1".encode("utf-32"), 1, "it is UTF-16 text"),
        (b"a: 1\n" * 300_000, 1, "it is larger than 1 MiB (1500000 bytes)"),
    ],
)
def test_bytes_that_are_no_text_are_told(raw: bytes, line: int, words: str) -> None:
    at, message = only(raw)
    assert (at, words in message) == (line, True)


def test_a_utf8_signature_is_no_fault() -> None:
    """Editors on Windows write it, and YAML allows it."""
    assert parse(b"\xef\xbb\xbfa: 1").data == {"a": 1}
    assert parse(b"a: 1\r\nb: 2\r\n").data == {"a": 1, "b": 2}


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


BOMBS = {
    "a billion laughs": laughs(9),
    "a billion laughs by merging": "a0: &a0 {x: 1}\n"
    + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30)),
    "a billion laughs of nothing": "a0: &a0 {}\n"
    + "\n".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 60)),
    "a chain of aliases": "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 2000)),
    "a large text many times": "a: &a " + "x" * 500_000 + "\nb: [" + "*a, " * 80_000 + "]",
    "brackets": "a: " + "[" * 900_000,
    "braces": "{" * 900_000,
    "dashes": "- " * 400_000,
    "question marks": "? " * 400_000,
    "one long key": "a" * 900_000 + ": 1",
    "many entries": "a: [" + "1," * 400_000 + "]",
    "many lines": "a: |\n" + " x\n" * 300_000,
    "digits": "a: " + "9" * 900_000,
    "anchors": "a: " + "&x" * 400_000,
    "tags": "!" * 900_000,
    "backslashes": 'a: "' + "\\" * 900_001,
    "percent": "%TAG !a! b\n" * 80_000,
    "the same mistake through aliases": "a: &a {k: 1, k: 2}\nb: [" + "*a, " * 8_000 + "]",
}


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("name", BOMBS)
def test_what_explodes_is_read_or_refused_in_little_time_and_memory(name: str) -> None:
    """A manifest is foreign text: none may crash PID 1 (libyaml's composer dies of nesting), hang it or fill it."""
    began = time.monotonic()
    document = parse(BOMBS[name].encode())

    assert time.monotonic() - began < 30  # libyaml takes 0.1 s, the other parser some seconds on a busy machine
    assert len(document.issues) <= yaml_lines.LIMIT_ISSUES
    assert document.issues or document.data


def test_an_explosion_stays_small() -> None:
    raw = BOMBS["a billion laughs"].encode()
    tracemalloc.start()
    try:
        document = parse(raw)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert "more than 50000 values once its aliases are followed" in document.issues[0].message
    assert peak < 64 << 20
