"""What works is not refused: ACLs, groups, default ACLs, read-only and overlay mounts, empty volumes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import access_kit
import pytest
from access_kit import SERVER, in_own_mounts, look, script

from modelgate.identity import Identity

IN_GROUP = Identity(1001, 1002, (2000,))


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


OVERLAY = (
    "mount -t tmpfs t wo; mkdir wo/u wo/w; chown 1001 wo/u; cd wo;"
    "mount -t overlay -o lowerdir=$PWD/../lo,upperdir=$PWD/u,workdir=$PWD/w o ../m"
)
HEALTHY: dict[str, tuple[str, dict[str, Any], Identity, str]] = {
    "a named user, within the mask": ("mkdir d; chmod 700 d; setfacl -m u:1001:rx d", {"path": "d"}, SERVER, ""),
    "a named group of the second rank": (
        "mkdir d; chmod 700 d; setfacl -m g:1002:-,g:2000:rx d", {"path": "d", "access": "rx"}, IN_GROUP, "",
    ),
    "a default ACL of the directory let the file in": (
        "mkdir d; setfacl -d -m u:1001:rw d; (umask 077; echo x >d/f)", {"path": "d/f"}, SERVER, "",
    ),
    "a masked entry that still gives enough": (
        "echo x >f; chmod 600 f; setfacl -m u:1001:rwx,m::r f", {"path": "f"}, SERVER, "",
    ),
    "read-only mount, read only": (
        "mkdir m; echo x >m/f", {"path": "m/f"}, SERVER, "mount --bind m m; mount -o remount,bind,ro,noexec,nodev m",
    ),
    "read-only directory, listed and entered": (
        "mkdir m; echo x >m/f", {"path": "m", "access": "rx"}, SERVER, "mount --bind m m; mount -o remount,bind,ro m",
    ),
    "tmpfs for all": ("mkdir m", {"path": "m", "access": "rwx"}, SERVER, "mount -t tmpfs -o mode=1777 tmpfs m"),
    "overlay, written by its owner": (
        "mkdir m lo up wo; chown 1001 up", {"path": "m", "access": "rwx"}, SERVER,
        OVERLAY,
    ),
    "an empty directory is asked for itself": ("mkdir d", {"path": "d", "type": "directory"}, SERVER, ""),
    "an empty volume to be written": (
        "mkdir m", {"path": "m/hub", "create": True, "access": "rwx"}, SERVER, "mount -t tmpfs -o mode=1777 tmpfs m",
    ),
    "immutable, and only read": ("echo x >f; chattr +i f", {"path": "f"}, SERVER, ""),
    "our own link in a sticky directory": (
        "mkdir t; chmod 1777 t; echo x >f; ln -s ../f t/l; chown -h 1001 t/l", {"path": "t/l"}, SERVER, "",
    ),
}  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize("name", HEALTHY)
def test_what_works_is_not_refused(name: str, tree: Path) -> None:
    done, asked, who, mounts = HEALTHY[name]
    script(done, tree)
    asked = {**asked, "path": f"{tree}/{asked['path']}"}

    found = in_own_mounts(mounts, tree, "files", who, asked) if mounts else look("files", asked, who)

    assert [f.code for f in found] == ["ok"], found
