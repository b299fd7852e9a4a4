"""README.md says what is: its tables are the code's, its commands run, its links lead somewhere."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelgate import exits
from modelgate.checks import KINDS

REPO = Path(__file__).parents[1]
README = (REPO / "README.md").read_text()
CODE = re.compile(r"`([a-z]+(?:-[a-z0-9]+)+)`")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(program: str) -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return [line for line in lines if line.split()[0] == program]


def test_every_command_line_is_one_that_is_tried_here() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]

    assert sorted(lines) == sorted(commands("make") + commands("modelgate"))


@pytest.mark.parametrize("kind", [kind.key for kind in KINDS])
def test_every_kind_has_its_row(kind: str) -> None:
    assert f"\n| `{kind}` | " in README


def test_the_exit_table_is_the_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \|$", README, re.MULTILINE)

    assert [(int(n), who, tuple(CODE.findall(codes))) for n, who, codes in rows] == list(exits.ROWS)


@pytest.mark.parametrize("line", commands("make"))
def test_make_knows_the_target(line: str) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    words = shlex.split(line, comments=True)

    assert subprocess.run([*words, "-n"], cwd=REPO, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("line", commands("modelgate"))
def test_the_command_ends_as_it_says(line: str, gate: Any, tmp_path: Path) -> None:
    said = re.search(r"# exit (\d+)$", line)
    assert said, line
    (tmp_path / "modelgate.yaml").write_text("version: 1\nfiles:\n  - {path: /etc/passwd, access: r}\n")
    result = gate(*shlex.split(line, comments=True)[1:], cwd=tmp_path)

    assert result.rc == int(said[1]), result.err


def test_the_manifest_shown_is_one(gate: Any, tmp_path: Path) -> None:
    (shown,) = [text for text in blocks("yaml") if text.startswith("version:")]
    (tmp_path / "shown.yaml").write_text(shown)
    result = gate("manifest", "lint", str(tmp_path / "shown.yaml"))

    assert result.rc == 0, result.err


def test_the_platform_snippets_are_those_of_the_files() -> None:
    """What is shown of compose and Kubernetes stands in the files that are tested with a real engine."""
    compose, probes = [yaml.safe_load(text) for text in blocks("yaml") if not text.startswith("version:")]
    real = yaml.safe_load((REPO / "docker/compose.yaml").read_text())["services"]["embedder"]
    deployment = next(yaml.safe_load_all((REPO / "docker/kubernetes/demo.yaml").read_text()))
    container = deployment["spec"]["template"]["spec"]["containers"][0]

    shown = compose["services"]["embedder"]
    assert shown.pop("image")
    assert shown.pop("healthcheck").items() <= real["healthcheck"].items()
    assert shown.items() <= real.items()
    for name, probe in probes.items():
        assert probe.items() <= container[name].items()


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)#]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert (REPO / target).exists()


@pytest.mark.docker
@pytest.mark.root
def test_the_smallest_dockerfile_builds_and_starts(engine: Any, base: str, gate_image: str, tmp_path: Path) -> None:
    (text,) = blocks("dockerfile")
    ours = text.replace("FROM modelgate AS", f"FROM {gate_image} AS").replace("FROM python:3.12-slim", f"FROM {base}")
    assert ours.count("modelgate-test/") == 2
    (tmp_path / "Dockerfile").write_text(ours)
    (tmp_path / "serve.py").write_text("print('serving')\n")
    image = engine.build("modelgate-test/smallest", "Dockerfile", tmp_path)
    with engine.container(image) as box:
        assert box.wait() == 0, box.log
        assert "serving" in box.log.splitlines()
