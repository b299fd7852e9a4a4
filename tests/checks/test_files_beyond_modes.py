"""`files`: mounts, made directories, sockets, odd names, the schema and lost looks."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import access_kit
import msgspec
import pytest
from access_kit import SERVER, in_mounts_of, in_own_mounts, look, script

from modelgate.checks import files
from modelgate.host import Host, Place
from modelgate.identity import Identity
from modelgate.isolate import Job, Lost

ROOT = Identity(0, 0)


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


@pytest.mark.root
def test_a_directory_is_made_with_its_missing_parents_and_the_asked_mode(tree: Path) -> None:
    """Made as the runtime identity, only what is missing."""
    script("mkdir c; chown 1001:1002 c", tree)

    found = look("files", {"path": f"{tree}/c/hub/x", "create": True, "mode": "0750", "access": "rwx"})

    made = (tree / "c/hub/x").stat()
    assert [f.code for f in found] == ["ok"]
    assert "made" in found[0].observed
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (1001, 1002, 0o750)
    assert look("files", {"path": f"{tree}/c/hub/x", "create": True, "mode": "0750"})[0].code == "ok"


@pytest.mark.root
def test_root_makes_no_directory_through_a_link_that_another_user_can_bend(tree: Path) -> None:
    """It fails, and the place the link leads to stays as it was."""
    script("mkdir -p u safe; ln -s ../safe u/l; chown -h 1001 u u/l", tree)

    found = look("files", {"path": f"{tree}/u/l/new", "create": True}, ROOT)

    assert [f.code for f in found] == ["path-unwritable"]
    assert "can be changed by others" in found[0].observed
    assert os.listdir(tree / "safe") == []
    assert found[0].fixes[0].snippet == f"path: {tree}/safe/new"


@pytest.mark.root
def test_a_socket_is_told_from_a_file(tree: Path) -> None:
    """type: socket holds for one, and a file is none."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "s"))
        os.chmod(tree / "s", 0o666)
        (tree / "f").write_text("x")

        assert look("files", {"path": f"{tree}/s", "type": "socket", "access": "rw"})[0].code == "ok"
        assert look("files", {"path": f"{tree}/f", "type": "socket"})[0].code == "path-wrong-type"
        os.chmod(tree / "s", 0o600)
        assert look("files", {"path": f"{tree}/s", "type": "socket", "access": "rw"})[0].code == "path-unreadable"


@pytest.mark.root
def test_read_only_and_noexec_mounts_are_told_from_the_mode(tree: Path) -> None:
    """EROFS is path-read-only with the mount named; a program on a noexec mount is path-not-executable."""
    script("mkdir m; echo x >m/f; chmod 0777 m m/f", tree)
    mounts = "mount --bind m m; mount -o remount,bind,ro,noexec m"

    found = in_own_mounts(
        mounts,
        tree,
        "files",
        SERVER,
        {"path": f"{tree}/m", "access": "rwx"},
        {"path": f"{tree}/m/f", "access": "rw"},
        {"path": f"{tree}/m/f", "access": "rx"},
        {"path": f"{tree}/m/new", "create": True},
        {"path": f"{tree}/m/f"},
    )

    codes = ["path-read-only", "path-read-only", "path-not-executable", "path-read-only", "ok"]
    assert [f.code for f in found] == codes
    assert {f.evidence["mount"] for f in found} == {f"{tree}/m"}
    assert "noexec" in found[2].observed
    assert found[0].fixes[0].snippet == f"mount -o remount,bind,rw {tree}/m"


@pytest.mark.root
def test_a_full_file_system_is_not_taken_for_a_refusal(tree: Path) -> None:
    """A tmpfs without an inode left: disk-inodes, though the mode allows everything."""
    script("mkdir m", tree)
    mounts = "mount -t tmpfs -o nr_inodes=2,mode=1777 tmpfs m; : >m/f"

    found = in_own_mounts(mounts, tree, "files", SERVER, {"path": f"{tree}/m", "access": "w"})

    assert [f.code for f in found] == ["disk-inodes"]
    assert found[0].evidence["fs"] == "tmpfs"


@pytest.mark.root
def test_an_empty_mount_point_is_told(tree: Path) -> None:
    """The volume is there and empty: the finding says so."""
    script("mkdir m", tree)

    found = in_own_mounts("mount -t tmpfs tmpfs m", tree, "files", SERVER, {"path": f"{tree}/m/config.json"})

    assert [f.code for f in found] == ["path-not-mounted"]
    assert f"{tree}/m is an empty directory and a mount point (tmpfs from tmpfs)" in found[0].observed
    assert (found[0].evidence["component"], found[0].evidence["mount_point"]) == (f"{tree}/m", True)


