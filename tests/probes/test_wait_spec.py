"""What an entry of wait_for may say, in the manifest and on the command line."""

from typing import Any

import msgspec
import pytest
from wait_kit import spec

from modelgate.checks import wait_for


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "waits for exactly one of http, tcp, dns, unix, exec, grpc; none is given"),
        ({"tcp": "a:1", "dns": "a"}, "tcp and dns are given: write one entry for each"),
        ({"tcp": "a:1", "status": 200, "ca": "/x"}, "status, ca are for http only, not for tcp"),
        ({"dns": "a", "redirects": False}, "redirects is for http only, not for dns"),
        ({"tcp": "a:1", "service": ""}, "service is for grpc only, not for tcp"),
        ({"tcp": "a"}, "expected HOST:PORT"),
        ({"grpc": "a:x"}, "grpc: 'x' in 'a:x' is no port"),
        ({"dns": "http://a"}, "dns: 'http://a' is neither a host name nor an IP address"),
        ({"dns": ""}, "there is no host name"),
        ({"unix": "run/x.sock"}, "expected an absolute path like /run/app.sock"),
        ({"unix": "/" + "x" * 107}, "at most 107 bytes"),
        ({"exec": []}, "expected a command"),
        ({"exec": [""]}, "expected a command"),
        ({"exec": ["a", "b\0"]}, "NUL"),
        ({"http": "http://a", "body": "(x"}, "body is no regular expression: missing ), unterminated subpattern"),
        ({"http": "http://a", "status": 99}, ">= 100"),
        ({"http": "http://a", "status": []}, "nothing could ever match it"),
        ({"http": "http://a", "json": {"a..b": 1}}, "'a..b' is no dotted path"),
        ({"http": "http://a", "headers": {"a b": "x"}}, "'a b' is no header name"),
        (
            {"http": "http://a", "headers": {"A": "hunter2\n"}},
            "the value of A begins or ends with a blank or a line end",
        ),
        ({"http": "http://a", "headers": {"A": "hun\nter2"}}, "the value of A holds a character"),
        ({"http": "http://a", "headers": {"A": "hunter2€"}}, "the value of A holds a character"),
        ({"http": "https://a", "key": "/k"}, "key without cert"),
        ({"http": "https://a", "ca": "/k", "insecure": True}, "contradict each other"),
        ({"http": "http://a", "ca": "/k", "redirects": False}, "need an https:// URL"),
        ({"http": "https://a", "ca": ""}, ">= 1"),
        ({"tcp": "a:1", "timeout": "0s"}, "timeout must be at least 1ms"),
        ({"tcp": "a:1", "attempt_timeout": "0s"}, "attempt_timeout must be at least 1ms"),
        ({"tcp": "a:1", "backoff": {"initial": "0s"}}, "backoff.initial must be between"),
        ({"tcp": "a:1", "backoff": {"initial": "9s"}}, "backoff.max must be between"),
        ({"tcp": "a:1", "backoff": {"factor": 0.5}}, ">= 1"),
        ({"tcp": "a:1", "backoff": {"jitter": "some"}}, "Invalid enum value 'some'"),
        ({"tcp": "a:1", "statsu": 1}, "unknown field `statsu`"),
    ],
)
def test_what_makes_no_sense_is_refused_and_no_secret_repeated(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        spec(**fields)

    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "hun\n" not in str(caught.value)


def test_every_field_has_a_description_for_editors() -> None:
    (schema,), parts = msgspec.json.schema_components(
        [wait_for.Spec], schema_hook=lambda _: {"type": "string"}, ref_template="{name}"
    )
    own = {n: f for n, f in parts[schema["$ref"]]["properties"].items() if n not in ("level", "optional")}

    assert all("description" in field for field in own.values())
    assert all("description" in field for field in parts["Backoff"]["properties"].values())


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("http://a:1/x", "http", "http://a:1/x"),
        ("HTTPS://a", "http", "HTTPS://a"),
        ("tcp://redis:6379", "tcp", "redis:6379"),
        ("tcp://[::1]:6379/", "tcp", "[::1]:6379"),
        ("dns:vector-db", "dns", "vector-db"),
        ("unix:///run/a.sock", "unix", "/run/a.sock"),
    ],
)
def test_a_url_of_the_command_line_is_an_entry(text: str, field: str, value: str) -> None:
    assert getattr(wait_for.from_url(text), field) == value


@pytest.mark.parametrize(
    "text", ["", "redis:6379", "tcp://redis", "dns://x", "unix://run/x", "ftp://u:hunter2@h", "dns:"]
)
def test_any_other_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|tcp:|unix:|dns:") as caught:
        wait_for.from_url(text)

    assert "hunter2" not in str(caught.value)
