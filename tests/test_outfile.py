"""The report file and the termination message: whole or not at all, and never through anybody's link."""

import os
import stat
from pathlib import Path

import pytest

from modelgate.host import Host
from modelgate.outfile import termination_path, write_report, write_termination

as_root = pytest.mark.root


def test_a_report_replaces_the_one_before_at_once_and_all_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    before = path.stat().st_ino
    umask = os.umask(0o077)
    try:
        assert write_report(str(path), b"new") == ""
    finally:
        os.umask(umask)

    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_relative_report_lands_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert write_report("r.json", b"x") == ""
    assert (tmp_path / "r.json").read_bytes() == b"x"


@pytest.mark.parametrize("kind", ["missing directory", "directory", "fifo", "symlink", "slash", "device"])
def test_what_is_no_place_for_a_report_is_told_and_left_alone(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "r")
    if kind == "missing directory":
        path = str(tmp_path / "no" / "r")
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        (tmp_path / "other").write_text("other's")
        os.symlink(tmp_path / "other", path)
    elif kind == "slash":
        path += "/"
    else:
        path = "/dev/null"

    error = write_report(path, b"x")

    assert error.startswith("the report could not be written")
    assert repr(path) in error
    assert "other" not in os.listdir(tmp_path) or (tmp_path / "other").read_text() == "other's"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".r")]


def test_a_full_file_system_leaves_the_old_report_and_no_debris(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "r"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        error = write_report(str(path), b"x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert "EFBIG" in error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["r"]


@as_root
def test_a_report_mounted_as_a_single_file_is_written_in_place(tmp_path: Path) -> None:
    """`docker run -v $PWD/report.json:/report.json`: a rename over a mount point is EBUSY."""
    import subprocess

    (tmp_path / "host").write_text("old, and longer")
    (tmp_path / "in").write_text("")
    code = (
        f"mount --bind {tmp_path}/host {tmp_path}/in && python3 -I -c '' ; exec \"$0\" -I -c "
        f'\'from modelgate.outfile import write_report; print(repr(write_report("{tmp_path}/in", b"new")))\''
    )
    import sys

    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", code, sys.executable],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no private mounts here: {done.stderr.strip()}")

    assert done.stdout == "''\n"
    assert (tmp_path / "host").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["host", "in"]


def test_the_named_termination_file_is_made(tmp_path: Path) -> None:
    host = Host(environ={"MODELGATE_TERMINATION_LOG": str(tmp_path / "t")}, dev=str(tmp_path))
    path = termination_path(host)

    assert path == str(tmp_path / "t")
    assert write_termination(path, b"cause") == ""
    assert (tmp_path / "t").read_bytes() == b"cause"
    assert write_termination(path, b"c") == ""
    assert (tmp_path / "t").read_bytes() == b"c"


def test_the_default_is_used_only_where_it_exists(tmp_path: Path) -> None:
    host = Host(environ={}, dev=str(tmp_path))
    assert termination_path(host) is None

    (tmp_path / "termination-log").touch()
    assert termination_path(host) == str(tmp_path / "termination-log")


def test_below_dev_nothing_is_made_and_nothing_complained_about() -> None:
    path = "/dev/modelgate-test-no-such-file"

    assert write_termination(path, b"x") == ""
    assert not os.path.lexists(path)


@pytest.mark.parametrize("kind", ["fifo", "device", "symlink", "directory"])
def test_a_termination_file_that_is_a_trick_does_not_hang_and_is_not_followed(kind: str, tmp_path: Path) -> None:
    path, other = str(tmp_path / "t"), tmp_path / "other"
    other.write_text("other's")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        os.symlink(other, path)
    elif kind == "directory":
        os.mkdir(path)
    else:
        path = "/dev/null"

    assert write_termination(path, b"x") != ""
    assert other.read_text() == "other's"


@as_root
def test_root_follows_no_directory_link_that_somebody_else_may_have_made(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    os.symlink(tmp_path / "real", shared / "link")
    assert write_report(str(shared / "link" / "r"), b"x") == ""

    os.chown(shared, 1001, 1001)

    assert "ELOOP" in write_report(str(shared / "link" / "r2"), b"x")
    assert "ELOOP" in write_termination(str(shared / "link" / "t"), b"x")
    assert os.listdir(tmp_path / "real") == ["r"]


@as_root
def test_root_does_not_write_a_file_with_a_second_name(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("precious")
    os.link(tmp_path / "shadow", tmp_path / "t")

    assert "2 names" in write_termination(str(tmp_path / "t"), b"x")
    assert (tmp_path / "shadow").read_text() == "precious"
