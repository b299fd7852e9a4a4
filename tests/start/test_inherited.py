"""What the start of a process looks like to it, recorded before anything is changed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelgate.probe.proc import raw_environ, start_time, status, uid_of

CODE = """
import json, os, signal, sys
from modelgate.start.inherited import capture
got = capture()
sys.stdout = open(4, 'w') if 1 in got.closed else sys.stdout
print(json.dumps({
    'ignored': sorted(got.ignoring), 'mask': sorted(got.mask), 'umask': got.umask, 'closed': sorted(got.closed),
    'environ': [[k.hex(), v.hex()] for k, v in got.environ.items()], 'text': list(got.text_environ().items()),
    'ending': sorted(got.ending), 'umask_now': os.umask(0), 'os_environ': sorted(os.environ),
}))
"""


def captured(parent: Callable[[], Any] | None = None, **popen: Any) -> Any:
    options = {"env": {"PATH": "/bin"}, "stdout": subprocess.PIPE, "preexec_fn": parent, "timeout": 60, **popen}
    done = subprocess.run([sys.executable, "-I", "-c", CODE], check=True, **options)
    return json.loads(done.stdout)


def test_ignored_signals_and_mask_are_recorded() -> None:
    def parent() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

    got = captured(parent)

    assert got["ignored"] == [signal.SIGHUP, signal.SIGUSR1]
    assert got["mask"] == [signal.SIGUSR2]


def test_what_python_ignores_by_itself_is_not_taken_for_inherited() -> None:
    assert captured()["ignored"] == []


def test_the_umask_is_read_and_not_changed() -> None:
    got = captured(lambda: os.umask(0o026))

    assert (got["umask"], got["umask_now"]) == (0o026, 0o026)


def test_the_environment_is_raw() -> None:
    """Bytes that are no UTF-8, and no LC_CTYPE though os.environ has one by now."""
    got = captured(env={b"PATH": b"/bin", b"X": b"\xff"})

    assert {bytes.fromhex(k): bytes.fromhex(v) for k, v in got["environ"]} == {b"PATH": b"/bin", b"X": b"\xff"}
    assert dict(got["text"]) == {"PATH": "/bin", "X": "\udcff"}
    assert "LC_CTYPE" in got["os_environ"]


def test_of_a_name_that_is_there_twice_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "environ").write_bytes(b"A=1\0B=2\0A=3\0no name\0=x\0C=\0")

    assert raw_environ(str(tmp_path)) == {b"A": b"1", b"B": b"2", b"C": b""}


def test_a_signal_that_was_ignored_does_not_end_the_gate() -> None:
    got = captured(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))

    assert got["ending"] == sorted([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])


def test_from_the_first_moment_a_term_ends_it_with_143() -> None:
    code = (
        "from modelgate.start.inherited import capture\ncapture()\nprint('up', flush=True)\nimport time; time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.terminate()

        assert process.wait(20) == 143


def test_closed_standard_files_are_filled_so_that_nothing_else_becomes_stdout() -> None:
    def parent() -> None:
        os.dup2(1, 4)
        os.close(0)
        os.close(1)

    got = captured(parent, close_fds=False)

    assert got["closed"] == [0, 1]


def test_a_process_is_known_by_pid_and_start_time() -> None:
    with subprocess.Popen(["/bin/sleep", "30"]) as process:
        began = start_time(process.pid)
        assert began is not None
        assert began == start_time(process.pid)
        assert uid_of(process.pid) == os.geteuid()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert start_time(process.pid) is None, "a zombie does not live"
    assert start_time(process.pid) is None


def test_without_proc_nothing_is_known_and_nothing_raises(tmp_path: Path) -> None:
    assert start_time(proc=str(tmp_path)) is None
    assert status("Umask", str(tmp_path)) is None
    assert uid_of(1, str(tmp_path)) is None
