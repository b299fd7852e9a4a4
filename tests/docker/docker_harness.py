"""A Docker engine, a base image and the images of docker/, made without any registry of images.

The engine is the one that answers, else one of our own (no bridge, no iptables: the host's network stays as it is).
The base image is a Debian made by debootstrap. It and the Python wheels are kept in $XDG_CACHE_HOME/modelgate-tests,
under a name made of their recipe, so the second run needs no network.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelgate-tests"
SUITE, PYTHON = "bookworm", "3.11"
# What no test reads: half of the image.
TRIM = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man", "var/log")


def command(*words: str | Path, check: bool = True, timeout: float = 900, **options: Any) -> Any:
    """A finished process; a failure shows its output."""
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, check=False, timeout=timeout, **options
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def until(holds: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Look every 50 ms until it holds; its value."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return value


class Engine:
    """A Docker client that has an engine to talk to."""

    def __init__(self, client: str, host: str | None, folder: Path) -> None:
        self.client, self.host, self.folder = client, host, folder
        # The classic builder: Debian's client has no buildx.
        self.env = {k: v for k, v in os.environ.items() if k != "DOCKER_HOST"} | {"DOCKER_BUILDKIT": "0"}
        if host:
            self.env["DOCKER_HOST"] = host

    def __call__(self, *words: str | Path, check: bool = True, timeout: float = 900) -> Any:
        return command(self.client, *words, check=check, timeout=timeout, env=self.env)

    def answers(self) -> bool:
        done = self("version", "--format", "{{.Server.Version}}", check=False, timeout=30)
        return bool(done.returncode == 0)

    def build(self, tag: str, dockerfile: str, context: Path, **args: str) -> str:
        words = [w for key, value in args.items() for w in ("--build-arg", f"{key}={value}")]
        self("build", "--network", "none", "-t", tag, "-f", context / dockerfile, *words, context)
        return tag

    @contextmanager
    def container(self, *words: str | Path, network: str = "none") -> Iterator["Container"]:
        """`docker run -d`, removed at the end."""
        made = Container(self, self("run", "-d", "--network", network, *words).stdout.strip())
        try:
            yield made
        finally:
            self("rm", "-f", "-v", made.name, check=False)


class Container:
    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name

    def exec(self, *words: str) -> Any:
        """As a probe does: `docker exec`, whatever the exit code."""
        return self.engine("exec", self.name, *words, check=False)

    def inspect(self, template: str) -> str:
        return str(self.engine("inspect", "--format", template, self.name).stdout.strip())

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return int(self.engine("wait", self.name, timeout=90).stdout)

    @property
    def log(self) -> str:
        done = self.engine("logs", self.name)
        return str(done.stdout + done.stderr)

    def until_ready(self) -> None:
        def ready() -> bool:
            if self.inspect("{{.State.Running}}") != "true":
                pytest.fail(f"ended with {self.inspect('{{.State.ExitCode}}')}:\n{self.log}")
            return bool(self.exec("modelgate", "probe").returncode == 0)

        until(ready, "`modelgate probe` says ready")


def _client() -> str:
    """The client beside the engine fits it; another one on PATH may be years newer."""
    beside = [str(Path(d).with_name("docker")) for d in (shutil.which("dockerd"),) if d]
    found = [c for c in (*beside, "/usr/bin/docker", shutil.which("docker")) if c and os.access(c, os.X_OK)]
    if not found:
        pytest.fail("no docker client here: apt-get install docker.io")
    return found[0]


@contextmanager
def _started(client: str, folder: Path, *options: str) -> Iterator[Engine | None]:
    """An engine of our own; None when it does not come up."""
    engine = Engine(client, f"unix://{folder}/sock", folder)
    with open(folder / "log", "ab") as log:
        daemon = subprocess.Popen(
            [
                "dockerd", "--host", f"unix://{folder}/sock", "--data-root", folder / "data", "--exec-root",
                folder / "exec", "--pidfile", folder / "pid", "--bridge", "none", "--iptables=false", *options,
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while daemon.poll() is None and time.monotonic() < deadline and not engine.answers():
            time.sleep(0.2)
        yield engine if daemon.poll() is None and engine.answers() else None
    finally:
        daemon.terminate()
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    client = _client()
    answering = Engine(client, os.environ.get("DOCKER_HOST"), Path())
    if answering.answers():
        yield answering
        return
    if shutil.which("dockerd") is None:
        pytest.fail("no Docker engine answers and there is no dockerd: apt-get install docker.io")
    # Not below pytest's own folder: a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="mg-docker-", dir="/var/tmp"))
    try:
        # The engine's own choice of storage first (overlay2); vfs works everywhere, slowly.
        for options in ((), ("--storage-driver", "vfs")):
            with _started(client, folder, *options) as own:
                if own is not None:
                    yield own
                    return
        pytest.fail(f"dockerd does not start:\n{(folder / 'log').read_text()[-3000:]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cached(kind: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """CACHE/kind-<hash of recipe>, made once; half-made ones are never seen."""
    path = CACHE / f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f"{kind}-", suffix=".half", dir=CACHE))
        try:
            make(half)
            half.rename(path)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return path


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    """The tag of a Debian image with python3 and venv."""
    words = ["debootstrap", "--variant=minbase", "--include=python3,python3-venv,python-is-python3", SUITE]

    def make(folder: Path) -> None:
        root = folder / "root"
        for last in (False, True):  # a mirror may hiccup: once more, and then it counts
            if command(*words, root, check=last).returncode == 0:
                break
            shutil.rmtree(root, ignore_errors=True)
        for part in TRIM:
            shutil.rmtree(root / part, ignore_errors=True)
            (root / part).mkdir(parents=True)
        command("tar", "-C", root, "--one-file-system", "-cf", folder / "image.tar", ".")
        shutil.rmtree(root)

    tar = _cached("base", " ".join([*words, platform.machine(), *TRIM]), make) / "image.tar"
    engine("import", tar, "modelgate-test/base")
    return "modelgate-test/base"


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build context: this tree, and the wheels that a build without network needs."""
    demo = REPO / "docker/demo/requirements.txt"

    def make(folder: Path) -> None:
        # For the Python of the image, which need not be ours.
        tags = [w for glibc in ("2014", "_2_17", "_2_28", "_2_36")
                for w in ("--platform", f"manylinux{glibc}_{platform.machine()}")]  # fmt: skip
        download: list[str | Path] = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder]
        download += ["--only-binary=:all:", "--python-version", PYTHON, *tags]
        command(*download, "setuptools>=77", *_dependencies())
        command(*download, "--no-deps", "-r", demo)

    wheels = _cached("wheels", f"{_dependencies()} {demo.read_text()} {PYTHON} {platform.machine()}", make)
    folder = tmp_path_factory.mktemp("context")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / name, folder)
    for name in ("entrypoint", "docker"):
        shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(wheels, folder / "wheels", copy_function=os.link if _same_device(wheels, folder) else shutil.copy)
    return folder


def _dependencies() -> list[str]:
    """What pyproject.toml names, as the installed package's metadata has it."""
    from importlib.metadata import requires

    return [r for r in requires("modelgate") or [] if "extra ==" not in r]


def _same_device(a: Path, b: Path) -> bool:
    return a.stat().st_dev == b.stat().st_dev


@pytest.fixture(scope="session")
def gate_image(engine: Engine, base: str, context: Path) -> str:
    """docker/Dockerfile, built without network."""
    return engine.build("modelgate-test/gate", "docker/Dockerfile", context, BASE_IMAGE=base, PIP_NO_INDEX="1")


@pytest.fixture(scope="session")
def demo_image(engine: Engine, base: str, gate_image: str, context: Path) -> str:
    """docker/demo/Dockerfile, built without network."""
    args = {"BASE_IMAGE": base, "MODELGATE_IMAGE": gate_image, "PIP_NO_INDEX": "1"}
    return engine.build("modelgate-test/demo", "docker/demo/Dockerfile", context, **args)
