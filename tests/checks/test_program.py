"""Programs: real scripts and machine code; what is said is compared with what the kernel really does."""

import errno
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from launch_kit import DOCKER, PATH, SH, execute, look, write
from seen_as import open_to_all, seen_as

from modelgate.checks import launch
from modelgate.finding import Level


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., str]:
    """`make("serve.sh", "#!/bin/sh")`: a file of that content and mode."""
    return functools.partial(write, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "#!/bin/sh\n",
        "#!/bin/sh",
        "#! /bin/sh -e\n",
        "#!\t/bin/sh\t\n",
        "#!/usr/bin/env sh\n",
        "#!/usr/bin/env -S sh -e\n",
        "#!/bin/sh\0ignored\n",
    ],
)
def test_a_script_that_the_kernel_runs_passes(make: Callable[..., str], content: str) -> None:
    script = make("serve", content)

    assert execute(script) == 0
    assert look(script).code == "ok"


@pytest.mark.parametrize(
    ("content", "number", "code", "words"),
    [
        ("#!/bin/sh\r\necho\r\n", errno.ENOENT, "launch-not-found", "ends in CR LF"),
        ("#!/opt/nowhere/python3\n", errno.ENOENT, "launch-not-found", "/opt/nowhere/python3 is not there: ENOENT"),
        ("#!/etc\n", errno.EACCES, "launch-not-executable", "/etc is a directory: EACCES"),
        ("#!/etc/passwd\n", errno.EACCES, "launch-not-executable", "/etc/passwd may not be executed"),
        ("#!\n", errno.ENOEXEC, "launch-not-executable", "names no interpreter"),
        ("#!  \t \n", errno.ENOEXEC, "launch-not-executable", "names no interpreter"),
        ("#!/" + "x" * 300 + "\n", errno.ENOEXEC, "launch-not-executable", "names no interpreter"),
        ("echo no first line\n", errno.ENOEXEC, "launch-not-executable", "text without a first line"),
        ("\ufeff#!/bin/sh\n", errno.ENOEXEC, "launch-not-executable", "byte order mark"),
        ("", errno.ENOEXEC, "launch-not-executable", "is empty (0 bytes)"),
    ],
    ids=["crlf", "interpreter", "directory", "mode", "bare", "blank", "too-long", "text", "bom", "empty"],
)
def test_what_the_kernel_refuses_is_named(
    make: Callable[..., str], content: str, number: int, code: str, words: str
) -> None:
    """The errno in the finding is the one that a real exec gives."""
    script = make("serve.sh", content)

    found = look(script)

    assert execute(script) == number
    assert (found.code, found.level) == (code, Level.FAIL)
    assert words in found.observed
    assert errno.errorcode[number] in found.observed


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#!/usr/bin/env no-such-python", "env finds no 'no-such-python' in PATH"),
        ("#!/usr/bin/env sh -e", "env finds no 'sh -e' in PATH"),
        ("#!/usr/bin/env sh\r", "ends in CR LF"),
        ("#!/usr/bin/env -S no-such-python -u", "env finds no 'no-such-python' in PATH"),
    ],
)
def test_what_env_cannot_find_is_named_before_the_start(make: Callable[..., str], line: str, words: str) -> None:
    """exec goes well here, and env ends with 127."""
    script = make("serve.py", f"{line}\n")

    found = look(script)

    assert subprocess.run([script], env={"PATH": PATH}, capture_output=True, check=False).returncode == 127
    assert found.code == "launch-not-found"
    assert words in found.observed


@pytest.mark.parametrize(
    "line", ["#!/usr/bin/env -i sh", "#!/usr/bin/env -S PATH=/nowhere sh", "#!/usr/bin/env -S 'sh"]
)
def test_options_of_env_are_not_guessed_at(make: Callable[..., str], line: str) -> None:
    assert look(make("serve", f"{line}\n")).code == "ok"


def test_a_carriage_return_behind_an_option_is_a_warning(make: Callable[..., str]) -> None:
    """exec goes well; what the interpreter makes of `-e\\r` is its own affair."""
    script = make("serve.sh", "#!/bin/sh -e\r\n")

    found = look(script)

    assert execute(script) == 0
    assert (found.code, found.level) == ("launch-not-executable", Level.WARN)
    assert "(a guess)" in found.why


