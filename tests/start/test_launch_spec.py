"""The `launch` section: what its values may be."""

import msgspec
import pytest

from modelgate.manifest import parse_custom
from modelgate.start.spec import SUPERVISE_ONLY, Health, LaunchSpec, Listen, Text


def spec(**keys: object) -> LaunchSpec:
    return msgspec.convert(keys, LaunchSpec, dec_hook=parse_custom, str_keys=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/health", "https://host", "http://[::1]:8000/x", "https://user@host:1/", "tcp://host:1",
        "tcp://[::1]:65535", "unix:///run/app.sock",
    ],
)  # fmt: skip
def test_a_health_url_that_a_probe_can_ask(url: str) -> None:
    assert Health.parse(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "", "host:8000", "http://", "http:///x", "http://:80/", "http://h:0/", "http://h:99999/", "http://h:x/", "ftp://h/",
        "tcp://host", "tcp://:1", "tcp://h:0", "unix://run/x", "unix:///", "http://h/a b", "HTTP", 8000, None, ["http://h"],
    ],
)  # fmt: skip
def test_a_health_url_that_no_probe_can_ask(url: object) -> None:
    with pytest.raises(ValueError, match="expected http"):
        Health.parse(url)


@pytest.mark.parametrize(
    ("address", "good"),
    [(":9090", True), ("0.0.0.0:1", True), ("9090", False), (9090, False), (":0", False), (":", False)],
)
def test_an_address_to_listen_on(address: object, good: bool) -> None:
    if good:
        assert Listen.parse(address) == address
    else:
        with pytest.raises(ValueError, match="expected"):
            Listen.parse(address)


def test_a_word_for_the_server_may_be_a_number_but_none_that_loses_its_form() -> None:
    assert [Text.parse(v) for v in ("x", 2, True, False)] == ["x", "2", "true", "false"]
    wrong: tuple[object, ...] = (0.9, None, [], {})
    for value in wrong:
        with pytest.raises(ValueError, match=r"quotes|expected text"):
            Text.parse(value)


@pytest.mark.parametrize(
    "signals", [{"HUP": "none", "USR1": "USR2", "SIGUSR2": "SIGTERM", "15": 2, "term": 0, "INT": "KILL"}]
)
def test_signals_are_names_or_numbers(signals: dict[str, object]) -> None:
    assert spec(signals=signals).signals == signals


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"signals": {"HPU": "none"}}, "signals: 'HPU' is no signal"),
        ({"signals": {"KILL": "TERM"}}, "signals: 'KILL' is no signal that can be caught"),
        ({"signals": {"9": "TERM"}}, "signals: '9' is no signal that can be caught"),
        ({"signals": {"HUP": "nothing"}}, "signals: HUP cannot become 'nothing'"),
        ({"signals": {"HUP": 99}}, "signals: HUP cannot become 99"),
        ({"exit_codes": {"143": 256}}, "exit_codes: an exit code is a number from 0 to 255"),
        ({"exit_codes": {"-1": 0}}, "exit_codes: an exit code is a number from 0 to 255"),
        ({"stall": "5m"}, "stall: it needs `health`"),
        ({"profiles": [{"name": "a", "env": {"": "x"}}]}, "env: a variable cannot be named ''"),
        ({"profiles": [{"name": ""}]}, "length >= 1"),
        ({"profiles": [{}]}, "missing required field `name`"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, object], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words.replace("[", r"\[")):
        spec(**keys)


def test_the_keys_that_need_a_supervisor_are_keys() -> None:
    """A name in the list that is no field would refuse nothing."""
    assert set(SUPERVISE_ONLY) < set(LaunchSpec.__struct_fields__)
