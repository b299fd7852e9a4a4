"""The commands around the gate: check, explain, manifest, facts, judge; options and their variables."""

import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from gate_kit import Gate

SERVER = [sys.executable, "-c", "print('the server runs')"]


def test_check_does_not_start_the_server(gate: Gate) -> None:
    result = gate("check", "--", *SERVER)

    assert result.rc == 0
    assert "the server runs" not in result.out


def test_check_prints_the_report_as_json_also_for_a_bad_manifest(gate: Gate) -> None:
    result = gate("check", "--format", "json", manifest="fils: []")

    assert result.rc == 78
    assert result.report["schema"] == 1
    assert result.report["verdict"] == "fail"
    assert result.report["exit_code"] == 78
    (finding,) = result.report["findings"]
    assert finding["code"] == "manifest-invalid"
    assert finding["line"] == 1
    assert finding["fixes"]


def test_check_lists_what_held_when_asked(gate: Gate, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.touch()
    manifest = f"files: [{{path: {held}}}]"

    assert "files[0]" not in gate("check", manifest=manifest).out
    assert "files[0]" in gate("check", "-v", manifest=manifest).out


def test_check_prints_junit(gate: Gate, tmp_path: Path) -> None:
    result = gate("check", "--format", "junit", manifest=f"files: [{{path: {tmp_path}/none}}, {{path: {tmp_path}}}]")

    root = ET.fromstring(result.out)
    assert result.rc == 66
    assert len(root.findall(".//failure")) == 1
    assert len(root.findall(".//testcase")) >= 2


def test_check_without_a_command_checks_what_the_manifest_names(gate: Gate, tmp_path: Path) -> None:
    assert gate("check", manifest=f"files: [{{path: {tmp_path}}}]").rc == 0


def test_a_passing_report_has_what_the_contract_promises(gate: Gate, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = gate("--report", str(report), "--", *SERVER, manifest=f"files: [{{path: {tmp_path}}}]")

    body = json.loads(report.read_text())
    assert result.rc == 0
    assert {"schema", "verdict", "exit_code", "findings", "stages"} <= set(body)
    assert [s["name"] for s in body["stages"]] == ["look"]
    fields = {"code", "level", "subject", "observed", "why", "fixes", "check", "line", "implied_by", "seconds"}
    assert all(fields <= set(f) for f in body["findings"])
    by_check = {f["check"]: f for f in body["findings"]}
    assert by_check["files[0]"]["line"] == 1
    assert by_check["files[0]"]["implied_by"] is None
    assert by_check["command"]["line"] is None
    assert by_check["command"]["implied_by"]


def test_the_termination_message_names_cause_and_fix(gate: Gate, tmp_path: Path) -> None:
    message = tmp_path / "termination-log"
    env = {"MODELGATE_TERMINATION_LOG": str(message)}

    result = gate("--", *SERVER, manifest="env: {require: [MODEL_DIR]}", env=env)

    text = message.read_text()
    assert result.rc == 78
    assert len(text.encode()) <= 4096
    assert "env-missing" in text
    assert "MODEL_DIR" in text


def test_an_option_has_its_variable_and_the_command_line_wins(gate: Gate, tmp_path: Path) -> None:
    good = gate.write("version: 1")
    env = {"MODELGATE_MANIFEST": str(tmp_path / "none.yaml")}

    assert gate("--", *SERVER, env=env).rc == 78
    assert gate("-m", good, "--", *SERVER, env=env).rc == 0


def test_an_unknown_variable_only_warns_and_a_service_link_does_not_even_that(gate: Gate) -> None:
    env = {"MODELGATE_TIMEUOT": "5m", "MODELGATE_PORT": "tcp://10.0.0.1:80", "MODELGATE_SERVICE_HOST": "10.0.0.1"}

    result = gate("--", *SERVER, env=env)

    assert result.rc == 0
    assert "MODELGATE_TIMEUOT" in result.err
    assert "MODELGATE_PORT" not in result.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["serve.py"],
        ["--timeout", "5", "--", "true"],
        ["--timeout", "0s", "--", "true"],
        ["-m", "m.yaml", "--report", "m.yaml", "--", "true"],
        ["--format", "xml", "--", "true"],
        ["--grace", "5s", "--", "true"],
        ["explain"],
        ["explain", "path-blokced"],
        ["manifest"],
        ["manifest", "lint"],
        ["judge", "/no/such/file"],
        ["--run-as", "nobody", "--", "true"],
        ["--wait-for", "ftp://x", "--", "true"],
    ],
)
def test_wrong_usage_is_64_with_one_clear_line(gate: Gate, words: list[str]) -> None:
    result = gate(*words)

    assert result.rc == 64, result.err
    assert result.err.startswith("modelgate: ")
    assert "Traceback" not in result.err


