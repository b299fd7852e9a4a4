"""Free bytes and inodes, on real file systems: tmpfs of a known size in a mount namespace of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from seen_as import open_to_all, seen_as

from modelgate.checks import disk
from modelgate.finding import Finding, Level
from modelgate.host import Host, Place
from modelgate.units import Size

KUBERNETES = Place(platforms=("kubernetes",), container=True, uid=1001, gid=1001)
SHELL = Place(platforms=("shell",))


def look(
    path: object, free: str | None = None, inodes: int | None = None, place: Place = SHELL, *, optional: bool = False
) -> list[Finding]:
    spec = disk.Spec(path=str(path), free=Size.parse(free) if free else None, inodes=inodes, optional=optional)
    return disk.judge(spec, disk.observe(spec, Host()), place)


OBSERVE = """
import sys, msgspec
from modelgate.checks import disk
from modelgate.host import Host
facts = disk.observe(disk.Spec(path=sys.argv[1], inodes=1), Host())
sys.stdout.buffer.write(msgspec.json.encode(facts))
"""


def on_tmpfs(options: str, tmp_path: Path, then: str = "true", path: str = ".") -> disk.Facts:
    """Facts of a fresh tmpfs; the mount dies with the process."""
    script = f'mount -t tmpfs -o {options} none "$1" && cd "$1" && {{ {then}; }} && exec "$2" -c "$3" "{path}"'
    told = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "-", tmp_path, sys.executable, OBSERVE],
        capture_output=True,
        check=True,
    )
    return msgspec.json.decode(told.stdout, type=disk.Facts)


def judge(facts: disk.Facts, place: Place = KUBERNETES, **asked: object) -> list[Finding]:
    return disk.judge(msgspec.convert({"path": facts.looked, **asked}, disk.Spec, dec_hook=_size), facts, place)


def _size(_wanted: type, value: object) -> Size:
    return Size.parse(value)


def test_enough_of_both_passes_and_says_how_much(tmp_path: Path) -> None:
    bytes_, inodes = look(tmp_path, free="1MiB", inodes=1)

    assert (bytes_.code, inodes.code) == ("ok", "ok")
    assert "free for 0:0 on" in bytes_.observed


def test_more_than_there_is_fails_for_each_of_both(tmp_path: Path) -> None:
    bytes_, inodes = look(tmp_path, free="900000TB", inodes=2**62)

    assert (bytes_.code, inodes.code) == ("disk-full", "disk-inodes")
    assert "are missing" in bytes_.why


def test_a_path_to_come_is_judged_by_the_nearest_parent_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "there"

    (found,) = look(path, free="1MiB")

    assert found.code == "ok"
    assert f"seen at {tmp_path} because {path} is not there yet" in found.observed
    assert found.evidence["looked"] == str(tmp_path)


def test_a_relative_path_to_come_ends_at_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    (found,) = look("cache/models", free="1MiB")

    assert (found.code, found.evidence["looked"]) == ("ok", ".")


def test_optional_absence_is_fine(tmp_path: Path) -> None:
    (found,) = look(tmp_path / "absent", free="900000TB", optional=True)

    assert (found.code, found.observed) == ("ok", "not there, and optional")


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        ("dangling", "path-dangling-link", "is a link to /nowhere/at/all, which is not there: ENOENT"),
        ("loop", "path-link-loop", "ELOOP"),
        ("below-file", "path-wrong-type", "ENOTDIR"),
    ],
)
def test_what_cannot_be_asked_is_unknown_with_its_errno(tmp_path: Path, make: str, code: str, words: str) -> None:
    """Neither the parent's free space nor a guess takes the place of an answer."""
    path = tmp_path / "it"
    if make == "dangling":
        path.symlink_to("/nowhere/at/all")
    elif make == "loop":
        path.symlink_to("it")
    else:
        path.write_text("")
        path /= "below"

    (found,) = look(path, free="1MiB")

    assert (found.level, found.code) == (Level.UNKNOWN, code)
    assert words in found.observed


@pytest.mark.root
def test_a_directory_that_the_runtime_identity_may_not_pass_is_unknown(tmp_path: Path) -> None:
    open_path = open_to_all(tmp_path)
    (open_path / "closed").mkdir(mode=0o700)
    (open_path / "closed/cache").mkdir()
    spec = disk.Spec(path=str(open_path / "closed/cache"), inodes=1)

    (found,) = disk.judge(spec, seen_as(1001, disk, spec), KUBERNETES)

    assert (found.level, found.code) == (Level.UNKNOWN, "path-blocked")
    assert found.observed == f"statvfs {spec.path} as 1001:1001: EACCES (Permission denied)"


