"""Access beyond the mode bits: each row is done for real, looked at as the identity, mended with the told fix, looked
at again. The fix is the one that the row names, not just any.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import access_kit
import pytest
from access_kit import SERVER, in_own_mounts, look, script

from modelgate.finding import Level
from modelgate.identity import Identity

IN_GROUP = Identity(1001, 1002, (2000,))
ROOT = Identity(0, 0)


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


class Row(NamedTuple):
    """done to the tree; asked of `files`; code; deciding component; start of the fix that cures; words of `why`.

    `{T}` stands for the tree. `mounts` is done in a mount namespace of its own, with the fix after it.
    """

    done: str
    asked: dict[str, Any]
    code: str
    component: str
    fix: str
    why: str = ""
    who: Identity = SERVER
    mounts: str = ""
    evidence: Mapping[str, Any] = MappingProxyType({})


DIR = "mkdir -p a/b/c; echo x >a/b/c/f;"
F = {"path": "a/b/c/f"}
ROWS = {
    # -- ACLs
    "an ACL entry for our user keeps it out": Row(
        DIR + "setfacl -m u:1001:- a", F, "path-blocked", "a", "setfacl -m u:1001:x,m::rx {T}/a",
        "The entry user:1001 of its ACL decides, and gives nothing", evidence={"entry": "user:1001"},
    ),
    "an ACL entry for our group keeps it out": Row(
        DIR + "setfacl -m g:1002:r a/b", F, "path-blocked", "a/b", "setfacl -m u:1001:rx,m::rx {T}/a/b", "group:1002",
    ),
    "the mask takes x from our user": Row(
        DIR + "setfacl -m u:1001:rx,m::r a/b", F, "path-blocked", "a/b", "setfacl -m m::rx {T}/a/b",
        "the mask (r) takes x away", evidence={"entry": "user:1001", "mask": "r"},
    ),
    "chmod 700 emptied the mask": Row(
        DIR + "setfacl -m u:1001:rx a; chmod 700 a", F, "path-blocked", "a", "setfacl -m m::x {T}/a",
        "the mask (---) takes x away", evidence={"mask": "", "mode": "0700"},
    ),
    "the mask takes r from our group": Row(
        "echo x >f; chmod 0600 f; setfacl -m g:2000:r,m::- f", {"path": "f"}, "path-unreadable", "f",
        "setfacl -m m::r {T}/f", "group:2000:r", IN_GROUP, evidence={"entry": "group:2000"},
    ),
    "the mask takes w from the file's own group": Row(
        "mkdir d; chgrp 2000 d; chmod 2770 d; setfacl -m u:1500:r,m::rx d", {"path": "d", "access": "w"},
        "path-unwritable", "d", "setfacl -m m::rwx {T}/d", "the mask (rx) takes w away", IN_GROUP,
    ),
    "an ACL for others only, and other gives nothing": Row(
        "mkdir d; echo x >d/f; chmod 0700 d; setfacl -m u:1500:rx d", {"path": "d/f"}, "path-blocked", "d",
        "setfacl -m u:1001:x,m::rx {T}/d", evidence={"entry": "other"},
    ),
    "the owner's bits count before every entry": Row(
        "echo x >f; chown 1001 f; setfacl -m u::-,g:1002:r f", {"path": "f"}, "path-unreadable", "f",
        "chmod u+r {T}/f", evidence={"entry": "user"},
    ),
    "a default ACL kept a new file closed": Row(
        "mkdir d; setfacl -d -m u::rw,g::-,o::- d; (umask 0; echo x >d/f)", {"path": "d/f"}, "path-unreadable", "d/f",
        "chgrp 1002 {T}/d/f && chmod g+r",
    ),
    "named ACL entry of r where x is needed": Row(
        DIR + "chmod 0700 a/b/c; setfacl -m u:1001:r a/b/c", F, "path-blocked", "a/b/c",
        "setfacl -m u:1001:rx,m::rx {T}/a/b/c", "user:1001",
    ),
    # -- chains
    "three parents in a row, in one command": Row(
        DIR + "chmod 0700 a a/b a/b/c", F, "path-blocked", "a", "for d in {T}/a {T}/a/b {T}/a/b/c; do",
    ),
    "first and third parent, with a group, in one command": Row(
        DIR + "chmod 0700 a a/b/c", F, "path-blocked", "a", "for d in ", who=IN_GROUP,
    ),
    "a chain behind a link": Row(
        DIR + "ln -s a/b l; chmod 0700 a/b a/b/c", {"path": "l/c/f"}, "path-blocked", "a/b", "for d in {T}/a/b ",
    ),
    # -- chmod -R 664
    "chmod -R 664 over the model": Row(
        DIR + "chmod -R 664 a/b", F, "path-blocked", "a/b", "chmod ugo+x {T}/a/b {T}/a/b/c && find {T}/a/b/c/f -type d",
        "`chmod -R 664`",
    ),
    "chmod -R 644 over a model of ours": Row(
        DIR + "chown -R 1001 a; chmod -R 644 a", F, "path-blocked", "a", "chmod ugo+x {T}/a {T}/a/b {T}/a/b/c",
        "nobody has x",
    ),
    "chmod -R 660 with our group": Row(
        DIR + "chgrp -R 1002 a/b; chmod -R 660 a/b", F, "path-blocked", "a/b", "chmod ug+x {T}/a/b {T}/a/b/c",
    ),
    "chmod -R 664, and the directory itself is asked for": Row(
        "mkdir -p m/sub; echo x >m/f; chmod -R 664 m", {"path": "m", "access": "rx"}, "path-not-executable", "m",
        "find {T}/m -type d -exec chmod ugo+x",
    ),
    # -- flags
    "immutable file of ours": Row(
        "echo x >f; chown 1001 f; chattr +i f", {"path": "f", "access": "rw"}, "path-unwritable", "f",
        "chattr -i {T}/f", "carries the flag immutable", evidence={"flags": "i"},
    ),
    "immutable directory, as root": Row(
        "mkdir d; chattr +i d", {"path": "d", "access": "w"}, "path-unwritable", "d", "chattr -i {T}/d",
        "no mode, owner or capability", ROOT,
    ),
    "a directory to be made in an immutable one": Row(
        "mkdir d; chown 1001 d; echo x >d/g; chattr +i d", {"path": "d/new", "create": True}, "path-unwritable", "d",
        "chattr -i {T}/d", evidence={"flags": "i"},
    ),
    # -- mounts
    "bind mount that is read-only": Row(
        "mkdir m; chmod 0777 m", {"path": "m", "access": "w"}, "path-read-only", "m",
        "mount -o remount,bind,rw {T}/m", "the file system behind it is not",
        mounts="mount --bind m m; mount -o remount,bind,ro m",
    ),
    "file system that is read-only itself": Row(
        "mkdir m", {"path": "m", "access": "w"}, "path-read-only", "m", "mount -o remount,rw {T}/m", "read-only itself",
        mounts="mount -t tmpfs -o mode=1777 tmpfs m; mount -o remount,ro m",
    ),
    "file on a read-only mount, as root": Row(
        "mkdir m; echo x >m/f", {"path": "m/f", "access": "rw"}, "path-read-only", "m/f",
        "mount -o remount,bind,rw {T}/m", who=ROOT, mounts="mount --bind m m; mount -o remount,bind,ro m",
    ),
    "program on a noexec mount": Row(
        "mkdir m", {"path": "m/f", "access": "rx"}, "path-not-executable", "m/f", "mount -o remount,bind,exec {T}/m",
        "noexec", mounts="mount -t tmpfs -o noexec,nodev tmpfs m; echo x >m/f; chmod 0755 m/f",
    ),
    "program on a noexec mount, as root": Row(
        "mkdir m", {"path": "m/f", "access": "x"}, "path-not-executable", "m/f", "mount -o remount,bind,exec {T}/m",
        "noexec", ROOT, mounts="mount -t tmpfs -o noexec tmpfs m; echo x >m/f; chmod 0755 m/f",
    ),
    "a closed directory on a mount of its own": Row(
        "mkdir m", {"path": "m/f"}, "path-blocked", "m", "chmod o+x {T}/m",
        mounts="mount -t tmpfs -o mode=0700 tmpfs m; echo x >m/f", evidence={"fs": "tmpfs"},
    ),
    # -- root without its capability is told as anybody else
    "a file that has no x for anybody, as root": Row(
        "echo x >f", {"path": "f", "access": "x"}, "path-not-executable", "f", "chmod u+x {T}/f", who=ROOT,
    ),
}  # fmt: skip


def at(tree: Path, text: str) -> str:
    return text.replace("{T}", str(tree))


@pytest.mark.root
@pytest.mark.parametrize("name", ROWS)
def test_a_refusal_names_what_decides_and_the_fix_that_is_named_cures_it(name: str, tree: Path) -> None:
    row = ROWS[name]
    script(row.done, tree)
    asked = {**row.asked, "path": f"{tree}/{row.asked['path']}"}

    def seen(after: str = "") -> list[Any]:
        if row.mounts:
            return in_own_mounts(f"{row.mounts}\n{after}", tree, "files", row.who, asked)
        if after:
            script(after, tree)
        return look("files", asked, row.who)

    found = seen()

    assert [f.code for f in found] == [row.code], found
    finding = found[0]
    assert finding.level is Level.FAIL
    assert finding.evidence["component"] == os.path.join(tree, row.component)
    assert row.why in finding.why
    assert row.evidence.items() <= finding.evidence.items(), finding.evidence
    fixes = [fix.snippet for fix in finding.fixes if fix.snippet.startswith(at(tree, row.fix))]
    assert fixes, [fix.snippet for fix in finding.fixes]
    assert [f.code for f in seen(fixes[0])] == ["ok"], fixes


@pytest.mark.root
def test_the_undone_recipe_leaves_files_and_what_is_above_as_they_were(tree: Path) -> None:
    script(DIR + "chmod 0755 a; chmod -R 664 a/b", tree)
    (finding,) = look("files", {"path": f"{tree}/a/b/c", "access": "rx"})
    fix = next(f.snippet for f in finding.fixes if " find " in f.snippet)

    script(fix, tree)

    modes = {p: oct((tree / p).stat().st_mode & 0o777) for p in ("a", "a/b", "a/b/c", "a/b/c/f")}
    assert modes == {"a": "0o755", "a/b": "0o775", "a/b/c": "0o775", "a/b/c/f": "0o664"}


@pytest.mark.root
def test_a_wider_mask_gives_no_other_entry_more_than_was_needed(tree: Path) -> None:
    """setfacl by itself would widen the mask to all that any entry has."""
    script("mkdir d; echo x >d/f; setfacl -m u:1500:rwx,m::r d", tree)
    script("chmod o-rwx d", tree)
    (finding,) = look("files", {"path": f"{tree}/d/f"})

    script(next(f.snippet for f in finding.fixes if f.snippet.startswith("setfacl")), tree)

    done = subprocess.run(
        ["getfacl", "-nE", "--omit-header", "d"], cwd=tree, check=True, capture_output=True, text=True
    )
    assert "mask::r-x" in done.stdout.splitlines()
