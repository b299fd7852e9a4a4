"""Where the manifest comes from: found or named, believed or not, and never a hang."""

import os
import socket
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from isolation_kit import isolate

from modelgate import exits, manifest_source
from modelgate.finding import Finding, Level
from modelgate.host import Host, Place
from modelgate.identity import Identity, current
from modelgate.isolate import Job, Lost, Seen
from modelgate.kind import Shape, kind
from modelgate.manifest_source import PLACES, Facts, Spec, judge, lost, observe

HERE = Place(platforms=("shell",))
GOOD = "version: 1\n"


def look(spec: Spec) -> tuple[Facts, Finding]:
    """Facts as they come through the pipe from a child, and the one finding."""
    facts = observe(spec, Host())
    facts = msgspec.json.decode(msgspec.json.encode(facts), type=Facts)
    findings = judge(spec, facts, HERE)
    assert judge(spec, facts, HERE) == findings
    assert len(findings) == 1
    return facts, findings[0]


def refused(spec: Spec, code: str) -> Finding:
    _, finding = look(spec)
    assert (finding.code, finding.level) == (code, Level.FAIL)
    assert exits.decide([finding]) == 78
    assert all(cure.do and cure.when for cure in finding.fixes)
    return finding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ours, and writable by nobody else."""
    tmp_path.chmod(0o755)
    return tmp_path


def write(path: Path, text: str = GOOD, mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_named_one_is_read(folder: Path) -> None:
    path = write(folder / "m.yaml")
    facts, finding = look(Spec(named=str(path)))
    assert (facts.path, facts.text) == (str(path), GOOD.encode())
    assert finding.level is Level.OK


def test_bytes_that_are_no_text_arrive_as_they_are(folder: Path) -> None:
    """It is not for the reader to judge them."""
    raw = bytes(range(256))
    (folder / "m.yaml").write_bytes(raw)
    assert look(Spec(named=str(folder / "m.yaml")))[0].text == raw


def test_the_first_place_that_has_one_is_used(folder: Path) -> None:
    first, second = folder / "first.yaml", write(folder / "second.yaml")
    spec = Spec(places=(str(first), str(second)))
    assert look(spec)[0].path == str(second)
    write(first)
    assert look(spec)[0].path == str(first)
    assert Spec().places == PLACES == ("/etc/modelgate/manifest.yaml", "./modelgate.yaml")


def test_the_working_directory_is_looked_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder / "modelgate.yaml")
    monkeypatch.chdir(folder)
    facts, finding = look(Spec(places=("./modelgate.yaml",)))
    assert (facts.path, finding.level) == ("./modelgate.yaml", Level.OK)


def test_none_at_all_is_no_fault(folder: Path) -> None:
    facts, finding = look(Spec(places=(str(folder / "a"), str(folder / "no" / "b"))))
    assert (facts.path, finding.level) == (None, Level.OK)


def test_a_named_one_that_is_missing_names_what_resembles_it(folder: Path) -> None:
    write(folder / "manifest.yaml")
    finding = refused(Spec(named=str(folder / "manifest.yml")), "manifest-missing")
    assert "ENOENT (No such file or directory)" in finding.observed
    assert finding.fixes[0].snippet == f"modelgate --manifest {folder}/manifest.yaml -- COMMAND"
    assert finding.evidence["near"] == ["manifest.yaml"]


def test_below_a_file_there_is_nothing(folder: Path) -> None:
    write(folder / "file")
    assert "ENOTDIR" in refused(Spec(named=str(folder / "file" / "m.yaml")), "manifest-missing").observed


def test_a_link_to_nothing_is_missing_named_or_found(folder: Path) -> None:
    """A ConfigMap key that was renamed looks so; to go on without it would check nothing."""
    link = folder / "m.yaml"
    link.symlink_to("gone.yaml")
    assert "ENOENT" in refused(Spec(named=str(link)), "manifest-missing").observed
    assert "what it leads to is not" in refused(Spec(places=(str(link),)), "manifest-missing").observed


def test_a_link_to_itself_is_told_as_that(folder: Path) -> None:
    link = folder / "m.yaml"
    link.symlink_to("m.yaml")
    assert "ELOOP" in refused(Spec(named=str(link)), "manifest-invalid").observed


@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize("what", ["directory", "FIFO", "socket", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(folder: Path, what: str, found: bool) -> None:
    """A FIFO without a writer would hold an open() for ever."""
    path = folder / "m.yaml"
    if what == "directory":
        path.mkdir()
    elif what == "FIFO":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(str(path))
    else:
        path.symlink_to(os.devnull)
    began = time.monotonic()
    finding = refused(Spec(places=(str(path),)) if found else Spec(named=str(path)), "manifest-invalid")

    assert f"it is a {what}" in finding.observed
    assert time.monotonic() - began < 5


def test_a_pipe_handed_over_by_a_shell_is_refused(folder: Path) -> None:
    """`--manifest <(generate)`: the name is a link that no path leads to."""
    read, other = os.pipe()
    try:
        assert "it is a FIFO" in refused(Spec(named=f"/dev/fd/{read}"), "manifest-invalid").observed
        fd = os.open(write(folder / "m.yaml"), os.O_RDONLY)
        assert look(Spec(named=f"/dev/fd/{fd}"))[0].text == GOOD.encode()
        (folder / "m.yaml").unlink()
        assert look(Spec(named=f"/dev/fd/{fd}"))[0].text == GOOD.encode()
        os.close(fd)
    finally:
        os.close(read)
        os.close(other)


def test_more_than_a_mebibyte_is_not_read(folder: Path) -> None:
    path = folder / "m.yaml"
    path.write_bytes(b"#" * (1 << 20))
    assert look(Spec(named=str(path)))[1].level is Level.OK
    with path.open("ab") as file:
        file.truncate(5 << 30)  # sparse
    facts, finding = look(Spec(named=str(path)))
    assert "it is larger than 1 MiB (5368709120 bytes)" in finding.observed
    assert finding.code == "manifest-invalid"
    assert len(facts.text) == (1 << 20) + 1


def in_a_child(spec: Spec, identity: Identity) -> Seen | Lost:
    """As the gate does it: a forked child with another identity."""
    job = Job(
        kind=kind("manifest", manifest_source, shape=Shape.IMPLIED), specs=(spec,), checks=("manifest",), lines=(None,)
    )
    outcomes: list[Seen | Lost] = list(isolate(identity).run([job]))
    return outcomes[0]


@pytest.mark.root
@pytest.mark.parametrize("which", ["file", "folder"])
def test_one_that_may_not_be_read_names_what_denies_it(folder: Path, which: str) -> None:
    for parent in folder.parents:  # pytest makes them 0700
        if parent.stat().st_uid == 0 and parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    (folder / "inner").mkdir(mode=0o755)
    path = write(folder / "inner" / "m.yaml", mode=0o600 if which == "file" else 0o644)
    if which == "folder":
        (folder / "inner").chmod(0o700)
    outcome = in_a_child(Spec(named=str(path)), Identity(12345, 12345))
    assert isinstance(outcome, Seen)
    (finding,) = judge(outcome.job.specs[0], outcome.facts, HERE)

    assert finding.code == "manifest-invalid"
    assert "EACCES (Permission denied)" in finding.observed
    denied = path if which == "file" else folder / "inner"
    assert finding.fixes[0].snippet == f"chmod {'a+r' if which == 'file' else 'a+x'} {denied}"
    assert finding.evidence["component"] == ("" if which == "file" else str(denied))
    if which == "folder":
        outcome = in_a_child(Spec(places=(str(path),)), Identity(12345, 12345))
        assert isinstance(outcome, Seen)
        (finding,) = judge(Spec(), outcome.facts, HERE)
        assert (finding.level, finding.code) == (Level.WARN, "manifest-missing")
        assert str(path) in finding.observed


def test_in_a_child_it_answers_with_the_text(folder: Path, no_leaks: None) -> None:
    path = write(folder / "m.yaml")
    outcome = in_a_child(Spec(named=str(path)), current())
    assert isinstance(outcome, Seen)
    assert outcome.facts.text == GOOD.encode()


def test_a_mount_that_never_answers_stops_the_gate_with_its_name() -> None:
    job: Any = None
    words = {"doing": "read the manifest", "path": "/nfs/m.yaml", "mount": "/nfs", "fs": "nfs4", "source": "srv:/x"}
    hung = Lost(job, 0, "hung", "no sign of life for 30 s", 30.0, words)
    found = lost(Spec(named="/nfs/m.yaml"), hung, HERE)
    assert found is not None
    assert (found[0].code, found[0].level) == ("path-hung", Level.FAIL)
    assert "/nfs" in found[0].observed
    assert lost(Spec(), Lost(job, 0, "crashed", "killed by SIGSEGV", 0.1, {}), HERE) is None


def test_a_working_directory_that_is_gone_is_no_crash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert look(Spec(places=("./modelgate.yaml",)))[0].path is None
    assert refused(Spec(named="m.yaml"), "manifest-missing").subject == "m.yaml"


def test_no_descriptor_is_left_open(folder: Path, no_leaks: None) -> None:
    for name in ("m.yaml", "missing.yaml"):
        look(Spec(named=str(folder / name)))
        look(Spec(places=(str(write(folder / "m.yaml", mode=0o666)),)))
