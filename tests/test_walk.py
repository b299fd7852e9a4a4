"""The walk: every component, links by hand, the deciding one; as JSON; without /proc; told before each mount."""

import errno as numbers
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import access_kit
import msgspec
import pytest
from access_kit import SERVER, facts_of, script

from modelgate import explain_path
from modelgate.host import Host
from modelgate.kind import kind
from modelgate.walk import Walk, walk

WALK = kind("walk", explain_path)


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


def types(found: Walk, below: Path) -> list[tuple[str, str]]:
    """(path below the tree, type) of each component in it."""
    start = f"{below}/"
    return [(s.path[len(start) :], s.type) for s in found.steps if s.path.startswith(start)]


def test_every_component_is_told_once_in_the_order_it_was_met(tmp_path: Path) -> None:
    """Links are components too; what they lead to says by which link it was reached."""
    script("mkdir -p real/deep; echo x >real/deep/f; ln -s real l; ln -s ../deep/f real/deep/again", tmp_path)

    found = walk(f"{tmp_path}/l/deep/again", Host())

    assert found.errno == ""
    assert types(found, tmp_path) == [
        ("l", "link"),
        ("real", "directory"),
        ("real/deep", "directory"),
        ("real/deep/again", "link"),
        ("real/deep/f", "file"),
    ]
    names = [s.path for s in found.steps]
    reached = found.steps[names.index(f"{tmp_path}/real")]
    assert found.steps[reached.via].path == f"{tmp_path}/l"
    assert found.last is not None
    assert (found.last.path, found.last.mode, found.last.size) == (f"{tmp_path}/real/deep/f", "0644", 2)


def test_an_absolute_link_starts_at_the_root_again(tmp_path: Path) -> None:
    """And `..` behind a link leads to the parent of what the link leads to, not of the link."""
    script(f"mkdir -p a/b x; echo y >a/f; ln -s {tmp_path}/a/b x/l", tmp_path)

    found = walk(f"{tmp_path}/x/l/../f", Host())

    assert found.last is not None
    assert found.last.path == f"{tmp_path}/a/f"


