"""Secrets never get out, ordinary text always does, and what is not printable is escaped."""

import base64
import json
import string
import time
import urllib.parse

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from modelgate.finding import Report, ok
from modelgate.scrub import MASK, Scrubber, visible

PLAIN = Scrubber({})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://bob:pw@db/x", f"postgres://bob:{MASK}@db/x"),
        ("redis://:p/w@h:6379", f"redis://:{MASK}@h:6379"),
        ("amqp://u:a@b@h/v", f"amqp://u:{MASK}@h/v"),
        ("https://x-oauth:ghp_0123456789abcdefghij@github.com/a", f"https://x-oauth:{MASK}@github.com/a"),
        ("https://0123456789abcdefghijklmn@host/a", f"https://{MASK}@host/a"),
        ("GET /x?token=abc&y=1&sig=zz%2F HTTP", f"GET /x?token={MASK}&y=1&sig={MASK} HTTP"),
        ("http://h/x?token=a:b: refused", f"http://h/x?token={MASK}: refused"),
        ("with password=abc, and so on", f"with password={MASK}, and so on"),
        ("https://s3/b?X-Amz-Signature=0a&X-Amz-Date=2", f"https://s3/b?X-Amz-Signature={MASK}&X-Amz-Date={MASK}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", f"{{'Authorization': 'Basic {MASK}'}}"),
        ("authorization=abc", f"authorization={MASK}"),
        ("sent Bearer abcdefgh1234 to it", f"sent Bearer {MASK} to it"),
        ("sent Basic dXNlcjpwYXNz", f"sent Basic {MASK}"),
        ("X-Api-Key: abc", f"X-Api-Key: {MASK}"),
        ("vllm serve m --api-key s3 --port 1", f"vllm serve m --api-key {MASK} --port 1"),
        ("--hf-token=s3 x", f"--hf-token={MASK} x"),
        ("host=db password=s3 user=x", f"host=db password={MASK} user=x"),
        ('{"db_password": "s3\\"x"}', f'{{"db_password": "{MASK}"}}'),
        ("key hf_abcdefghijklmnopqr.", f"key {MASK}."),
        ("sk-proj-0123456789abcdef", MASK),
        ("AKIAIOSFODNN7EXAMPLE is", f"{MASK} is"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", MASK),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b", f"a {MASK} b"),
        ("cut -----BEGIN PRIVATE KEY-----\\nMII", f"cut {MASK}"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_without_knowing_it(text: str, shown: str) -> None:
    assert PLAIN.text(text) == shown
    assert PLAIN.text(shown) == shown  # scrubbing twice changes nothing more


@pytest.mark.parametrize(
    "text",
    [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "Qwen/Qwen3-VL-30B@main and hf://org/name@0123abc",
        "/models/sk-learn-embedding/model-00001-of-00004.safetensors",
        "https://host:8080/a@b and https://host/@scope/pkg",
        "basic authentication failed; bearer authentication too",
        "from huggingface_hub import hf_hub_download",
        "docker run -e HF_TOKEN=$HF_TOKEN -e API_KEY=<your key> image",
        "max_tokens=512 tokenizer=abc --max-model-len 4096 --tokenizer /x",
        "http://[::1]:8000/health",
        "HF_TOKEN is not set; see HF_TOKEN_PATH=/run/secrets/hf",
        "open(O_RDONLY): Permission denied (EACCES): '/a/b': mode 0640",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert PLAIN.text(text) == text


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("HF_TOKEN", "zxcvbnm1", True),
        ("AWS_SECRET_ACCESS_KEY", "zxcvbnm1", True),
        ("MYSQL_ROOT_PASSWORD", "zxcvbnm1", True),
        ("GITHUBTOKEN", "zxcvbnm1", True),
        ("PGPASSWORD", "zxcvbnm1", True),
        ("DB_PWD", "zxcvbnm1", True),
        ("REGISTRY_AUTH", "zxcvbnm1", True),
        ("api_key", "zxcvbnm1", True),
        ("SMTP_PASSWORD", "$zxcvbn1", True),
        ("AWS_SECRET_ACCESS_KEY", "/zxcvbnm1/abc", True),
        ("HF_TOKEN", "abc12", False),  # too short to tell from ordinary text
        ("PWD", "/home/zxcvbnm", False),
        ("OLDPWD", "zxcvbnm1", False),
        ("HF_TOKEN_PATH", "/run/secrets/token", False),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/var/run/gcp.json", False),
        ("TOKENIZERS_PARALLELISM", "zxcvbnm1", False),
        ("MAX_BATCH_PREFILL_TOKENS", "1048576", False),
        ("POSTGRES_HOST_AUTH_METHOD", "scram-sha-256", False),
        ("SSH_AUTH_SOCK", "zxcvbnm1", False),
        ("MODEL", "zxcvbnm1", False),
    ],
)
def test_the_name_of_a_variable_says_whether_its_value_is_secret(name: str, value: str, hidden: bool) -> None:
    assert (value in Scrubber({name: value}).text(f"seen: {value}!")) is not hidden


def test_the_password_of_a_url_in_the_environment_is_hidden_on_its_own_too() -> None:
    scrubber = Scrubber({"DATABASE_URL": "postgres://bob:pa%2Fssw0rd@db/x"})

    assert (
        scrubber.text("auth failed for bob with pa/ssw0rd or pa%2Fssw0rd")
        == f"auth failed for bob with {MASK} or {MASK}"
    )


def test_a_short_value_is_hidden_only_as_a_word_of_its_own() -> None:
    scrubber = Scrubber({"TOKEN": "models"})

    assert scrubber.text("models: /mymodels/x") == f"{MASK}: /mymodels/x"


def test_a_header_that_the_manifest_expanded_is_known_without_its_scheme() -> None:
    assert "s3cretvalue" not in Scrubber({}, ["Bearer s3cretvalue"]).text("server said: s3cretvalue is wrong")


def test_every_line_of_a_long_secret_is_hidden_when_it_is_shown_apart() -> None:
    lines = [letter * 40 for letter in "abc"]

    shown = Scrubber({"MY_SECRET": "\n".join(lines)}).text(f"x {lines[1]} y")

    assert shown == f"x {MASK} y"


def test_structs_stay_structs_and_everything_in_them_is_scrubbed() -> None:
    finding = ok("s3cretvalue", "seen", path=b"s3cretvalue", words=("--api-key", "zz"), password="zz", n=1)
    report = Report(command=["serve", "--api-key", "zz", "--x"], findings=[finding])

    shown = Scrubber({"A_TOKEN": "s3cretvalue"}).data(report)

    assert isinstance(shown, Report)
    assert shown.command == ["serve", "--api-key", MASK, "--x"]
    assert shown.findings[0].subject == MASK
    assert shown.findings[0].evidence == {"path": MASK, "words": ("--api-key", MASK), "password": MASK, "n": 1}


def _forms(secret: str) -> list[str]:
    raw = secret.encode()
    return [
        secret,
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret).lower()
        if secret.isascii() and secret.islower()
        else urllib.parse.quote(secret),
        json.dumps(secret),
        json.dumps(json.dumps(secret)),
        json.dumps(secret, ensure_ascii=False),
        repr(secret),
        repr(raw),
        ascii(secret),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(b"user:" + raw).decode(),
        base64.b64encode(b"me:" + raw + b"x").decode(),
        visible(secret),
    ]


