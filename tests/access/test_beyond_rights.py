"""Security modules, NFS servers and FUSE mounts refuse what mode and ACL allow.

Where this kernel has none of them, what was seen is judged as a record.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import access_kit
import pytest
from access_kit import SERVER, place_of, script
from seen_steps import denied, step

from modelgate.host import Host
from modelgate.identity import Identity
from modelgate.walk import Walk
from modelgate.walk.around import around
from modelgate.walk.refusal import refused
from modelgate.walk.steps import Around

ROOT = Identity(0, 0)


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


FILE = step("/m/f", type="file", mode="0644", fs="ext4")
NFS = {"fs": "nfs4", "source": "nas:/models"}
ALL_CAPS = 0x1FFFFFFFFFF


# -- security modules ----------------------------------------------------------------------------------------------


CONTEXT = "system_u:system_r:container_t:s0:c1,c2"
LABEL = "system_u:object_r:user_home_t:s0"


def test_selinux_is_named_with_both_labels_and_as_a_guess() -> None:
    finding = denied(FILE, seen=Around(selinux=True, context=CONTEXT, label=LABEL))

    assert finding.code == "path-lsm-denied"
    assert "a guess" in finding.why
    assert (finding.evidence["label"], finding.evidence["context"]) == (LABEL, CONTEXT)
    text = "\n".join(fix.snippet for fix in finding.fixes)
    assert 'seLinuxOptions: {level: "s0:c1,c2"}' in text
    assert "docker run -v SOURCE:/m:z ..." in text


def test_apparmor_is_named_with_its_profile_and_as_a_guess() -> None:
    finding = denied(FILE, seen=Around(context="docker-default (enforce)"))

    assert finding.code == "path-lsm-denied"
    assert "docker-default (enforce)" in finding.why
    assert "a guess" in finding.why


@pytest.mark.parametrize("seen", [Around(selinux=True, context=CONTEXT, label=LABEL), Around(context="p (enforce)")])
def test_what_the_mode_refuses_is_not_blamed_on_a_security_module(seen: Around) -> None:
    assert denied(step("/m/f", type="file", mode="0600", fs="ext4"), seen=seen).code == "path-unreadable"


def test_without_any_sign_nothing_is_claimed() -> None:
    finding = denied(FILE)

    assert finding.code == "path-unreadable"
    assert "a guess" in finding.why


@pytest.mark.root
def test_label_flags_and_capabilities_are_read_where_they_stand(tree: Path) -> None:
    """SELinux by the form of the context or by its file system; AppArmor by the same file of /proc."""
    script("mkdir -p p/self/attr p/sys/fs s/fs/selinux; echo x >f; printf 1 >p/sys/fs/protected_symlinks", tree)
    os.setxattr(tree / "f", "security.selinux", LABEL.encode() + b"\0")
    script("chattr +a f", tree)
    (tree / "p/self/attr/current").write_text(CONTEXT + "\0")
    (tree / "p/self/status").write_text("Name:\tx\nCapEff:\t0000000000000002\n")
    host = Host(proc=str(tree / "p"), sys=str(tree / "s"))

    seen = around(host, step(f"{tree}/f", type="file"))

    assert seen == Around(capabilities=2, context=CONTEXT, selinux=True, label=LABEL, flags="a", links=True)
    (tree / "p/self/attr/current").write_text("unconfined\n")
    assert around(host, None) == Around(capabilities=2, links=True)
    (tree / "s/fs/selinux/enforce").write_text("1")
    assert around(host, None).selinux


# -- file servers --------------------------------------------------------------------------------------------------


def test_root_that_an_nfs_server_refuses_is_squashed() -> None:
    nfs = step("/m/f", type="file", mode="0600", uid=1500, gid=1500, **NFS)

    finding = denied(nfs, who=ROOT, seen=Around(capabilities=ALL_CAPS))

    assert (finding.code, finding.evidence["cause"]) == ("path-squashed", "root-squash")
    assert "a guess" in finding.why
    assert "runAsUser: 1500" in finding.fixes[0].snippet


def test_root_without_its_capability_is_told_by_the_mode() -> None:
    nfs = step("/m/f", type="file", mode="0600", uid=1500, gid=1500, **NFS)

    assert denied(nfs, who=ROOT, seen=Around(capabilities=0)).code == "path-unreadable"


def test_a_parent_on_nfs_squashes_root_too() -> None:
    at = step("/m", mode="0700", uid=1500, **NFS)
    found = Walk(
        path="/m/f", uid=0, gid=0, groups=(), steps=(at,), deciding=0, errno="EACCES", words="Permission denied",
        around=Around(capabilities=ALL_CAPS),
    )  # fmt: skip

    assert refused(found, place_of(ROOT)).code == "path-squashed"


@pytest.mark.parametrize(("count", "code"), [(17, "path-squashed"), (16, "path-unreadable")])
def test_more_groups_than_auth_sys_carries_are_told_where_a_group_gives_the_right(count: int, code: str) -> None:
    nfs = step("/m/f", type="file", mode="0640", gid=3000, **NFS)
    who = Identity(1001, 1002, tuple(range(3000, 3000 + count - 1)))

    finding = denied(nfs, who=who)

    assert finding.code == code
    assert ("AUTH_SYS" in finding.why) is (count > 16)


@pytest.mark.root
def test_root_without_its_capability_meets_the_mode_as_anybody_else(tree: Path) -> None:
    """Really dropped, as `--cap-drop ALL` does; the told command cures it."""
    script("echo x >f; chown 1500 f; chmod 0600 f", tree)
    drop = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", *access_kit.PROGRAM, "files", "0:0")
    asked = json.dumps({"path": f"{tree}/f"})

    (finding,) = access_kit.findings(*drop, asked)
    access_kit.mend(finding, ROOT, tree)
    (again,) = access_kit.findings(*drop, asked)

    assert (finding.code, finding.evidence["entry"], again.code) == ("path-unreadable", "group", "ok")


@pytest.mark.root
def test_root_of_a_user_namespace_is_not_taken_for_squashed_or_confined(tree: Path) -> None:
    """Its capabilities do not reach a file of an owner that the namespace does not know."""
    script("echo x >f; chown 1500:1500 f; chmod 0600 f", tree)
    inside = ("setpriv", "--clear-groups", "unshare", "-Ur")
    asked = json.dumps({"path": f"{tree}/f"})
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace can be made here")

    (finding,) = access_kit.findings(*inside, *access_kit.PROGRAM, "files", "0:0", asked)

    assert (finding.code, finding.evidence["entry"]) == ("path-unreadable", "other")


@pytest.mark.root
def test_a_fuse_mount_without_allow_other_is_named_and_not_its_parent(tree: Path) -> None:
    """The kernel refuses even to look at it, root included when another user mounted it."""
    program = Path(access_kit.__file__).parent.parent / "isolation/deaf_fuse.py"
    text = program.read_text().replace(",allow_other", "")
    (tree / "own_fuse.py").write_text(text)
    script("mkdir m", tree)
    argv = ["unshare", "-m", "--propagation", "private", sys.executable, f"{tree}/own_fuse.py", f"{tree}/m"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as fuse:
        try:
            assert fuse.stdout is not None
            if fuse.stdout.readline() != "ready\n":
                pytest.skip("no FUSE file system can be mounted here")
            (finding,) = access_kit.in_mounts_of(fuse.pid, "files", SERVER, {"path": f"{tree}/m/config.json"})
        finally:
            fuse.kill()

    assert (finding.code, finding.evidence["component"]) == ("path-blocked", f"{tree}/m")
    assert finding.evidence["cause"] == "fuse-allow-other"
    assert finding.fixes[0].snippet == "-o allow_other"
