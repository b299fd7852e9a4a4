"""URLs, HOST:PORT, command lines: what is accepted, and what is shown of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wait_kit import spec

from modelgate.probes import redact, url


@pytest.mark.parametrize(
    ("text", "host", "port", "target"),
    [
        ("http://db", "db", 80, "/"),
        ("HTTPS://db/x", "db", 443, "/x"),
        ("http://db:6333/readyz?a=b#frag", "db", 6333, "/readyz?a=b"),
        ("http://db?a=b", "db", 80, "/?a=b"),
        ("http://[::1]:80/x", "::1", 80, "/x"),
        ("http://[fe80::1%eth0]/", "fe80::1%eth0", 80, "/"),
        ("http://u:p@db/", "db", 80, "/"),
        ("http://db:/x", "db", 80, "/x"),
        ("http://bücher.example/ä?ö", "xn--bcher-kva.example", 80, "/%C3%A4?%C3%B6"),
        ("http://my_service.ns.svc.cluster.local.:1/a%20b", "my_service.ns.svc.cluster.local.", 1, "/a%20b"),
        ('http://db/"<x>', "db", 80, "/%22%3Cx%3E"),
    ],
)
def test_urls_are_taken_apart(text: str, host: str, port: int, target: str) -> None:
    found = url.parse(text)

    assert (found.host, found.port, found.target) == (host, port, target)


def test_userinfo_is_decoded() -> None:
    found = url.parse("http://us%20er:p%40s%3As@db/")

    assert (found.user, found.password) == ("us er", "p@s:s")
    assert url.parse("http://token@db").user == "token"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected http://HOST"),
        ("db:6333", "expected http://HOST"),
        ("ftp://db/", "expected http://HOST"),
        ("http:///x", "there is no host name"),
        ("http://db:0/", "'0' in 'db:0' is no port: 1 to 65535"),
        ("http://db:65536/", "is no port"),
        ("http://db:http/", "is no port"),
        ("http://a b/", "a blank or a control character"),
        ("http://db/\r\nX: y", "a blank or a control character"),
        ("http://-db/", "is no host name"),
        ("http://a..b/", "is no host name"),
        ("http://[::g]/", "neither a host name nor an IP address"),
        ("http://::1/", "an IPv6 address stands in brackets"),
        ("http://" + "a" * 64 + "/", "is no host name"),
        ("http://u:hunter2@[/", "expected [IPV6]:PORT"),
        ("http://u:hunter2@/", "there is no host name"),
    ],
)
def test_what_is_no_url_is_refused_without_its_password(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        url.parse(text)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"), [("redis:6379", ("redis", 6379)), ("[::1]:1", ("::1", 1)), ("1.2.3.4:65535", ("1.2.3.4", 65535))]
)
def test_endpoints_are_taken_apart(text: str, found: tuple[str, int]) -> None:
    assert url.endpoint(text) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("redis", "expected HOST:PORT, got 'redis'"),
        ("redis:", "is no port"),
        (":6379", "there is no host name"),
        ("redis:0", "is no port"),
        ("redis:65536", "is no port"),
        ("redis:٣", "is no port"),
        ("::1:6379", 'an IPv6 address stands in brackets: "[::1]:6379"'),
        ("[::1]", "expected HOST:PORT"),
        ("[::1:1", "expected [IPV6]:PORT"),
        ("tcp://redis:6379", 'tcp: write "redis:6379", without tcp://'),
        ("re dis:1", "is no host name"),
    ],
)
def test_what_is_no_endpoint_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        url.endpoint(text)


@given(st.text(max_size=40), st.sampled_from(["http://", "https://", "http://[", "http://u:p@", "http://h:", ""]))
def test_any_text_is_a_url_or_a_message(text: str, before: str) -> None:
    try:
        found = url.parse(before + text)
    except ValueError as error:
        message = str(error)
    else:
        message = "http: " if found.host and found.target.isascii() and 1 <= found.port <= 65535 else "a bad URL"

    assert message.startswith("http: ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p@db/x?a=1", "http://db/x?a=1"),
        ("http://u:p@ss@db/x", "http://db/x"),
        ("http://db/x?api_key=abc&v=1&sig=zz#f", "http://db/x?api_key=***&v=1&sig=***"),
        ("http://db/a@b", "http://db/a@b"),
        ("plain", "plain"),
    ],
)
def test_urls_are_shown_without_secrets(text: str, shown: str) -> None:
    assert url.show(text) == shown


@given(st.text("abcXYZ019%-_.~", min_size=3, max_size=20))
def test_no_password_survives(password: str) -> None:
    """However it is written: in the subject, in the parsed forms, in an error that repeats it."""
    entry = spec(http=f"http://u:{password}@db/")
    hidden = redact.secrets(entry)
    said = redact.hide(f"<{password}|{url.parse(str(entry.http)).password}>", hidden)

    assert password not in said
    assert entry.subject == "http://db/"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["pg_isready", "-h", "db"], "pg_isready -h db"),
        (["sh", "-c", "a b"], "sh -c 'a b'"),
        (["mysqladmin", "ping", "-pS3cret"], "mysqladmin ping -p***"),
        (["ps", "-pid"], "ps -pid"),
        (["curl", "--token", "abc", "--max-time", "3"], "curl --token *** --max-time 3"),
        (["x", "PGPASSWORD=abc", "--secret=a b"], "x PGPASSWORD=*** --secret=***"),
        (["psql", "postgres://u:p@db/x"], "psql postgres://db/x"),
        (["/usr/bin/mysql-token"], "/usr/bin/mysql-token"),
    ],
)
def test_command_lines_are_shown_without_secrets(words: list[str], shown: str) -> None:
    assert spec(exec=words).subject == shown


def test_control_characters_are_shown_as_text() -> None:
    assert redact.hide("a\x1b[31m\nb\x00\u202e", []) == "a\\x1b[31m b\\x00\\u202e"
