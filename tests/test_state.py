"""The state file: where it is put, who may read it, what it says, and that nothing about it stops a start."""

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from modelgate.host import Host
from modelgate.identity import Identity, current
from modelgate.probe import where
from modelgate.probe.proc import start_time
from modelgate.state import State


def open_state(root: Path, *, state_dir: Path | None = None, identity: Identity | None = None, xdg: str = "") -> State:
    named = str(state_dir) if state_dir else None
    return State.open(Host(), named, identity or current(), {"XDG_RUNTIME_DIR": xdg}, root=str(root))


def saved(state: State) -> Any:
    return json.loads(Path(state.path).read_bytes())


def mode(path: object) -> str:
    return f"{stat.S_IMODE(os.lstat(str(path)).st_mode):04o}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with /run, /dev/shm and /tmp."""
    for name in ("run", "dev/shm", "tmp"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def test_the_first_directory_that_can_be_made_is_taken(root: Path) -> None:
    """run/modelgate; with no run at all the next, down to /tmp."""
    uid = os.geteuid()
    expected = ["run/modelgate", "xdg/modelgate", f"dev/shm/modelgate-{uid}", f"tmp/modelgate-{uid}"]
    (root / "xdg").mkdir()
    got = []
    for gone in ("run", "xdg", "dev/shm", "tmp"):
        state = open_state(root, xdg=str(root / "xdg"))
        got.append(os.path.relpath(os.path.dirname(state.path), root))
        (root / gone).rename(root / f"no-{gone.replace('/', '-')}")

    assert got == expected
    state = open_state(root, xdg=str(root / "xdg"))
    assert state.path == ""
    assert len(state.why) == 4
    state.write(phase="started")  # silent


def test_a_named_directory_comes_first_and_is_made_for_its_owner_alone(root: Path) -> None:
    state = open_state(root, state_dir=root / "mine")

    assert os.path.dirname(state.path) == str(root / "mine")
    assert mode(root / "mine") == "0700"
    assert mode(state.path) == "0600"


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o1777])
def test_a_directory_that_others_can_write_is_not_used(root: Path, bits: int) -> None:
    (root / "open").mkdir()
    (root / "open").chmod(bits)

    state = open_state(root, state_dir=root / "open")

    assert os.path.dirname(state.path) == str(root / "run/modelgate")
    assert list((root / "open").iterdir()) == []
    assert f"mode {bits:04o}; it must be {os.geteuid()}'s and writable by no one else" in state.why[0]


def test_a_link_is_not_followed_not_even_in_a_parent(root: Path) -> None:
    (root / "real").mkdir()
    (root / "link").symlink_to(root / "real")

    last = open_state(root, state_dir=root / "link")
    parent = open_state(root, state_dir=root / "link" / "below")

    assert os.path.dirname(last.path) == os.path.dirname(parent.path) == str(root / "run/modelgate")
    assert list((root / "real").iterdir()) == []


@pytest.mark.root
def test_a_directory_of_another_user_is_not_used(root: Path) -> None:
    (root / "run/modelgate").mkdir(mode=0o700)
    os.chown(root / "run/modelgate", 12345, 12345)

    state = open_state(root)

    assert os.path.dirname(state.path) == str(root / "dev/shm/modelgate-0")
    assert "owner 12345:12345" in state.why[0]


@pytest.mark.root
def test_the_state_of_a_server_with_another_identity_stays_roots_and_its_group_may_read(root: Path) -> None:
    """0700 would hide it from a probe that runs as the server; giving it away would let the server forge it."""
    state = open_state(root, identity=Identity(12345, 12346, ()))
    state.write(stage="look")

    for path, bits in ((os.path.dirname(state.path), "0710"), (state.path, "0640")):
        seen = os.lstat(path)
        assert (seen.st_uid, seen.st_gid, mode(path)) == (0, 12346, bits)


def test_it_names_this_process_and_what_it_does(root: Path) -> None:
    state = open_state(root)
    state.write(stage="prove", waiting_for="http://db", done=1 << 30, total=4 << 30, eta=90.0, health="tcp://h:1")

    told = saved(state)
    assert (told["schema"], told["pid"], told["uid"]) == (1, os.getpid(), os.geteuid())
    assert told["start_time"] == start_time()
    assert told["says"] == "http://db, 1.0 GiB of 4.0 GiB, about 1 m 30 s left"
    assert (told["phase"], told["stage"], told["health"]) == ("gate", "prove", "tcp://h:1")
    assert abs(told["updated"] - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
    assert where.decode(Path(state.path).read_bytes()) == told


def test_the_next_thing_waited_for_does_not_keep_the_bytes_of_the_last(root: Path) -> None:
    state = open_state(root)
    state.write(stage="prove", waiting_for="a", done=1, total=2)
    state.write(stage="warm", waiting_for="b")

    assert saved(state)["says"] == "b"


def test_the_time_left_follows_from_the_speed(root: Path) -> None:
    state = open_state(root)
    state.write(waiting_for="w", done=0, total=1000)
    state._began["w"] = (state._began["w"][0] - 10, 0)  # ten seconds ago
    state.write(waiting_for="w", done=500, total=1000)

    assert state.told.eta is not None
    assert 9 < state.told.eta < 15


def test_a_change_of_phase_is_written_at_once_and_mere_progress_is_paced(root: Path) -> None:
    state = open_state(root)
    writes = set()
    for number in range(2000):
        state.write(phase="gate", waiting_for="w", done=number, total=2000)
        writes.add(os.stat(state.path).st_ino)
    state.write(phase="started")

    assert len(writes) < 1000
    assert saved(state)["phase"] == "started"


def test_beat_renews_it_once_a_second_at_most(root: Path) -> None:
    state = open_state(root)
    before = saved(state)["updated"]
    state.beat()
    assert saved(state)["updated"] == before

    state.told.updated -= 2
    state.beat()

    assert saved(state)["updated"] > before


def test_texts_are_valid_and_bounded(root: Path) -> None:
    state = open_state(root)
    state.write(phase="failed", message="\udcff" + "x" * 9000, exit_code=77)

    assert saved(state)["message"].startswith("\\udcff")
    assert len(saved(state)["message"]) == 4096
    assert os.path.getsize(state.path) < where.LIMIT


def test_an_unknown_field_is_a_fault_of_the_caller(root: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        open_state(root).write(colour="red")


def test_a_directory_that_goes_away_does_not_stop_anything(root: Path) -> None:
    state = open_state(root)
    os.unlink(state.path)
    os.rmdir(os.path.dirname(state.path))

    state.write(phase="started")

    assert "No such file" in state.why[-1]


def test_a_draft_left_by_a_killed_gate_is_no_obstacle(root: Path) -> None:
    state = open_state(root)
    draft = os.path.join(os.path.dirname(state.path), f".{os.path.basename(state.path)}.{os.getpid()}")
    Path(draft).write_text("half")

    state.write(phase="started")

    assert saved(state)["phase"] == "started"
    assert not os.path.exists(draft)


def test_a_network_mount_is_passed_over(root: Path, tmp_path: Path) -> None:
    """PID 1 must not touch what can hang."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/mountinfo").write_text(f"36 35 0:30 / {root}/run rw - nfs4 server:/x rw\n")

    state = State.open(Host(proc=str(proc)), None, current(), {}, root=str(root))

    assert os.path.dirname(state.path) == str(root / f"dev/shm/modelgate-{os.geteuid()}")
    assert "on nfs4" in state.why[0]
    assert not (root / "run/modelgate").exists()
