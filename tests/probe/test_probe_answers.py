"""What startup, ready and live mean, from the state of the gate to the server's health."""

import json
import os
import socket
from pathlib import Path

from probe_kit import OK, answers, probe, saying, serving

from modelgate.probe import where
from modelgate.probe.answer import STILL, judge
from modelgate.state import State


def test_while_the_gate_is_open_it_lives_and_is_not_ready(state: State, folder: Path) -> None:
    state.write(stage="prove", waiting_for="/models/x", done=3 << 30, total=4 << 30, eta=42.0)
    line = "in the gate, stage prove: /models/x, 3.0 GiB of 4.0 GiB, about 42 s left"

    assert answers("live", state_dir=folder) == (0, f"live: {line}")
    assert answers("ready", state_dir=folder) == (1, f"not ready: {line}")
    assert answers("startup", state_dir=folder) == (1, f"not started: {line}")


def test_without_a_word_the_question_is_ready(state: State, folder: Path) -> None:
    state.write(stage="look")

    assert answers(state_dir=folder) == (1, "not ready: in the gate, stage look")


def test_a_gate_that_stands_still_does_not_live(state: State) -> None:
    state.write(stage="look")
    told = where.decode(Path(state.path).read_bytes())
    assert told is not None

    assert judge("live", told, 1, now=told["updated"] + STILL - 1)[0]
    assert judge("live", told, 1, now=told["updated"] + STILL + 1) == (
        False,
        f"in the gate, stage look; it has not moved for {STILL + 1:.0f} s",
    )


def test_a_failed_gate_says_its_verdict(state: State, folder: Path) -> None:
    state.write(phase="failed", exit_code=77, message="/models/x: open: EACCES")

    for word in ("live", "ready", "startup"):
        code, line = answers(word, state_dir=folder)
        assert (code, line.partition(": ")[2]) == (1, "the gate ended with exit code 77: /models/x: open: EACCES")


def test_a_server_without_a_health_url_lives_but_nothing_can_say_that_it_is_ready(state: State, folder: Path) -> None:
    state.write(phase="started")

    assert answers("live", state_dir=folder)[0] == 0
    for word in ("ready", "startup"):
        code, line = answers(word, state_dir=folder)
        assert code == 1
        assert "set launch.health in the manifest" in line


def test_the_running_server_is_asked(state: State, folder: Path) -> None:
    answer = [OK]

    def handler(connection: socket.socket) -> None:
        saying(answer[0])(connection)

    with serving(handler) as port:
        state.write(phase="started", health=f"http://127.0.0.1:{port}/health")
        for word, says in (("live", "live"), ("ready", "ready"), ("startup", "started")):
            code, line = answers(word, state_dir=folder)
            assert code == 0
            assert line.startswith(f"{says}: HTTP 200 after ")
        answer[0] = b"HTTP/1.1 503 Loading\r\n\r\n"
        for word in ("live", "ready", "startup"):
            code, line = answers(word, state_dir=folder)
            assert (code, " HTTP 503 after " in line) == (1, True)


def test_it_has_no_memory(state: State, folder: Path) -> None:
    """Ready once does not mean ready now."""
    with serving(saying(OK)) as port:
        state.write(phase="started", health=f"http://127.0.0.1:{port}/")
        assert answers(state_dir=folder)[0] == 0

    code, line = answers(state_dir=folder)
    assert code == 1
    assert f"connecting to 127.0.0.1:{port}: Connection refused (ECONNREFUSED)" in line


def test_json_says_the_same(state: State, folder: Path) -> None:
    state.write(stage="look", waiting_for="x")
    done = probe("live", "--format", "json", state_dir=folder)

    assert json.loads(done.stdout) == {
        "probe": "live",
        "yes": True,
        "message": "in the gate, stage look: x",
        "phase": "gate",
        "stage": "look",
        "pid": os.getpid(),
    }
