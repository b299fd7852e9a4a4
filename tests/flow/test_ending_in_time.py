"""Ends that must not be late, and what is still said then."""

import json
import signal
import time
from pathlib import Path

import pytest
from flow_kit import SERVER, child_of, free_port, full_pipe
from gate_kit import Gate


def test_a_usage_error_reaches_the_termination_message(gate: Gate, tmp_path: Path) -> None:
    message = tmp_path / "message"

    result = gate("--grace", "5s", "--", *SERVER, env={"MODELGATE_TERMINATION_LOG": str(message)})

    assert result.rc == 64
    assert "--grace needs --mode supervise" in message.read_text()


def test_a_bound_that_has_passed_already_is_noticed_at_once(gate: Gate) -> None:
    result = gate("--timeout", "1ms", "--", *SERVER, manifest=f"ports: [{free_port()}]")

    assert (result.rc, result.out, result.codes) == (75, "", ["gate-timeout"])


def test_a_signal_that_the_starter_had_blocked_ends_the_gate_too(gate: Gate) -> None:
    """And the server gets the mask as it came."""
    manifest = f"wait_for: [{{tcp: '127.0.0.1:{free_port()}'}}]"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        process = gate.start("--", *SERVER, manifest=manifest)
        masked = gate("--", "grep", "SigBlk", "/proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    child_of(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM
    assert int(masked.out.split()[1], 16) == 1 << (signal.SIGTERM - 1)


def test_term_with_nobody_reading_stderr(gate: Gate) -> None:
    manifest = f"wait_for: [{{tcp: '127.0.0.1:{free_port()}'}}]"
    with full_pipe() as stderr:
        process = gate.start("--", *SERVER, manifest=manifest, stderr=stderr)
        child_of(process)
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - sent < 3  # a second, and the noise of a busy machine


def test_facts_holds_every_observation_also_behind_a_failure(gate: Gate, tmp_path: Path) -> None:
    manifest = f"files: [{{path: {tmp_path}/none}}]\nwait_for: [{{tcp: '127.0.0.1:{free_port()}', timeout: 200ms}}]"

    result = gate("facts", manifest=manifest)

    assert result.rc == 0
    assert [row["check"] for row in json.loads(result.out)["rows"]] == ["files[0]", "wait_for[0]"]


@pytest.mark.parametrize("manifest", ["fils: []", "run_as: 5:x"])
def test_explain_answers_in_spite_of_a_bad_manifest(gate: Gate, tmp_path: Path, manifest: str) -> None:
    result = gate("explain", str(tmp_path), manifest=manifest)

    assert result.rc == 0
    assert str(tmp_path) in result.out
    assert "manifest" in result.err


def test_a_password_before_a_host_is_not_repeated(gate: Gate) -> None:
    result = gate("--wait-for", "tcp://user:pass-4711@127.0.0.1:1", "--", *SERVER)

    assert result.rc == 64
    assert "pass-4711" not in result.err