@pytest.mark.parametrize("path", ["f", "./f", "d/../f", "l"])
def test_a_relative_path_starts_where_we_are(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As open() does; the components are told with their full paths."""
    script("mkdir d; echo x >f; ln -s d/../f l", tmp_path)
    monkeypatch.chdir(tmp_path)

    found = walk(path, Host())

    assert found.last is not None
    assert found.last.path == f"{tmp_path}/f"


@pytest.mark.parametrize(
    ("path", "errno"),
    [
        ("", "ENOENT"),
        ("nothing", "ENOENT"),
        ("f/x", "ENOTDIR"),
        ("f/.", "ENOTDIR"),
        ("ring", "ELOOP"),
        ("n" * 256, "ENAMETOOLONG"),
        ("d/" * 2500, "ENAMETOOLONG"),
        ("chain41", "ELOOP"),
    ],
)
def test_the_errno_is_the_one_that_open_gives(path: str, errno: str, tmp_path: Path) -> None:
    """The walk and the kernel agree."""
    script("mkdir d; echo x >f; ln -s ring ring; ln -s f chain1", tmp_path)
    script("for i in $(seq 40); do ln -s chain$i chain$((i+1)); done", tmp_path)
    full = f"{tmp_path}/{path}" if path else ""

    found = walk(full, Host())

    assert found.errno == errno
    with pytest.raises(OSError, match=os.strerror(getattr(numbers, errno))):
        os.stat(full)


def test_forty_links_are_followed_as_the_kernel_does(tmp_path: Path) -> None:
    script("echo x >f; ln -s f chain1; for i in $(seq 39); do ln -s chain$i chain$((i+1)); done", tmp_path)

    assert walk(f"{tmp_path}/chain40", Host()).errno == ""
    assert os.stat(tmp_path / "chain40").st_size == 2


def test_a_working_directory_that_was_removed_is_no_crash(tmp_path: Path) -> None:
    """A relative path from nowhere: ENOENT, like open()."""
    code = (
        "import os,sys;os.mkdir('gone');os.chdir('gone');os.rmdir('../gone');"
        "from modelgate.walk import walk;from modelgate.host import Host;print(walk('f',Host()).errno)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "ENOENT"


def test_the_links_of_proc_are_followed_by_the_kernel(tmp_path: Path) -> None:
    """`pipe:[42]` is no path; stdin that is a pipe is there all the same."""
    code = (
        "from modelgate.walk import walk;from modelgate.host import Host;"
        "w=walk('/proc/self/fd/0',Host());print(w.errno, w.last.type)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, input="", capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "fifo"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Neither where the path leads somewhere nor where it does not."""
    script("mkdir -p a/b; ln -s a/b l; ln -s ring ring; echo x >f", tmp_path)
    before = sorted(os.listdir("/proc/self/fd"))

    for path in ("a/b", "l/../b/none", "ring", "f/x", "f", "l"):
        walk(f"{tmp_path}/{path}", Host())

    assert sorted(os.listdir("/proc/self/fd")) == before


def test_without_proc_everything_but_the_mounts_is_told(tmp_path: Path) -> None:
    """A chroot without /proc: same components, mounts empty."""
    (tmp_path / "f").write_text("x")

    found = walk(f"{tmp_path}/f", Host(proc=str(tmp_path / "none")))

    assert found.last is not None
    assert (found.last.type, found.last.mount, found.errno) == ("file", "", "")


def test_a_mount_is_told_before_it_is_touched(tmp_path: Path) -> None:
    """The last words of a child that hangs name the mount: told when the path crosses into one."""
    mounts = f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / {tmp_path}/nas rw,noatime - nfs4 nas:/models rw\n"
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(mounts)
    (tmp_path / "nas/x").mkdir(parents=True)
    told: list[dict[str, Any]] = []

    found = walk(f"{tmp_path}/nas/x", Host(proc=str(tmp_path), tell=lambda **words: told.append(words)), "open")

    assert [(w["doing"], w["mount"], w["fs"]) for w in told] == [
        ("open", "/", "ext4"),
        ("open", f"{tmp_path}/nas", "nfs4"),
    ]
    assert told[1]["path"] == f"{tmp_path}/nas"
    assert found.last is not None
    assert (found.last.source, "noatime" in found.last.options) == ("nas:/models", True)


def test_a_walk_is_the_same_after_json(tmp_path: Path) -> None:
    script("mkdir a; ln -s a l", tmp_path)
    found = walk(f"{tmp_path}/l/none", Host())

    assert msgspec.json.decode(msgspec.json.encode(found), type=Walk) == found


def test_near_names_are_found_whatever_their_case(tmp_path: Path) -> None:
    script("mkdir Model-7B; : >other", tmp_path)

    found = walk(f"{tmp_path}/model-7b/config.json", Host())

    assert (found.near, found.entries, found.missing) == (("Model-7B",), 2, f"{tmp_path}/model-7b")


@pytest.mark.root
def test_what_may_be_done_is_what_the_kernel_says_to_this_identity(tree: Path) -> None:
    """Owner, group, others and an ACL, each asked as uid 1001 in a real child."""
    script(
        "mkdir d; echo x >d/others; chmod 0604 d/others; echo x >d/acl; chmod 0600 d/acl; setfacl -m u:1001:rw d/acl;"
        "echo x >d/own; chown 1001 d/own; chmod 0300 d/own; echo x >d/grp; chgrp 1002 d/grp; chmod 0060 d/grp",
        tree,
    )

    seen = {n: facts_of(WALK, {"path": f"{tree}/d/{n}"}, SERVER).last.may for n in ("others", "acl", "own", "grp")}

    assert seen == {"others": "r", "acl": "rw", "own": "wx", "grp": "rw"}


@pytest.mark.root
def test_the_deciding_component_is_the_directory_that_denies(tree: Path) -> None:
    """With its mode, its owner and its ACL, and the identity that was refused."""
    script("mkdir -p a/b/c; setfacl -m u:1001:- a/b", tree)

    found = facts_of(WALK, {"path": f"{tree}/a/b/c"}, SERVER)

    assert found.errno == "EACCES"
    assert found.decider is not None
    assert (found.decider.path, found.decider.acl, found.uid, found.gid) == (
        f"{tree}/a/b",
        "u::rwx,u:1001:---,g::r-x,m::r-x,o::r-x",
        1001,
        1002,
    )
    assert found.decider.may == ""
