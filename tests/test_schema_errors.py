"""The walk that finds every error: one small kind with every sort of type that a Spec may use."""

import textwrap
import types as plain
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct, field

from modelgate.kind import Entry, Kind, Shape
from modelgate.manifest import Manifest, load
from modelgate.units import Duration, Size


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    count: Annotated[int, Meta(ge=1, le=9)] = 1


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=2, max_length=5, pattern="^[a-z]*$", description="A short word")] = "ab"
    number: Annotated[float, Meta(gt=0, lt=10)] = 1.0
    even: Annotated[int, Meta(multiple_of=2)] = 2
    flag: bool = False
    choice: Literal["red", "green"] = "red"
    numbers: Annotated[list[int], Meta(min_length=1, max_length=2)] = field(default_factory=lambda: [1])
    table: dict[str, int] = field(default_factory=dict)
    codes: dict[int, int] = field(default_factory=dict)
    many: int | list[int] | None = None
    word_or_table: str | dict[str, int] = "x"
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    patience: Duration = Duration(0)
    size: Size | None = None
    anything: Any = None
    pair: str = ""

    def __post_init__(self) -> None:
        if self.pair == "whole":
            raise ValueError("two things that do not go together")
        if self.pair == "named":
            raise ValueError("pair: it cannot be that")
        if self.pair == "odd":
            raise KeyError("not even a ValueError")


KIND = Kind(key="thing", module=plain.SimpleNamespace(Spec=Spec, __doc__="Things."), shape=Shape.ONE)


def errors(body: str, **environ: str) -> list[str]:
    """What is said about `thing: {BODY}`, in one line each."""
    loaded = load(f"thing: {{{body}}}".encode(), "m", environ, [KIND])
    return [] if isinstance(loaded, Manifest) else [f.observed for f in loaded]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("text: 5", "thing.text: expected text, found the number 5"),
        ("text: null", "thing.text: has no value; text is expected"),
        ("text: [a]", "thing.text: expected text, found a list"),
        ("text: true", "thing.text: expected text, found true"),
        ("text: a", "thing.text: the text must be 2 characters or longer"),
        ("text: abcdef", "thing.text: the text has 6 characters; 5 are allowed"),
        ("text: A1", "thing.text: the text 'A1' does not have the form ^[a-z]*$"),
        ("number: '3'", "thing.number: expected a number, found the text '3'"),
        ("number: 0", "thing.number: must be above 0, found the number 0"),
        ("number: 10", "thing.number: must be below 10, found the number 10"),
        ("even: 3", "thing.even: must be a multiple of 2, found the number 3"),
        ("even: 2.0", "thing.even: expected a whole number, found the number 2.0"),
        ("even: true", "thing.even: expected a whole number, found true"),
        ("flag: on", "thing.flag: expected true or false, found the text 'on'"),
        ("flag: 1", "thing.flag: expected true or false, found the number 1"),
        ("choice: gren", "thing.choice: expected one of green, red, found the text 'gren'"),
        ("choice: [red]", "thing.choice: expected one of green, red, found a list"),
        ("numbers: []", "thing.numbers: at least 1 entries are needed, found 0"),
        ("numbers: [1, 2, 3]", "thing.numbers: at most 2 entries are allowed, found 3"),
        ("numbers: 5", "thing.numbers: expected a list, found the number 5"),
        ("numbers: [1, x]", "thing.numbers[1]: expected a whole number, found the text 'x'"),
        ("table: [a]", "thing.table: expected a mapping, found a list"),
        ("table: {a b: x}", "thing.table[\"a b\"]: expected a whole number, found the text 'x'"),
        ("codes: {x: 1}", "thing.codes.x: this key must be a whole number"),
        ("many: x", "thing.many: expected a whole number or a list, found the text 'x'"),
        ("many: [x]", "thing.many[0]: expected a whole number, found the text 'x'"),
        ("word_or_table: 1.50", "thing.word_or_table: expected text or a mapping, found the number 1.50"),
        ("word_or_table: {a: x}", "thing.word_or_table.a: expected a whole number, found the text 'x'"),
        ("inner: {}", "thing.inner: the key `name` is missing"),
        ("inner: {nmae: x}", "thing.inner.nmae: unknown key"),
        ("inner: {name: x, count: 10}", "thing.inner.count: must be at most 9, found the number 10"),
        ("inners: [{name: x}, 5]", "thing.inners[1]: expected a mapping, found the number 5"),
        ("patience: 5", "thing.patience: a duration needs a unit: 5s, 5m or 5h?"),
        ("patience: null", "thing.patience: expected a duration like 500ms, 30s, 5m or 1h, got None"),
        ("size: much", "thing.size: expected a size like 64MiB, 40GiB, 40Gi or 80GB, got 'much'"),
        ("pair: whole", "thing: two things that do not go together"),
        ("pair: named", "thing.pair: it cannot be that"),
        ("pair: odd", "thing: 'not even a ValueError'"),
        ("NUMBER: 1", "thing.NUMBER: unknown key"),
        ("word-or-table: x", "thing.word-or-table: unknown key"),
        ("zzz: 1", "thing.zzz: unknown key"),
    ],
)
def test_each_sort_of_error(body: str, message: str) -> None:
    assert errors(body) == [message]


