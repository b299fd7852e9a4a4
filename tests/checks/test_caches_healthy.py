"""A gate that blocks a healthy server is worse than no gate: starts that are told nothing, or one thing at most."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from caches_kit import AT_HOME, NAMELESS, ROOT, Env, environ, look, tree_of_homes

from modelgate import identity, verdict
from modelgate.checks import KINDS
from modelgate.finding import Level
from modelgate.host import Place
from modelgate.identity import Identity
from modelgate.isolate import Job, Lost


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from tree_of_homes()


class Start(NamedTuple):
    """Environment and command of a server, and who it runs as."""

    name: str
    env: Env
    command: str
    who: Identity = NAMELESS


HEALTHY = [
    Start("root at home", {"HOME": "/root"}, "vllm serve org/name", ROOT),
    Start("root without HOME", {}, "python3 x.py", ROOT),
    Start("root with HOME=/", {"HOME": "/"}, "python3 x.py", ROOT),
    Start("another user at home", AT_HOME, "vllm serve org/name"),
    Start("a home that is still to be made", {"HOME": "@/tmp/new/home", "USER": "a"}, "python3 x.py"),
    Start("a home behind a link", {"HOME": "@/link", "USER": "a"}, "python3 x.py"),
    Start("HOME=/tmp", {"HOME": "@/tmp", "USER": "a"}, "python3 x.py"),
    Start("no name, no Python", {"HOME": "@/tmp"}, "llama-server -m /models/x.gguf"),
    Start("a program that is no Python, caches moved", {"HOME": "/", "XDG_CACHE_HOME": "@/tmp"}, "llama-server"),
    Start(
        "read-only home, all moved",
        {"HOME": "/", "USER": "a", "HF_HOME": "@/tmp/hf", "XDG_CACHE_HOME": "@/tmp/c", "TRITON_CACHE_DIR": "@/tmp/t"},
        "vllm serve org/name",
    ),
    Start(
        "offline and read-only",
        {**AT_HOME, "HF_HOME": "@/readable", "HF_HUB_OFFLINE": "1"},
        "vllm serve /models/x",
    ),
    Start(
        "offline, nothing cached, models of its own",
        {**AT_HOME, "HF_HUB_OFFLINE": "1"},
        "vllm serve /models/x",
    ),
    Start(
        "a shared cache of the group",
        {**AT_HOME, "HF_HUB_CACHE": "@/shared"},
        "python3 x.py",
        Identity(54321, 54321, (2000,)),
    ),
    Start("variables of the image that this server never reads", {**AT_HOME, "TORCH_HOME": "@/readable"}, "nginx"),
    Start(
        "empty variables are as if unset",
        {**AT_HOME, "HF_HOME": "", "XDG_CACHE_HOME": ""},
        "python3 x.py",
    ),
]
ONE_WARN = [
    Start("empty environment", {}, "true"),
    Start(
        "read-only home, hub elsewhere", {"HOME": "@/readable", "USER": "a", "HF_HOME": "@/tmp/hf"}, "vllm serve x/y"
    ),
    Start("no name, HOME=/tmp", {"HOME": "@/tmp"}, "python3 x.py"),
    Start("nobody of the image", {"HOME": "/nonexistent"}, "llama-server", Identity(65534, 65534)),
    Start("online and read-only, complete", {**AT_HOME, "HF_HOME": "@/readable"}, "vllm serve x/y"),
]


@pytest.mark.root
@pytest.mark.parametrize("start", HEALTHY, ids=lambda start: start.name)
def test_a_healthy_start_is_told_nothing(tree: Path, start: Start) -> None:
    assert look(environ(tree, start.env), tuple(start.command.split()), start.who) == []


@pytest.mark.root
@pytest.mark.parametrize("start", ONE_WARN, ids=lambda start: start.name)
def test_a_start_that_may_be_healthy_is_told_one_thing(tree: Path, start: Start) -> None:
    found = look(environ(tree, start.env), tuple(start.command.split()), start.who)

    assert [f.level for f in found] == [Level.WARN]


def test_whoever_looks_a_home_of_their_own_is_told_nothing_and_a_file_for_a_home_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    me = identity.current()
    env = {"USER": "a", "TMPDIR": str(tmp_path)}

    assert look({**env, "HOME": str(tmp_path)}, ("python3", "serve.py"), me) == []
    (found,) = look({**env, "HOME": f"{tmp_path}/file"}, ("python3", "serve.py"), me)
    assert (found.code, found.level) == ("home-unwritable", Level.WARN)
    assert found.observed == f"HOME is {tmp_path}/file: {tmp_path}/file is a file, and a directory is needed"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_home_on_a_mount_that_hangs_is_told_and_stops_nothing() -> None:
    """Whether the server goes there is not known."""
    kind = next(kind for kind in KINDS if kind.key == "caches")
    job = Job(kind=kind, specs=(kind.module.Spec(),), checks=("caches",), lines=(None,), implied_by="the environment")
    last = {"doing": "look at", "path": "/home/a", "mount": "/home", "fs": "nfs4", "source": "filer:/home"}

    (found,) = verdict.judge(Lost(job, 0, "hung", "silent for 30 s", 30.0, last), Place())

    assert (found.code, found.level, found.subject) == ("path-hung", Level.WARN, "/home/a")
