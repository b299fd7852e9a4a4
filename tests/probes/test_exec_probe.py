"""wait_for: exec, with real commands."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from wait_kit import look

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """An executable shell script; its path."""

    def make(text: str, first: str = "#!/bin/sh\n") -> str:
        path = tmp_path / "check"
        path.write_text(first + text)
        path.chmod(0o755)
        return str(path)

    return make


def gone(pid: int) -> bool:
    """Within five seconds."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.01)
    return False


def test_exit_code_0_is_ready() -> None:
    seen = look(exec=["true"])

    assert (seen.facts.ready, seen.facts.saw, seen.finding.subject) == (True, "exit code 0", "true")


def test_a_command_that_succeeds_later_is_noticed(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    count = f"n=$(wc -c < {flag}); printf x >> {flag}; [ $n -ge 3 ] || {{ echo only $n >&2; exit 9; }}"
    flag.write_text("x")
    seen = look(exec=["sh", "-c", count], timeout="20s")

    assert (seen.facts.ready, [t["error"] for t in seen.told]) == (
        True, ["sh ended with exit code 9: only 1", "sh ended with exit code 9: only 2"],
    )  # fmt: skip


def test_the_last_words_and_the_exit_code_are_told() -> None:
    seen = look(exec=["sh", "-c", "seq 100000; echo; echo 'FATAL:  no db' >&2; exit 2"])

    assert (seen.finding.code, seen.facts.status) == ("wait-timeout", 2)
    assert seen.facts.error == "sh ended with exit code 2: 100000 / FATAL: no db"
    assert any("docker compose run" in fix.snippet for fix in seen.finding.fixes)


def test_a_command_that_dies_by_a_signal_is_told() -> None:
    seen = look(exec=["sh", "-c", "kill -SEGV $$"], timeout="100ms")

    assert seen.facts.error == "sh was ended by SIGSEGV"


def test_a_command_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    seen = look(exec=["sh", "-c", f"sleep 1000 & echo $! $$ >> {pids}; wait"], attempt_timeout="300ms", timeout="800ms")
    numbers = [int(n) for n in pids.read_text().split()]

    assert seen.facts.error == "sh had not ended after 300 ms and was killed"
    assert len(numbers) == 2 * seen.facts.attempts >= 4
    assert all(gone(pid) for pid in numbers)


def test_what_a_good_command_leaves_behind_goes_too(tmp_path: Path) -> None:
    """And holding the pipe open makes nobody wait."""
    pid = tmp_path / "pid"
    seen = look(exec=["sh", "-c", f"sleep 1000 & echo $! > {pid}"], attempt_timeout="20s")

    assert seen.facts.ready
    assert seen.seconds < 10
    assert gone(int(pid.read_text()))


def test_a_command_that_never_stops_writing_is_bounded() -> None:
    seen = look(exec=["yes"], attempt_timeout="300ms", timeout="300ms")

    assert (seen.facts.cause, len(seen.facts.error) < 500, seen.seconds < 5) == ("failed", True, True)


def test_a_command_that_is_not_there_ends_the_wait() -> None:
    seen = look(exec=["no-such-command"], timeout="60s", environ={"PATH": "/usr/bin"})

    assert (seen.finding.code, seen.facts.hopeless, seen.finding.subject) == ("path-missing", True, "no-such-command")
    assert seen.facts.error == "no-such-command is in no folder of PATH (/usr/bin)"


def test_it_is_looked_for_in_the_servers_path(tmp_path: Path, script: Callable[[str], str]) -> None:
    script('[ "$FLAVOUR" = vanilla ] && [ -z "$HOME" ]')
    seen = look(exec=["check"], environ={"PATH": f"/nowhere:{tmp_path}", "FLAVOUR": "vanilla"})

    assert (seen.facts.ready, seen.facts.path) == (True, f"{tmp_path}/check")


def test_a_command_without_its_interpreter_ends_the_wait(script: Callable[..., str]) -> None:
    seen = look(exec=[script("true", "#!/no/such/shell\n")], timeout="60s")

    assert (seen.finding.code, seen.facts.hopeless) == ("path-missing", True)
    assert "the interpreter of its first line, or its loader, is not there (ENOENT)" in seen.facts.error


@pytest.mark.parametrize("by_path", [True, False])
def test_a_file_that_is_not_executable_ends_the_wait(tmp_path: Path, *, by_path: bool) -> None:
    (tmp_path / "check").write_text("#!/bin/sh\n")
    word = f"{tmp_path}/check" if by_path else "check"
    seen = look(exec=[word], timeout="60s", environ={"PATH": str(tmp_path)})

    assert (seen.finding.code, seen.facts.errno) == ("path-not-executable", "EACCES")
    assert seen.finding.subject == f"{tmp_path}/check"


def test_text_without_a_first_line_is_not_executable(script: Callable[..., str]) -> None:
    seen = look(exec=[script("hello", "")], timeout="60s")

    assert (seen.finding.code, seen.facts.errno) == ("path-not-executable", "ENOEXEC")


def test_secrets_on_its_command_line_are_not_shown() -> None:
    words = [
        "sh",
        "-c",
        'echo "$@"; exit 1',
        "sh",
        "--password=hunter2",
        "--api-key",
        "hunter3",
        "redis://:hunter4@db/0",
    ]
    seen = look(exec=words, timeout="100ms")

    assert "exit code 1" in seen.facts.error
    assert "hunter" not in repr(seen)
    assert "--password=*** --api-key *** redis://db/0" in seen.finding.subject


LOOK_AROUND = """
import json, os, sys
fds = [int(n) for n in os.listdir("/proc/self/fd")]
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
seen = {"fds": [n for n in fds if os.path.exists(f"/proc/self/fd/{n}")], "stdin": os.readlink("/proc/self/fd/0"),
        "leader": os.getpgid(0) == os.getpid(), "session": os.getsid(0),
        "blocked": int(status["SigBlk"], 16), "ignored": int(status["SigIgn"], 16)}
json.dump(seen, open(sys.argv[1], "w"))
"""
PYTHONS_OWN = (1 << (signal.SIGPIPE - 1)) | (1 << (signal.SIGXFSZ - 1))  # set by that Python itself, after its exec


def test_the_command_starts_with_nothing_of_ours(tmp_path: Path) -> None:
    """No descriptor of ours, no signal ignored or blocked; a process group of its own in the session of the child."""
    inherited = {fd for fd in map(int, os.listdir("/proc/self/fd")) if is_inheritable(fd)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        look(exec=[sys.executable, "-I", "-S", "-c", LOOK_AROUND, f"{tmp_path}/out"], timeout="20s")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    seen = json.loads((tmp_path / "out").read_text())

    assert set(seen["fds"]) - inherited <= {0, 1, 2}
    assert (seen["leader"], seen["session"], seen["stdin"]) == (True, os.getsid(0), "/dev/null")
    assert (seen["blocked"], seen["ignored"] & ~PYTHONS_OWN & 0x7FFFFFFF) == (0, 0)  # 32 and 33 are the C library's


def is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:  # listdir's own
        return False


def test_sigpipe_ends_the_command_as_in_a_shell() -> None:
    """`yes | head` must not hang about with EPIPE: what Python ignores is not handed on."""
    before = signal.getsignal(signal.SIGPIPE)

    assert before is signal.SIG_IGN
    assert (
        look(exec=["sh", "-c", "kill -PIPE $$; echo alive"], timeout="100ms").facts.error == "sh was ended by SIGPIPE"
    )