@pytest.mark.parametrize(
    ("body", "cure"),
    [
        ("pair: 1.10", 'pair: "1.10"'),
        ("even: '4'", "even: 4"),
        ("flag: on", "flag: true"),
        ("flag: 'No'", "flag: false"),
        ("choice: gren", "choice: green"),
        ("choice: RED", "choice: red"),
        ("choice: gr", "choice: green"),
        ("numbers: 5", "numbers: [5]"),
        ("NUMBER: 1", "number: ..."),
        ("word-or-table: x", "word_or_table: ..."),
        ("inner: x", "inner:\n  name: x"),
        ("patience: 5", "patience: 5s"),
        ("size: much", "size: 64MiB"),
        ("word_or_table: 1.50", 'word_or_table: "1.50"'),
    ],
)
def test_the_cure_is_the_line_as_it_should_be(body: str, cure: str) -> None:
    """To be copied; and what is copied is then right."""
    loaded = load(f"thing: {{{body}}}".encode(), "m", {}, [KIND])
    assert isinstance(loaded, list)
    assert [fix.snippet for fix in loaded[0].fixes] == [cure]
    if "..." not in cure:
        assert isinstance(load(("thing:\n" + textwrap.indent(cure, "  ")).encode(), "m", {}, [KIND]), Manifest)


def test_all_errors_come_at_once_and_a_broken_part_hides_no_other() -> None:
    """An entry with errors is not asked to be consistent as well."""
    found = errors("text: 5, zzz: 1, inner: {count: x}, numbers: [a, b], pair: whole, patience: '${V}'")
    assert found == [
        "thing.patience: the variable V is not set",
        "thing.zzz: unknown key",
        "thing.text: expected text, found the number 5",
        "thing.inner.count: expected a whole number, found the text 'x'",
        "thing.inner: the key `name` is missing",
        "thing.numbers[0]: expected a whole number, found the text 'a'",
        "thing.numbers[1]: expected a whole number, found the text 'b'",
    ]


def test_the_source_of_a_value_is_named_beside_it() -> None:
    """The line in the file says ${N}, so the message has to say where the text came from."""
    assert errors("even: '${N}'", N="x") == ["thing.even: expected a whole number, found the text 'x' (from ${N})"]
    assert errors("patience: '${N}'", N="soon") == [
        "thing.patience: expected a duration like 500ms, 30s, 5m or 1h, got 'soon' (from ${N})"
    ]


def test_both_readings_of_a_variable_are_tried() -> None:
    body = "text: '${A}', even: '${B}', numbers: ['${B}'], many: '${B}', flag: '${C}', anything: '${B}', number: '${D}'"
    loaded = load(f"thing: {{{body}}}".encode(), "m", {"A": "abc", "B": "8", "C": "true", "D": "01.5"}, [KIND])

    assert isinstance(loaded, Manifest)
    spec = loaded.sections["thing"]
    assert (spec.text, spec.even, spec.numbers, spec.many, spec.flag, spec.anything, spec.number) == (
        "abc", 8, [8], 8, True, "8", 1.5,
    )  # fmt: skip
    assert load(b"thing:\n  anything: ${B}", "m", {"B": "8"}, [KIND]).sections["thing"].anything == 8  # type: ignore[union-attr]


def test_what_msgspec_refuses_and_the_walk_does_not_know_is_told_all_the_same() -> None:
    """A type that no kind uses yet: msgspec has the last word."""

    class Odd(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
        raw: msgspec.Raw | None = None
        when: bytes = b""

    kind = Kind(key="odd", module=plain.SimpleNamespace(Spec=Odd), shape=Shape.LIST)
    loaded = load(b"odd:\n  - {}\n  - when: ~x~\n", "m", {}, [kind])

    assert isinstance(loaded, list)
    assert [(f.line, f.code) for f in loaded] == [(3, "manifest-invalid")]
    assert "base64" in loaded[0].observed
    assert loaded[0].fixes
