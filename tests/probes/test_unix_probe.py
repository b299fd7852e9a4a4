"""wait_for: unix, with real sockets."""

import os
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from wait_kit import look, nobody

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_a_unix_socket_of_any_type_is_ready(tmp_path: Path, kind: int) -> None:
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(path)
        if kind != socket.SOCK_DGRAM:
            server.listen()
        seen = look(unix=path)

    assert (seen.facts.ready, seen.finding.subject) == (True, f"unix://{path}")


def test_an_abstract_socket_is_ready() -> None:
    name = f"modelgate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        assert look(unix=f"@{name}").facts.ready
    assert look(unix=f"@{name}").facts.cause == "refused"


def test_a_unix_socket_that_comes_later_is_noticed(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as server:

        def begin() -> None:
            server.bind(path)
            server.listen()

        timer = threading.Timer(0.3, begin)
        timer.start()
        seen = look(unix=path, timeout="20s")
        timer.join()

    assert seen.facts.ready
    assert seen.told[0]["error"] == f"connect {path}: No such file or directory (ENOENT)"


def test_a_socket_nobody_listens_on_any_more_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
    seen = look(unix=path)

    assert (seen.finding.code, seen.facts.hopeless) == ("wait-refused", False)
    assert "nobody listens on it" in seen.facts.error


def test_a_full_backlog_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(path)
        server.listen(0)
        first.connect(path)
        seen = look(unix=path)

    assert (seen.facts.cause, seen.facts.errno) == ("silent", "EAGAIN")


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_is_no_socket_ends_the_wait(tmp_path: Path, what: str) -> None:
    path = tmp_path / "thing"
    path.mkdir() if what == "directory" else path.write_text("")
    seen = look(unix=str(path), timeout="60s")

    assert (seen.finding.code, seen.facts.hopeless, seen.finding.subject) == ("path-wrong-type", True, str(path))


@pytest.mark.root
def test_a_socket_that_stays_closed_to_this_user_ends_the_wait(tmp_path: Path) -> None:
    """Not at the first look: a server may bind first and open the mode right after."""
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        os.chmod(path, stat.S_IRWXU)
        with nobody():
            stays = look(unix=path, timeout="60s")

    assert (stays.finding.code, stays.facts.errno, stays.facts.hopeless) == ("wait-denied", "EACCES", True)
    assert stays.facts.attempts > 1
    assert stays.seconds < 20


@pytest.mark.root
def test_a_socket_whose_mode_is_opened_right_after_bind_is_ready(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    path = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        os.chmod(path, stat.S_IRWXU)
        opener = subprocess.Popen(["sh", "-c", 'sleep 0.3; chmod 777 "$1"', "sh", path])
        with nobody():
            seen = look(unix=path, timeout="60s")
        opener.wait()

    assert seen.facts.ready
    assert seen.told[0]["error"] == f"connect {path}: Permission denied (EACCES)"
