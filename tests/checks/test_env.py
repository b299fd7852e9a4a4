"""The environment check, on real environments; no value may ever be seen."""

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from modelgate.checks import env
from modelgate.finding import Finding, Level
from modelgate.host import Host, Place

KUBERNETES = Place(platforms=("kubernetes",), container=True, uid=1001, gid=1001)
SECRET = "s3cr3t-value-42"


def look(environ: dict[str, str], place: Place = KUBERNETES, **asked: Any) -> list[Finding]:
    spec = msgspec.convert(asked, env.Spec)
    return env.judge(spec, env.observe(spec, Host(environ=environ)), place)


def codes(findings: list[Finding]) -> dict[str, str]:
    return {f.subject: f.code for f in findings}


def test_every_problem_is_told_at_once() -> None:
    """One finding for each variable, in the order of the manifest."""
    found = look(
        {"LD_PRELOAD": "/x.so", "EMPTY": "", "FINE": "1"},
        require=["HF_HOME", "EMPTY", "FINE"],
        forbid=["LD_PRELOAD", "GONE"],
        set={"NEW": "1"},
    )

    assert codes(found) == {
        "HF_HOME": "env-missing",
        "EMPTY": "env-missing",
        "FINE": "ok",
        "LD_PRELOAD": "env-forbidden",
        "GONE": "ok",
        "NEW": "ok",
    }
    assert next(f for f in found if f.subject == "EMPTY").observed == "EMPTY is set, but empty"


def test_a_variable_that_env_set_supplies_is_there() -> None:
    found = look({}, require=["HF_HOME"], set={"HF_HOME": "/cache"})

    assert codes(found) == {"HF_HOME": "ok"}


def test_env_set_replaces_another_value_without_a_conflict() -> None:
    assert codes(look({"A": "old"}, set={"A": "new"})) == {"A": "ok"}


@pytest.mark.parametrize("other", ["set", "require"])
def test_asking_for_a_forbidden_name_is_a_conflict_and_told_once(other: str) -> None:
    asked: dict[str, Any] = {"forbid": ["A"], other: {"A": "1"} if other == "set" else ["A"]}

    (found,) = look({"A": "1"}, **asked)

    assert (found.code, found.level) == ("env-conflict", Level.FAIL)
    assert f"env.{other}" in found.observed


def test_an_empty_value_of_env_set_does_not_satisfy_require() -> None:
    (found,) = look({"A": "full"}, require=["A"], set={"A": ""})

    assert found.code == "env-missing"
    assert "env.set itself" in found.why


def test_a_forbidden_variable_that_is_empty_is_told_and_does_not_stop() -> None:
    (found,) = look({"A": ""}, forbid=["A"])

    assert (found.code, found.level) == ("env-forbidden", Level.WARN)
    assert "guess" in found.why


def test_optional_lets_absence_pass_but_not_an_empty_value() -> None:
    assert codes(look({"B": ""}, require=["A", "B"], optional=True)) == {"A": "ok", "B": "env-missing"}


def test_a_slip_in_the_name_is_named() -> None:
    (found,) = look({"HF_HOEM": "/cache", "PATH": "/bin"}, require=["HF_HOME"])

    assert "HF_HOEM is set: perhaps a slip" in found.observed


def test_no_value_is_in_facts_or_findings() -> None:
    """Not even that of LD_PRELOAD: only names leave observe."""
    environ = {"HF_TOKEN": SECRET, "LD_PRELOAD": SECRET, "HF_TOKEM": SECRET, "X": SECRET}
    spec = env.Spec(require=("HF_TOKEN", "HF_TOKENS"), forbid=("LD_PRELOAD",), set={"SET": SECRET})

    facts = env.observe(spec, Host(environ=environ))
    found = env.judge(spec, facts, KUBERNETES)

    assert SECRET not in msgspec.json.encode(facts).decode()
    assert SECRET not in msgspec.json.encode(found).decode()


def test_a_secret_is_fixed_with_a_reference_to_one() -> None:
    token, home = look({}, require=["HF_TOKEN", "HF_HOME"])

    assert "secretKeyRef: {name: hf-token, key: value}" in token.fixes[0].snippet
    assert "secretKeyRef" not in home.fixes[0].snippet
    assert "name: HF_HOME" in home.fixes[0].snippet


@pytest.mark.parametrize("platform", ["kubernetes", "openshift", "compose", "docker", "podman", "shell"])
def test_both_problems_are_fixed_in_the_words_of_every_platform(platform: str) -> None:
    place = Place(platforms=(platform,))

    missing, forbidden = look({"BAD": "1"}, place, require=["GOOD"], forbid=["BAD"])

    assert "GOOD" in missing.fixes[0].snippet
    assert "BAD" in forbidden.fixes[0].snippet


def test_the_fix_for_a_variable_of_the_image_takes_it_away() -> None:
    """The printed ENTRYPOINT, run with a program that shows its environment in place of the gate."""
    (found,) = look({"BAD": "1"}, forbid=["BAD"])
    snippet = found.fixes[-1].snippet
    words = json.loads(snippet.removeprefix("ENTRYPOINT "))
    assert words[-2:] == ["modelgate", "--"]

    told = subprocess.run(
        [*words[:-2], sys.executable, "-c", "import os; print('BAD' in os.environ)"],
        env={"BAD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "False\n"


@pytest.mark.parametrize("name", ["A", "my.option", "WITH SPACE", "quo'te", 'dou"ble'])
def test_the_shell_fix_sets_even_an_odd_name(name: str) -> None:
    """`env NAME=VALUE …` where a shell cannot export the name."""
    (found,) = look({}, Place(platforms=("shell",)), require=[name])
    line, run = found.fixes[0].snippet, '"$PYTHON" -c "$SHOW"'
    told = subprocess.run(
        ["bash", "-c", line.replace("modelgate -- ...", run) if "modelgate" in line else f"{line}\n{run}"],
        env={"SHOW": f"import os; print(os.environ[{name!r}])", "PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "VALUE\n"


@pytest.mark.parametrize(
    "asked",
    [{"require": ["A=B"]}, {"forbid": [""]}, {"set": {"A=B": "1"}}, {"set": {"A": "x\0y"}}, {"set": {"A": 1.5}}],
)
def test_what_cannot_be_a_variable_is_refused(asked: dict[str, object]) -> None:
    """`=` and NUL; and a number with a point, whose digits YAML does not keep."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(asked, env.Spec)


def test_numbers_and_truth_become_text() -> None:
    spec = msgspec.convert({"set": {"A": 8, "B": True, "C": False, "D": "0755"}}, env.Spec)

    assert env.settings(spec) == {"A": "8", "B": "true", "C": "false", "D": "0755"}


def test_judging_recorded_facts_again_agrees() -> None:
    spec = env.Spec(require=("A", "B"), forbid=("C",))
    facts = env.observe(spec, Host(environ={"A": "1", "C": "2"}))
    again = msgspec.json.decode(msgspec.json.encode(facts), type=env.Facts)

    assert env.judge(spec, facts, KUBERNETES) == env.judge(spec, again, KUBERNETES)
