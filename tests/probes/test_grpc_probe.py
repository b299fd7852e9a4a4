"""wait_for: grpc, against a real server that speaks grpc.health.v1. Everything of gRPC in processes of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wait_kit import free_port, hold, serve

HERE = Path(__file__).parent
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(autouse=True, scope="module")
def needs_grpc() -> None:
    done = subprocess.run([sys.executable, "-c", "import grpc_health.v1.health"], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("grpcio-health-checking is not installed: pip install 'modelgate[grpc]'")


@contextlib.contextmanager
def server(mode: str = "open") -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    words = [sys.executable, str(HERE / "grpc_server.py"), mode]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


SCRIPT = """
import json, os, sys, threading
sys.path.insert(0, sys.argv[1])
sys.meta_path[:0] = [type("No", (), {"find_spec": staticmethod(lambda name, *_: (_ for _ in ()).throw(
    ModuleNotFoundError(f"No module named {name!r}")) if name.split(".")[0] in sys.argv[3:] else None)})]
from wait_kit import look
seen = look(**json.loads(sys.argv[2]))
facts, finding = seen.facts, seen.finding
print(json.dumps({"ready": facts.ready, "cause": facts.cause, "error": facts.error, "saw": facts.saw,
    "attempts": facts.attempts, "hopeless": facts.hopeless, "code": finding.code, "seconds": seen.seconds,
    "fixes": [fix.snippet for fix in finding.fixes], "told": [t["error"] for t in seen.told]}))
sys.stdout.flush()
os._exit(0)
"""


def look(*absent: str, **fields: Any) -> dict[str, Any]:
    """Wait in another process, which cannot import the modules in `absent`."""
    words = [sys.executable, "-c", SCRIPT, str(HERE), json.dumps(fields), *absent]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_serving_is_ready() -> None:
    with server() as (port, _):
        seen = look(grpc=f"127.0.0.1:{port}", timeout="20s", attempt_timeout="10s")

    assert (seen["ready"], seen["saw"]) == (True, "the server is SERVING")


def test_a_named_service_is_waited_for_until_it_serves() -> None:
    with server() as (port, process):
        assert process.stdin is not None
        process.stdin.write("embed.v1.Embedder NOT_SERVING\n")
        process.stdin.flush()
        fields = {"grpc": f"127.0.0.1:{port}", "service": "embed.v1.Embedder", "attempt_timeout": "5s"}
        unready = look(**fields, timeout="2s")
        process.stdin.write("embed.v1.Embedder SERVING\n")
        process.stdin.flush()
        ready = look(**fields, timeout="20s")

    assert (unready["code"], unready["hopeless"]) == ("wait-status", False)
    assert unready["error"] == "embed.v1.Embedder is NOT_SERVING"
    assert ready["ready"]


def test_a_service_that_nobody_knows_is_named() -> None:
    with server() as (port, _):
        seen = look(grpc=f"127.0.0.1:{port}", service="typo", timeout="2s")

    assert (seen["code"], seen["hopeless"]) == ("wait-status", False)
    assert "the server knows no service 'typo'" in seen["error"]


def test_a_server_without_the_health_service_is_told() -> None:
    with server("bare") as (port, _):
        seen = look(grpc=f"127.0.0.1:{port}", timeout="2s")

    assert (seen["code"], "does not offer grpc.health.v1" in seen["error"]) == ("wait-status", True)


def test_a_refusal_of_rights_ends_the_wait() -> None:
    with server("guarded") as (port, _):
        seen = look(grpc=f"127.0.0.1:{port}", timeout="60s", attempt_timeout="10s")

    assert (seen["code"], seen["hopeless"], seen["error"]) == ("wait-denied", True, "UNAUTHENTICATED: who are you?")


def test_a_closed_port_is_told_as_such_and_not_as_unavailable() -> None:
    port = free_port()
    seen = look(grpc=f"127.0.0.1:{port}")

    assert seen["code"] == "wait-refused"
    assert seen["error"] == f"connection refused by 127.0.0.1:{port} (ECONNREFUSED)"


def test_a_port_that_speaks_no_grpc_ends_with_the_attempt() -> None:
    with serve(hold, http=False) as silent, serve(lambda *_: None, http=False) as closing:
        first = look(grpc=f"127.0.0.1:{silent.port}", attempt_timeout="1s", timeout="1s")
        second = look(grpc=f"127.0.0.1:{closing.port}", attempt_timeout="1s", timeout="1s")

    assert (first["code"], first["seconds"] < 10) == ("wait-timeout", True)
    assert (second["code"], second["hopeless"]) == ("wait-timeout", False)


@pytest.mark.parametrize("absent", ["grpc", "grpc_health"])
def test_without_the_extra_the_entry_is_unsupported_and_the_fix_is_named(absent: str) -> None:
    seen = look(absent, grpc="127.0.0.1:1", timeout="60s")

    assert (seen["code"], seen["hopeless"]) == ("manifest-unsupported", True)
    assert f"No module named '{absent}" in seen["error"]
    install = "RUN python3 -m pip --python /opt/modelgate/bin/python3 install grpcio grpcio-health-checking"
    assert any(install in fix for fix in seen["fixes"])