@pytest.mark.parametrize("name", ["serve.sh", "with space.sh", "quo'te.sh"])
@pytest.mark.parametrize(
    "content", ["#!/bin/sh\r\nexit 7\r\n", "\ufeff#!/bin/sh\nexit 7\n", "exit 7\n", "#!\nexit 7\n"]
)
def test_the_printed_cure_cures(make: Callable[..., str], name: str, content: str) -> None:
    """The first fix, run as it is printed, makes the script one that the kernel runs."""
    script = make(name, content)
    (fix, *_) = look(script).fixes

    subprocess.run(["sh", "-c", fix.snippet.removeprefix("RUN ")], check=True, timeout=20)

    assert look(script).code == "ok"
    assert subprocess.run([script], check=False, timeout=20).returncode == 7


def test_an_interpreter_of_the_same_name_elsewhere_is_offered(make: Callable[..., str]) -> None:
    script = make("serve", "#!/opt/venv/bin/sh\nexit 7\n")
    fix = look(script).fixes[0]
    assert fix.when == f"{SH} will do"

    subprocess.run(["sh", "-c", fix.snippet.removeprefix("RUN ")], check=True, timeout=20)

    assert subprocess.run([script], check=False, timeout=20).returncode == 7


def test_a_chain_of_scripts_ends_where_the_kernel_ends(make: Callable[..., str]) -> None:
    paths = [make("s0", "#!/bin/sh\n")]
    for n in range(1, 8):
        paths.append(make(f"s{n}", f"#!{paths[-1]}\n"))

    codes = [look(path).code for path in paths]

    assert ["ok" if execute(path) == 0 else "launch-not-executable" for path in paths] == codes
    assert codes[-1] == "launch-not-executable"


@pytest.mark.root
def test_what_may_be_executed_and_not_read_is_taken_on_trust(tmp_path: Path) -> None:
    open_path = open_to_all(tmp_path)
    program = open_path / "serve"
    shutil.copy(SH, program)
    program.chmod(0o711)
    spec = launch.Spec(command=(str(program),))

    (found,) = launch.judge(spec, seen_as(1001, launch, spec), DOCKER)

    assert found.code == "ok"
    assert "may be executed and not read" in found.observed


@pytest.mark.root
def test_a_mount_with_noexec_is_named(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o noexec none "$1" && cp /bin/sh "$1/serve" && exec "$2" -c "$3" "$1/serve"'
    show = (
        "import sys, msgspec\nfrom modelgate.checks import launch\nfrom modelgate.host import Host\n"
        "facts = launch.observe(launch.Spec(command=(sys.argv[1],)), Host(environ={}))\n"
        "sys.stdout.buffer.write(msgspec.json.encode(facts))"
    )
    told = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "-", tmp_path, sys.executable, show],
        capture_output=True,
        check=True,
    )
    facts = msgspec.json.decode(told.stdout, type=launch.Facts)

    (found,) = launch.judge(launch.Spec(command=(f"{tmp_path}/serve",)), facts, DOCKER)

    assert found.code == "launch-not-executable"
    assert f"EACCES, the mount {tmp_path} has noexec (mode 0755" in found.observed


def test_a_file_of_an_unknown_kind_is_a_warning(make: Callable[..., str]) -> None:
    """binfmt_misc may know it: no fact."""
    found = look(make("serve.wasm", b"\0asm\1\0\0\0"))

    assert (found.code, found.level) == ("launch-not-executable", Level.WARN)


def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    """Opening one would wait for a writer."""
    os.mkfifo(tmp_path / "serve", 0o755)

    found = look(str(tmp_path / "serve"))

    assert found.code == "launch-not-executable"
    assert "is no regular file: EACCES" in found.observed


def test_nothing_is_ever_executed(make: Callable[..., str], tmp_path: Path) -> None:
    script = make("serve", f"#!/bin/sh\ntouch {tmp_path}/ran\n")

    assert look(script).code == "ok"
    assert not (tmp_path / "ran").exists()
