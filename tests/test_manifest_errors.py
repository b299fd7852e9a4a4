"""What is wrong with a manifest: every error in one run, with path, line, cause and cure, and no secret in it."""

import json
from collections.abc import Callable, Sequence

import pytest

from modelgate import exits
from modelgate.checks import KINDS
from modelgate.finding import Finding
from modelgate.host import Place
from modelgate.kind import Kind, Shape
from modelgate.manifest import Manifest, load

SHELL = Place(platforms=("shell",))


def of(key: str) -> Kind:
    return next(kind for kind in KINDS if kind.key == key)


def bad(text: str | bytes, **environ: str) -> list[Finding]:
    raw = text if isinstance(text, bytes) else text.encode()
    loaded = load(raw, "m.yaml", environ, KINDS, SHELL)
    assert not isinstance(loaded, Manifest)
    assert loaded
    assert exits.decide(loaded) == 78
    return loaded


def said(text: str, **environ: str) -> list[str]:
    return [f"{f.subject} {f.observed}" for f in bad(text, **environ)]


def rendered(findings: Sequence[Finding]) -> str:
    """As a person reads it: where, what, why, and the cures."""
    lines = []
    for finding in findings:
        lines += [f"{finding.subject}: {finding.observed}", f"    {finding.code}, check {finding.check}: {finding.why}"]
        for cure in finding.fixes:
            lines.append(f"    - {cure.when}: {cure.do} ({cure.who})")
            lines += [f"        {line}" for line in cure.snippet.splitlines()]
    return "\n".join(lines) + "\n"


MANY = """\
version: "1"
timout: 30m
timeout: 30
run_as: bob
no_new_privs: yes
cache: ""
files:
  - path: /models/config.json
    acess: r
    mode: 0640
    type: fiel
    size: 12 parsecs
  - {type: directory}
  - just/a/path
  - path: 5
    access: rq
    owner: 1.10
  - path: ${MODEL_DIR}/x
    sha256: abc
    optional: "true"
  - {path: /a, path: /b}
  -
devices: {path: /dev/dri/renderD128}
env: {require: HF_HOME, set: {N: 1.10}}
disk:
  - {path: /cache, inodes: 0}
  - {path: /cache}
ports: [80000, http, 080]
wait_for:
  - {tcp: "redis:6379", timeout: soon}
launch:
  mode: exce
  health: ftp://127.0.0.1
  profiles: [{args: [1.0]}]
flet: {nodes: 4}
"""

UNSUPPORTED = """\
version: 1
models: [{path: /models/x}]
gpus: {count: 2}
python: {packages: {torch: ">=2"}}
fleet: {nodes: 4}
host: {memory: 64GiB, sysctl: {vm.swappiness: "<=10"}}
launch:
  mode: supervise
  grace: 25s
  profiles:
    - {name: two, needs: {gpus: {count: 2}}}
"""

EXEC = """\
launch:
  forward: group
  signals: {HUP: none}
  drain: 1s
  grace: 25s
  exit_codes: {143: 0}
  listen: ":9090"
  stall: 5m
  on_stall: warn
  capture: true
"""


def test_every_mistake_is_told_in_one_run(golden: Callable[[str, str], None]) -> None:
    """Path, line, cause and cure of each; nothing is told twice as a consequence of another."""
    findings = bad(MANY)
    golden("manifest/many.txt", rendered(findings))

    assert len(findings) >= 25
    assert len({(f.subject, f.observed) for f in findings}) == len(findings)


def test_what_is_not_built_yet_is_refused(golden: Callable[[str, str], None]) -> None:
    """Each with its line; never ignored."""
    findings = bad(UNSUPPORTED)
    golden("manifest/unsupported.txt", rendered(findings))

    assert {f.code for f in findings} == {"manifest-unsupported"}
    assert [f.line for f in findings] == [2, 3, 4, 5, 6, 8, 11]


def test_keys_of_a_supervisor_need_one(golden: Callable[[str, str], None]) -> None:
    findings = bad(EXEC)
    golden("manifest/exec.txt", rendered(findings))

    assert [(f.code, f.line) for f in findings] == [("manifest-invalid", n) for n in range(2, 11)]


def test_a_wrong_mode_is_told_once_and_not_taken_for_exec() -> None:
    assert said("launch: {mode: superwise, grace: 5s}") == [
        "m.yaml:1 launch.mode: expected one of exec, supervise, found the text 'superwise'"
    ]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("version: 2", "manifest-unsupported", "version 2 of the manifest's format is not known here"),
        ("version: true", "manifest-invalid", "version: expected 1, found true"),
        ("timeout: 0", "manifest-invalid", "0 would end the gate at once"),
        ("run_as: -5", "manifest-invalid", "expected UID[:GID"),
        ("run_as: 4294967295", "manifest-invalid", "expected UID[:GID"),
        ("files:", "manifest-invalid", "files: has no value; a list is expected"),
        ("host: {sysctl: {vm.swappiness: '<=ten'}}", "manifest-invalid", "host"),
        ("launch: {profiles: [{name: a, env: {A=B: x}}]}", "manifest-invalid", "a variable cannot be named 'A=B'"),
        (
            "launch: {mode: supervise, exit_codes: {x: 0}}",
            "manifest-invalid",
            "launch.exit_codes.x: this key must be a whole number",
        ),
    ],
)
def test_single_mistakes(text: str, code: str, words: str) -> None:
    findings = bad(text)
    assert [(f.code, words in f.observed) for f in findings if code == f.code] == [(code, True)]


