"""What every test may use: the gate as a real process, golden texts, and honest skips.

def test_x(gate):
    result = gate("--", "true", manifest="version: 1")
    assert result.rc == 0
"""

import difflib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest_plugins = ("docker_harness", "probe_kit")  # tests/docker and tests/probe, on pytest's `pythonpath`

HERE = Path(__file__).parent
REPO = HERE.parent
BIN = Path(sys.executable).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--docker", action="store_true", help="run the tests that need a Docker engine (starts one)")
    parser.addoption("--update-golden", action="store_true", help="write golden texts instead of comparing")


def pytest_configure() -> None:
    """Tests crash processes on purpose; none of them shall leave a core file where it ran."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that cannot run here is skipped with the reason, never silently."""
    not_root = pytest.mark.skip(reason="needs root: run `make test-all` as root")
    no_docker = pytest.mark.skip(reason="needs a Docker engine: run `make test-docker` as root")
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(not_root)
        if item.get_closest_marker("docker"):  # not `in keywords`: the folder is called docker too
            if not config.getoption("--docker"):
                item.add_marker(no_docker)
            else:
                item.add_marker(pytest.mark.timeout(1200))  # the first one makes a base image


class Result(NamedTuple):
    """What a run of modelgate left behind."""

    rc: int
    out: str
    err: str

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The JSON lines of stderr; other lines are left out."""
        lines = [line for line in self.err.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    @property
    def codes(self) -> list[str]:
        """The codes of the logged findings, `ok` left out, in the order they were told."""
        return [line["code"] for line in self.logs if line.get("result") not in (None, "ok")]

    @property
    def report(self) -> Any:
        """stdout as JSON: of `check --format json`."""
        return json.loads(self.out)


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would steer the gate or its interpreter."""
    drop = ("MODELGATE_", "PYTHON", "COV_", "PYTEST_")
    return {k: v for k, v in os.environ.items() if not k.startswith(drop)} | dict(extra or {})


class Gate:
    """The installed `modelgate`, run as a user runs it: a process of its own, nothing imported."""

    program = str(BIN / "modelgate")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._count = 0
        self._running: list[subprocess.Popen[str]] = []

    def write(self, manifest: str) -> str:
        """A new manifest file in the test's own folder; its path."""
        self._count += 1
        path = self.folder / f"manifest-{self._count}.yaml"
        path.write_text(manifest)
        return str(path)

    def environ(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """With a state directory of its own: tests at the same time must not read each other's."""
        return clean_env({"MODELGATE_STATE_DIR": str(self.state), **(env or {})})

    def argv(self, args: Sequence[str], manifest: str | None = None) -> list[str]:
        """`-m FILE` stands where every command takes it: after a command word, before anything else."""
        words = list(args)
        if manifest is None:
            return [self.program, *words]
        at = 1 if words and words[0] in ("run", "check", "explain", "facts") else 0
        return [self.program, *words[:at], "-m", self.write(manifest), *words[at:]]

    def __call__(
        self,
        *args: str,
        manifest: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        **popen: Any,
    ) -> Result:
        """Run to the end. TimeoutExpired when it does not end in `timeout` seconds."""
        done = subprocess.run(
            self.argv(args, manifest),
            env=self.environ(env),
            stdin=popen.pop("stdin", subprocess.DEVNULL),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **popen,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(
        self, *args: str, manifest: str | None = None, env: Mapping[str, str] | None = None, **popen: Any
    ) -> "subprocess.Popen[str]":
        """Start and come back at once, for signals and probes. Killed after the test if still alive."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        process: subprocess.Popen[str] = subprocess.Popen(
            self.argv(args, manifest), env=self.environ(env), text=True, **options
        )
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    runner = Gate(tmp_path)
    yield runner
    runner.close()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("name.txt", text)`: equal to tests/golden/name.txt. `pytest --update-golden` writes it anew."""

    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        expected = path.read_text() if path.exists() else ""
        if expected != text:
            diff = difflib.unified_diff(expected.splitlines(), text.splitlines(), f"golden/{name}", "now", lineterm="")
            pytest.fail("\n".join(diff), pytrace=False)

    return compare


def children() -> set[int]:
    """The direct children of this process, zombies included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= {int(pid) for pid in (task / "children").read_text().split()}
        except (FileNotFoundError, ProcessLookupError):
            continue  # a thread that was joined a moment ago
    return found


def descriptors() -> dict[int, str]:
    """The open descriptors of this process and what they lead to."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # the one listdir itself had open
    return found


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Ask for it where a test runs our code in this process: no child and no descriptor may be left."""
    before, fds = children(), descriptors()
    yield
    left = {fd: path for fd, path in descriptors().items() if fds.get(fd) != path}
    assert children() - before == set(), "child processes were left behind"
    assert left == {}, "descriptors were left open"
