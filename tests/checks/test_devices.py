"""`devices`: real nodes, really opened; each errno has its own code and its own fix."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import access_kit
import msgspec
import pytest
from access_kit import SERVER, in_own_mounts, look, mend, script

from modelgate.checks import devices
from modelgate.finding import Finding
from modelgate.host import Host, Place
from modelgate.identity import Identity
from modelgate.isolate import Job, Lost

ROOT = Identity(0, 0)


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


def code(found: list[Finding]) -> str:
    assert len(found) == 1, found
    return found[0].code


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/dev/../dev/null"])
def test_a_device_that_opens_passes(path: str) -> None:
    """Without root and without a glob."""
    spec = devices.Spec(path=path)

    found = devices.judge(spec, devices.observe(spec, Host()), Place())

    assert code(found) == "ok"
    assert found[0].evidence["opened"] == [path]


def test_a_node_that_is_not_there_is_missing_and_may_be_optional() -> None:
    """ENOENT told, and --device to copy; optional forgives it."""
    spec = devices.Spec(path="/dev/nvidia97")
    facts = devices.observe(spec, Host())

    (found,) = devices.judge(spec, facts, Place(platforms=("docker",)))

    assert found.code == "device-missing"
    assert "ENOENT" in found.observed
    assert found.fixes[0].snippet == "docker run --gpus all ..."
    optional = devices.Spec(path="/dev/nvidia97", optional=True)
    assert code(devices.judge(optional, facts, Place())) == "ok"


def test_a_glob_without_a_match_is_missing_and_may_be_optional(tmp_path: Path) -> None:
    spec = devices.Spec(path=f"{tmp_path}/dri/renderD*", count=2)
    facts = devices.observe(spec, Host())

    found = devices.judge(spec, facts, Place(platforms=("docker",)))

    assert code(found) == "device-missing"
    assert found[0].fixes[0].snippet == f"docker run --device {tmp_path}/dri ..."
    optional = devices.Spec(path=spec.path, count=2, optional=True)
    assert code(devices.judge(optional, facts, Place())) == "ok"


@pytest.mark.parametrize("done", ["echo x >node", "mkdir node", "mkfifo node"])
def test_what_is_no_device_node_is_a_missing_device(done: str, tmp_path: Path) -> None:
    """A directory is what `docker -v` makes of a missing path; a FIFO must not make the look hang."""
    script(done, tmp_path)
    spec = devices.Spec(path=f"{tmp_path}/node", optional=True)

    found = devices.judge(spec, devices.observe(spec, Host()), Place())

    assert code(found) == "device-missing"
    assert "no device node" in found[0].observed


@pytest.mark.root
def test_eacces_names_the_gid_and_giving_the_group_cures_it(tree: Path) -> None:
    """0660 of group 2000: --group-add 2000; the finding says that a device cgroup may hide behind it."""
    script("mknod n c 1 3; chgrp 2000 n; chmod 0660 n", tree)
    asked = {"path": f"{tree}/n"}

    found = look("devices", asked)

    assert code(found) == "device-denied-mode"
    assert found[0].evidence["node_gids"] == [2000]
    assert "problem 1 of possibly 2" in found[0].why
    assert code(look("devices", asked, mend(found[0], SERVER, tree))) == "ok"
    snippets = [look("devices", asked, SERVER, p)[0].fixes[0].snippet for p in ("docker", "compose", "kubernetes")]
    assert "--group-add 2000" in snippets[0]
    assert 'group_add: ["2000"]' in snippets[1]
    assert "supplementalGroups: [2000]" in snippets[2]


@pytest.mark.root
def test_a_node_of_root_alone_is_cured_on_the_machine(tree: Path) -> None:
    """0600 root:root: no group helps as it is; the told command does."""
    script("mknod n c 1 3; chmod 0600 n", tree)
    asked = {"path": f"{tree}/n"}

    found = look("devices", asked)

    assert code(found) == "device-denied-mode"
    assert code(look("devices", asked, mend(found[0], SERVER, tree))) == "ok"


@pytest.mark.root
def test_reading_alone_needs_less(tree: Path) -> None:
    """access: r opens a 0644 node, rw does not."""
    script("mknod n c 1 5; chmod 0644 n", tree)

    assert code(look("devices", {"path": f"{tree}/n", "access": "r"})) == "ok"
    assert code(look("devices", {"path": f"{tree}/n"})) == "device-denied-mode"


@pytest.mark.root
@pytest.mark.parametrize("number", ["c 195 200", "c 10 250"])
def test_a_node_without_a_driver_or_device_is_gone(number: str, tree: Path) -> None:
    """ENXIO and ENODEV, as the kernel tells them."""
    script(f"mknod n {number}; chmod 0666 n", tree)
    asked = {"path": f"{tree}/n"}
    with pytest.raises(OSError, match="No such device") as error:
        os.open(tree / "n", os.O_RDWR)

    found = look("devices", asked)

    assert code(found) == "device-gone"
    assert found[0].evidence["errno"] == {6: "ENXIO", 19: "ENODEV"}[error.value.errno or 0]
    assert found[0].evidence["device"] == ":".join(number.split()[1:])


@pytest.mark.root
def test_count_is_at_least_and_too_few_is_told(tree: Path) -> None:
    """Three nodes, one of them closed: two are enough, three are not, four were never there."""
    script("for i in 0 1 10; do mknod n$i c 1 3; chmod 0666 n$i; done; chmod 0600 n1", tree)
    glob = f"{tree}/n*"

    assert code(look("devices", {"path": glob, "count": 2})) == "ok"
    assert code(look("devices", {"path": glob, "count": 3})) == "device-denied-mode"
    assert code(look("devices", {"path": glob})) == "device-denied-mode"
    both = look("devices", {"path": glob, "count": 4})
    assert [f.code for f in both] == ["device-denied-mode", "device-too-few"]
    assert both[1].evidence["opened"] == [f"{tree}/n0", f"{tree}/n10"]
    (tree / "n1").unlink()
    assert code(look("devices", {"path": glob, "count": 3})) == "device-too-few"


@pytest.mark.root
def test_a_closed_parent_is_the_cause_and_not_the_device(tree: Path) -> None:
    """With a glob (whose directory cannot be listed) and without."""
    script("mkdir -p a/dri; mknod a/dri/renderD128 c 1 3; chmod 0666 a/dri/renderD128; chmod 0700 a", tree)

    for path in (f"{tree}/a/dri/renderD128", f"{tree}/a/dri/renderD*"):
        found = look("devices", {"path": path})
        assert code(found) == "path-blocked"
        assert found[0].evidence["component"] == f"{tree}/a"
    script("chmod 0711 a; chmod 0711 a/dri", tree)
    assert code(look("devices", {"path": f"{tree}/a/dri/renderD*"})) == "path-unreadable"
    assert code(look("devices", {"path": f"{tree}/a/dri/renderD128"})) == "ok"


@pytest.mark.root
def test_a_by_path_link_without_its_node_is_a_missing_device(tree: Path) -> None:
    """Only some nodes were passed: the link of another one leads nowhere."""
    script("mkdir by-path; ln -s ../renderD129 by-path/pci-1", tree)

    found = look("devices", {"path": f"{tree}/by-path/*"})

    assert code(found) == "device-missing"
    assert found[0].evidence["component"] == f"{tree}/by-path/pci-1"


@pytest.mark.root
def test_a_nodev_mount_opens_nothing_whatever_the_mode(tree: Path) -> None:
    """EACCES at mode 666: the mount is named, not the mode; without nodev it opens."""
    asked = {"path": f"{tree}/m/n"}
    setup = "mkdir -p m; mount -t tmpfs -o nodev,mode=0755 tmpfs m; mknod m/n c 1 3; chmod 0666 m/n"

    found = in_own_mounts(setup, tree, "devices", SERVER, asked)

    assert code(found) == "device-denied-mode"
    assert "nodev" in found[0].why
    assert found[0].fixes[0].snippet == f"mount -o remount,dev {tree}/m"
    assert code(in_own_mounts(f"{setup}; {found[0].fixes[0].snippet}", tree, "devices", SERVER, asked)) == "ok"


@pytest.mark.root
def test_no_watchdog_is_ever_opened(tree: Path) -> None:
    """Named in the manifest it is refused; matched by a glob, or hidden behind a link, it is left alone."""
    script("mknod watchdog0 c 1 3; chmod 0666 watchdog0; ln -s watchdog0 innocent; mknod other c 10 130", tree)

    with pytest.raises(msgspec.ValidationError, match="watchdog"):
        access_kit.spec_of(access_kit.BY_KEY["devices"], {"path": "/dev/watchdog0"})
    facts = access_kit.facts_of(access_kit.BY_KEY["devices"], {"path": f"{tree}/*"}, ROOT)
    assert [node.state for node in facts.nodes] == ["watchdog", "watchdog", "watchdog"]
    assert code(look("devices", {"path": f"{tree}/innocent"}, ROOT)) == "device-missing"


def test_eperm_is_the_device_cgroup() -> None:
    """Judged from facts: the rule to add names the kind and the numbers."""
    spec = devices.Spec(path="/dev/null")
    node = devices.observe(spec, Host()).nodes[0]
    refused = devices.Node(node.path, node.walk, "refused", "EPERM", "Operation not permitted")

    (found,) = devices.judge(spec, devices.Facts((refused,)), Place(platforms=("docker",)))

    assert found.code == "device-denied-cgroup"
    assert "docker run --device /dev/null ..." in [fix.snippet for fix in found.fixes]
    assert any("--device-cgroup-rule 'c 1:3 rwm'" in fix.snippet for fix in found.fixes)


@pytest.mark.parametrize(
    ("errno", "expected"), [("EBUSY", "device-gone"), ("EIO", "device-gone"), ("EPERM", "device-denied-cgroup")]
)
def test_every_platform_has_its_fix(errno: str, expected: str) -> None:
    spec = devices.Spec(path="/dev/null")
    node = devices.observe(spec, Host()).nodes[0]
    refused = devices.Node(node.path, node.walk, "refused", errno, "told by the kernel")

    for platform in ("kubernetes", "openshift", "compose", "docker", "podman", "shell"):
        (found,) = devices.judge(spec, devices.Facts((refused,)), Place(platforms=(platform,)))
        assert found.code == expected
        assert errno in found.observed
        assert all(fix.snippet for fix in found.fixes)


def test_an_open_that_never_answers_is_the_drivers_fault() -> None:
    """devtmpfs cannot hang; the driver behind the node can."""
    spec = devices.Spec(path="/dev/nvidia0")
    job = Job(kind=access_kit.BY_KEY["devices"], specs=(spec,), checks=("devices[0]",), lines=(1,))
    words = {"doing": "open", "path": "/dev/nvidia0", "mount": "/dev", "fs": "devtmpfs", "source": "devtmpfs"}

    found = devices.lost(spec, Lost(job, 0, "hung", "no sign of life for 30 s", 30.0, words), Place())

    assert found is not None
    assert (found[0].code, found[0].evidence["component"]) == ("path-hung", "/dev/nvidia0")
    assert "driver" in found[0].why


@pytest.mark.parametrize(
    "wrong", [{"path": "relative"}, {"path": "/dev/x", "count": 0}, {"path": "/dev/x", "access": "x"}, {"count": 1}]
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        access_kit.spec_of(access_kit.BY_KEY["devices"], wrong)
