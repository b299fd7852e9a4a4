"""The command: along PATH, its words and its rights, as the start of the server meets them."""

import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from launch_kit import DOCKER, PATH, SH, handed_over, look, write
from seen_as import open_to_all, seen_as

from modelgate.checks import launch
from modelgate.finding import Level
from modelgate.host import Host, Place


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., str]:
    """`make("serve.sh", "#!/bin/sh")`: a file of that content and mode."""
    return functools.partial(write, tmp_path)


def test_a_program_along_path_passes_and_names_what_was_found() -> None:
    found = look("sh", "-c", "true")

    assert found.code == "ok"
    assert found.observed.startswith(SH)


def test_a_word_that_is_nowhere_names_path_and_the_near_name(make: Callable[..., str], tmp_path: Path) -> None:
    make("bin/python3", "#!/bin/sh\n")

    found = look("pyhton3", "serve.py", path=f"{tmp_path}/bin:/nowhere")

    assert (found.code, found.level) == ("launch-not-found", Level.FAIL)
    assert f"({tmp_path}/bin:/nowhere): ENOENT; perhaps python3 is meant" in found.observed
    assert found.fixes[0].snippet == 'ENTRYPOINT ["modelgate", "--", "python3", "serve.py"]'


def test_a_whole_line_in_one_word_is_taken_apart() -> None:
    """ENTRYPOINT ["modelgate", "--", "python serve.py"]"""
    found = look("python 'my serve.py' --x", "last", path=PATH)

    assert found.code == "launch-not-found"
    assert found.fixes[0].snippet == 'ENTRYPOINT ["modelgate", "--", "python", "my serve.py", "--x", "last"]'


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("cd", "/app", "&&", "x"), '"sh", "-c", "cd /app'),
        (("A=b", "serve"), '"--", "env", "A=b", "serve"'),
        (("--port", "80"), '"serve.py", "--port", "80"'),
        (("",), "ENTRYPOINT"),
    ],
)
def test_slips_in_the_command_line_are_cured_in_the_entrypoint(command: tuple[str, ...], words: str) -> None:
    found = look(*command)

    assert found.code == "launch-not-found"
    assert words in found.fixes[0].snippet


def test_without_path_the_default_of_exec_is_searched() -> None:
    assert look("sh", path=None).code == "ok"


def test_a_relative_command_starts_at_cwd(make: Callable[..., str], tmp_path: Path) -> None:
    make("app/serve", "#!/bin/sh\n")

    assert look("./serve", cwd=f"{tmp_path}/app").code == "ok"
    assert look("./serve", cwd=str(tmp_path)).code == "launch-not-found"


def test_a_file_without_x_does_not_hide_one_further_along_path(make: Callable[..., str], tmp_path: Path) -> None:
    make("a/serve", "#!/bin/sh\n", 0o644)
    (tmp_path / "b/serve").mkdir(parents=True)
    make("c/serve", "#!/bin/sh\n")
    path = ":".join(f"{tmp_path}/{name}" for name in "abc")

    assert handed_over("serve", path) == ""
    assert look("serve", path=path).code == "ok"


@pytest.mark.parametrize(
    ("content", "mode", "code", "number"),
    [
        ("#!/opt/nowhere\n", 0o755, "launch-not-found", errno.ENOENT),
        ("text\n", 0o755, "launch-not-executable", errno.ENOEXEC),
        ("#!/bin/sh\n", 0o644, "launch-not-executable", errno.EACCES),
    ],
)
def test_the_file_that_the_start_would_fail_on_is_the_one_named(
    make: Callable[..., str], tmp_path: Path, *, content: str, mode: int, code: str, number: int
) -> None:
    first = make("a/serve", content, mode)
    make("b/other", "")
    path = f"{tmp_path}/a:{tmp_path}/b"

    found = look("serve", path=path)

    assert handed_over("serve", path) == f"{first} {number}"
    assert (found.code, found.evidence["path"]) == (code, first)


