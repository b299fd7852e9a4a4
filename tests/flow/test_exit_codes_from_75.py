"""The whole pipeline, one test per exit code: 75 to 127."""

import os
import time
from pathlib import Path

import pytest
from flow_kit import SERVER, free_port, listening, open_parents
from gate_kit import Gate


def test_75_a_port_that_somebody_holds(gate: Gate) -> None:
    with listening() as port:
        result = gate("--", *SERVER, manifest=f"ports: [{port}]")

    assert (result.rc, result.codes, result.out) == (75, ["port-in-use"], "")


def test_75_a_disk_with_too_little_room(gate: Gate, tmp_path: Path) -> None:
    result = gate("--", *SERVER, manifest=f"disk: [{{path: {tmp_path}, free: 900TiB}}]")

    assert (result.rc, result.codes) == (75, ["disk-full"])


def test_75_the_gates_own_upper_bound(gate: Gate) -> None:
    """--timeout ends the gate and names what it was still waiting for."""
    port = free_port()
    began = time.monotonic()

    result = gate("--timeout", "1s", "--", *SERVER, manifest=f"wait_for: [{{tcp: '127.0.0.1:{port}'}}]")

    assert (result.rc, result.codes, result.out) == (75, ["gate-timeout"], "")
    assert time.monotonic() - began < 10
    assert f"127.0.0.1:{port}" in result.err


@pytest.mark.root
def test_77_a_parent_directory_that_the_runtime_user_cannot_enter(gate: Gate, tmp_path: Path) -> None:
    """The component that blocks is named, not the file."""
    os.chmod(tmp_path, 0o755)
    open_parents(tmp_path)
    locked = tmp_path / "models"
    locked.mkdir(mode=0o700)
    (locked / "config.json").write_text("{}")

    manifest = f"files: [{{path: {locked}/config.json}}]"
    result = gate("check", "--format", "json", "--run-as", "1001:1001", manifest=manifest)

    assert result.rc == 77
    (finding,) = [f for f in result.report["findings"] if f["level"] == "fail"]
    assert finding["code"] == "path-blocked"
    assert finding["evidence"]["component"] == str(locked)
    assert finding["evidence"]["mode"] == "0700"
    assert finding["evidence"]["uid"] == 1001


def test_77_a_file_that_this_very_user_cannot_read(gate: Gate, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything: the test above covers root")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "config.json").chmod(0)

    result = gate("--", *SERVER, manifest=f"files: [{{path: {tmp_path}/config.json}}]")

    assert (result.rc, result.codes) == (77, ["path-unreadable"])


def test_78_a_manifest_with_mistakes(gate: Gate) -> None:
    """Every mistake in one run, each with file and line."""
    result = gate("--", *SERVER, manifest="version: 1\nfils: []\ntimeuot: 5m\nports: [no]\n")

    assert (result.rc, set(result.codes), result.out) == (78, {"manifest-invalid"}, "")
    assert len(result.codes) == 3
    where = [line["event"].split(": ")[0].rpartition(":")[2] for line in result.logs if "result" in line]
    assert where == ["2", "3", "4"]
    assert "files" in result.err
    assert "timeout" in result.err


def test_78_a_kind_that_this_version_has_not(gate: Gate) -> None:
    result = gate("--", *SERVER, manifest="fleet: {etcd: ['http://etcd:2379'], group: a, nodes: 2}")

    assert (result.rc, result.codes, result.out) == (78, ["manifest-unsupported"], "")


def test_78_a_named_manifest_that_is_not_there(gate: Gate, tmp_path: Path) -> None:
    result = gate("-m", str(tmp_path / "nope.yaml"), "--", *SERVER)

    assert (result.rc, result.codes) == (78, ["manifest-missing"])


def test_78_a_required_variable(gate: Gate) -> None:
    result = gate("--", *SERVER, manifest="env: {require: [HF_HOME_OF_TEST]}")

    assert (result.rc, result.codes) == (78, ["env-missing"])


def test_126_a_command_that_is_no_program(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "serve").write_text("echo\n")

    result = gate("--", str(tmp_path / "serve"))

    assert (result.rc, result.codes) == (126, ["launch-not-executable"])


def test_126_and_127_also_without_the_implied_check(gate: Gate, tmp_path: Path) -> None:
    """What exec itself says is mapped the same way."""
    (tmp_path / "serve").write_text("echo\n")

    assert gate("--no-implied", "--", str(tmp_path / "serve")).rc == 126
    assert gate("--no-implied", "--", str(tmp_path / "none")).rc == 127


def test_127_a_command_that_is_not_there(gate: Gate) -> None:
    result = gate("--", "pyhton3", "serve.py")

    assert (result.rc, result.codes) == (127, ["launch-not-found"])
