"""The machine as a check sees it: its roots, and the mount a path lies on, told before it is touched."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.host import Host, Mount, is_network

HERE = Path(__file__).parent
PLAIN = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
22 21 0:20 / /proc rw,nosuid shared:5 - proc proc rw
30 21 0:40 / /models ro,relatime shared:9 master:3 - nfs4 filer:/export/models ro,vers=4.2,addr=10.0.0.1
31 30 0:41 / /models/cache rw - fuse.gcsfuse bucket rw,user_id=0
32 21 0:42 / /model rw - tmpfs  rw,size=65536k
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return _host(tmp_path, PLAIN)


def _host(root: Path, mountinfo: str) -> Host:
    (root / "self").mkdir()
    (root / "self/mountinfo").write_bytes(os.fsencode(mountinfo))
    return Host(environ={}, proc=str(root), sys="/fake/sys", dev="/fake/dev")


def _point(host: Host, path: str) -> str:
    mount = host.mount_of(path)
    assert mount is not None
    return mount.point


def test_roots_are_where_they_were_put(host: Host, tmp_path: Path) -> None:
    assert host.proc() == str(tmp_path)
    assert host.proc("self/mountinfo") == str(tmp_path / "self/mountinfo")
    assert (host.sys("class"), host.dev("shm"), host.sys()) == ("/fake/sys/class", "/fake/dev/shm", "/fake/sys")


def test_a_line_of_mountinfo_is_read_whole(host: Host) -> None:
    options = ("ro", "relatime", "vers=4.2", "addr=10.0.0.1")

    assert host.mounts()[2] == Mount("/models", "nfs4", "filer:/export/models", options, 30, 21)
    assert host.mounts()[4] == Mount("/model", "tmpfs", "", ("rw", "size=65536k"), 32, 21)  # no source at all


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/", "/"),
        ("/etc/passwd", "/"),
        ("/models", "/models"),
        ("/models/", "/models"),
        ("//models//a", "/models"),
        ("/models/cache/x/y", "/models/cache"),
        ("/models/cached", "/models"),
        ("/models/cache/../a", "/models"),
        ("/modelsx", "/"),
        ("/model/a", "/model"),
    ],
)
def test_a_path_lies_on_the_nearest_mount_of_whole_components(host: Host, path: str, point: str) -> None:
    assert _point(host, path) == point


def test_a_relative_path_lies_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    host = _host(tmp_path, f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path}/inside rw - nfs b rw\n")

    assert _point(host, "model") == str(inside)


@pytest.mark.parametrize(
    ("written", "point"),
    [
        (r"/my\040models", "/my models"),
        (r"/tab\011end\012", "/tab\tend\n"),
        (r"/back\134slash", "/back\\slash"),
        (r"/back\134040", r"/back\040"),
        (r"/hash\043", "/hash#"),
        ("/ünï\u00a0\u2028\x0b\x85", "/ünï\u00a0\u2028\x0b\x85"),
        ("/bytes\udcff", "/bytes\udcff"),
        ("/a-b", "/a-b"),
    ],
)
def test_odd_names_of_mount_points(tmp_path: Path, written: str, point: str) -> None:
    host = _host(tmp_path, f"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / {written} rw,x - nfs s\\040p rw\n")

    assert host.mounts()[1] == Mount(point, "nfs", "s p", ("rw", "x"), 2, 1)
    assert _point(host, point + "/file") == point


@pytest.mark.parametrize(
    "line", ["", "garbage", "1 2 3 4 5 6", "1 2 3 - x y", "a b c d e f - x y z", "1 2 3 / /p rw - x", "- - -"]
)
def test_lines_that_are_none_are_left_out(tmp_path: Path, line: str) -> None:
    assert [m.point for m in _host(tmp_path, line + "\n" + PLAIN).mounts()][:1] == ["/"]


@given(st.text(max_size=200), st.text(max_size=30))
def test_no_text_of_mountinfo_and_no_path_is_a_fault(text: str, path: str) -> None:
    from modelgate.host import _mount

    mounts = [m for line in text.split("\n") if (m := _mount(line)) is not None]
    Host().mount_of("/" + path.replace("\0", ""), mounts)


IDS = st.integers(0, 5)
POINTS = st.sampled_from(["/", "/a", "/a/b", "/a/b/c"])


@given(st.lists(st.builds(Mount, POINTS, st.just("x"), st.just(""), st.just(()), IDS, IDS), max_size=8))
def test_no_table_sends_the_walk_in_circles(table: list[Mount]) -> None:
    found = Host().mount_of("/a/b/c/d", table)

    assert found is None or found in table


def test_without_proc_there_are_no_mounts(tmp_path: Path) -> None:
    host = Host(proc=str(tmp_path / "none"))

    assert host.mounts() == []
    assert host.mount_of("/models") is None


@pytest.mark.parametrize(
    ("lines", "sources"),
    [
        (("1 0 / base", "2 1 /a one", "3 2 /a two"), ["base", "two", "two", "two"]),  # stacked on one point
        (("1 0 / base", "2 1 /a one", "3 2 /a/b deep", "4 2 /a over"), ["base", "over", "over", "over"]),
        (("1 0 / base", "2 1 /a/b deep", "3 1 /a over"), ["base", "over", "over", "over"]),
        (("1 0 / base", "3 1 /a over", "2 3 /a/b deep"), ["base", "over", "deep", "deep"]),
        (("7 9 /a only", "8 7 /a/b deep"), [None, "only", "deep", "deep"]),  # a root that is no mount of its own
        (("1 1 / base", "2 1 /a one"), ["base", "one", "one", "one"]),
        (("1 0 / base", "2 1 / above"), ["base", "base", "base", "base"]),  # not met: the walk begins below it
    ],
)
def test_what_a_later_mount_hides_is_not_where_a_path_lies(
    tmp_path: Path, lines: Sequence[str], sources: list[str | None]
) -> None:
    rows = [line.split() for line in lines]
    host = _host(tmp_path, "".join(f"{i} {p} 0:1 / {at} rw - ext4 {s} rw\n" for i, p, at, s in rows))

    found = [host.mount_of(path) for path in ("/", "/a", "/a/b", "/a/b/c")]

    assert [m.source if m else None for m in found] == sources


@pytest.mark.root
def test_the_kernel_agrees_about_what_hides_what(tmp_path: Path) -> None:
    """Real mounts in a namespace of their own: the device that stat sees is the mount that we name."""
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "--propagation",
            "private",
            sys.executable,
            HERE / "isolation/mounts_driver.py",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("no mount namespace to be had: " + done.stderr.strip())

    rows = json.loads(done.stdout)
    assert len(rows) >= 8, done.stderr
    assert [row for row in rows if row["ours"] != row["kernel"]] == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/models/a", {"mount": "/models", "fs": "nfs4", "source": "filer:/export/models", "silence": 30}),
        ("/models/cache/a", {"mount": "/models/cache", "fs": "fuse.gcsfuse", "source": "bucket", "silence": 30}),
        ("/etc/a", {"mount": "/", "fs": "ext4", "source": "/dev/vda"}),
    ],
)
def test_a_path_is_told_with_its_mount_and_patience_for_a_network(host: Host, path: str, words: dict[str, Any]) -> None:
    told: list[dict[str, Any]] = []
    host.tell = lambda **words: told.append(words)

    host.tell_path("open", path)

    assert told == [{"doing": "open", "path": path, **words}]


def test_a_path_is_told_without_a_mount_where_none_is_known(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    Host(proc=str(tmp_path), tell=lambda **words: told.append(words)).tell_path("open", "/models/a")

    assert told == [{"doing": "open", "path": "/models/a"}]


def test_telling_does_nothing_where_nobody_listens() -> None:
    Host().tell(doing="open", path="/x", silence=3)


@pytest.mark.parametrize("fs", ["nfs", "nfs4", "cifs", "lustre", "ceph", "9p", "fuse", "fuse.s3fs", "fuse.juicefs"])
def test_file_systems_that_may_be_slow(fs: str) -> None:
    assert is_network(fs)


@pytest.mark.parametrize("fs", ["ext4", "xfs", "overlay", "tmpfs", "fuseblk", "fusectl"])
def test_file_systems_that_may_not(fs: str) -> None:
    assert not is_network(fs)


def test_a_kernel_file_is_read_whole_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\xff" * 100_000)

    assert Host().read(str(path)) == "a\udcff" * 100_000
    assert Host().read(str(path), 3) == "a\udcffa"
    with pytest.raises(FileNotFoundError):
        Host().read(str(tmp_path / "none"))
