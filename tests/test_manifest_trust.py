"""Which manifest is believed that nobody named: only one that nobody else could have written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelgate.finding import Finding, Level
from modelgate.host import Host, Place
from modelgate.manifest_source import Facts, Spec, judge, observe

HERE = Place(platforms=("shell",))


def look(spec: Spec) -> Finding:
    """The one finding."""
    (finding,) = judge(spec, observe(spec, Host()), HERE)
    return finding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ours, and writable by nobody else."""
    tmp_path.chmod(0o755)
    return tmp_path


def write(path: Path, mode: int = 0o644) -> Path:
    path.write_text("version: 1\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "words"),
    [
        (0o644, 0o755, ""),
        (0o400, 0o700, ""),
        (0o664, 0o755, "others can write it (mode 0664)"),
        (0o646, 0o755, "others can write it (mode 0646)"),
        (0o644, 0o775, "others can write its directory"),
        (0o644, 0o757, "others can write its directory"),
        (0o644, 0o1777, ""),  # sticky: nobody else can exchange what is ours
    ],
)
def test_a_found_one_is_believed_when_nobody_else_can_write_it(
    folder: Path, file_mode: int, folder_mode: int, words: str
) -> None:
    path = write(folder / "m.yaml", mode=file_mode)
    folder.chmod(folder_mode)
    try:
        finding = look(Spec(places=(str(path),)))
        named = look(Spec(named=str(path)))
    finally:
        folder.chmod(0o755)

    assert named.level is Level.OK  # who named it chose it
    assert (finding.level is Level.OK) is (words == "")
    if words:
        assert words in finding.observed
        assert finding.code == "manifest-invalid"
        assert "chmod go-w" in finding.fixes[0].snippet
        assert finding.fixes[-1].snippet == f"modelgate --manifest {path} -- COMMAND"


def test_the_directory_that_counts_is_the_one_it_really_lies_in(folder: Path) -> None:
    """Kubernetes: the mount of a ConfigMap is 0777 and holds links, the files lie in a directory of root's."""
    mount, data = folder / "mount", folder / "data"
    mount.mkdir()
    data.mkdir(mode=0o755)
    write(data / "m.yaml")
    (mount / "m.yaml").symlink_to(data / "m.yaml")
    mount.chmod(0o777)
    assert look(Spec(places=(str(mount / "m.yaml"),))).level is Level.OK
    data.chmod(0o777)
    assert look(Spec(places=(str(mount / "m.yaml"),))).level is Level.FAIL


@pytest.mark.root
def test_a_found_one_of_another_user_is_not_believed(folder: Path) -> None:
    path = write(folder / "m.yaml")
    os.chown(path, 12345, 0)
    finding = look(Spec(places=(str(path),)))
    assert "it belongs to uid 12345, not to root or to us (uid 0)" in finding.observed
    assert finding.fixes[0].snippet == f"chown 0 {path}"

    os.chown(path, 0, 0)
    os.chown(folder, 12345, 0)
    assert "its directory" in look(Spec(places=(str(path),))).observed


@pytest.mark.root
def test_on_a_read_only_mount_the_mode_says_nothing(tmp_path: Path) -> None:
    """A ConfigMap with defaultMode 0666 cannot be written all the same."""
    script = (
        "import sys; from modelgate.host import Host; from modelgate.manifest_source import Spec, observe; "
        "f = observe(Spec(places=(sys.argv[1],)), Host()); print(f.read_only, oct(f.mode), oct(f.folder_mode))"
    )
    command = (
        'mount -t tmpfs none "$1" && chmod 777 "$1" && echo "version: 1" > "$1/m.yaml" && chmod 666 "$1/m.yaml" && '
        'mount -o remount,ro "$1" && "$2" -c "$3" "$1/m.yaml"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command, "sh", str(tmp_path), sys.executable, script],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no private mounts here: {done.stderr.strip()}")
    assert done.stdout.split() == ["True", "0o666", "0o777"]
    facts = Facts(path="m", text=b"x", mode=0o666, folder_mode=0o777, read_only=True)
    assert judge(Spec(), facts, HERE)[0].level is Level.OK


@pytest.mark.parametrize("path", ["/etc/modelgate/manifest.yaml", "./modelgate.yaml"])
@pytest.mark.parametrize("read_only", [True, False])
def test_another_users_file_is_not_believed_for_being_read_only_here(path: str, read_only: bool) -> None:
    """The same volume may be writable elsewhere. The cure that is told is taken: naming it."""
    facts = Facts(
        path=path, absolute="/etc/modelgate/manifest.yaml", text=b"x", uid=1000, mode=0o664, me=1001,
        folder="/etc/modelgate", folder_mode=0o755, read_only=read_only,
    )  # fmt: skip
    place = Place(platforms=("compose", "docker"))
    (finding,) = judge(Spec(), facts, place)
    (named,) = judge(Spec(named=path), facts, place)

    assert (finding.code, finding.level) == ("manifest-invalid", Level.FAIL)
    assert not [fix for fix in finding.fixes if fix.do == "Mount it read-only"], "that would not cure it"
    assert [fix for fix in finding.fixes if fix.do.startswith("Name it")]
    assert named.level is Level.OK


def test_where_the_mode_alone_is_in_the_way_a_read_only_mount_cures() -> None:
    facts = Facts(
        path="/etc/modelgate/manifest.yaml", absolute="/etc/modelgate/manifest.yaml", text=b"x", mode=0o666, me=1001,
        folder="/etc/modelgate", folder_mode=0o755,
    )  # fmt: skip
    (finding,) = judge(Spec(), facts, Place(platforms=("docker",)))
    (cured,) = judge(Spec(), replace(facts, read_only=True), HERE)

    mount = "./manifest.yaml:/etc/modelgate/manifest.yaml:ro"
    assert finding.fixes[0].snippet == f"docker run -v {mount} ..."
    assert cured.level is Level.OK
