"""The command line of `modelgate probe`: usage, output, what it costs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from probe_kit import answers, probe, serving

from modelgate.probe import where
from modelgate.state import State


@pytest.mark.parametrize(
    "args",
    [["alive"], ["live", "ready"], ["--what"], ["--timeout"], ["--timeout", "1"], ["--timeout=0s"], ["--format=xml"]],
)
def test_wrong_usage_is_64_and_shows_how(args: list[str]) -> None:
    done = probe(*args)

    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("modelgate probe: ")
    assert "usage: modelgate probe" in done.stderr


def test_help_is_0() -> None:
    done = probe("--help")

    assert done.returncode == 0
    assert done.stdout.startswith("usage: modelgate probe [startup|ready|live]")


def test_the_timeout_is_the_users(state: State, folder: Path) -> None:
    with serving(lambda _: time.sleep(1.5)) as port:
        state.write(phase="started", health=f"http://127.0.0.1:{port}/")
        code, line = answers("ready", "--timeout", "100ms", state_dir=folder)

    assert code == 1
    assert f"no answer from 127.0.0.1:{port} within 1" in line


def test_control_characters_of_the_state_do_not_reach_the_terminal(state: State, folder: Path) -> None:
    state.write(stage="look", waiting_for="a\x1b[31m\nb")

    assert answers("live", state_dir=folder) == (0, "live: in the gate, stage look: a\\x1b[31m\\nb")


def test_nobody_listening_does_not_change_the_answer(state: State, folder: Path) -> None:
    state.write(stage="look")
    argv = [sys.executable, "-I", "-m", "modelgate", "probe", "live", "--state-dir", str(folder)]

    assert subprocess.run(argv, env={}, preexec_fn=lambda: os.closerange(0, 3), check=False).returncode == 0


def test_it_imports_nothing_heavy(state: State, folder: Path) -> None:
    """Twice a bare interpreter is the budget; any of these alone would break it."""
    state.write(phase="started", health="http://127.0.0.1:1/")
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom modelgate.probe.answer import main\n"
        f"main(['ready', '--state-dir', {str(folder)!r}])\nprint(*sorted(set(sys.modules) - before))"
    )
    argv = [sys.executable, "-I", "-S", "-c", _WITH_PATH + code]
    done = subprocess.run(argv, env={}, capture_output=True, text=True, check=False)

    loaded = set(done.stdout.splitlines()[-1].split())
    assert "modelgate.probe.ask" in loaded, done.stderr
    assert (
        loaded & {"re", "enum", "json", "socket", "ssl", "typing", "collections", "msgspec", "signal", "http"} == set()
    )


_WITH_PATH = f"import sys; sys.path.append({str(Path(where.__file__).parents[2])!r})\n"
