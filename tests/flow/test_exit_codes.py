"""The whole pipeline, one test per exit code: passed, 64 to 70, and what decides. Real starts by a real user."""

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest
from flow_kit import SERVER, child_of, free_port, listening, state_of
from gate_kit import Gate


def test_0_the_server_runs_when_everything_holds(gate: Gate, tmp_path: Path) -> None:
    """A file, a directory, a port, room on the disk and a dependency: all there, so the server starts."""
    (tmp_path / "config.json").write_text("{}")
    with listening() as port:
        result = gate(
            "--",
            *SERVER,
            manifest=f"""
version: 1
files:
  - {{path: {tmp_path}/config.json, type: file, access: r}}
  - {{path: {tmp_path}, type: directory, access: rwx}}
disk: [{{path: {tmp_path}, free: 1MiB}}]
ports: [{free_port()}]
wait_for: [{{tcp: "127.0.0.1:{port}"}}]
""",
        )

    assert result.rc == 0, result.err
    assert result.out == "the server runs\n"
    assert result.codes == []


def test_the_exit_code_of_the_server_is_the_exit_code(gate: Gate) -> None:
    assert gate("--", "sh", "-c", "exit 42").rc == 42


def test_64_wrong_usage(gate: Gate) -> None:
    result = gate("--no-such-option", "--", "true")

    assert result.rc == 64
    assert "--no-such-option" in result.err
    assert "Traceback" not in result.err


def test_65_a_file_whose_digest_is_not_the_expected_one(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"flipped")
    expected = hashlib.sha256(b"original").hexdigest()

    result = gate("--", *SERVER, manifest=f"files: [{{path: {tmp_path}/model.bin, sha256: '{expected}'}}]")

    assert (result.rc, result.codes, result.out) == (65, ["weights-digest"], "")
    assert expected in result.err
    assert hashlib.sha256(b"flipped").hexdigest() in result.err


def test_66_a_missing_file(gate: Gate, tmp_path: Path) -> None:
    result = gate("--", *SERVER, manifest=f"files: [{{path: {tmp_path}/config.jsn}}]")

    assert (result.rc, result.codes, result.out) == (66, ["path-missing"], "")


def test_69_a_dependency_that_never_comes(gate: Gate) -> None:
    manifest = f"wait_for: [{{tcp: '127.0.0.1:{free_port()}', timeout: 300ms}}]"

    result = gate("--", *SERVER, manifest=manifest)

    assert (result.rc, result.codes, result.out) == (69, ["wait-refused"], "")
    assert [line for line in result.logs if "attempt" in line], "each attempt is visible"


def test_70_a_check_that_dies(gate: Gate, tmp_path: Path) -> None:
    """A child of the gate is shot from outside: nothing is known, so the server is not started."""
    fifo_wait = f"files: [{{path: {tmp_path}/never, wait: 20s}}]"
    process = gate.start("--", *SERVER, manifest=fifo_wait)
    os.kill(child_of(process), signal.SIGSEGV)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 70, err
    assert "check-lost" in err
    assert "SIGSEGV" in err
    assert out == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_128_plus_n_a_signal_while_the_gate_is_open(gate: Gate, number: signal.Signals) -> None:
    """It ends within a second, says so, and leaves no child behind."""
    process = gate.start("--", *SERVER, manifest=f"wait_for: [{{tcp: '127.0.0.1:{free_port()}'}}]")
    child = child_of(process)
    sent = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 128 + number, err
    assert time.monotonic() - sent < 3  # a second, and the noise of a busy machine
    assert number.name in err
    assert out == ""
    assert not os.path.exists(f"/proc/{child}") or state_of(child) == "Z"


def test_with_several_failures_the_first_row_of_the_table_decides(gate: Gate, tmp_path: Path) -> None:
    """66 and 75 and 78: the author's mistake comes first, and all three are told in the one run."""
    manifest = f"""
files: [{{path: {tmp_path}/none}}]
disk: [{{path: {tmp_path}, free: 900TiB}}]
env: {{require: [NOT_SET_HERE]}}
"""
    result = gate("--", *SERVER, manifest=manifest)

    assert result.rc == 78
    assert result.codes == ["env-missing", "path-missing", "disk-full"]


def test_level_warn_never_stops(gate: Gate, tmp_path: Path) -> None:
    result = gate("--", *SERVER, manifest=f"files: [{{path: {tmp_path}/none, level: warn}}]")

    assert (result.rc, result.out, result.codes) == (0, "the server runs\n", ["path-missing"])
