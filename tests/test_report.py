"""The verdict as text, JSON, JUnit and termination message. The texts are golden: tests/golden/report."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modelgate import exits
from modelgate.finding import CLUSTER, IMAGE, Finding, Fix, Report, StageTime, Unfinished, fail, ok, unknown, warn
from modelgate.report import termination, to_json, to_junit, to_text
from modelgate.scrub import Scrubber

KUBERNETES = (
    Fix(
        when="on Kubernetes",
        do="Let the server's group enter the directory",
        snippet="securityContext:\n  fsGroup: 1002",
    ),
    Fix(when="on the volume", do="Give others the right to enter", snippet="chmod o+x /models/Qwen", who=CLUSTER),
)
FIX = Fix(when="in the manifest", do="Correct it", snippet="access: r", who=IMAGE)
BLOCKED = fail(
    "path-blocked",
    "/models/Qwen/config.json",
    "open(O_RDONLY): Permission denied (EACCES): /models/Qwen is drwx------ root:root, and 1001:1002 may not enter it",
    "The server opens the file as 1001:1002. It would report a missing file after minutes of loading.",
    *KUBERNETES,
    component="/models/Qwen",
    mode="0700",
)


def report(*findings: Finding, **rest: Any) -> Report:
    """A finished report: checks and lines filled in, exit code decided."""
    placed = [
        f if f.check else replace(f, check=f"files[{n}]", line=n + 10, seconds=0.01 * n) for n, f in enumerate(findings)
    ]
    code = exits.decide(placed)
    values: dict[str, Any] = {
        "verdict": "fail" if code else "pass",
        "exit_code": code,
        "version": "0.1.0",
        "started": "2026-01-02T03:04:05.678Z",
        "seconds": 1.234,
        "manifest": "/etc/modelgate/manifest.yaml",
        "identity": {"uid": 1001, "gid": 1002, "groups": [1002, 44]},
        "place": {"platforms": ["kubernetes"], "container": True},
        "command": ["python", "serve.py"],
        "findings": placed,
        "stages": [StageTime("look", "2026-01-02T03:04:05.678Z", 0.5)],
    }
    return Report(**{**values, **rest})


def _warns(count: int) -> list[Finding]:
    return [
        warn("path-owner", f"/cache/{n}", "owned by root", "This is a guess from the owner alone.", FIX)
        for n in range(count)
    ]


FOREIGN = replace(
    BLOCKED,
    subject="/models/\x1b[2Jevil\nname\u202etxt\udcff",
    observed="ENOENT: '/models/\x1b[2Jevil\nname'",
    fixes=(Fix(when="in a\x07 shell", do="Rename\tit", snippet="mv 'a\x1b[31mb' c\n\tindented"),),
)
CASES: dict[str, Report] = {
    "pass": report(ok("/models/x", "opened for reading"), ok("redis:6379", "connected")),
    "warns": report(ok("/models/x", "opened"), *_warns(7)),
    "blocked": report(ok("/models/x", "opened"), BLOCKED),
    "three": report(
        fail("port-in-use", "port 8000", "bind: Address already in use (EADDRINUSE)", "It is taken.", FIX),
        fail("path-missing", "/models/x", "open: No such file or directory (ENOENT)", "It is not there.", FIX),
        BLOCKED,
    ),
    "schema": report(
        replace(
            fail("manifest-invalid", "timeuot", "unknown key `timeuot`, did you mean `timeout`?", "", FIX),
            check="manifest",
            line=2,
        ),
        replace(fail("manifest-invalid", "run_as", "expected text, got 1000", "", FIX), check="manifest", line=3),
    ),
    "unknown": report(unknown("path-hung", "/mnt/nfs/x", "no sign of life for 30 s", "Not known.", FIX)),
    "unfinished": report(
        fail("wait-denied", "http://db/", "401 Unauthorized", "The token is not taken.", FIX),
        unfinished=[
            Unfinished("wait_for[1]", "redis:6379", "waiting: connection refused"),
            Unfinished("files[9]", "/y"),
        ],
    ),
    "implied": report(
        replace(
            fail("launch-not-found", "serve.py", "not found in PATH", "", FIX),
            check="command",
            implied_by="the command",
        ),
        manifest=None,
        identity={},
        place={},
    ),
    "foreign": report(FOREIGN),
    "signal": report(ok("/models/x", "opened"), exit_code=143, verdict="fail"),
}


@pytest.mark.parametrize("name", CASES)
def test_text(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"report/{name}.txt", to_text(CASES[name]))


@pytest.mark.parametrize("name", ["blocked", "foreign", "unfinished"])
def test_json_and_junit(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"report/{name}.json", to_json(CASES[name]).decode())
    golden(f"report/{name}.xml", to_junit(CASES[name]).decode())


@pytest.mark.parametrize("name", ["blocked", "three", "foreign", "signal"])
def test_termination(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"report/{name}.termination.txt", termination(CASES[name]).decode())


def test_what_held_is_listed_when_asked_for(golden: Callable[[str, str], None]) -> None:
    golden("report/verbose.txt", to_text(CASES["warns"], verbose=True))


@pytest.mark.parametrize("name", CASES)
def test_no_output_holds_anything_a_terminal_would_act_on(name: str) -> None:
    for raw in (to_text(CASES[name]).encode(), to_json(CASES[name]), to_junit(CASES[name]), termination(CASES[name])):
        for line in raw.decode().replace("\t", "").splitlines():
            assert line.isprintable(), line


@pytest.mark.parametrize("name", CASES)
def test_colour_changes_no_word(name: str) -> None:
    painted = to_text(CASES[name], color=True)

    stripped = re.sub(r"\x1b\[[0-9;]*m", "", painted)
    assert [line.rstrip() for line in stripped.splitlines()] == to_text(CASES[name]).splitlines()
    assert "\x1b[" in painted


@pytest.mark.parametrize("name", CASES)
def test_json_reads_back_as_the_same_report(name: str) -> None:
    again = msgspec.json.decode(to_json(CASES[name]), type=Report)

    assert sorted(f.code for f in again.findings) == sorted(f.code for f in CASES[name].findings)
    assert again.exit_code == CASES[name].exit_code
    if name != "foreign":  # its name is no Unicode text
        assert sorted(f.subject for f in again.findings) == sorted(f.subject for f in CASES[name].findings)


def test_the_order_does_not_depend_on_which_child_was_first() -> None:
    findings = [replace(BLOCKED, check=f"files[{n}]", line=5) for n in (2, 10, 1)]
    findings += [replace(BLOCKED, code="path-unreadable", check="z", line=1), replace(BLOCKED, check="a", line=None)]

    checks = [f["check"] for f in msgspec.json.decode(to_json(report(*findings)))["findings"]]

    assert checks == ["z", "files[1]", "files[2]", "files[10]", "a"]


def test_the_subject_is_not_said_twice() -> None:
    made = report(warn("path-owner", "/x", "/x: owned by root", "A guess.", FIX))

    assert "path-owner: /x: owned by root;" in to_text(made)


def test_json_has_every_field_of_a_finding() -> None:
    finding = msgspec.json.decode(to_json(CASES["blocked"]))["findings"][0]

    assert list(finding) == [
        "code", "level", "subject", "observed", "why", "fixes", "check", "line", "implied_by", "seconds", "evidence",
    ]  # fmt: skip
    assert list(finding["fixes"][0]) == ["when", "do", "snippet", "who"]


@pytest.mark.parametrize("name", CASES)
def test_junit_is_valid_and_counts_right(name: str) -> None:
    suite = ET.fromstring(to_junit(CASES[name])).find("testsuite")

    assert suite is not None
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases)
    for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.attrib[count]) == sum(case.find(tag) is not None for case in cases)


def test_a_snippet_is_never_wrapped_or_cut() -> None:
    line = "docker run " + "--volume /a/very/long/path:/another/one " * 20 + "image"
    fix = Fix(when="with docker run", do="d", snippet=line)

    assert f"           {line}\n" in to_text(report(fail("path-missing", "/x", "o", "w", fix)), width=60)


def test_prose_is_wrapped_but_a_path_is_never_broken() -> None:
    path = "/models/" + "x" * 120
    text = to_text(report(fail("path-missing", path, f"open: {path}: {'word ' * 30}", "w", FIX)), width=70)

    assert all(len(line) <= 70 or path in line for line in text.splitlines())


def test_a_stuck_child_is_told_behind_the_verdict() -> None:
    text = to_text(CASES["unknown"], notes=("a child is in state D: the node must recover first",))

    assert "note  a child is in state D" in text
    assert b"note: a child" in termination(CASES["unknown"], ("a child is in state D",))


@settings(deadline=None)
@given(st.text(min_size=1, max_size=5), st.integers(0, 4000))
def test_the_termination_message_keeps_cause_and_fix_within_4096_bytes(word: str, times: int) -> None:
    fix = Fix(when="here", do="Do this", snippet="snippet\n" * 40)
    raw = termination(report(*[fail("path-missing", word * times, word * times, word * times, fix)] * 9))

    assert len(raw) <= 4096
    text = raw.decode("utf-8")
    assert text.splitlines()[1].startswith("path-missing: ")
    assert "fix, here: Do this" in text
    assert "  snippet\n" in text


SECRET = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#%&/+=@:.$\"' é", min_size=8, max_size=50
)


def _outputs(secret: str) -> str:
    fix = Fix(when=f"w {secret}", do=f"d {secret}", snippet=f"curl -H 'X: {secret}'")
    finding = fail("wait-denied", f"http://u:{secret}@h/", f"sent {secret!r}", f"y{secret}", fix, header=secret)
    made = report(finding, command=["serve", secret], unfinished=[Unfinished("c", secret, secret)])
    shown = Scrubber({"MY_PASSWORD": secret}).data(made)
    return to_text(shown, 10_000) + b"".join([to_json(shown), to_junit(shown), termination(shown)]).decode()


@settings(deadline=None)
@given(SECRET)
def test_a_secret_of_the_environment_is_in_no_output(secret: str) -> None:
    assume(secret == secret.strip() and len(set(secret)) > 5)
    assume(secret[0] != "/")  # may be taken for a path
    assume(secret not in _outputs("~~~~~~~~"))  # "properties" is a word of JUnit's own

    assert secret not in _outputs(secret)
