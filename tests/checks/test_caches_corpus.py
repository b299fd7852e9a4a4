"""The failures that people met, rebuilt from their text: each is one warn that names the cause, and its fix cures."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from access_kit import look as look_at
from access_kit import script
from caches_kit import AT_HOME, CACHE, LOCKS, NAMELESS, Env, apply, environ, look, tree_of_homes

from modelgate.finding import Level


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from tree_of_homes()


class Case(NamedTuple):
    """What was done to the tree, the server's environment and command; the code, and what the finding must name."""

    id: str
    setup: str
    env: Env
    command: str
    code: str
    named: str


CASES = [
    Case(
        "disk-003",
        "mkdir home/.triton",
        AT_HOME,
        "python3 serve.py",
        "cache-unwritable",
        "/home/.triton",
    ),
    Case("disk-004", "", {"HOME": "@/home"}, "python3 -m vllm", "cache-unwritable", "uid 54321 has no passwd entry"),
    Case("disk-005", "", {"HOME": "/nonexistent"}, "python3 -m wyoming", "home-unwritable", "HOME is /nonexistent"),
    Case("disk-007", "", {"HOME": "/"}, "ollama serve", "home-unwritable", "HOME is /: "),
    Case("disk-013", "", {"HOME": "/"}, "python3 -m lmcache", "home-unwritable", "HOME is /: "),
    Case(
        "disk-015",
        "mkdir numba",
        {**AT_HOME, "NUMBA_CACHE_DIR": "@/numba"},
        "python3 x.py",
        "cache-unwritable",
        "Numba",
    ),
    Case(
        "hfcache-001",
        "mkdir cache_root",
        {**AT_HOME, "HF_HOME": "@/cache_root/huggingface"},
        "vllm serve org/name",
        "cache-unwritable",
        "/cache_root: ",
    ),
    Case(
        "hfcache-002",
        "install -d -o 1011 -g 1011 -m 775 home/.cache home/.triton home/.nv",
        AT_HOME,
        "python3 x.py",
        "cache-unwritable",
        "0775 1011:1011",
    ),
    Case(
        "hfcache-004", "install -d -m 700 root", {"HOME": "@/root"}, "python3 x.py", "home-unwritable", "0700 root:root"
    ),
    Case(
        "hfcache-010",
        "",
        {**AT_HOME, "HF_HOME": "/data/.cache/huggingface"},
        "vllm serve org/name",
        "cache-unwritable",
        "HF_HOME",
    ),
    Case("hfcache-011", "mkdir src", {"HOME": "@/src"}, "gunicorn app:main", "home-unwritable", "/src"),
    Case(
        "hfcache-021",
        "install -d -o 1011 tmp/numba",
        {**AT_HOME, "NUMBA_CACHE_DIR": "@/tmp/numba"},
        "python3 x.py",
        "cache-unwritable",
        "0755 1011:root",
    ),
    Case(
        "hfcache-024",
        f"{CACHE}\n{LOCKS}",
        {**AT_HOME, "HF_HUB_CACHE": "@/hub"},
        "python3 -m sglang --model org/name",
        "cache-unwritable",
        "/.locks",
    ),
    Case(
        "hfcache-025",
        CACHE,
        {**AT_HOME, "HF_HUB_CACHE": "@/hub"},
        "python3 x.py",
        "cache-unwritable",
        "0755 root:root",
    ),
]


@pytest.mark.root
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_of_the_corpus_is_one_warn_that_names_it_and_cures_it(tree: Path, case: Case) -> None:
    script(case.setup, tree)
    words, env = tuple(case.command.split()), environ(tree, case.env)

    (found,) = look(env, words)

    assert (found.code, found.level, found.implied_by) == (case.code, Level.WARN, "the environment")
    assert case.named in found.observed
    assert look(apply(found.fixes[0], env, NAMELESS, tree), words) == []


@pytest.mark.root
@pytest.mark.parametrize("case", ["disk-006", "hfcache-020"])
def test_a_place_that_a_program_has_built_in_is_asked_for_under_files(tree: Path, case: str) -> None:
    """No variable names it: `files` with `access: rwx` does."""
    script("mkdir -p app/models", tree)

    (found,) = look_at("files", {"path": f"{tree}/app/models", "access": "rwx"}, NAMELESS)

    assert (found.code, found.level) == ("path-unwritable", Level.FAIL)
