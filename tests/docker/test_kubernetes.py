"""docker/kubernetes/: what the YAML says is what modelgate and the images understand; kubectl is not needed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker_harness import REPO, Engine

FOLDER = REPO / "docker/kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def pod(document: Any) -> Any:
    """The pod spec of a Pod or a Deployment, None for anything else."""
    spec = document.get("spec", {})
    return spec.get("template", {}).get("spec") or (spec if "containers" in spec else None)


PODS = [(file.name, found) for file in FILES for d in documents(file.name) if (found := pod(d)) is not None]


def test_every_file_holds_a_pod() -> None:
    assert [name for name, _ in PODS] == [file.name for file in FILES]


@pytest.mark.parametrize(("name", "spec"), PODS)
def test_every_probe_is_one_the_command_line_knows(name: str, spec: Any, tmp_path: Path) -> None:
    """Without a gate the answer is 1; 64 would be a wrong command."""
    program = Path(sys.executable).with_name("modelgate")
    probes = [c[key]["exec"]["command"] for c in spec["containers"] for key in c if key.endswith("Probe")]

    assert probes
    for words in probes:
        assert words[0].endswith("modelgate")
        env = {"MODELGATE_STATE_DIR": str(tmp_path)}
        done = subprocess.run([program, *words[1:]], env=env, capture_output=True, check=False)
        assert done.returncode == 1, done.stderr


@pytest.mark.parametrize(("name", "spec"), PODS)
def test_every_mount_has_its_volume(name: str, spec: Any) -> None:
    volumes = {volume["name"] for volume in spec["volumes"]}
    mounts = {m["name"] for c in [*spec["containers"], *spec.get("initContainers", [])] for m in c["volumeMounts"]}

    assert mounts == volumes


def test_the_service_finds_the_pods_of_the_deployment() -> None:
    deployment, service = documents("demo.yaml")

    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    port = deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
    assert service["spec"]["ports"][0]["targetPort"] == port


def test_the_manifest_in_the_config_map_is_valid(tmp_path: Path) -> None:
    config_map, _ = documents("init-container.yaml")
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(config_map["data"]["manifest.yaml"])
    program = Path(sys.executable).with_name("modelgate")
    done = subprocess.run([program, "manifest", "lint", manifest], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def volumes(spec: Any, container: Any, real: dict[str, Path]) -> list[str]:
    words = []
    for mount in container["volumeMounts"]:
        mode = ":ro" if mount.get("readOnly") else ""
        words += ["-v", f"{real[mount['name']]}:{mount['mountPath']}{mode}"]
    return [*words, "--user", f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}"]


@pytest.mark.docker
@pytest.mark.root
def test_the_init_container_pod_runs_as_written(engine: Engine, base: str, gate_image: str, tmp_path: Path) -> None:
    """The pod of the file, one `docker run` for each container, its volumes as directories of the runtime user."""
    config_map, _ = documents("init-container.yaml")
    ((_, spec),) = [p for p in PODS if p[0] == "init-container.yaml"]
    real = {volume["name"]: tmp_path / volume["name"] for volume in spec["volumes"]}
    tmp_path.chmod(0o755)
    for folder in real.values():
        folder.mkdir()
        os.chown(folder, 1001, 1001)
    (real["manifest"] / "manifest.yaml").write_text(config_map["data"]["manifest.yaml"])
    (init,), (server,) = spec["initContainers"], spec["containers"]

    with engine.container(*volumes(spec, init, real), gate_image, *init["args"]) as box:
        assert box.wait() == 0, box.log
    with engine.container(*volumes(spec, server, real), base, *server["command"], *server["args"]) as box:
        for _ in range(300):
            if box.exec(*server["startupProbe"]["exec"]["command"]).returncode == 0:
                break
            if box.inspect("{{.State.Running}}") != "true":
                pytest.fail(box.log)
        assert box.exec(*server["readinessProbe"]["exec"]["command"]).returncode == 0


@pytest.mark.docker
@pytest.mark.root
def test_the_demo_pod_runs_as_written(engine: Engine, demo_image: str) -> None:
    """Its security context as options of `docker run`."""
    ((_, spec),) = [p for p in PODS if p[0] == "demo.yaml"]
    (server,) = spec["containers"]
    context, who = server["securityContext"], spec["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    options = ["--user", f"{who['runAsUser']}:{who['runAsGroup']}", "--group-add", str(who["fsGroup"]), "--read-only",
               "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--memory", "1g",
               *[w for m in server["volumeMounts"] for w in ("--tmpfs", m["mountPath"])]]  # fmt: skip

    with engine.container(*options, demo_image) as box:
        box.until_ready()
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert box.exec(*server[probe]["exec"]["command"]).returncode == 0
