"""Links that the kernel or the layout makes useless, and empty directories where a volume belongs."""

from collections.abc import Iterator
from pathlib import Path

import access_kit
import pytest
from access_kit import SERVER, look, script
from seen_steps import denied, step

from modelgate.host import Host
from modelgate.identity import Identity
from modelgate.walk import Step
from modelgate.walk.steps import Around

ROOT = Identity(0, 0)
HOST = Host()
SHARED = step("/tmp", mode="1777", mount="/", fs="ext4")
LINK = step("/tmp/l", type="link", mode="0777", uid=1500, owner="1500", target="/data/f")
BEHIND = step("/data/f", type="file", mode="0644", via=1)


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


@pytest.mark.root
def test_another_users_link_in_a_sticky_directory_is_refused_by_the_kernel_and_cured(tree: Path) -> None:
    if HOST.read(HOST.proc("sys/fs/protected_symlinks")).strip() != "1":
        pytest.skip("fs.protected_symlinks is off on this machine")
    script("mkdir t; chmod 1777 t; echo x >f; ln -s ../f t/l; chown -h 1500 t/l", tree)

    found = [look("files", {"path": f"{tree}/t/l"}, who)[0] for who in (SERVER, ROOT)]
    assert [(f.code, f.evidence["component"]) for f in found] == [("path-blocked", f"{tree}/t/l")] * 2
    script(found[0].fixes[1].snippet, tree)

    assert [f.code for f in look("files", {"path": f"{tree}/t/l"})] == ["ok"]


def test_a_link_that_the_kernel_protects_is_named_with_its_owner() -> None:
    finding = denied(SHARED, LINK, BEHIND, seen=Around(links=True))

    assert (finding.code, finding.evidence["component"]) == ("path-blocked", "/tmp/l")
    assert "/tmp is sticky and for all" in finding.observed
    assert finding.fixes[0].snippet == "path: /data/f"
    assert finding.fixes[1].snippet == "chown -h --reference=/tmp /tmp/l"


@pytest.mark.parametrize(
    "steps",
    [
        (SHARED, step("/tmp/l", type="link", uid=1001, target="/data/f"), BEHIND),
        (SHARED, step("/tmp/l", type="link", uid=0, target="/data/f"), BEHIND),
        (step("/tmp", mode="0777"), LINK, BEHIND),
        (SHARED, LINK, step("/data/f", type="file", mode="0644")),
    ],
    ids=["our own", "the owner's of the directory", "not sticky", "not the last link of the path"],
)
def test_other_links_are_followed(steps: tuple[Step, ...]) -> None:
    assert denied(*steps, seen=Around(links=True)).code == "path-unreadable"


def test_links_are_followed_where_the_kernel_does_not_protect_them() -> None:
    assert denied(SHARED, LINK, BEHIND, seen=Around(links=False)).code == "path-unreadable"


@pytest.mark.root
def test_a_snapshot_mounted_without_its_blobs_is_told_as_one(tree: Path) -> None:
    """Inside the cache the models--ORG--NAME directory is named; mounted elsewhere its layout is still known."""
    blob = "a" * 40
    script(
        f"mkdir -p c/models--o--n/snapshots/r1 m; ln -s ../../blobs/{blob} c/models--o--n/snapshots/r1/config.json;"
        f"ln -s ../../blobs/{blob} m/config.json",
        tree,
    )

    (inside,) = look("files", {"path": f"{tree}/c/models--o--n/snapshots/r1/config.json"}, SERVER, "docker")
    (alone,) = look("files", {"path": f"{tree}/m/config.json"}, SERVER, "docker")

    assert (inside.code, alone.code) == ("path-dangling-link", "path-dangling-link")
    whole = f"{tree}/c/models--o--n"
    assert f"Mount the whole directory {whole}" in inside.fixes[0].do
    assert inside.fixes[0].snippet == f"docker run -v SOURCE:{whole}:ro ..."
    assert "mounted without its blobs" in alone.fixes[0].do


@pytest.mark.root
@pytest.mark.parametrize(
    ("mounted", "words"), [(True, "and a mount point (tmpfs"), (False, "nothing is mounted there")]
)
def test_an_empty_directory_is_told_with_what_is_mounted_there(mounted: bool, words: str, tree: Path) -> None:
    """Only facts: empty, and a mount point or not. Filling it, or mounting something over it, cures."""
    script("mkdir -p m src/model; echo x >src/model/config.json", tree)
    asked = {"path": f"{tree}/m/model/config.json"}
    setup = "mount -t tmpfs tmpfs m" if mounted else "true"

    (finding,) = access_kit.in_own_mounts(setup, tree, "files", SERVER, asked)
    cure = finding.fixes[-1].snippet.replace("SOURCE", "src") if mounted else "mount --bind src m"
    (again,) = access_kit.in_own_mounts(f"{setup}\n{cure}", tree, "files", SERVER, asked)

    assert (finding.code, finding.evidence["mount_point"], again.code) == ("path-not-mounted", mounted, "ok")
    assert finding.evidence["component"] == f"{tree}/m"
    assert words in finding.observed


@pytest.mark.root
def test_a_new_volume_with_nothing_but_lost_and_found_is_empty(tree: Path) -> None:
    script("mkdir -p m/lost+found", tree)

    assert [f.code for f in look("files", {"path": f"{tree}/m/config.json"})] == ["path-not-mounted"]


@pytest.mark.root
@pytest.mark.parametrize(
    ("asked", "code"),
    [({"optional": True}, "ok"), ({"type": "directory"}, "path-missing"), ({"access": "w"}, "path-missing")],
)
def test_what_may_be_made_there_or_be_absent_is_no_missing_volume(
    asked: dict[str, object], code: str, tree: Path
) -> None:
    script("mkdir m", tree)

    assert [f.code for f in look("files", {"path": f"{tree}/m/x", **asked})] == [code]
