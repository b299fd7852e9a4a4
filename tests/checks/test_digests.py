"""`sha256:` of a file: hashed once, told while it lasts, judged with the reason a wrong one has."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import access_kit
import pytest
from access_kit import BY_KEY, look, script

from modelgate.checks import digests, files
from modelgate.finding import Finding, Level
from modelgate.host import Host, Place
from modelgate.isolate import Job, Lost
from modelgate.units import Duration

EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


def of(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def judged(path: Path, sha256: str, **rest: Any) -> Finding:
    spec = digests.Spec(path=str(path), sha256=sha256, **rest)
    (found,) = digests.judge(spec, digests.observe(spec, Host()), Place())
    return found


@pytest.mark.parametrize("size", [0, 1, digests.PIECE - 1, digests.PIECE, digests.PIECE + 1, 3 * digests.PIECE + 7])
def test_the_digest_is_that_of_the_whole_file(size: int, tmp_path: Path) -> None:
    """Around the borders of the pieces it is read in."""
    text = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (tmp_path / "f").write_bytes(text)

    found = judged(tmp_path / "f", of(text))

    assert (found.code, found.evidence["bytes"]) == ("ok", size)


def test_a_wrong_byte_names_both_digests_and_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abd")

    found = judged(tmp_path / "f", of(b"abc"))

    assert (found.code, found.level) == ("weights-digest", Level.FAIL)
    assert of(b"abd") in found.observed
    assert of(b"abc") in found.observed
    assert (found.evidence["bytes"], found.evidence["source"]) == (3, "manifest")
    assert f'sha256: "{of(b"abd")}"' in [fix.snippet for fix in found.fixes]


def test_a_file_of_no_bytes_is_told_as_one(tmp_path: Path) -> None:
    """e3b0c442… is the digest of nothing: on either side it has its own explanation."""
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "g").write_bytes(b"x")

    assert "is empty" in judged(tmp_path / "f", of(b"abc")).observed
    assert "taken of a download that had failed" in judged(tmp_path / "g", EMPTY).why


def test_a_file_of_the_hub_cache_is_fetched_again_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "hub/models--org--name/snapshots/rev1"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x")

    found = judged(folder / "model.safetensors", of(b"y"))

    assert found.fixes[0].snippet == (
        f"hf download org/name model.safetensors --revision rev1 --cache-dir {tmp_path}/hub --force-download"
    )


def test_bytes_done_are_told_while_it_lasts(tmp_path: Path) -> None:
    """At least the first and the last word, and a slow clock hears every piece."""
    (tmp_path / "f").write_bytes(b"x" * (3 * digests.PIECE))
    told: list[dict[str, Any]] = []
    ticks = iter(range(10_000))
    host = Host(tell=lambda **words: told.append(words), now=lambda: float(next(ticks)))

    digests.observe(digests.Spec(path=str(tmp_path / "f"), sha256=of(b"")), host)

    steps = [words["done"] for words in told if "done" in words]
    assert steps == [0, digests.PIECE, 2 * digests.PIECE, 3 * digests.PIECE, 3 * digests.PIECE]
    assert {words["total"] for words in told if "total" in words} == {3 * digests.PIECE}


def test_a_file_that_is_still_arriving_is_hashed_again(tmp_path: Path) -> None:
    """With `wait`: absent, then half, then whole."""
    path = tmp_path / "f"

    def arrive() -> None:
        time.sleep(0.3)
        path.write_bytes(b"half")
        time.sleep(0.7)
        path.write_bytes(b"half and the rest")

    thread = threading.Thread(target=arrive)
    thread.start()
    found = judged(path, of(b"half and the rest"), wait=Duration(30))
    thread.join()

    assert found.code == "ok"


def test_what_cannot_be_hashed_has_the_code_of_its_path(tmp_path: Path) -> None:
    script("mkdir d; ln -s nowhere l; mkfifo p", tmp_path)

    assert judged(tmp_path / "none", EMPTY).code == "path-missing"
    assert judged(tmp_path / "none", EMPTY, optional=True).code == "ok"
    assert judged(tmp_path / "l", EMPTY).code == "path-dangling-link"
    assert judged(tmp_path / "d", EMPTY).code == "path-wrong-type"
    assert judged(tmp_path / "p", EMPTY).code == "path-wrong-type"


@pytest.mark.root
def test_hashing_is_done_as_the_runtime_identity(tree: Path) -> None:
    script("echo x >f; chmod 0600 f", tree)

    assert look("digests", {"path": f"{tree}/f", "sha256": of(b"x\n")})[0].code == "path-unreadable"
    script("chmod 0644 f", tree)
    assert look("digests", {"path": f"{tree}/f", "sha256": of(b"x\n")})[0].code == "ok"


def test_an_entry_of_files_with_a_digest_implies_the_hashing() -> None:
    """Level, optional and wait go along; upper-case hexadecimal means the same."""
    spec = files.Spec(path="/m/f", sha256=of(b"x").upper(), level="warn", optional=True, wait=Duration(5))

    implied = files.digest_spec(spec)

    assert implied == digests.Spec(path="/m/f", sha256=of(b"x"), level="warn", optional=True, wait=Duration(5))
    assert files.digest_spec(files.Spec(path="/m/f")) is None


def test_only_the_file_that_hung_is_blamed() -> None:
    """Several files share a child; the others are not called hung."""
    spec = digests.Spec(path="/m/a", sha256=EMPTY)
    job = Job(kind=BY_KEY["digests"], specs=(spec,), checks=("files[0].sha256",), lines=(1,))
    words = {"doing": "hash", "path": "/m/a", "mount": "/m", "fs": "nfs4", "source": "nas:/m"}

    found = digests.lost(spec, Lost(job, 0, "hung", "no sign of life", 120.0, words), Place())

    assert found is not None
    assert found[0].code == "path-hung"
    other = Lost(job, 0, "hung", "no sign of life", 120.0, {**words, "path": "/m/b"})
    assert digests.lost(spec, other, Place()) is None
