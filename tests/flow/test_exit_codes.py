"""The whole pipeline, one test per exit code that a start can end with. Each is a real start by a real user."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = [sys.executable, "-c", "print('the server runs')"]


def test_0_the_server_runs_when_everything_holds(gate, tmp_path):
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


def test_the_exit_code_of_the_server_is_the_exit_code(gate):
    assert gate("--", "sh", "-c", "exit 42").rc == 42


def test_64_wrong_usage(gate):
    result = gate("--no-such-option", "--", "true")

    assert result.rc == 64
    assert "--no-such-option" in result.err
    assert "Traceback" not in result.err


def test_65_a_file_whose_digest_is_not_the_expected_one(gate, tmp_path):
    (tmp_path / "model.bin").write_bytes(b"flipped")
    expected = hashlib.sha256(b"original").hexdigest()

    result = gate("--", *SERVER, manifest=f"files: [{{path: {tmp_path}/model.bin, sha256: '{expected}'}}]")

    assert (result.rc, result.codes, result.out) == (65, ["weights-digest"], "")
    assert expected in result.err
    assert hashlib.sha256(b"flipped").hexdigest() in result.err


def test_66_a_missing_file(gate, tmp_path):
    result = gate("--", *SERVER, manifest=f"files: [{{path: {tmp_path}/config.jsn}}]")

    assert (result.rc, result.codes, result.out) == (66, ["path-missing"], "")


def test_69_a_dependency_that_never_comes(gate):
    manifest = f"wait_for: [{{tcp: '127.0.0.1:{free_port()}', timeout: 300ms}}]"

    result = gate("--", *SERVER, manifest=manifest)

    assert (result.rc, result.codes, result.out) == (69, ["wait-refused"], "")
    assert [line for line in result.logs if "attempt" in line], "each attempt is visible"


def test_70_a_check_that_dies(gate, tmp_path):
    """A child of the gate is shot from outside: nothing is known, so the server is not started."""
    fifo_wait = f"files: [{{path: {tmp_path}/never, wait: 20s}}]"
    process = gate.start("--", *SERVER, manifest=fifo_wait)
    os.kill(child_of(process), signal.SIGSEGV)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 70, err
    assert "check-lost" in err
    assert "SIGSEGV" in err
    assert out == ""


def test_75_a_port_that_somebody_holds(gate):
    with listening() as port:
        result = gate("--", *SERVER, manifest=f"ports: [{port}]")

    assert (result.rc, result.codes, result.out) == (75, ["port-in-use"], "")


def test_75_a_disk_with_too_little_room(gate, tmp_path):
    result = gate("--", *SERVER, manifest=f"disk: [{{path: {tmp_path}, free: 900TiB}}]")

    assert (result.rc, result.codes) == (75, ["disk-full"])


def test_75_the_gates_own_upper_bound(gate):
    """--timeout ends the gate and names what it was still waiting for."""
    port = free_port()
    began = time.monotonic()

    result = gate("--timeout", "1s", "--", *SERVER, manifest=f"wait_for: [{{tcp: '127.0.0.1:{port}'}}]")

    assert (result.rc, result.codes, result.out) == (75, ["gate-timeout"], "")
    assert time.monotonic() - began < 10
    assert f"127.0.0.1:{port}" in result.err


@pytest.mark.root
def test_77_a_parent_directory_that_the_runtime_user_cannot_enter(gate, tmp_path):
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


def test_77_a_file_that_this_very_user_cannot_read(gate, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root reads everything: the test above covers root")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "config.json").chmod(0)

    result = gate("--", *SERVER, manifest=f"files: [{{path: {tmp_path}/config.json}}]")

    assert (result.rc, result.codes) == (77, ["path-unreadable"])


def test_78_a_manifest_with_mistakes(gate):
    """Every mistake in one run, each with file and line."""
    result = gate("--", *SERVER, manifest="version: 1\nfils: []\ntimeuot: 5m\nports: [no]\n")

    assert (result.rc, set(result.codes), result.out) == (78, {"manifest-invalid"}, "")
    assert len(result.codes) == 3
    where = [line["event"].split(": ")[0].rpartition(":")[2] for line in result.logs if "result" in line]
    assert where == ["2", "3", "4"]
    assert "files" in result.err
    assert "timeout" in result.err


def test_78_a_kind_that_this_version_has_not(gate):
    result = gate("--", *SERVER, manifest="fleet: {etcd: ['http://etcd:2379'], group: a, nodes: 2}")

    assert (result.rc, result.codes, result.out) == (78, ["manifest-unsupported"], "")


def test_78_a_named_manifest_that_is_not_there(gate, tmp_path):
    result = gate("-m", str(tmp_path / "nope.yaml"), "--", *SERVER)

    assert (result.rc, result.codes) == (78, ["manifest-missing"])


def test_78_a_required_variable(gate):
    result = gate("--", *SERVER, manifest="env: {require: [HF_HOME_OF_TEST]}")

    assert (result.rc, result.codes) == (78, ["env-missing"])


def test_126_a_command_that_is_no_program(gate, tmp_path):
    (tmp_path / "serve").write_text("echo\n")

    result = gate("--", str(tmp_path / "serve"))

    assert (result.rc, result.codes) == (126, ["launch-not-executable"])


def test_126_and_127_also_without_the_implied_check(gate, tmp_path):
    """What exec itself says is mapped the same way."""
    (tmp_path / "serve").write_text("echo\n")

    assert gate("--no-implied", "--", str(tmp_path / "serve")).rc == 126
    assert gate("--no-implied", "--", str(tmp_path / "none")).rc == 127


def test_127_a_command_that_is_not_there(gate):
    result = gate("--", "pyhton3", "serve.py")

    assert (result.rc, result.codes) == (127, ["launch-not-found"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_128_plus_n_a_signal_while_the_gate_is_open(gate, number):
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


def test_with_several_failures_the_first_row_of_the_table_decides(gate, tmp_path):
    """66 and 75 and 78: the author's mistake comes first, and all three are told in the one run."""
    manifest = f"""
files: [{{path: {tmp_path}/none}}]
disk: [{{path: {tmp_path}, free: 900TiB}}]
env: {{require: [NOT_SET_HERE]}}
"""
    result = gate("--", *SERVER, manifest=manifest)

    assert result.rc == 78
    assert result.codes == ["env-missing", "path-missing", "disk-full"]


def test_level_warn_never_stops(gate, tmp_path):
    result = gate("--", *SERVER, manifest=f"files: [{{path: {tmp_path}/none, level: warn}}]")

    assert (result.rc, result.out, result.codes) == (0, "the server runs\n", ["path-missing"])


@contextlib.contextmanager
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def child_of(process: "subprocess.Popen[str]") -> int:
    """A child of the gate that has taken its own session, so that it is past its beginnings."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, IndexError, ValueError):
            pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
            if os.getsid(pid) == pid and b"null" in os.readlink(f"/proc/{pid}/fd/0").encode():
                # The child that reads the manifest comes first: take one that stays.
                time.sleep(0.3)
                if os.path.exists(f"/proc/{pid}") and state_of(pid) != "Z":
                    return pid
        time.sleep(0.02)
    raise AssertionError("the gate made no child")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def open_parents(path: Path) -> None:
    """pytest's own folders are 0700: let others through to the test's."""
    for parent in path.parents:
        if parent == Path("/tmp") or parent == Path("/"):
            break
        parent.chmod(parent.stat().st_mode | 0o011)
