"""`files`: trees on a real disk, looked at as uid 1001 in a real child, mended with the told fix, looked at again."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import access_kit
import pytest
from access_kit import SERVER, look, mend, script

from modelgate.finding import Level
from modelgate.identity import Identity

IN_GROUP = Identity(1001, 1002, (2000,))
ROOT = Identity(0, 0)


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


class Row(NamedTuple):
    """What was done to the tree; what is asked; code and deciding component; is there a command that cures it?"""

    done: str
    asked: dict[str, Any]
    code: str
    component: str = ""
    cured: bool = False
    who: Identity = SERVER


HUB = (
    "mkdir -p c/models--o--n/blobs c/models--o--n/snapshots/r1; echo x >c/models--o--n/blobs/b1;"
    "ln -s ../../blobs/b1 c/models--o--n/snapshots/r1/config.json;"
)
IN_HUB = "c/models--o--n/snapshots/r1/config.json"
REFUSED = {
    "parent 0700 of root": Row(
        "mkdir -p a/b; echo x >a/b/f; chmod 0700 a", {"path": "a/b/f"}, "path-blocked", "a", cured=True
    ),
    "second parent 0750, the first one open": Row(
        "mkdir -p a/b; echo x >a/b/f; chmod 0750 a/b", {"path": "a/b/f"}, "path-blocked", "a/b", cured=True
    ),
    "parent without x (the chmod -R 664 recipe)": Row(
        "mkdir -p a; echo x >a/f; chmod 0664 a", {"path": "a/f"}, "path-blocked", "a", cured=True
    ),
    "parent lets its group in, and we are not in it": Row(
        "mkdir a; echo x >a/f; chgrp 2000 a; chmod 0750 a", {"path": "a/f"}, "path-blocked", "a", cured=True
    ),
    "parent of ours without x": Row(
        "mkdir a; echo x >a/f; chown 1001 a; chmod 0677 a", {"path": "a/f"}, "path-blocked", "a", cured=True
    ),
    "parent of our group without x, though others may": Row(
        "mkdir a; echo x >a/f; chgrp 1002 a; chmod 0705 a", {"path": "a/f"}, "path-blocked", "a", cured=True
    ),
    "an ACL on the parent keeps our group out": Row(
        "mkdir a; echo x >a/f; setfacl -m g:1002:- a", {"path": "a/f"}, "path-blocked", "a", cured=True
    ),
    "a parent behind a link": Row(
        "mkdir -p real/b; echo x >real/b/f; ln -s real l; chmod 0700 real/b",
        {"path": "l/b/f"},
        "path-blocked",
        "real/b",
        cured=True,
    ),
    "blobs of a hub cache closed": Row(
        HUB + "chmod 0700 c/models--o--n/blobs", {"path": IN_HUB}, "path-blocked", "c/models--o--n/blobs", cured=True
    ),
    "file 0600 of root": Row("echo x >f; chmod 0600 f", {"path": "f"}, "path-unreadable", "f", cured=True),
    "file 0000": Row("echo x >f; chmod 0000 f", {"path": "f"}, "path-unreadable", "f", cured=True),
    "file 0000 of our own": Row(
        "echo x >f; chown 1001 f; chmod 0000 f", {"path": "f"}, "path-unreadable", "f", cured=True
    ),
    "file for a group we lack": Row(
        "echo x >f; chgrp 2000 f; chmod 0640 f", {"path": "f"}, "path-unreadable", "f", cured=True
    ),
    "file whose ACL has our group masked": Row(
        "echo x >f; chmod 0640 f; setfacl -m g:1002:r,m::- f", {"path": "f"}, "path-unreadable", "f", cured=True
    ),
    "blob of a hub cache 0600": Row(
        HUB + "chmod 0600 c/models--o--n/blobs/b1",
        {"path": IN_HUB},
        "path-unreadable",
        "c/models--o--n/blobs/b1",
        cured=True,
    ),
    "directory that cannot be listed": Row(
        "mkdir d; chmod 0711 d", {"path": "d", "type": "directory"}, "path-unreadable", "d", cured=True
    ),
    "directory without w": Row("mkdir d", {"path": "d", "access": "rwx"}, "path-unwritable", "d", cured=True),
    "directory without w nor x": Row(
        "mkdir d; chmod 0744 d", {"path": "d", "access": "w"}, "path-unwritable", "d", cured=True
    ),
    "directory that cannot be entered": Row(
        "mkdir d; chmod 0744 d", {"path": "d", "access": "rx"}, "path-not-executable", "d", cured=True
    ),
    "file without w": Row("echo x >f", {"path": "f", "access": "rw"}, "path-unwritable", "f", cured=True),
    "file without x": Row("echo x >f", {"path": "f", "access": "rx"}, "path-not-executable", "f", cured=True),
    "immutable directory of ours": Row(
        "mkdir d; chown 1001 d; chattr +i d", {"path": "d", "access": "w"}, "path-unwritable", "d", cured=True
    ),
    "nothing there": Row("mkdir a; echo x >a/g", {"path": "a/f"}, "path-missing", "a/f"),
    "a parent is not there": Row("mkdir a; echo x >a/g", {"path": "a/b/c/f"}, "path-missing", "a/b"),
    "link into nothing": Row("ln -s nowhere l", {"path": "l"}, "path-dangling-link", "l"),
    "second link of a chain into nothing": Row(
        "ln -s l2 l1; ln -s gone/f l2", {"path": "l1"}, "path-dangling-link", "l2"
    ),
    "directory link into nothing": Row("ln -s gone l", {"path": "l/f"}, "path-dangling-link", "l"),
    "what a link leads to is there, the file behind it not": Row(
        "mkdir real; echo x >real/g; ln -s real l", {"path": "l/f"}, "path-missing", "real/f"
    ),
    "hub cache without its blobs": Row(
        HUB + "rm -r c/models--o--n/blobs", {"path": IN_HUB}, "path-dangling-link", IN_HUB
    ),
    "links in a ring": Row("ln -s b a; ln -s a b", {"path": "a"}, "path-link-loop", "a"),
    "link to itself on the way": Row("ln -s l l", {"path": "l/f"}, "path-link-loop", "l"),
    "a file where a directory belongs": Row("echo x >a", {"path": "a/f"}, "path-wrong-type", "a"),
    "a slash behind a file": Row("echo x >f", {"path": "f/"}, "path-wrong-type", "f"),
    "directory, and a file is asked for": Row("mkdir d", {"path": "d", "type": "file"}, "path-wrong-type", "d"),
    "directory, and a size is asked for": Row("mkdir d", {"path": "d", "size": 3}, "path-wrong-type", "d"),
    "file, and a directory is asked for": Row("echo x >f", {"path": "f", "type": "directory"}, "path-wrong-type", "f"),
    "file, and a directory is to be made": Row("echo x >f", {"path": "f", "create": True}, "path-wrong-type", "f"),
    "FIFO, and a file is asked for": Row("mkfifo p", {"path": "p", "type": "file"}, "path-wrong-type", "p"),
    "device node": Row("mknod n c 1 3; chmod 666 n", {"path": "n"}, "path-wrong-type", "n"),
    "other owner": Row("echo x >f", {"path": "f", "owner": 1001}, "path-owner", "f", cured=True),
    "other group, by name": Row("echo x >f", {"path": "f", "group": "video"}, "path-owner", "f", cured=True),
    "owner nobody knows": Row("echo x >f", {"path": "f", "owner": "nobody-knows"}, "path-owner", "f"),
    "other mode": Row("echo x >f", {"path": "f", "mode": "0664"}, "path-mode", "f", cured=True),
    "other size": Row("printf abc >f", {"path": "f", "size": 4}, "weights-size", "f"),
    "directory to be made where we may not": Row(
        "mkdir a", {"path": "a/b", "create": True, "access": "rwx"}, "path-unwritable", "a", cured=True
    ),
    "root, and a link that another user could bend": Row(
        "mkdir u; chown 1001 u; ln -s /etc u/l", {"path": "u/l/made-by-a-test", "create": True},
        "path-unwritable", "u/l", who=ROOT,
    ),
}  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_path_names_the_component_that_decides_and_what_cures_it(name: str, tree: Path) -> None:
    """Most specific code, deciding component, identity; then the told command, and the same look again."""
    row = REFUSED[name]
    script(row.done, tree)
    asked = {**row.asked, "path": f"{tree}/{row.asked['path']}"}

    found = look("files", asked, row.who)

    assert [f.code for f in found] == [row.code], found
    finding = found[0]
    assert finding.level is Level.FAIL
    assert finding.evidence["component"] == os.path.join(tree, row.component)
    assert (finding.evidence["uid"], finding.evidence["gid"]) == (row.who.uid, row.who.gid)
    assert finding.subject == asked["path"]
    assert asked["path"] in finding.observed
    if row.cured:
        who = mend(finding, row.who, tree)
        again = look("files", asked, who)
        assert [f.code for f in again] == ["ok"], (finding.fixes, again)


@pytest.mark.root
@pytest.mark.parametrize("name", [n for n, row in REFUSED.items() if row.who is SERVER])
def test_every_platform_gets_a_fix_in_its_own_syntax(name: str, tree: Path) -> None:
    """Kubernetes, compose and docker readers each get at least one fix; nothing is changed recursively."""
    row = REFUSED[name]
    script(row.done, tree)
    asked = {**row.asked, "path": f"{tree}/{row.asked['path']}"}

    for platform in ("kubernetes", "openshift", "compose", "docker", "podman"):
        for finding in look("files", asked, SERVER, platform):
            assert finding.fixes
            text = " ".join(fix.snippet for fix in finding.fixes)
            assert "-R" not in text.split(), text
            assert platform in ("docker", "podman") or "docker run" not in text, text


HEALTHY: dict[str, tuple[str, dict[str, Any], Identity]] = {
    "plain file": ("echo x >f; chmod 0644 f", {"path": "f"}, SERVER),
    "file of a group given to us": ("echo x >f; chgrp 2000 f; chmod 0640 f", {"path": "f"}, IN_GROUP),
    "parent of a group given to us": ("mkdir a; echo x >a/f; chgrp 2000 a; chmod 0710 a", {"path": "a/f"}, IN_GROUP),
    "parent that can be entered and not listed": ("mkdir a; echo x >a/f; chmod 0711 a", {"path": "a/f"}, SERVER),
    "ACL lets us in": ("echo x >f; chmod 0600 f; setfacl -m u:1001:r f", {"path": "f"}, SERVER),
    "ACL on the parent": ("mkdir a; echo x >a/f; chmod 0700 a; setfacl -m u:1001:x a", {"path": "a/f"}, SERVER),
    "hub cache": (HUB, {"path": IN_HUB, "type": "file", "size": 2}, SERVER),
    "links of links, with ..": ("mkdir -p a/b; echo x >a/f; ln -s a/b l; ln -s l/../f m", {"path": "m"}, SERVER),
    "directory listed and entered": ("mkdir d", {"path": "d", "type": "directory", "access": "rx"}, SERVER),
    "directory with a slash": ("mkdir d", {"path": "d/"}, SERVER),
    "sticky directory for all": ("mkdir d; chmod 1777 d", {"path": "d", "access": "rwx"}, SERVER),
    "our own cache": ("mkdir d; chown 1001:1002 d; chmod 0700 d", {"path": "d", "access": "rwx"}, SERVER),
    "setgid directory": ("mkdir d; chgrp 2000 d; chmod 2770 d", {"path": "d", "access": "rwx"}, IN_GROUP),
    "file of ours to write": ("echo x >f; chown 1001 f; chmod 0600 f", {"path": "f", "access": "rw"}, SERVER),
    "program": ("echo x >f; chmod 0755 f", {"path": "f", "access": "rx"}, SERVER),
    "FIFO without a writer": ("mkfifo p; chmod 666 p", {"path": "p", "access": "rw"}, SERVER),
    "owner, group and mode as asked": (
        "echo x >f; chown root:44 f; chmod 0644 f",
        {"path": "f", "owner": "root", "group": 44, "mode": "644"},
        SERVER,
    ),
    "root reads what is 0000": ("echo x >f; chmod 0000 f", {"path": "f"}, ROOT),
    "optional and absent": ("mkdir a", {"path": "a/f", "optional": True}, SERVER),
    "40 links": (
        "echo x >l0; for i in $(seq 40); do ln -s l$((i-1)) l$i; done",
        {"path": "l40"},
        SERVER,
    ),
    "empty file": (": >f", {"path": "f", "size": 0}, SERVER),
    "odd name": ("echo x >'a b$(c)\n'", {"path": "a b$(c)\n"}, SERVER),
}


@pytest.mark.root
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_path_passes(name: str, tree: Path) -> None:
    """No false failure, and nothing is left behind by the look."""
    done, asked, who = HEALTHY[name]
    script(done, tree)
    before = sorted(os.listdir(tree))

    found = look("files", {**asked, "path": f"{tree}/{asked['path']}"}, who)

    assert [f.code for f in found] == ["ok"], found
    assert sorted(os.listdir(tree)) == before