def test_a_dangling_link_in_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "serve").symlink_to("/nowhere/serve")

    found = look("serve", path=f"{tmp_path}:/usr/bin")

    assert handed_over("serve", f"{tmp_path}:/usr/bin") == f"{tmp_path}/serve {errno.ENOENT}"
    assert found.code == "launch-not-found"
    assert found.observed == f"{tmp_path}/serve: ENOENT (a link to /nowhere/serve, which is not there)"


def test_a_mode_without_x_is_named_with_its_cure(make: Callable[..., str]) -> None:
    script = make("serve.py", "#!/usr/bin/env python3\n", 0o644)

    found = look(script, "--port", "80")

    assert found.code == "launch-not-executable"
    assert "EACCES (mode 0644, owner " in found.observed
    assert found.fixes[0].snippet == f"RUN chmod 0755 {script}"
    assert found.fixes[-1].snippet == f'ENTRYPOINT ["modelgate", "--", "python", "{script}", "--port", "80"]'


@pytest.mark.root
def test_a_closed_parent_is_named_through_links(tmp_path: Path) -> None:
    """A python in /root behind a link in /usr/bin is the classic; the directory that denies is the one to name."""
    open_path = open_to_all(tmp_path)
    (open_path / "root/bin").mkdir(parents=True)
    (open_path / "root").chmod(0o700)
    target = open_path / "root/bin/python"
    target.write_text("#!/bin/sh\n")
    target.chmod(0o755)
    link = open_path / "python"
    link.symlink_to(target)
    spec = launch.Spec(command=(str(link),))

    (found,) = launch.judge(spec, seen_as(1001, launch, spec), DOCKER)

    assert found.code == "launch-not-executable"
    assert found.evidence["component"] == str(open_path / "root")
    assert f"EACCES for 1001:1001: directory {open_path}/root (0700 root:root) denies" in found.observed


@pytest.mark.root
def test_a_closed_directory_of_path_is_told_and_not_blamed(tmp_path: Path) -> None:
    """Somebody else's home directory in PATH: whether the command is in there cannot be known."""
    open_path = open_to_all(tmp_path)
    closed = open_path / "closed"
    closed.mkdir(mode=0o700)
    host = Host(environ={"PATH": f"{closed}:/usr/bin:/bin"})
    there, absent = launch.Spec(command=("sh",)), launch.Spec(command=("no-such-server",))

    (passes,) = launch.judge(there, seen_as(1001, launch, there, host), DOCKER)
    (fails,) = launch.judge(absent, seen_as(1001, launch, absent, host), DOCKER)

    assert passes.code == "ok"
    assert fails.code == "launch-not-found"
    assert f"not searched, because 1001:1001 may not: {closed} (EACCES)" in fails.observed


def test_a_name_that_is_no_text_can_be_sent(make: Callable[..., str], tmp_path: Path) -> None:
    """argv is bytes; facts and findings are JSON."""
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/serve\xff")
    Path(name).write_text("#!/opt/nowhere\n")
    os.chmod(name, 0o755)
    spec = launch.Spec(command=(name,))

    facts = launch.observe(spec, Host(environ={}))
    found = launch.judge(spec, facts, DOCKER)

    assert b"serve\\\\xff" in msgspec.json.encode(facts)
    assert b"serve\\\\xff" in msgspec.json.encode(found)


@pytest.mark.parametrize("platform", ["kubernetes", "openshift", "compose", "docker", "podman", "shell"])
def test_every_platform_gets_a_cure(make: Callable[..., str], platform: str) -> None:
    place = Place(platforms=(platform,))
    script = make("serve.sh", "#!/bin/sh\n", 0o644)

    for found in (look("pyhton", place=place), look("sh -c x", place=place), look(script, place=place)):
        assert all(fix.snippet for fix in found.fixes)


def test_judging_recorded_facts_again_agrees(make: Callable[..., str]) -> None:
    spec = launch.Spec(command=(make("serve", "#!/opt/nowhere\n"),))
    facts = launch.observe(spec, Host(environ={}))
    again = msgspec.json.decode(msgspec.json.encode(facts), type=launch.Facts)

    assert launch.judge(spec, facts, DOCKER) == launch.judge(spec, again, DOCKER)
