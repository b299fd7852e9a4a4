"""Variables in a manifest: every form, what is typed, what is hidden, and that a value stays a value."""

from collections.abc import Mapping
from typing import Any

import pytest

from modelgate.expand import expand
from modelgate.host import Place
from modelgate.yaml_lines import Document, parse

SHELL = Place(platforms=("shell",))


def expanded(text: str, environ: Mapping[str, str] | None = None) -> tuple[Document, frozenset[str]]:
    document = parse(text.encode())
    secrets = expand(document, environ or {}, SHELL)
    return document, secrets


def value(text: str, **environ: str) -> Any:
    """The value of the key `a` after expansion."""
    document, _ = expanded(f"a: {text}", environ)
    assert document.issues == []
    return document.data["a"]


@pytest.mark.parametrize(
    ("text", "environ", "result"),
    [
        ("x${V}y", {"V": "1"}, "x1y"),
        ("${V}${W}", {"V": "1", "W": "2"}, "12"),
        ("${V:-d}", {}, "d"),
        ("${V:-d}", {"V": ""}, "d"),
        ("${V:-d}", {"V": "v"}, "v"),
        ("x${V:-}", {}, "x"),
        ("${V:-a:-b?c}", {}, "a:-b?c"),
        ("x${V}", {"V": ""}, "x"),
        ("${V:?tell me}", {"V": "v"}, "v"),
        ("$${V}", {}, "${V}"),
        ("$${V} ${V}", {"V": "1"}, "${V} 1"),
        ("$$${V}", {"V": "1"}, "$${V}"),
        ("$V", {"V": "1"}, "$V"),
        ("$", {}, "$"),
        ("costs $5 {really}", {}, "costs $5 {really}"),
        ("${_x9}", {"_x9": "v"}, "v"),
    ],
)
def test_every_form(text: str, environ: dict[str, str], result: str) -> None:
    assert value(text, **environ) == result


@pytest.mark.parametrize(
    "foreign", ["${W}", "$${W}", "[1, 2]", "{a: b}", "x\n  b: 1", "*a", "&a b", "# no comment", "'", "!!int 5"]
)
def test_a_value_is_never_expanded_again_and_brings_no_structure(foreign: str) -> None:
    """What comes from outside is text, whatever it looks like."""
    assert value("${V}", V=foreign, W="never") == foreign
    assert value('"${V}"', V=foreign, W="never") == foreign
    assert value("<${V}>", V=foreign, W="never") == f"<{foreign}>"


def test_keys_are_left_alone() -> None:
    document, _ = expanded('"${V}": ${V}', {"V": "v"})
    assert document.data == {"${V}": "v"}


@pytest.mark.parametrize(
    ("written", "held", "likely", "others"),
    [
        ("${V}", "8", 8, ("8",)),
        ("${V}", "true", True, ("true",)),
        ("${V}", "1.5", 1.5, ("1.5",)),
        ("${V:-8}", "", 8, ("8",)),
        ("${V:-}", "", "", (None,)),
        # Quoted, it is text; but inside [ ] and { } a variable must be quoted, so it may be a number all the same.
        ('"${V}"', "8", "8", (8,)),
        # Not as it would be printed: the text is likelier, or `1.10` would become 1.1 on its way to the server.
        ("${V}", "1.10", "1.10", (1.1,)),
        ("${V}", "True", "True", (True,)),
        ("${V}", "+8", "+8", (8,)),
        ("${V}", "text", "text", ()),
        # Programs differ in what these are: text or nothing.
        ("${V}", "0755", "0755", ()),
        ("${V}", "9" * 500, "9" * 500, ()),
        ("x${V}", "8", "x8", ()),
        ("$${8}", "", "${8}", ()),
    ],
)
def test_a_scalar_that_is_one_variable_is_typed(
    written: str, held: str, likely: object, others: tuple[object, ...]
) -> None:
    """The likelier reading is put in; the other one is kept for a key that wants it."""
    document, _ = expanded(f"a: {written}", {"V": held})

    assert document.issues == []
    assert (document.data["a"], type(document.data["a"])) == (likely, type(likely))
    assert document.soft.get(("a",), (likely,))[1:] == others


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ("${V}", {}, "the variable V is not set"),
        ("${V:?where the weights are}", {}, "the variable V is not set: where the weights are"),
        ("${V:?where the weights are}", {"V": ""}, "the variable V is set but empty: where the weights are"),
        ("${V:?}", {}, "the variable V is not set"),
        ("${}", {}, "`${}` is no variable reference"),
        ("${1A}", {}, "`${1A}` is no variable reference"),
        ("${V-d}", {"V": "v"}, "`${V-d}` is no variable reference"),
        ("${V:=d}", {"V": "v"}, "`${V:=d}` is no variable reference"),
        ("${V", {"V": "v"}, "`${V` is no variable reference"),
        ("x ${ y", {}, "`${ y` is no variable reference"),
        ("${V:-${W}}", {"V": "v", "W": "w"}, "`${V:-${W}}` is no variable reference"),
        ("${V}", {"V": "a\udce9"}, "the value of V holds bytes that are not UTF-8"),
        ("${V}", {"V": "a\0b"}, "the value of V holds a NUL character"),
    ],
)
def test_what_cannot_be_filled_in_is_an_error_with_line_and_cure(
    text: str, environ: dict[str, str], message: str
) -> None:
    document, _ = expanded(f"x: 1\na:\n  - {text}", environ)

    issue = document.issues[0]
    assert (issue.line, issue.path, issue.message) == (3, ("a", 0), message)
    assert issue.fixes
    assert issue.code == "manifest-invalid"
    assert document.broken == {("a", 0)}


def test_every_missing_variable_is_named_once_a_line_with_a_cure_for_the_platform() -> None:
    document, _ = expanded("a: ${V} ${W}\nb: ${V}\nc: ${V}")

    assert [(i.line, i.message) for i in document.issues] == [
        (1, "the variable V is not set"),
        (2, "the variable V is not set"),
        (3, "the variable V is not set"),
    ]
    assert [cure.snippet for cure in document.issues[0].fixes] == ["export V=VALUE", "${V:-value}"]


def test_a_message_of_the_author_needs_no_default_beside_it() -> None:
    """Who wrote `:?` does not want a default."""
    document, _ = expanded("a: ${V:?set it}")
    assert [cure.snippet for cure in document.issues[0].fixes] == ["export V=VALUE"]


def test_the_values_of_secret_looking_variables_are_given_back() -> None:
    """So that they can be hidden wherever they turn up; a path or a flag under such a name is none."""
    environ = {
        "DB_TOKEN": "hunter2hunter2", "API_KEY": "k-123456", "MY_PASSWORD": "p@ss", "HF_TOKEN_PATH": "/run/token",
        "PLAIN": "plain", "PRIVATE_KEY": "/keys/model.pem", "UNUSED_TOKEN": "unused-secret",
    }  # fmt: skip
    text = "\n".join(f"k{n}: x${{{name}}}" for n, name in enumerate(environ) if name != "UNUSED_TOKEN")

    assert expanded(text, environ)[1] == {"hunter2hunter2", "k-123456", "p@ss"}
    assert expanded("a: ${NEW_TOKEN:-from-the-file}")[1] == {"from-the-file"}


def test_many_large_variables_are_refused_before_they_fill_the_memory() -> None:
    """A hundred thousand aliases of one small text may each hold a large variable."""
    document, _ = expanded("a: &a ${V}\nb: [" + "*a, " * 20_000 + "]", {"V": "x" * 100_000})

    assert "larger than 4 MiB" in document.issues[0].message
    assert len(document.issues) <= 200
