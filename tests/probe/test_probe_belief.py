"""Which state a probe believes: whose it is, who could have written it, and whether its process still lives."""

import os
import subprocess
from pathlib import Path

import pytest
from probe_kit import answers, probe

from modelgate.host import Host
from modelgate.identity import Identity, current
from modelgate.probe import where
from modelgate.probe.answer import find
from modelgate.state import State


def test_no_state_is_no(tmp_path: Path) -> None:
    code, line = answers("live", state_dir=tmp_path / "none")

    assert code == 1
    assert "no modelgate has begun here yet" in line


def test_the_state_of_an_earlier_start_is_not_believed(state: State, folder: Path) -> None:
    """A restarted container finds the file of the one before, with the same pid."""
    state.told.start_time -= 1
    state.write(phase="started")

    code, line = answers("live", state_dir=folder)
    assert code == 1
    assert f"tells of an earlier start: its process {os.getpid()} is another one by now" in line


def test_the_state_of_a_process_that_is_gone_is_not_believed(state: State, folder: Path) -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    state.told.pid = process.pid
    state.write(phase="started")

    code, line = answers("live", state_dir=folder)
    assert code == 1
    assert f"its process {process.pid} is gone" in line


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"schema":1}', b'{"schema":1,"pid":"1"}', b"\xff\xfe", b"[" * 100_000, b"null"]
)
def test_a_damaged_state_is_told(state: State, folder: Path, text: bytes) -> None:
    Path(state.path).write_bytes(text)

    code, line = answers("live", state_dir=folder)
    assert code == 1
    assert f"{state.path} is damaged" in line


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_could_have_written_is_not_believed(state: State, folder: Path, what: str) -> None:
    path = folder if what == "folder" else Path(state.path)
    path.chmod(0o777 if what == "folder" else 0o666)

    code, line = answers("live", state_dir=folder)
    assert code == 1
    assert "is not believed" in line
    assert "writable by no one else" in line


@pytest.mark.parametrize("what", ["link", "fifo", "folder-link"])
def test_links_and_fifos_are_not_opened(state: State, folder: Path, tmp_path: Path, what: str) -> None:
    kept = tmp_path / "kept"
    if what == "folder-link":
        folder.rename(kept)
        folder.symlink_to(kept)
    else:
        os.rename(state.path, kept)
        os.symlink(kept, state.path) if what == "link" else os.mkfifo(state.path, 0o600)

    assert answers("live", state_dir=folder)[0] == 1


@pytest.mark.root
def test_the_state_of_root_is_believed_by_the_servers_identity_and_hidden_from_others(public: Path) -> None:
    made = State.open(Host(), str(public / "s"), Identity(12345, 12346, ()), {})
    folder = os.path.dirname(made.path)

    assert _read_as(12345, 12346, folder) == ""
    assert _read_as(0, 0, folder) == ""
    assert "Permission denied" in _read_as(12345, 54321, folder)


@pytest.mark.root
def test_root_believes_another_user_only_about_a_process_of_that_user(tmp_path: Path) -> None:
    made = State.open(Host(), str(tmp_path / "s"), current(), {})
    folder = os.path.dirname(made.path)
    argv = ["/bin/sleep", "30"]
    with subprocess.Popen(argv, user=12345, group=12345) as theirs, subprocess.Popen(argv) as roots:
        try:
            said = {}
            for name, process in (("theirs", theirs), ("root's", roots)):
                made.told.pid = process.pid
                made.write(stage=name)
                for path in (folder, made.path):
                    os.chown(path, 12345, 12345)
                said[name] = _read_as(0, 0, folder)
        finally:
            theirs.kill()
            roots.kill()

    assert said["theirs"] == ""
    assert "is not believed: owner 12345:12345" in said["root's"]


def _read_as(uid: int, gid: int, folder: str) -> str:
    """Why a reader with these ids does not believe the state in `folder`; "" when it does.

    In a fork of this process: the interpreter of a test may be where another uid cannot go.
    """
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            state, why = where.read(folder)
            os.write(write_fd, (why or ("" if state else "none")).encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


def test_a_state_lies_elsewhere_when_the_named_directory_could_not_be_used(tmp_path: Path) -> None:
    """A volume that everybody may write, with what an earlier start has left; another gate of the same machine."""
    (tmp_path / "run").mkdir()
    named = str(tmp_path / "volume")
    old = State.open(Host(), named, current(), {}, root=str(tmp_path))
    old.told.start_time -= 1
    old.write(stage="old")
    os.chmod(named, 0o777)
    State.open(Host(), named, current(), {}, root=str(tmp_path)).write(stage="new")

    for asked in (named, None):
        state, why = find(asked, "", str(tmp_path))
        assert state is not None, why
        assert (state["stage"], state["named"]) == ("new", named)
    state, why = find(str(tmp_path / "other"), "", str(tmp_path))
    assert state is None
    assert "its state lies elsewhere" in why


def test_the_directory_comes_from_the_environment_too(state: State, folder: Path) -> None:
    state.write(stage="look")

    assert probe("live", env={"MODELGATE_STATE_DIR": str(folder)}).returncode == 0