def test_a_finding_carries_file_line_and_path_for_the_machine() -> None:
    """The log puts FILE:LINE before the event; a program reads the evidence."""
    finding = bad("version: 1\nfiles:\n  - {path: /x, acess: r}\n")[0]

    assert finding.subject == "m.yaml:3"
    assert finding.observed == "files[0].acess: unknown key"
    assert (finding.check, finding.line) == ("files[0]", 3)
    assert finding.evidence == {"file": "m.yaml", "line": 3, "path": "files[0].acess"}
    assert [(cure.do, cure.snippet) for cure in finding.fixes] == [("Did you mean `access`?", "access: ...")]
    assert json.dumps(finding.evidence)


def test_a_syntax_error_hides_no_later_ones_by_guessing() -> None:
    """Text that is no YAML has one finding, about the whole manifest."""
    findings = bad("version: 1\nfiles: [\n")
    assert [(f.check, f.code) for f in findings] == [("manifest", "manifest-invalid")]


@pytest.mark.parametrize(
    "text",
    [
        "timeout: ${DB_TOKEN}",
        "ports: ['${DB_TOKEN}']",
        "cache: [x]\nfiles: '${DB_TOKEN}'",
        "launch: {mode: '${DB_TOKEN}'}",
        "launch: {health: 'http://u:${DB_TOKEN}@'}",
        "run_as: ${DB_TOKEN}",
        "files: [{path: /x, access: '${DB_TOKEN}'}]",
        "host: {sysctl: {a.b: '<=${DB_TOKEN}'}}",
        "env: {require: ['a=${DB_TOKEN}']}",
        "env: {set: {DB_TOKEN: 1.10, X: [1]}}",
        "env: {set: {API_KEY: 0123456}}",
        "wait_for: [{http: 'gopher://${DB_TOKEN}'}]",
        "wait_for: [{tcp: '${DB_TOKEN}'}]",
    ],
)
def test_no_error_shows_a_secret(text: str) -> None:
    """Not the value, and no part of it that a cut would have left."""
    shown = rendered(bad(text, DB_TOKEN="hunter2 is my secret"))
    assert "hunter2" not in shown
    assert "123456" not in shown
    assert "1.10" not in shown


def test_a_manifest_that_is_wrong_everywhere_ends_in_time() -> None:
    """Ten thousand unknown keys are not compared with every known one."""
    findings = bad("files:\n" + "".join(f"  - {{pth{n}: 1, mdoe{n}: 2}}\n" for n in range(8_000)))
    assert 100 < len(findings) <= 202
    assert "more that is wrong" in rendered(findings)

    wide = bad("".join(f"key{n}: 1\n" for n in range(20_000)))
    assert len(wide) <= 202


def test_a_key_of_a_new_kind_is_one_line_elsewhere() -> None:
    """Nothing in the manifest's own code names a kind."""
    fewer = [kind for kind in KINDS if kind.key != "ports"]
    loaded = load(b"ports: [1]", "m.yaml", {}, fewer)
    assert isinstance(loaded, list)
    assert loaded[0].observed == "ports: unknown key"
    assert isinstance(load(b"ports: [1]", "m.yaml", {}, [of("ports")]), Manifest)


def test_a_kind_that_was_built_is_no_longer_refused() -> None:
    """`gpus` is refused until a kind of that name is there."""
    gpus = Kind(key="gpus", module=of("ports").module, shape=Shape.LIST)
    assert isinstance(load(b"gpus: [{port: 1}]", "m.yaml", {}, [*KINDS, gpus]), Manifest)


def test_a_command_line_is_split_into_the_words_of_the_list() -> None:
    """One text in the list would be the name of one program."""
    (finding,) = bad("version: 1\nwait_for: [{exec: pg_isready -h 'the db'}]")

    assert [fix.snippet for fix in finding.fixes] == ['exec: [pg_isready, "-h", "the db"]']


def test_a_value_of_the_wrong_form_is_not_called_good() -> None:
    """Each is refused by its entry as a whole, and still it is one value that is wrong."""
    http, tcp = bad("version: 1\nwait_for: [{http: 'db:6333'}, {tcp: redis}]")

    assert (http.observed, tcp.observed) == (
        "wait_for[0].http: expected http://HOST… or https://HOST…, got 'db:6333'",
        "wait_for[1].tcp: expected HOST:PORT, got 'redis'",
    )
    assert [http.fixes[0].do, tcp.fixes[0].do] == ["Write http://HOST… or https://HOST…", "Write HOST:PORT"]
    assert not any("good" in finding.why for finding in (http, tcp))