def test_what_is_not_built_is_refused(gate: Gate, tmp_path: Path) -> None:
    for words in (["--model", str(tmp_path)], ["--mode", "supervise"], ["--cache", str(tmp_path)]):
        result = gate(*words, "--", *SERVER)
        assert (result.rc, result.codes) == (78, ["manifest-unsupported"]), words


def test_explain_a_code_and_a_path(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("x")

    page = gate("explain", "path-blocked")
    walk = gate("explain", str(tmp_path / "weights"))

    assert page.rc == 0
    assert "77" in page.out
    assert walk.rc == 0
    assert str(tmp_path) in walk.out


def test_the_json_schema_is_one_and_knows_every_kind(gate: Gate) -> None:
    schema = json.loads(gate("manifest", "schema").out)

    text = json.dumps(schema)
    for key in ("files", "devices", "env", "disk", "ports", "wait_for", "launch"):
        assert f'"{key}"' in text


def test_manifest_show_hides_secrets(gate: Gate) -> None:
    manifest = 'wait_for: [{http: "http://127.0.0.1:1/", headers: {Authorization: "Bearer ${DB_TOKEN}"}}]'

    result = gate("manifest", "show", "-m", gate.write(manifest), env={"DB_TOKEN": "geheimnis-4711"})

    assert result.rc == 0, result.err
    assert "geheimnis-4711" not in result.out + result.err
    assert "wait_for" in result.out


def test_manifest_lint(gate: Gate) -> None:
    good, bad = gate.write("version: 1"), gate.write("version: 2\nx: 1")

    assert gate("manifest", "lint", good).rc == 0
    result = gate("manifest", "lint", bad)
    assert result.rc == 78
    assert f"{bad}:2" in result.out


def test_facts_are_replayed_to_the_same_verdict(gate: Gate, tmp_path: Path) -> None:
    """What was seen on one machine can be judged on another."""
    manifest = f"files: [{{path: {tmp_path}/none}}, {{path: {tmp_path}, access: rwx}}]\nports: [1, 65000]"
    recording = tmp_path / "facts.json"
    dumped = gate("facts", manifest=manifest)
    recording.write_text(dumped.out)

    live = gate("check", "--format", "json", manifest=manifest)
    again = gate("judge", "--format", "json", str(recording))

    assert dumped.rc == 0, dumped.err
    assert again.rc == live.rc == 66
    assert [f["code"] for f in again.report["findings"]] == [f["code"] for f in live.report["findings"]]


def test_no_secret_in_any_output(gate: Gate, tmp_path: Path) -> None:
    """URL passwords, header values and secret-looking variables, in log, report and termination message."""
    secret = "s3cr3t-Pa55/word"
    report, message = tmp_path / "report.json", tmp_path / "message"
    manifest = """
wait_for:
  - http: "http://user:${DB_QUOTED_PASSWORD}@127.0.0.1:1/health?token=${DB_PASSWORD}"
    headers: {Authorization: "Bearer ${DB_PASSWORD}"}
    timeout: 300ms
files: [{path: "/nonexistent/${DB_PASSWORD}", level: warn}]
"""
    quoted = urllib.parse.quote(secret, safe="")
    env = {"DB_PASSWORD": secret, "DB_QUOTED_PASSWORD": quoted, "MODELGATE_TERMINATION_LOG": str(message)}
    results = [
        gate("-v", "--report", str(report), "--", *SERVER, secret, manifest=manifest, env=env),
        gate("check", "--format", "json", manifest=manifest, env=env),
        gate("check", "--format", "junit", manifest=manifest, env=env),
        gate("check", manifest=manifest, env=env),
        gate("facts", manifest=manifest, env=env),
        gate("-v", "--log-format", "console", "--", *SERVER, manifest=manifest, env=env),
    ]

    assert results[0].rc == 69, results[0].err
    texts = [r.out + r.err for r in results] + [report.read_text(), message.read_text()]
    assert [t for t in texts if secret in t or "Pa55" in t] == []
    state = "".join(p.read_text() for p in gate.state.rglob("*") if p.is_file())
    assert "Pa55" not in state


def test_a_password_that_is_not_percent_encoded_is_told_and_not_shown(gate: Gate) -> None:
    manifest = 'wait_for: [{http: "http://user:${DB_PASSWORD}@127.0.0.1/"}]'

    result = gate("check", "--format", "json", manifest=manifest, env={"DB_PASSWORD": "begin/middle-end"})

    assert result.rc == 78
    assert "percent-encoded" in result.out
    assert "begin" not in result.out + result.err


def test_help_names_every_command(gate: Gate) -> None:
    result = gate("--help")

    assert result.rc == 0
    for word in ("check", "probe", "explain", "manifest", "install", "facts", "judge"):
        assert word in result.out


def test_check_with_nobody_reading_keeps_its_exit_code(gate: Gate, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = gate.start("check", manifest=f"files: [{{path: {tmp_path}/none}}]", stdout=write)
    os.close(write)
    process.communicate(timeout=30)

    assert process.returncode == 66
