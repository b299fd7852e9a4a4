"""A good manifest: what it becomes."""

from pathlib import Path

import pytest
import yaml

from modelgate.checks import KINDS
from modelgate.host import Place
from modelgate.kind import Kind
from modelgate.manifest import Manifest, empty, load

FULL = Path(__file__).parent / "golden" / "manifest" / "full.yaml"
SHELL = Place(platforms=("shell",))


def of(key: str) -> Kind:
    return next(kind for kind in KINDS if kind.key == key)


def good(text: str, **environ: str) -> Manifest:
    loaded = load(text.encode(), "m.yaml", environ, KINDS, SHELL)
    assert isinstance(loaded, Manifest), [f.observed for f in loaded]
    return loaded


def test_every_key_that_is_built_is_read() -> None:
    """full.yaml is the reference manifest without what is not built yet."""
    loaded = load(FULL.read_bytes(), "full.yaml", {"DB_TOKEN": "hunter2hunter2"}, KINDS)
    assert isinstance(loaded, Manifest)

    assert (loaded.path, loaded.timeout, loaded.run_as) == ("full.yaml", 1800.0, "1001:1002")
    assert (loaded.no_new_privs, loaded.cache) == (False, "/cache/modelgate")
    assert loaded.env_set == {"CCL_ATL_TRANSPORT": "ofi"}
    assert loaded.secrets == {"hunter2hunter2"}
    assert loaded.launch.health == "http://127.0.0.1:8000/health"
    assert [p.name for p in loaded.launch.profiles] == ["bf16-tp2", "cpu"]
    assert [(check, spec.port, spec.level) for check, _, spec in loaded.entries(of("ports"))] == [
        ("ports[0]", 8000, "fail"),
        ("ports[1]", 8080, "fail"),
        ("ports[2]", 9000, "warn"),
    ]
    lines = FULL.read_text().splitlines()
    for kind in KINDS:
        for check, line, spec in loaded.entries(kind):
            assert isinstance(spec, kind.module.Spec)
            assert line is not None
            assert kind.key in lines[line - 1] or lines[line - 1].lstrip().startswith("- "), check


def test_what_show_prints_is_a_manifest_again() -> None:
    """`modelgate manifest show` is written as YAML; it must mean the same."""
    first = load(FULL.read_bytes(), "full.yaml", {"DB_TOKEN": "hunter2hunter2"}, KINDS)
    assert isinstance(first, Manifest)
    second = load(yaml.safe_dump(first.shown()).encode(), "shown.yaml", {}, KINDS)
    assert isinstance(second, Manifest)

    assert second.sections == first.sections
    assert (second.launch, second.timeout, second.run_as) == (first.launch, first.timeout, first.run_as)


def test_an_empty_manifest_asks_for_nothing() -> None:
    nothing = empty()

    assert [nothing.entries(kind) for kind in KINDS] == [[] for _ in KINDS]
    assert (nothing.path, nothing.timeout, nothing.run_as, nothing.env_set) == (None, None, None, {})
    assert nothing.launch.mode == "exec"
    assert good("{}").sections == good("version: 1").sections
    assert empty("x").path == "x"


@pytest.mark.parametrize(
    ("written", "run_as"),
    [
        ("1000:0", "1000:0"),
        ("1000", "1000"),
        ('"1001:1002,44"', "1001:1002,44"),
        ("${WHO}", "1234"),
        ('"${WHO}:5"', "1234:5"),
    ],
)
def test_run_as_needs_no_quotes(written: str, run_as: str) -> None:
    """`1000:0` is text in YAML 1.2, and a number can mean one thing only."""
    assert good(f"run_as: {written}", WHO="1234").run_as == run_as


def test_a_variable_takes_the_type_that_the_key_wants() -> None:
    """In quotes or not: inside [ ] and { } it must be quoted, and a port is a number all the same."""
    loaded = good(
        """
        ports: ["${PORT}", {port: "${PORT}", level: "${LEVEL}"}]
        timeout: ${TIMEOUT}
        no_new_privs: "${YES}"
        env:
          set: {QUOTED: "${PORT}"}
          require: ["${NAME}"]
        disk:
          - path: ${DIR}/x
            inodes: ${INODES:-10}
            free: ${FREE}
        launch:
          profiles:
            - name: ${NUMBER}
              args: [--tp, "${TP}"]
        """,
        PORT="8000", LEVEL="warn", TIMEOUT="5m", YES="true", NAME="HOME", DIR="/d", FREE="1GiB", NUMBER="7", TP="2",
    )  # fmt: skip

    assert [(spec.port, spec.level) for _, _, spec in loaded.entries(of("ports"))] == [(8000, "fail"), (8000, "warn")]
    assert (loaded.timeout, loaded.no_new_privs) == (300.0, True)
    assert loaded.env_set == {"QUOTED": "8000"}
    assert [(s.path, s.inodes, s.free) for _, _, s in loaded.entries(of("disk"))] == [("/d/x", 10, 1 << 30)]
    assert (loaded.launch.profiles[0].name, loaded.launch.profiles[0].args) == ("7", ("--tp", "2"))


@pytest.mark.parametrize(
    "held", ["8", "08", "1.10", "True", "TRUE", "null", "", "0x10", "1e3", "9" * 50, "[1]", "a: b", "~"]
)
def test_a_variable_for_the_server_arrives_as_it_is(held: str) -> None:
    """`set: {X: ${X}}` must not turn True into true, or 1.10 into 1.1."""
    assert good("env:\n  set:\n    X: ${X}\n", X=held).env_set == {"X": held}
    assert good('env: {set: {X: "${X}"}}', X=held).env_set == {"X": held}


def test_an_anchor_serves_several_entries() -> None:
    loaded = good("disk:\n  - &d {path: /a, free: 1GiB}\n  - {<<: *d, path: /b}\n")
    assert [(line, s.path, s.free) for _, line, s in loaded.entries(of("disk"))] == [
        (2, "/a", 1 << 30),
        (3, "/b", 1 << 30),
    ]
