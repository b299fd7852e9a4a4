"""What every test may use: the gate as a real process, golden texts, and honest skips.

def test_x(gate):
    result = gate("--", "true", manifest="version: 1")
    assert result.rc == 0
"""

import difflib
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gate_kit import Gate

pytest_plugins = ("docker_harness", "probe_kit")  # tests/docker and tests/probe, on pytest's `pythonpath`

HERE = Path(__file__).parent
REPO = HERE.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--docker", action="store_true", help="run the tests that need a Docker engine (starts one)")
    parser.addoption("--update-golden", action="store_true", help="write golden texts instead of comparing")


def pytest_configure() -> None:
    """Tests crash processes on purpose; none of them shall leave a core file where it ran."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # `nohup make test &` ignores HUP, INT and QUIT, and whatever a test starts would inherit that.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


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
