"""Fixes for rights: offered only where they cure, in the syntax of the platform."""

import pytest

from modelgate.finding import Fix
from modelgate.host import Place
from modelgate.remedies import access
from modelgate.walk import Step

ACL = "u::rwx,u:1001:r--,g::---,m::r--,o::---"


def step(**about: object) -> Step:
    base = {
        "path": "/models",
        "type": "directory",
        "mode": "0700",
        "uid": 0,
        "gid": 0,
        "owner": "root",
        "group": "root",
    }
    return Step(**{**base, **about})  # type: ignore[arg-type]


def place(*platforms: str) -> Place:
    return Place(platforms=platforms, container=True, uid=1001, gid=1002)


def snippets(fixes: tuple[Fix, ...]) -> str:
    return "\n".join(fix.snippet for fix in fixes)


@pytest.mark.parametrize(
    ("about", "offered"),
    [
        ({"mount": "/models", "fs": "ext4"}, True),
        ({"mount": "/models", "fs": "tmpfs"}, True),
        ({"mount": "/models", "fs": "nfs4"}, False),
        ({"mount": "/models", "fs": "fuse.gcsfuse"}, False),
        ({"mount": "/models", "fs": "overlay"}, False),
        ({"mount": "/", "fs": "overlay"}, False),
        ({"mount": "/models", "fs": "ext4", "uid": 1001, "mode": "0600"}, False),
    ],
)
def test_fs_group_is_offered_only_where_the_volume_may_honour_it(about: dict[str, object], offered: bool) -> None:
    """Not on network file systems, not in the image, not where the owner's own bits decide."""
    fixes = access.grant(place("kubernetes"), step(**about), "x")

    assert ("fsGroup" in snippets(fixes)) is offered
    assert "fsGroup" not in snippets(access.grant(place("docker"), step(**about), "x"))


def test_what_the_image_brought_is_changed_in_the_image() -> None:
    """On the root file system: a RUN line, whatever runs the container."""
    fixes = access.grant(place("kubernetes"), step(mount="/", fs="overlay"), "x")

    assert [(fix.snippet, fix.who) for fix in fixes] == [("RUN chmod o+x /models", "image author")]


def test_a_read_only_mount_is_changed_where_the_data_is_kept() -> None:
    """An init container could not write there either."""
    fixes = access.grant(place("kubernetes"), step(mount="/models", fs="nfs4", options=("ro",)), "x")

    assert [fix.snippet for fix in fixes] == ["chmod o+x /models"]
    assert "read-only" in fixes[0].when


@pytest.mark.parametrize(
    ("about", "letters", "command"),
    [
        ({}, "x", "chmod o+x /models"),
        ({}, "r", "chgrp 1002 /models && chmod g+r /models"),
        ({}, "wx", "chgrp 1002 /models && chmod g+wx /models"),
        ({"gid": 1002}, "x", "chmod g+x /models"),
        ({"uid": 1001}, "r", "chmod u+r /models"),
        ({"acl": ACL, "may": "r"}, "x", "setfacl -m u:1001:rx,m::rx /models"),
        ({"acl": ACL, "uid": 1001}, "x", "chmod u+x /models"),
        ({"path": "/my models/$x"}, "x", "chmod o+x '/my models/$x'"),
    ],
)
def test_the_command_fits_the_bits_that_count(about: dict[str, object], letters: str, command: str) -> None:
    """Owner, group or others: the first that fits decides, and an ACL makes the group bits a mask."""
    asked = step(**about)

    assert access.mode_command(place("shell"), asked, letters, asked.part(1001, frozenset({1002}))) == command


def test_nobody_is_told_to_run_the_server_as_root_or_in_its_group() -> None:
    """The owner is root, the group is root's: neither identity is offered."""
    fixes = access.grant(place("kubernetes", "compose", "docker"), step(mode="0770", mount="/models", fs="nfs4"), "x")

    assert "runAsUser: 0\n" not in snippets(fixes)
    assert "supplementalGroups" not in snippets(fixes)
    assert "--group-add" not in snippets(fixes)


def test_the_owner_or_the_group_of_a_volume_is_offered_as_identity() -> None:
    """Adding a group is less than another user: with it the user is not offered."""
    volume = {"uid": 1500, "gid": 2000, "mount": "/models", "fs": "nfs4"}
    group = access.grant(place("docker"), step(mode="0750", **volume), "x")
    owner = access.grant(place("docker"), step(mode="0700", **volume), "x")

    assert group[0].snippet == "docker run --group-add 2000 ..."
    assert owner[0].snippet == "docker run --user 1500:2000 ..."
