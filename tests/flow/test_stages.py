"""The order of things: stages, what is cancelled, what is mended, who looks."""

import http.server
import json
import sys
import threading
import time
from pathlib import Path

from flow_kit import SERVER, full_pipe, until
from gate_kit import Gate


def test_a_wrong_path_is_told_before_any_wait_begins(gate: Gate, tmp_path: Path) -> None:
    began = time.monotonic()

    result = gate(
        "--",
        *SERVER,
        manifest=f"files: [{{path: {tmp_path}/none}}]\nwait_for: [{{tcp: '127.0.0.1:1', timeout: 60s}}]",
    )

    assert result.rc == 66
    assert time.monotonic() - began < 20
    assert result.codes == ["path-missing"]


def test_when_one_wait_has_failed_the_others_are_cancelled_and_listed(gate: Gate, tmp_path: Path) -> None:
    """After five seconds, not after five minutes."""
    report = tmp_path / "report.json"
    manifest = f"""
wait_for: [{{tcp: "127.0.0.1:1", timeout: 200ms}}]
files: [{{path: {tmp_path}/late, wait: 5m}}]
"""
    began = time.monotonic()
    result = gate("--report", str(report), "--", *SERVER, manifest=manifest)

    assert result.rc == 69
    assert 4 < time.monotonic() - began < 30
    assert [u["check"] for u in json.loads(report.read_text())["unfinished"]] == ["files[0]"]


def test_a_file_that_is_still_arriving_is_waited_for(gate: Gate, tmp_path: Path) -> None:
    late = tmp_path / "late"
    timer = threading.Timer(0.7, lambda: late.write_text("x"))
    timer.start()

    result = gate("--", *SERVER, manifest=f"files: [{{path: {late}, wait: 20s}}]")

    timer.join()
    assert (result.rc, result.out) == (0, "the server runs\n")


def test_a_dependency_that_becomes_ready_is_noticed(gate: Gate) -> None:
    class Health(http.server.BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self) -> None:
            Health.asked += 1
            self.send_response(200 if Health.asked > 3 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/readyz"
        result = gate("--wait-for", url, "--", *SERVER)
        server.shutdown()

    assert (result.rc, result.out) == (0, "the server runs\n")
    attempts = [line for line in result.logs if "attempt" in line]
    assert len(attempts) == 3
    assert all("503" in json.dumps(line) for line in attempts)


def test_a_dependency_with_a_deadline_never_starts_the_server(gate: Gate) -> None:
    result = gate("--", *SERVER, manifest="wait_for: [{dns: nothing.invalid, timeout: 300ms}]")

    assert (result.rc, result.out) == (69, "")
    assert result.codes == ["wait-dns"]


def test_many_entries_are_looked_at_and_all_are_told(gate: Gate, tmp_path: Path) -> None:
    rows = "\n".join(f"  - path: {tmp_path}/none-{n}" for n in range(60))

    result = gate("--", *SERVER, manifest=f"files:\n{rows}")

    assert result.rc == 66
    assert result.codes == ["path-missing"] * 60


def test_the_log_is_one_json_object_a_line_when_nobody_sits_there(gate: Gate, tmp_path: Path) -> None:
    result = gate("-v", "--", *SERVER, manifest=f"files: [{{path: {tmp_path}}}]")

    assert result.err.strip()
    for line in result.err.splitlines():
        record = json.loads(line)
        assert list(record)[:3] == ["timestamp", "level", "event"]


def test_a_full_stderr_pipe_does_not_hold_the_gate(gate: Gate, tmp_path: Path) -> None:
    """Nobody reads: the lines are lost, the server is started."""
    with full_pipe() as stderr:
        process = gate.start("--", *SERVER, stderr=stderr)
        out, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert out == "the server runs\n"


def test_the_probe_sees_the_gate_and_then_the_server(gate: Gate, tmp_path: Path) -> None:
    """live while the gate waits; ready when launch.health answers."""
    health = tmp_path / "health.sock"
    serve = (
        f"import socket,sys,time\ns=socket.socket(socket.AF_UNIX); s.bind({str(health)!r}); s.listen()\ntime.sleep(60)"
    )
    flag = tmp_path / "flag"
    process = gate.start(
        "--",
        sys.executable,
        "-c",
        serve,
        manifest=f"files: [{{path: {flag}, wait: 60s}}]\nlaunch: {{health: 'unix://{health}'}}",
    )
    try:
        assert until(lambda: gate("probe", "live").rc == 0)
        assert gate("probe", "ready").rc == 1
        assert gate("probe").rc == 1
        flag.write_text("x")
        assert until(lambda: gate("probe", "ready").rc == 0)
        assert gate("probe", "startup").rc == 0
        assert gate("probe", "live").rc == 0
    finally:
        process.kill()
    process.wait()
    assert gate("probe", "live").rc == 1, "the state of a dead gate is not believed"


def test_a_manifest_in_the_working_directory_is_believed_only_when_it_is_ours(gate: Gate, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir(mode=0o755)
    (folder / "modelgate.yaml").write_text("env: {require: [NOT_SET_HERE]}")

    (folder / "modelgate.yaml").chmod(0o644)
    believed = gate("--", *SERVER, cwd=folder)
    (folder / "modelgate.yaml").chmod(0o666)
    refused = gate("--", *SERVER, cwd=folder)

    assert believed.codes == ["env-missing"]
    assert refused.rc == 78
    assert refused.codes == ["manifest-invalid"]


def test_without_a_manifest_a_line_says_so(gate: Gate, tmp_path: Path) -> None:
    result = gate("--", *SERVER, cwd=tmp_path)

    assert result.rc == 0
    assert "no manifest" in result.err
