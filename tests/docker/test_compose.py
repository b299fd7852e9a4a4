"""docker/compose.yaml: its health check turns healthy, with the networking of a machine that has none."""

import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
import yaml
from docker_harness import REPO, Engine, command, until

COMPOSE = REPO / "docker/compose.yaml"


def compose_command(engine: Engine) -> list[str]:
    """The plugin where there is one, else Debian's docker-compose."""
    plugin = subprocess.run([engine.client, "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return [engine.client, "compose"]
    found = shutil.which("docker-compose")
    if found is None:
        pytest.skip("no docker compose here: apt-get install docker-compose")
    return [found]


@pytest.mark.docker
@pytest.mark.root
def test_compose_brings_up_a_healthy_server(engine: Engine, demo_image: str, tmp_path: Path) -> None:
    name = f"mg{uuid.uuid4().hex[:8]}"
    override = tmp_path / "override.yaml"
    override.write_text(
        yaml.safe_dump({"services": {"embedder": {"image": demo_image, "network_mode": "none"}}, "version": "2.4"})
    )
    first = tmp_path / "compose.yaml"
    # Nothing can be published without a network, and compose v1 wants both files of one version.
    content = yaml.safe_load(COMPOSE.read_text()) | {"version": "2.4"}
    assert content["services"]["embedder"].pop("ports") == ["8000:8000"]
    content["services"]["embedder"].pop("build")
    first.write_text(yaml.safe_dump(content))
    words = [*compose_command(engine), "-p", name, "-f", str(first), "-f", str(override)]
    env = {**engine.env, "HOME": os.environ.get("HOME", "/root")}
    try:
        command(*words, "up", "-d", "--no-build", env=env)
        box = command(*words, "ps", "-q", env=env).stdout.strip()

        def healthy() -> bool:
            return bool(engine("inspect", "--format", "{{.State.Health.Status}}", box).stdout.strip() == "healthy")

        until(healthy, "compose's health check says healthy")
        assert engine("exec", box, "modelgate", "probe", "live").returncode == 0
    finally:
        command(*words, "down", "-v", "-t", "5", env=env, check=False)


@pytest.mark.docker
@pytest.mark.root
def test_the_file_as_it_is_satisfies_compose(engine: Engine) -> None:
    words = compose_command(engine)

    assert "modelgate" in command(*words, "-f", COMPOSE, "config", env=engine.env).stdout


def test_it_builds_what_is_there() -> None:
    service = yaml.safe_load(COMPOSE.read_text())["services"]["embedder"]

    assert (COMPOSE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert service["healthcheck"]["test"] == ["CMD", "modelgate", "probe"]