ALPHABET = string.ascii_letters + string.digits + "!#$%&'()*+,-./:;=?@[]^_`{|}~\"\\ \n\té€"


@settings(deadline=None)
@given(secret=st.text(ALPHABET, min_size=8, max_size=40), around=st.sampled_from(["", "x", " ", '"', "%", "/"]))
@example(secret='a"b\\c/d e%+', around="x")
def test_a_known_secret_is_gone_in_every_form(secret: str, around: str) -> None:
    assume(len(secret.strip()) >= 8 and len(set(secret)) > 4 and MASK not in secret)
    scrubber = Scrubber({}, [secret])
    for form in _forms(secret):
        text = f"before {around}{form}{around} after"
        if form not in "before  after":
            assert form.strip("\"'b") not in scrubber.text(text).replace(MASK, "\0"), form


@settings(deadline=None)
@given(st.text(max_size=60))
def test_visible_text_is_one_printable_line(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)


def test_foreign_characters_are_shown_as_escapes() -> None:
    assert visible("a\x1b[31m\n\u202e\udc80\x85é\U000e0001") == "a\\x1b[31m\\n\\u202e\\udc80\\x85é\\U000e0001"


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=8), st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5))
)
def test_scrubbing_never_fails_whatever_the_text(data: dict[str, object]) -> None:
    scrubber = Scrubber({"X_TOKEN": "\udc80\ud800secret1", "Y": "://a:b@c"})

    assert isinstance(scrubber.data(data), dict)


def test_hostile_text_does_not_hold_the_gate_up() -> None:
    scrubber = Scrubber({"A_TOKEN": "s3cret/+value"})
    started = time.monotonic()
    for piece in ("://a:", "sk-", "?a-", "a-", "'a-", "bearer ", "--a-", "--token ", "%41", "eyJaaaaaaaaa.", "\\"):
        scrubber.text(piece * (16_000 // len(piece)) + "@=:")

    assert time.monotonic() - started < 10
