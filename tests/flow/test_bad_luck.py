"""The gate where things go wrong at the worst moment: nobody reads, the identity is refused, modelgate has a fault."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from flow_kit import SERVER
from gate_kit import Gate

DEAF = Path(__file__).parent.parent / "isolation" / "deaf_fuse.py"


def run(gate: Gate, *argv: str, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        argv, env=gate.environ(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.root
@pytest.mark.parametrize("implied", [[], ["--no-implied"]])
def test_an_identity_that_cannot_be_taken_stops_the_gate_whatever_the_level_of_an_entry(
    gate: Gate, tmp_path: Path, implied: list[str]
) -> None:
    """The server could not be started either: an exit of 0 without a server would look like success."""
    words = ["--run-as", "1001:1002", *implied, "--", *SERVER]
    argv = gate.argv(words, f"files: [{{path: {tmp_path}, level: warn}}]")
    drop = ["setpriv", "--bounding-set", "-setuid,-setgid", "--inh-caps", "-all", "sh", "-c", 'exec "$@"', "sh"]

    code, out, err = run(gate, *drop, *argv)

    assert (code, out) == (77, ""), err
    assert err.count('"result":"fail"') == 1


@pytest.mark.root
def test_a_start_that_fails_after_the_identity_was_taken_still_leaves_its_message(gate: Gate) -> None:
    """The kubelet makes its file writable for everybody."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own lets nobody else pass
        os.chmod(folder, 0o755)
        message = Path(folder) / "message"
        message.touch()
        message.chmod(0o666)
        env = {"MODELGATE_TERMINATION_LOG": str(message)}

        result = gate("--no-implied", "--run-as", "1001:1002", "--", "/no/such/server", env=env)

        assert result.rc == 127
        assert "launch-not-found" in message.read_text()


@pytest.mark.parametrize("command", [["check", "--format", "json"], ["facts"]])
def test_term_ends_a_command_whose_output_nobody_takes(gate: Gate, tmp_path: Path, command: list[str]) -> None:
    rows = "\n".join(f"  - path: {tmp_path}/{'x' * 150}/none-{n}" for n in range(200))
    read, write = os.pipe()
    process = gate.start(*command, manifest=f"files:\n{rows}", stdout=write, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not _waits_to_write(process.pid):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 143
    finally:
        os.close(read)


def _waits_to_write(pid: int) -> bool:
    return (
        "pipe_write" in Path(f"/proc/{pid}/wchan").read_text() or "pipe_wait" in Path(f"/proc/{pid}/wchan").read_text()
    )


@pytest.mark.root
def test_term_ends_the_gate_soon_though_its_report_lies_on_a_mount_that_never_answers(
    gate: Gate, tmp_path: Path
) -> None:
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse here")
    where = tmp_path / "deaf"
    where.mkdir()
    argv = gate.argv(["--wait-for", "unix:///nonexistent/socket", "--report", f"{where}/report", "--", *SERVER])
    script = f"""
    {sys.executable} {DEAF} {where} >{tmp_path}/ready & fuse=$!
    for n in $(seq 100); do grep -q ready {tmp_path}/ready && break; sleep 0.1; done
    "$@" & gate=$!
    sleep 2; kill -TERM $gate; sleep 0.1; kill -INT $gate
    wait $gate; code=$?
    kill $fuse
    exit $code
    """
    began = time.monotonic()

    code, _, err = run(gate, "unshare", "-m", "sh", "-c", script, "sh", *argv)

    if "ready" not in (tmp_path / "ready").read_text():
        pytest.skip("FUSE cannot be mounted here")
    assert code == 143, err
    assert "could not be written" in err
    assert time.monotonic() - began < 20, "30 s is what a network mount is given while the gate is open"


def test_the_state_of_a_gate_that_waits_shows_no_secret(gate: Gate) -> None:
    process = gate.start(
        "--",
        *SERVER,
        manifest='files: [{path: "/nonexistent/${DB_PASSWORD}", wait: 60s}]',
        env={"DB_PASSWORD": "geheim-4711"},
    )
    deadline = time.monotonic() + 30
    told = ""
    while time.monotonic() < deadline and "/nonexistent" not in told:
        time.sleep(0.1)
        told = "".join(p.read_text() for p in gate.state.rglob("*.json") if p.is_file())
    process.kill()

    assert json.loads(told)["waiting_for"] == "/nonexistent/***"
    assert "geheim" not in told


def test_what_never_stops_the_gate_does_not_stop_it_by_its_upper_bound_either(gate: Gate, tmp_path: Path) -> None:
    entry = f"path: {tmp_path}/none, wait: 60s"

    warned = gate("--timeout", "1s", "--", *SERVER, manifest=f"files: [{{{entry}, level: warn}}]")
    stopped = gate("--timeout", "1s", "--", *SERVER, manifest=f"files: [{{{entry}, level: warn}}, {{{entry}}}]")

    assert (warned.rc, warned.out, warned.codes) == (0, "the server runs\n", ["gate-timeout"]), warned.err
    assert (stopped.rc, stopped.out, stopped.codes) == (75, "", ["gate-timeout"]), stopped.err


def test_facts_of_a_bad_manifest_say_what_is_wrong(gate: Gate) -> None:
    result = gate("facts", manifest="fils: []")

    assert result.rc == 78
    assert result.codes == ["manifest-invalid"]


@pytest.mark.root
def test_a_usual_place_that_cannot_be_looked_at_is_told(gate: Gate) -> None:
    """A manifest that is there and is not seen must not look like none."""
    script = 'mount -t tmpfs none /etc && ln -s modelgate /etc/modelgate && cd / && USER=root exec "$@"'

    code, out, err = run(gate, "unshare", "-m", "sh", "-c", script, "sh", gate.program, "--", *SERVER)

    assert (code, out) == (0, "the server runs\n"), err
    (line,) = [json.loads(row) for row in err.splitlines() if '"result":"warn"' in row]
    assert line["code"] == "manifest-missing"
    assert "/etc/modelgate/manifest.yaml" in line["event"]


def test_a_fault_of_our_own_is_published_too(gate: Gate, tmp_path: Path) -> None:
    """An identity that only the command line refuses, handed in behind its back."""
    message, report = tmp_path / "message", tmp_path / "report.json"
    code = f"""
import sys
from modelgate.gate import gate
from modelgate.options import Options
from modelgate.start.inherited import capture
gate(Options(run_as="nobody", server=["true"], report={str(report)!r}), capture())
"""
    rc, _, err = run(gate, sys.executable, "-c", code, MODELGATE_TERMINATION_LOG=str(message))

    assert "ValueError" in err.splitlines()[-1], "the door gets to see it"
    assert rc == 1
    assert "check-lost" in message.read_text()
    assert json.loads(report.read_text())["exit_code"] == 70


def test_a_usage_error_repeats_no_secret_and_no_control_character(gate: Gate) -> None:
    typed = "tcp://db:\x1b[31mgeheim-4711"

    result = gate("--wait-for", typed, "--", *SERVER, env={"DB_PASSWORD": "geheim-4711"})

    assert result.rc == 64
    assert "geheim" not in result.err
    assert "\x1b" not in result.err