@pytest.mark.root
def test_a_file_system_that_never_answers_is_named(tree: Path) -> None:
    """A real one: the child hangs in state D, and the finding names the mount, its type and whose turn it is."""
    program = Path(access_kit.__file__).parent.parent / "isolation/deaf_fuse.py"
    argv = ["unshare", "-m", "--propagation", "private", sys.executable, str(program), str(tree)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as deaf:
        try:
            assert deaf.stdout is not None
            if deaf.stdout.readline() != "ready\n":
                pytest.skip("no FUSE file system can be mounted here")
            found = in_mounts_of(deaf.pid, "files", SERVER, {"path": f"{tree}/model/config.json"})
        finally:
            deaf.kill()  # which aborts the connection, and so ends the child

    assert [f.code for f in found] == ["path-hung"]
    assert (found[0].evidence["mount"], found[0].evidence["fs"]) == (str(tree), "fuse.deaf")
    assert "no sign of life" in found[0].observed
    assert found[0].fixes[0].who == "cluster admin"


def test_near_names_are_offered(tmp_path: Path) -> None:
    """A slip in the name: what is there is named, and the manifest line to write."""
    (tmp_path / "config.json").write_text("{}")
    spec = files.Spec(path=str(tmp_path / "Config.jsn"))

    (finding,) = files.judge(spec, files.observe(spec, Host()), Place(platforms=("shell",)))

    assert finding.code == "path-missing"
    assert finding.evidence["near"] == ["config.json"]
    assert finding.fixes[0].snippet == f"path: {tmp_path}/config.json"


@pytest.mark.parametrize(
    ("asked", "offered"),
    [({"type": "directory"}, True), ({"access": "rwx"}, True), ({"type": "file"}, False), ({}, False)],
)
def test_making_it_is_offered_for_directories_only(asked: dict[str, Any], offered: bool, tmp_path: Path) -> None:
    """And nothing is mounted over a directory that holds other things."""
    (tmp_path / "other").mkdir()
    spec = files.Spec(path=f"{tmp_path}/cache", **asked)

    (finding,) = files.judge(spec, files.observe(spec, Host()), Place(platforms=("docker",)))

    snippets = [fix.snippet for fix in finding.fixes]
    assert f"docker run -v SOURCE:{tmp_path}/cache:ro ..." in snippets
    assert ("create: true" in snippets) is offered


def test_names_that_are_too_long_are_told_verbatim(tmp_path: Path) -> None:
    """One component over 255 bytes, and a whole path over 4095."""
    for path in (f"{tmp_path}/{'n' * 256}", "/" + "n/" * 2100):
        spec = files.Spec(path=path)
        (finding,) = files.judge(spec, files.observe(spec, Host()), Place(platforms=("shell",)))
        assert finding.code == "path-missing"
        assert "ENAMETOOLONG" in finding.observed


def test_a_name_that_is_not_utf8_is_shown_and_sent(tmp_path: Path) -> None:
    """Facts with such a name survive JSON; the byte is written as an escape."""
    name = os.fsencode(tmp_path) + b"/\xff\xfe"
    with open(name, "wb") as file:
        file.write(b"x")
    spec = files.Spec(path=os.fsdecode(name))

    facts = files.observe(spec, Host())

    again = msgspec.json.decode(msgspec.json.encode(facts), type=files.Facts)
    assert again == facts
    assert facts.walk.last is not None
    assert facts.walk.last.path == f"{tmp_path}/\\xff\\xfe"
    assert facts.tries[0].errno == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": ""},
        {"path": "a\0b"},
        {"path": "/f", "access": "rr"},
        {"path": "/f", "access": "q"},
        {"path": "/f", "mode": "0999"},
        {"path": "/f", "mode": 640},
        {"path": "/f", "sha256": "abc"},
        {"path": "/f", "create": True, "type": "file"},
        {"path": "/f", "type": "directory", "size": 3},
        {"path": "/f", "owner": -1},
        {"path": "/f", "ownr": "root"},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """The schema says no before anything is looked at."""
    with pytest.raises(msgspec.ValidationError):
        access_kit.spec_of(access_kit.BY_KEY["files"], wrong)


def test_an_open_that_never_answers_names_the_mount() -> None:
    """path-hung from the last words of the child; other losses are not explained away."""
    spec = files.Spec(path="/models/f")
    kind = access_kit.BY_KEY["files"]
    job = Job(kind=kind, specs=(spec,), checks=("files[0]",), lines=(1,))
    words = {"doing": "open", "path": "/models", "mount": "/models", "fs": "nfs4", "source": "nas:/x"}
    hung = Lost(job, 0, "hung", "no sign of life for 30 s", 30.0, words)

    found = files.lost(spec, hung, Place(platforms=("kubernetes",)))

    assert found is not None
    assert (found[0].code, found[0].evidence["mount"]) == ("path-hung", "/models")
    assert "nas:/x" in found[0].observed
    assert files.lost(spec, Lost(job, 0, "crashed", "SIGSEGV", 1.0, words), Place()) is None


def test_what_is_there_is_always_needed_even_when_optional(tmp_path: Path) -> None:
    """optional forgives absence only: a dangling link is not absence."""
    (tmp_path / "l").symlink_to("nowhere")
    spec = files.Spec(path=str(tmp_path / "l"), optional=True)

    assert files.judge(spec, files.observe(spec, Host()), Place())[0].code == "path-dangling-link"
