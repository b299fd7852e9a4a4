"""HOME and caches: the failures people met, rebuilt; the printed fix cures them; a healthy start is never stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from access_kit import in_own_mounts, script
from caches_kit import AT_HOME, CACHE, LOCKS, NAMELESS, ROOT, SNAPSHOT, Env, apply, environ, look, tree_of_homes

from modelgate.checks import cache_places
from modelgate.finding import Level


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from tree_of_homes()


@pytest.mark.root
def test_a_home_without_a_place_for_anything_is_one_finding_with_one_fix(tree: Path) -> None:
    """One directory after the other would be found: all are named at once, and one line cures all."""
    env = environ(tree, {"HOME": "/"})
    (found,) = look(env, ("python3", "serve.py"))

    for part in ("/.cache", "/.triton", "/.cache/huggingface/hub", "KeyError"):
        assert part in found.why
    assert found.evidence["set"] == {"HOME": f"{tree}/tmp/home-54321", "USER": "server"}
    assert look(apply(found.fixes[0], env, NAMELESS, tree), ("python3", "serve.py")) == []


@pytest.mark.root
@pytest.mark.parametrize(("variable", "value"), [("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "yes")])
def test_a_complete_cache_that_is_read_only_is_healthy_offline(tree: Path, variable: str, value: str) -> None:
    """hfcache-007: without that variable the hub's library writes into it."""
    script(CACHE, tree)
    env = environ(tree, {**AT_HOME, "HF_HUB_CACHE": "@/hub"})

    (found,) = look(env)
    assert "HF_HUB_OFFLINE" in found.fixes[0].snippet
    assert look({**env, variable: value}) == []


@pytest.mark.root
@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_cure_for_a_cache_that_may_not_be_written_cures(tree: Path, number: int) -> None:
    script(CACHE, tree)
    env = environ(tree, {**AT_HOME, "HF_HUB_CACHE": "@/hub"})
    (found,) = look(env)

    assert look(apply(found.fixes[number], env, NAMELESS, tree)) == []


@pytest.mark.root
def test_locks_of_somebody_else_are_removed_by_the_second_cure(tree: Path) -> None:
    script(f"{CACHE}\n{LOCKS}", tree)
    env = environ(tree, {**AT_HOME, "HF_HUB_CACHE": "@/hub"})
    (found,) = look(env)

    assert "(1 of 3 such locks)" in found.observed
    assert look(apply(found.fixes[1], env, NAMELESS, tree)) == []


@pytest.mark.root
def test_locks_of_models_that_are_not_asked_for_do_not_matter(tree: Path) -> None:
    script(f"{CACHE}\n{LOCKS.replace('org--name', 'other')}; mkdir hub/models--other; chmod 777 hub/.locks", tree)
    env = environ(tree, {**AT_HOME, "HF_HUB_CACHE": "@/hub"})

    assert look(env) == []
    assert [f.code for f in look(env, ("python3", "serve.py"))] == ["cache-unwritable"]


@pytest.mark.root
@pytest.mark.parametrize("offline", ["", "1"])
def test_a_snapshot_whose_blobs_are_gone_warns(tree: Path, offline: str) -> None:
    """hfcache-015: the bytes may be there, and programs say that the model has no such file."""
    script(f"{CACHE}\nrm hub/models--org--name/blobs/b; chmod 777 hub", tree)
    env = environ(tree, {**AT_HOME, "HF_HUB_CACHE": "@/hub", "HF_HUB_OFFLINE": offline})

    (found,) = look(env)

    assert (found.code, found.level) == ("path-dangling-link", Level.WARN)
    assert f"{SNAPSHOT}/model.safetensors" in found.observed
    script("echo x > hub/models--org--name/blobs/b", tree)
    assert look(env) == []


@pytest.mark.root
def test_a_lustre_mount_without_flock_is_told_by_its_options(tree: Path) -> None:
    """hfcache-009, with a table of mounts of such a machine."""
    script("mkdir hub proc proc/self; chmod 777 hub", tree)
    env = environ(tree, {**AT_HOME, "HF_HUB_CACHE": "@/hub"})
    table = tree / "proc/self/mountinfo"

    table.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:9 / {tree}/hub rw - lustre mgs@tcp:/fs rw,lazystatfs\n")
    (found,) = look(env, proc=f"{tree}/proc")
    assert "mounted without flock" in found.observed
    assert found.fixes[0].snippet == f"umount {tree}/hub && mount -o flock {tree}/hub"

    table.write_text(table.read_text().replace("lazystatfs", "flock"))
    assert look(env, proc=f"{tree}/proc") == []


@pytest.mark.root
def test_offline_a_cache_that_is_not_there_matters_to_a_hub_id_only(tree: Path) -> None:
    """hfcache-010."""
    env = environ(tree, {**AT_HOME, "HF_HOME": "@/tmp/none", "HF_HUB_OFFLINE": "1"})

    (found,) = look(env, ("vllm", "serve", "org/name"))
    assert "is not there" in found.observed
    assert look(env, ("vllm", "serve", "/models/name")) == []


@pytest.mark.root
def test_a_read_only_file_system_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """disk-005: readOnlyRootFilesystem, and a home that does not exist."""
    for name, value in environ(tree, {"HOME": "@/ro/home", "USER": "a", "XDG_CACHE_HOME": "", "HF_HOME": ""}).items():
        monkeypatch.setenv(name, value)
    script("mkdir ro", tree)
    setup = "mount --bind ro ro; mount -o remount,bind,ro ro"
    spec = {"command": ["python3", "serve.py"]}

    (found,) = in_own_mounts(setup, tree, "caches", ROOT, spec)

    assert (found.code, found.level) == ("home-unwritable", Level.WARN)
    assert "EROFS" in found.observed
    assert found.evidence["mount"] == f"{tree}/ro"


