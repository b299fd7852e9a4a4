"""wait_for: http, against real servers that misbehave."""

import contextlib
import json
import socket
import threading
from typing import Any

import pytest
from wait_kit import OK, Request, answers, free_port, look, reply, serve

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_any_2xx_is_ready() -> None:
    with serve(answers(reply("204 No Content"))) as server:
        seen = look(http=server.url("/readyz"))

    assert (seen.facts.ready, seen.facts.status, seen.facts.attempts) == (True, 204, 1)
    assert seen.finding.observed.startswith("ready after 1 attempt in ")
    assert server.requests[0].line == "GET /readyz HTTP/1.1"
    assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"


def test_a_server_that_opens_later_is_noticed_and_every_attempt_before_is_told() -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        timer = threading.Timer(0.4, lambda: stack.enter_context(serve(answers(OK), port=port)))
        timer.start()
        seen = look(http=f"http://127.0.0.1:{port}/", timeout="20s")
        timer.join()

    assert seen.facts.ready
    assert len(seen.told) == seen.facts.attempts - 1 >= 2
    assert [t["attempt"] for t in seen.told] == list(range(1, seen.facts.attempts))
    assert all(t["error"] == f"connection refused by 127.0.0.1:{port} (ECONNREFUSED)" for t in seen.told)
    assert all(0 <= t["next"] <= 0.1 for t in seen.told)
    assert all(t["subject"] == f"http://127.0.0.1:{port}/" and t["index"] == 0 for t in seen.told)


def test_503_until_loaded_is_waited_for() -> None:
    loading = reply("503 Service Unavailable", b"loading model", **{"Content-Type": "text/plain"})
    with serve(answers(loading, loading, OK)) as server:
        seen = look(http=server.url(), timeout="20s")

    assert (seen.facts.ready, seen.facts.attempts) == (True, 3)
    assert [t["error"] for t in seen.told] == ["HTTP 503 Service Unavailable: loading model"] * 2
    assert seen.finding.observed.startswith("ready after 3 attempts in ")


def test_503_to_the_end_is_wait_status() -> None:
    with serve(answers(reply("503 Service Unavailable", b"<html>"))) as server:
        seen = look(http=server.url())

    assert (seen.finding.code, seen.facts.status, seen.facts.hopeless) == ("wait-status", 503, False)
    assert seen.finding.observed.endswith("the last answer: HTTP 503 Service Unavailable")
    assert 0.5 < seen.seconds < 5


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refusal_of_rights_ends_the_wait_at_once(status: str) -> None:
    with serve(answers(reply(status))) as server:
        seen = look(http=server.url(), timeout="60s")

    assert (seen.finding.code, seen.facts.hopeless, seen.facts.attempts) == ("wait-denied", True, 1)
    assert "status: [200, 401, 403]" in [fix.snippet for fix in seen.finding.fixes]


def test_a_refusal_of_rights_is_ready_where_it_is_asked_for() -> None:
    with serve(answers(reply("401 Unauthorized"))) as server:
        assert look(http=server.url(), status=[200, 401]).facts.ready


def test_404_is_waited_for() -> None:
    with serve(answers(reply("404 Not Found"), OK)) as server:
        assert look(http=server.url(), timeout="20s").facts.attempts == 2


def test_a_wanted_status_is_the_only_one_that_will_do() -> None:
    with serve(answers(OK)) as server:
        seen = look(http=server.url(), status=202)

    assert (seen.finding.code, seen.facts.error) == ("wait-status", "HTTP 200 OK: ok")


def test_the_body_is_searched() -> None:
    with serve(answers(reply("200 OK", b"starting"), reply("200 OK", b"all is ready now"))) as server:
        seen = look(http=server.url(), body="rea.y", timeout="20s")

    assert seen.facts.attempts == 2
    assert "does not match 'rea.y'; it begins with 'starting'" in seen.told[0]["error"]


@pytest.mark.parametrize(
    ("wanted", "document", "error"),
    [
        ({"status": "ok"}, {"status": "ok", "more": 1}, None),
        ({"data.0.state": "up", "data.1.n": 3}, {"data": [{"state": "up"}, {"n": 3.0}]}, None),
        ({"a.b.c": 1}, {"a.b": {"c": 1}}, None),
        ({"list": [1, {"x": None}]}, {"list": [1, {"x": None}]}, None),
        ({"status": "ok"}, {"status": "starting"}, 'HTTP 200, but JSON status is "starting", not "ok"'),
        ({"ready": True}, {"ready": 1}, "HTTP 200, but JSON ready is 1, not true"),
        ({"ready": 1}, {"ready": True}, "HTTP 200, but JSON ready is true, not 1"),
        ({"a.5": 1}, {"a": [1]}, "HTTP 200, but the JSON body has no a.5"),
        ({"a.b": 1}, [1, 2], "HTTP 200, but the JSON body has no a.b"),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, 'HTTP 200, but JSON a is {"b": 1, "c": 2}, not {"b": 1}'),
    ],
)
def test_json_values_are_compared_as_json_does(wanted: dict[str, Any], document: Any, error: str | None) -> None:
    with serve(answers(reply("200 OK", json.dumps(document).encode()))) as server:
        seen = look(http=server.url(), json=wanted, timeout="150ms")

    assert (seen.facts.error or None) == error


NESTED = b'{"a": "[", "b": ' + b"[" * 199 + b"]" * 199 + b"}"


def test_json_nested_too_deeply_crashes_nobody() -> None:
    """Python 3.13 would follow it down until the stack of the thread is used up."""
    with serve(answers(reply("200 OK", b'"\\"[" [' + b"[" * 100_000))) as server:
        deep = look(http=server.url(), json={"b": 1}, timeout="150ms")
    with serve(answers(reply("200 OK", NESTED))) as server:
        just = look(http=server.url(), json={"a": "["}, timeout="20s")

    assert deep.facts.error == "HTTP 200, but the body is JSON nested more than 200 levels deep"
    assert just.facts.ready


@pytest.mark.parametrize("body", [b"", b"no json", b'{"a": ' + b"9" * 5000 + b"}", b"\xff\xfe{"])
def test_a_body_that_is_no_json_is_told(body: bytes) -> None:
    with serve(answers(reply("200 OK", body))) as server:
        seen = look(http=server.url(), json={"b": 1}, timeout="150ms")

    assert seen.finding.code == "wait-status"


def test_a_body_is_read_up_to_a_mebibyte() -> None:
    huge = b"x" * (1 << 20) + b"ready"
    with serve(answers(reply("200 OK", huge))) as server:
        seen = look(http=server.url(), body="ready", timeout="300ms")

    assert "the body (more than 1048576 bytes) does not match 'ready'" in seen.facts.error


def test_an_endless_body_is_no_hindrance_when_nobody_asks_about_it() -> None:
    def stream(connection: socket.socket, _request: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"data\n" * 1000)

    with serve(stream) as server:
        assert look(http=server.url()).facts.ready


def test_an_ipv6_literal_is_a_host() -> None:
    with serve(answers(OK), family=socket.AF_INET6) as server:
        seen = look(http=server.url(host="[::1]"))

    assert seen.facts.ready
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


def test_one_address_of_a_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv6 first; where nobody listens there, IPv4 answers."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serve(answers(OK)) as server:
        seen = look(http=server.url(host="localhost"))

    assert (seen.facts.ready, seen.facts.peers) == (True, (f"127.0.0.1:{server.port}",))
