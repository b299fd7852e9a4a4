"""The gate as PID 1 of a real container: starts, refusals, signals, as users, runtimes and lock-downs have it."""

import json
import time
from pathlib import Path

import pytest
from docker_harness import Engine, until

pytestmark = [pytest.mark.docker, pytest.mark.root]

LOCKED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
EMBED = """
import json, urllib.request
def embed(*texts):
    body = json.dumps({"inputs": texts}).encode()
    with urllib.request.urlopen("http://127.0.0.1:8000/embed", body) as answer:
        return json.load(answer)["embeddings"]
a, b, c = embed("A cat sleeps on the sofa.", "A kitten naps on the couch.", "Income tax is due in May.")
print(json.dumps([sum(x * y for x, y in zip(a, v)) for v in (b, c)]))
"""


@pytest.mark.parametrize("options", [(), LOCKED, ("--user", "0:0", "-e", "MODELGATE_RUN_AS=1001:1001")])
def test_a_good_start_becomes_the_server(engine: Engine, demo_image: str, options: tuple[str, ...]) -> None:
    """Default; read-only without capabilities; as root that drops to 1001. The user has no passwd entry."""
    with engine.container(*options, demo_image) as box:
        box.until_ready()
        near, far = json.loads(box.exec("python", "-c", EMBED).stdout)
        pid_1 = box.exec("cat", "/proc/1/cmdline").stdout.split("\0")
        uids = [line for line in box.exec("cat", "/proc/1/status").stdout.splitlines() if line.startswith("Uid:")]

        assert near > 0.6
        assert far < 0.3
        assert pid_1[:2] == ["python", "serve.py"]
        assert uids[0].split()[1:] == ["1001"] * 4

        engine("stop", "-t", "30", box.name)
        assert box.wait() == 0  # the server's own end, not 137
        assert "serve.py: ended" in box.log


def test_the_images_healthcheck_turns_healthy(engine: Engine, demo_image: str) -> None:
    with engine.container(demo_image) as box:
        until(lambda: box.inspect("{{.State.Health.Status}}") == "healthy", "the container is healthy")


def test_a_blocked_parent_is_77_and_names_the_component(engine: Engine, demo_image: str, tmp_path: Path) -> None:
    """The weights are readable; the directory above them is root's alone. `kubectl describe` says so too."""
    private = tmp_path / "private"
    (private / "minilm").mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        (private / "minilm" / name).write_bytes(b"x")
    private.chmod(0o700)
    message = tmp_path / "termination-log"
    message.touch()
    message.chmod(0o666)
    mounts = ("-v", f"{private}:/models:ro", "-v", f"{message}:/dev/termination-log")
    with engine.container("--user", "1001:1001", *mounts, demo_image) as box:
        assert box.wait() == 77

        lines = [json.loads(line) for line in box.log.splitlines()]
        told = [line for line in lines if line.get("code") == "path-blocked"]
        assert told
        assert "/models" in json.dumps(told)
        assert "1001" in json.dumps(told)
        assert "serve.py: pid" not in box.log
        assert "path-blocked" in message.read_text()


@pytest.mark.parametrize("signal", ["TERM", "INT", "QUIT", "HUP"])
def test_a_signal_ends_the_waiting_gate_at_once(engine: Engine, gate_image: str, signal: str) -> None:
    """A kernel ignores signals to a PID 1 without a handler; the gate has one from the start."""
    numbers = {"TERM": 15, "INT": 2, "QUIT": 3, "HUP": 1}
    with engine.container(gate_image, "--wait-for", "tcp://127.0.0.1:9", "--", "sleep", "1000") as box:
        until(lambda: "127.0.0.1:9" in box.log, "the gate waits")
        started = time.monotonic()
        engine("kill", "--signal", signal, box.name)
        code = box.wait()

        assert code == 128 + numbers[signal]
        assert time.monotonic() - started < 10  # generous; Docker's own part of it is most of it


def test_docker_stop_during_the_gate_is_143_not_137(engine: Engine, gate_image: str) -> None:
    with engine.container(gate_image, "--wait-for", "tcp://127.0.0.1:9", "--", "sleep", "1000") as box:
        until(lambda: "127.0.0.1:9" in box.log, "the gate waits")
        engine("stop", "-t", "30", box.name)

        assert box.wait() == 143


def test_the_server_gets_the_signal_and_its_exit_code_is_the_containers(engine: Engine, gate_image: str) -> None:
    """No process of the gate is left between Docker and the server."""
    server = "echo up; trap 'exit 7' TERM; while :; do sleep 0.1; done"
    with engine.container(gate_image, "--", "/bin/sh", "-c", server) as box:
        until(lambda: "up" in box.log.splitlines(), "the server runs")
        processes = engine("top", box.name, "-o", "pid,args").stdout.splitlines()[1:]
        engine("stop", "-t", "30", box.name)

        assert [line for line in processes if "modelgate" in line] == []
        assert box.wait() == 7


def test_a_missing_command_is_127(engine: Engine, gate_image: str) -> None:
    with engine.container(gate_image, "--", "no-such-server") as box:
        assert box.wait() == 127
        assert "launch-not-found" in box.log


def test_the_servers_python_environment_stays_out_of_the_gate(engine: Engine, gate_image: str) -> None:
    """PYTHONHOME that no Python could start with, for a server that is no Python."""
    words = ("-e", "PYTHONHOME=/nowhere", "-e", "PYTHONPATH=/nowhere", gate_image, "--", "/usr/bin/env")
    with engine.container(*words) as box:
        assert box.wait() == 0
        assert {"PYTHONHOME=/nowhere", "PYTHONPATH=/nowhere"} <= set(box.log.splitlines())


def test_the_image_holds_nothing_but_the_venv(engine: Engine, gate_image: str) -> None:
    """pip stays behind, and the launcher does not hide the server's python."""
    with engine.container("--entrypoint", "sleep", gate_image, "1000") as box:
        names = set(box.exec("ls", "/opt/modelgate/bin").stdout.split())
        first = box.exec("head", "-n1", "/opt/modelgate/bin/modelgate").stdout
        path = box.exec("sh", "-c", "command -v modelgate; command -v python3").stdout.split()

        assert "modelgate" in names
        assert not any(name.startswith("pip") for name in names)
        assert first == "#!/opt/modelgate/bin/python3 -I\n"
        assert path == ["/usr/local/bin/modelgate", "/usr/bin/python3"]


NO_PYTHON = """\
FROM {gate} AS modelgate
RUN ["modelgate", "install", "/opt/gate"]
FROM {base}
RUN rm -rf /usr/bin/python* /usr/lib/python* /usr/local/lib/python*
COPY --from=modelgate /opt/gate /opt/gate
ENTRYPOINT ["/opt/gate/bin/modelgate", "--", "echo", "started"]
"""


def test_installed_it_runs_in_an_image_without_python(
    engine: Engine, base: str, gate_image: str, tmp_path: Path
) -> None:
    """The lines that docker/Dockerfile shows for this; as a user, and with a read-only root."""
    (tmp_path / "Dockerfile").write_text(NO_PYTHON.format(gate=gate_image, base=base))
    image = engine.build("modelgate-test/no-python", "Dockerfile", tmp_path)
    with engine.container(*LOCKED, "--user", "1001:1001", image) as box:
        assert box.wait() == 0, box.log
        assert "started" in box.log.splitlines()
    with engine.container("--entrypoint", "/bin/sh", image, "-c", "command -v python3") as box:
        assert box.wait() != 0  # there really is none