@pytest.mark.root
def test_a_small_file_system_fails_with_its_real_numbers(tmp_path: Path) -> None:
    facts = on_tmpfs("size=4m", tmp_path, "head -c 1048576 /dev/zero > fill")

    assert (facts.total, facts.usable, facts.fs) == (4 << 20, 3 << 20, "tmpfs")
    (found,) = judge(facts, free="10MiB")
    assert found.code == "disk-full"
    assert found.observed.startswith("3.0 MiB of 4.0 MiB free for 1001:1001 on ")
    assert "medium: Memory" in found.fixes[0].snippet
    assert judge(facts, free="3MiB")[0].code == "ok"


@pytest.mark.root
def test_bytes_without_inodes_fail_as_inodes(tmp_path: Path) -> None:
    facts = on_tmpfs("size=4m,nr_inodes=10", tmp_path, "for n in 1 2 3 4 5; do : > f$n; done")

    assert facts.inodes_total == 10
    assert facts.inodes < 5
    bytes_, inodes = judge(facts, free="1MiB", inodes=5)
    assert (bytes_.code, inodes.code) == ("ok", "disk-inodes")
    assert "du -x --inodes" in inodes.fixes[0].snippet


@pytest.mark.root
def test_a_file_system_without_fixed_inodes_passes_with_a_note(tmp_path: Path) -> None:
    """tmpfs with nr_inodes=0 reports 0 of 0, as btrfs does."""
    facts = on_tmpfs("size=4m,nr_inodes=0", tmp_path)

    (found,) = judge(facts, inodes=10_000)

    assert (facts.inodes_total, found.code) == (0, "ok")
    assert "no fixed number of inodes" in found.observed


def test_a_file_system_that_reports_no_sizes_does_not_stop_a_server() -> None:
    """The kernel's own tree of processes is one: 0 of 0 bytes."""
    (found,) = look("/proc", free="1GiB")

    assert (found.level, found.code) == (Level.WARN, "disk-full")
    assert "reports no sizes" in found.observed


@pytest.mark.root
def test_what_is_kept_back_for_root_is_not_there_for_others(tmp_path: Path) -> None:
    """A real ext4 image with half of its blocks reserved, looked at as root and as another user."""
    open_path = open_to_all(tmp_path)
    image, mount = open_path / "image", open_path / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-m", "50", str(image)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"mkfs.ext4 failed: {made.stderr.decode()}")
    script = 'mount -o loop "$1" "$2" && "$3" -c "$4" "$2"'
    show = (
        "import os, sys, json, msgspec\nfrom modelgate.checks import disk\nfrom modelgate.host import Host\n"
        "spec = disk.Spec(path=sys.argv[1], inodes=1)\n"
        "root = disk.observe(spec, Host())\nos.setresuid(1001, 1001, 1001)\n"
        "other = disk.observe(spec, Host())\nprint(json.dumps([msgspec.to_builtins(f) for f in (root, other)]))"
    )
    told = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "-", image, mount, sys.executable, show],
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode and "mount:" in told.stderr:
        pytest.skip(f"no loop device here: {told.stderr}")
    assert told.returncode == 0, told.stderr

    root, other = (msgspec.convert(f, disk.Facts) for f in json.loads(told.stdout))

    assert root.usable - other.usable == other.kept_back > 4 << 20
    (found,) = judge(other, free=str(root.usable))
    assert "more are kept back for root" in found.observed


@pytest.mark.parametrize("platform", ["kubernetes", "openshift", "compose", "docker", "shell"])
@pytest.mark.parametrize("fs", ["tmpfs", "overlay"])
def test_both_failures_have_a_fix_that_names_the_path(platform: str, fs: str) -> None:
    facts = disk.Facts(looked="/cache", total=10, usable=1, inodes_total=10, inodes=1, fs=fs, mount="/cache")

    for found in judge(facts, Place(platforms=(platform,)), free="100GiB", inodes=9):
        assert any("/cache" in fix.snippet for fix in found.fixes)
        assert any("du -x" in fix.snippet for fix in found.fixes)


@pytest.mark.parametrize(
    "asked",
    [{}, {"free": "1GB", "inodes": 0}, {"inodes": -1}, {"free": "much"}, {"free": -1}, {"free": "1GB", "paht": "x"}],
)
def test_what_asks_for_nothing_or_nonsense_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"path": "/cache", **asked}, disk.Spec, dec_hook=_size)


def test_judging_recorded_facts_again_agrees(tmp_path: Path) -> None:
    spec = disk.Spec(path=str(tmp_path), free=Size(1 << 60), inodes=1)
    facts = disk.observe(spec, Host())
    again = msgspec.json.decode(msgspec.json.encode(facts), type=disk.Facts)

    assert disk.judge(spec, facts, KUBERNETES) == disk.judge(spec, again, KUBERNETES)
    assert os.statvfs(tmp_path).f_blocks > 0