# what a place is named by, where it leads; the code when the manifest's env.set says so
@pytest.mark.root
@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("HOME", "@/closed/home", "home-unwritable"),
        ("HOME", "@/none/home", "home-unwritable"),
        ("HF_HOME", "@/closed/hf", "cache-unwritable"),
        ("HF_HUB_CACHE", "@/none/hub", "cache-unwritable"),
    ],
)
def test_only_what_the_manifest_itself_sets_fails(tree: Path, variable: str, value: str, code: str) -> None:
    """And only where it leads nowhere for this identity."""
    script("install -d -m 700 closed", tree)
    env = environ(tree, {**AT_HOME, variable: value})

    (found,) = look(env)
    assert (found.code, found.level) == (code, Level.WARN)
    (found,) = look(env, given=(variable,))
    assert (found.code, found.level) == (code, Level.FAIL)
    assert look(apply(found.fixes[0], env, NAMELESS, tree), given=(variable,)) == []


@pytest.mark.root
@pytest.mark.parametrize(
    "env",
    [
        {"HOME": "/nonexistent"},
        {"HOME": "/dev/null"},
        {"HOME": "@/readable"},
        {"HOME": "@/home", "HF_HOME": "@/readable"},
        {"HOME": "@/home", "HF_HOME": "@/none", "HF_HUB_OFFLINE": "1"},
        {"HOME": "@/home", "TRITON_CACHE_DIR": "@/none"},
    ],
)
def test_what_may_be_meant_so_does_not_fail_even_there(tree: Path, env: Env) -> None:
    found = look(environ(tree, {"USER": "a", **env}), given=tuple(env))

    assert [f.level for f in found] == [Level.WARN]


@pytest.mark.root
def test_what_files_asks_to_be_writable_is_left_to_it(tree: Path) -> None:
    env = environ(tree, {**AT_HOME, "HF_HOME": "@/data/hf"})

    assert len(look(env)) == 1
    assert look(env, covered=(f"{tree}/data/hf",)) == []
    assert look(env, covered=(f"{tree}/data/",)) == []
    assert len(look(env, covered=(f"{tree}/data/hf2",))) == 1


@pytest.mark.root
def test_looking_leaves_nothing_behind(tree: Path) -> None:
    script(f"{CACHE}\nchmod 777 hub", tree)
    before = sorted(str(path) for path in tree.rglob("*"))
    look(environ(tree, {"HOME": "@/home", "HF_HUB_CACHE": "@/hub", "TRITON_CACHE_DIR": "@/tmp/a/b"}))

    assert sorted(str(path) for path in tree.rglob("*")) == before


@pytest.mark.root
@pytest.mark.parametrize("platform", ["kubernetes", "openshift", "compose", "docker", "shell"])
def test_without_room_for_temporary_files_the_fix_brings_a_volume(tree: Path, platform: str) -> None:
    """A read-only root without anything mounted. /tmp of this machine stands in the way: the facts are edited."""
    from access_kit import place_of
    from msgspec.structs import replace
    from seen_as import seen_as

    from modelgate.checks import caches
    from modelgate.host import Host

    spec = caches.Spec(command=("python3", "serve.py"))
    facts = seen_as(NAMELESS.uid, caches, spec, Host(environ={"HOME": "/"}))
    (found,) = caches.judge(spec, replace(facts, tmp=""), place_of(NAMELESS, platform))

    assert "no directory for temporary files can be written" in found.observed
    assert found.evidence["set"]["TMPDIR"] == "/scratch"
    snippet = found.fixes[0].snippet
    words = {"compose": "tmpfs: [/scratch]", "docker": "--tmpfs /scratch", "shell": "install -d -o 54321"}
    assert words.get(platform, "emptyDir") in snippet
    assert "HOME" in snippet
    assert "USER" in snippet


@pytest.mark.parametrize(
    ("env", "path", "variable"),
    [
        ({}, "/h/.cache/huggingface/hub", "HOME"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub", "XDG_CACHE_HOME"),
        ({"XDG_CACHE_HOME": "/x", "HF_HOME": "~/y"}, "/h/y/hub", "HF_HOME"),
        ({"HF_HOME": "$D/y", "D": "/d"}, "/d/y/hub", "HF_HOME"),
        ({"HF_HOME": "/y", "HUGGINGFACE_HUB_CACHE": "/z"}, "/z", "HUGGINGFACE_HUB_CACHE"),
        ({"HF_HUB_CACHE": "/w", "HF_HOME": "/y", "HUGGINGFACE_HUB_CACHE": "/z"}, "/w", "HF_HUB_CACHE"),
    ],
)
def test_the_hub_is_where_its_library_looks(env: Env, path: str, variable: str) -> None:
    room = cache_places.hub(env, "/h")

    assert (room.path, room.by) == (path, variable)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python3.11 serve.py", True),
        ("/opt/venv/bin/vllm serve x", True),
        ("sh -c 'cd /app && exec python serve.py'", True),
        ("text-generation-launcher --model-id x/y", True),
        ("ollama serve", False),
        ("/bin/rayon", False),
        ("llama-server -m /models/python/x.gguf", False),
    ],
)
def test_a_command_of_the_python_world_is_known_by_its_words(command: str, expected: bool) -> None:
    assert cache_places.is_python([command] if "'" in command else command.split()) is expected


def test_the_models_that_a_command_names() -> None:
    assert "models--org--name" in cache_places.hub_folders(("vllm", "serve", "org/name@main"))
    assert cache_places.hub_folders(("vllm", "serve", "/models/org/name")) == []
