"""What the server is started with: identity, environment, words; and what around it is left alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from flow_kit import SERVER
from gate_kit import Gate


@pytest.mark.root
def test_the_runtime_identity_looks_and_the_server_gets_it(gate: Gate, tmp_path: Path) -> None:
    """fsGroup (an inherited group) stays; root's own group goes."""
    script = "grep -E '^(Uid|Gid|Groups):' /proc/self/status"
    process = subprocess.run(
        ["setpriv", "--groups", "0,2000", gate.program, "--run-as", "1001:1002", "--", "sh", "-c", script],
        env=gate.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split() for line in process.stdout.splitlines()]

    expected = [["Uid:", *["1001"] * 4], ["Gid:", *["1002"] * 4], ["Groups:", "2000"]]
    assert rows == expected, process.stderr


@pytest.mark.root
def test_an_identity_that_cannot_be_taken_is_one_finding(gate: Gate, tmp_path: Path) -> None:
    process = subprocess.run(
        [
            "setpriv",
            "--bounding-set",
            "-setuid,-setgid",
            "--inh-caps",
            "-all",
            "sh",
            "-c",
            'exec "$@"',
            "sh",
            *gate.argv(["--run-as", "1001:1002", "--", *SERVER], f"files: [{{path: {tmp_path}}}]\nports: [65001]"),
        ],
        env=gate.environ(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 77, process.stderr
    assert process.stderr.count('"result":"fail"') == 1
    assert "CAP_SET" in process.stderr


def test_pythons_own_variables_reach_the_server_and_not_the_gate(gate: Gate, tmp_path: Path) -> None:
    """An evil sitecustomize and a json.py beside the server's code belong to the server alone."""
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "sitecustomize.py").write_text("import os; os.environ['EVIL'] = '1'")
    (evil / "yaml.py").write_text("raise SystemExit(99)")
    code = "import os; print(os.environ['PYTHONPATH'], os.environ.get('EVIL'), 'LC_CTYPE' in os.environ)"
    env = {"PYTHONPATH": str(evil), "LC_ALL": "C"}

    result = gate("--", sys.executable, "-c", code, manifest="version: 1", env=env, cwd=evil)

    assert result.rc == 0, result.err
    assert result.out == f"{evil} 1 False\n"


def test_env_set_reaches_the_server(gate: Gate) -> None:
    manifest = 'env: {set: {CCL_ATL_TRANSPORT: ofi, N: "3"}}'

    result = gate("--", "sh", "-c", "echo $CCL_ATL_TRANSPORT $N", manifest=manifest)

    assert result.out == "ofi 3\n"


def test_a_profile_adds_its_words_and_variables(gate: Gate) -> None:
    manifest = "launch: {profiles: [{name: cpu, args: [--device, cpu], env: {DEVICE: cpu}}]}"

    result = gate("--", "sh", "-c", 'echo "$DEVICE $@"', "sh", manifest=manifest)

    assert result.out == "cpu --device cpu\n"


def test_what_the_background_of_a_shell_does_is_not_ours(gate: Gate, tmp_path: Path) -> None:
    """`sh -c 'job & exec modelgate …'`: the job lives on."""
    marker = tmp_path / "done"
    script = f"(sleep 2; echo x > {marker}) & exec {gate.program} -- sleep 3"
    result = subprocess.run(["sh", "-c", script], env=gate.environ(), capture_output=True, check=False, timeout=60)

    assert result.returncode == 0
    assert Path(marker).exists()
