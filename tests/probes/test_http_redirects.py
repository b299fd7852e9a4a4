"""wait_for: http: redirects, and what identifies us."""

import base64
import socket

import pytest
from wait_kit import OK, Request, answers, look, reply, serve

pytestmark = pytest.mark.usefixtures("no_leaks")


def to(location: str, status: str = "302 Found") -> bytes:
    return reply(status, b"", Location=location)


def test_redirects_are_followed_and_their_end_is_told() -> None:
    def handler(connection: socket.socket, request: Request) -> None:
        connection.sendall(OK if request.path == "/in/end?q=1" else to("/in/end?q=1"))

    with serve(handler) as server:
        seen = look(http=server.url("/start"))

    assert (seen.facts.ready, seen.facts.url) == (True, server.url("/in/end"))


def test_a_loop_of_redirects_ends() -> None:
    with serve(answers(to("/again"))) as server:
        seen = look(http=server.url(), timeout="150ms")

    assert (seen.finding.code, seen.facts.cause) == ("wait-status", "redirect")
    assert "more than 5 redirects, the last to" in seen.facts.error
    assert len(server.requests) == 6 * seen.facts.attempts


def test_redirects_can_be_turned_off_or_asked_for() -> None:
    with serve(answers(to("/x"))) as server:
        off = look(http=server.url(), redirects=False, timeout="150ms")
        asked = look(http=server.url(), status=302)

    assert (off.facts.error, asked.facts.ready) == ("HTTP 302 Found", True)


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/x", "http://", "http://[::1", "http://a b/", "http://127.0.0.1:0/"]
)
def test_a_redirect_to_nowhere_is_told(location: str) -> None:
    with serve(answers(to(location))) as server:
        seen = look(http=server.url(), timeout="150ms")

    assert not seen.facts.ready


def test_credentials_do_not_follow_to_another_origin() -> None:
    """Another port is another origin; what looks secret stays, the rest goes along."""
    secrets = {
        "Authorization": "Bearer hunter2hunter2",
        "Cookie": "sid=hunter2",
        "X-Api-Key": "hunter2",
        "X-Trace": "42",
    }
    with serve(answers(OK)) as other, serve(answers(to(other.url("/there?sig=s3cret")))) as server:
        seen = look(http=server.url(), headers=secrets)

    assert seen.facts.ready
    assert {n: server.requests[0].headers[n.lower()] for n in secrets} == secrets
    sent = other.requests[0].headers
    assert sent["x-trace"] == "42"
    assert not {"authorization", "cookie", "x-api-key"} & set(sent)
    assert seen.facts.url == other.url("/there")


def test_userinfo_is_basic_authorization_and_stays_at_home() -> None:
    wanted = "Basic " + base64.b64encode(b"us er:p@ss").decode()
    with serve(answers(OK)) as other, serve(answers(to(other.url()))) as server:
        seen = look(http=server.url().replace("http://", "http://us%20er:p%40ss@"))

    assert server.requests[0].headers["authorization"] == wanted
    assert "authorization" not in other.requests[0].headers
    assert seen.finding.subject == server.url()


def test_no_secret_stands_in_facts_findings_or_what_is_told() -> None:
    """Not even when the server sends them back."""
    token, password = "tok-hunter2-tok", "pass-hunter2"

    def echo(connection: socket.socket, request: Request) -> None:
        said = f"{request.line} {request.headers} {password}".encode()
        connection.sendall(reply("500 Oops", said))

    with serve(echo) as server:
        url = server.url("/x?api_key=query-hunter2").replace("http://", f"http://user:{password}@")
        headers = {"X-Other": f"Bearer {token}", "Accept": "application/hunter2"}
        seen = look(http=url, headers=headers, timeout="150ms")

    text = repr(seen)
    assert "500 Oops" in text
    assert "hunter2" not in text
    assert base64.b64encode(f"user:{password}".encode()).decode() not in text


def test_a_key_that_comes_after_a_header_of_the_user_is_not_doubled() -> None:
    with serve(answers(OK)) as server:
        look(http=server.url(), headers={"user-agent": "me", "Host": "model.internal"})

    assert server.requests[0].headers["user-agent"] == "me"
    assert server.requests[0].headers["host"] == "model.internal"
