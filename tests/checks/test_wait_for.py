"""How the Facts of a wait are judged, and what is advised."""

from typing import Any, get_args

import pytest
from wait_kit import spec

from modelgate import exits
from modelgate.checks import KINDS, wait_for
from modelgate.finding import Level
from modelgate.host import Place
from modelgate.kind import Stage
from modelgate.probes.answers import Cause
from modelgate.remedies import WHEN, waits

KIND = next(kind for kind in KINDS if kind.key == "wait_for")
CAUSES: tuple[Cause, ...] = get_args(Cause)
SCHEMES: dict[str, dict[str, Any]] = {
    "http": {"http": "https://user:hunter2@vector-db.data.svc:6333/readyz", "headers": {"X-Key": "hunter2"}},
    "tcp": {"tcp": "redis:6379"},
    "dns": {"dns": "vector-db"},
    "unix": {"unix": "/run/app.sock"},
    "exec": {"exec": ["pg_isready", "-h", "the db"]},
    "grpc": {"grpc": "embedder:50051"},
}
# Which causes a scheme can have; together they are all.
BY_SCHEME: dict[str, tuple[Cause, ...]] = {
    "http": tuple(
        c for c in CAUSES if c not in ("socket-denied", "absent", "failed", "no-grpc", "file-not-executable")
    ),
    "tcp": ("refused", "unreachable", "dns", "dns-silent", "local", "silent"),
    "dns": ("dns", "dns-silent", "local"),
    "unix": ("refused", "absent", "socket-denied", "closed", "silent", "file-wrong-type", "local"),
    "exec": ("failed", "file-missing", "file-not-executable", "file-hung", "local", "silent"),
    "grpc": (
        "refused",
        "unreachable",
        "dns",
        "dns-silent",
        "silent",
        "protocol",
        "status",
        "denied",
        "no-grpc",
        "local",
    ),
}
PAIRS = [(scheme, cause) for scheme, causes in BY_SCHEME.items() for cause in causes]


def facts(cause: Cause | None, **more: Any) -> wait_for.Facts:
    about: dict[str, Any] = {"attempts": 7, "seconds": 12.34, "error": "what was seen"} | more
    return wait_for.Facts(ready=cause is None, cause=cause, **about)


# -- the manifest ----------------------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_manifest() -> None:
    entry = wait_for.Spec(tcp="redis:6379")

    assert [float(entry.timeout), float(entry.attempt_timeout)] == [300, 5]
    backoff = entry.backoff
    assert [float(backoff.initial), float(backoff.max), backoff.factor, backoff.jitter] == [0.1, 5.0, 2.0, "full"]
    assert (entry.level, entry.optional) == ("fail", False)


def test_it_is_a_kind_that_proves_all_entries_in_one_child() -> None:
    assert (KIND.stage, KIND.together, KIND.silence) == (Stage.PROVE, True, 120)


# -- the judge -------------------------------------------------------------------------------------------------------


def test_ready_says_after_how_many_attempts() -> None:
    entry = spec(**SCHEMES["tcp"])
    (three,) = wait_for.judge(entry, facts(None, attempts=3, seconds=1.2, saw="it accepted"), Place())
    (one,) = wait_for.judge(entry, facts(None, attempts=1, seconds=0.012, saw="it accepted"), Place())

    assert (three.code, three.observed) == ("ok", "ready after 3 attempts in 1.2 s: it accepted")
    assert one.observed == "ready after 1 attempt in 12 ms: it accepted"


def test_every_cause_has_a_code_with_an_exit_and_a_cure() -> None:
    assert set(wait_for.CODES) == set(CAUSES) == {cause for _, cause in PAIRS}
    assert set(wait_for.CODES.values()) <= set(exits.OF_CODE)


@pytest.mark.parametrize(("scheme", "cause"), PAIRS)
def test_every_cause_fails_with_a_fix_in_the_readers_syntax(scheme: str, cause: Cause) -> None:
    entry = spec(**SCHEMES[scheme])
    path = "/etc/ssl/x.pem" if cause.startswith("file-") or cause == "tls-file" else ""
    for platform in WHEN:
        place = Place(platforms=(platform,), uid=1001, gid=1002)
        (finding,) = wait_for.judge(entry, facts(cause, path=path), place)
        (early,) = wait_for.judge(entry, facts(cause, path=path, hopeless=True), place)

        assert (finding.code, finding.level) == (wait_for.CODES[cause], Level.FAIL)
        assert "what was seen" in finding.observed
        assert "the wait ended early" in early.why
        assert all(fix.snippet for fix in finding.fixes if fix.who == "deployer")
        assert not {fix.when for fix in finding.fixes} & set(WHEN.values()) - {WHEN[platform]}
        assert "hunter2" not in repr((finding, early))


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_recorded_facts_of_any_kind_can_be_judged(scheme: str, cause: Cause) -> None:
    """`modelgate judge` replays what another version may have seen."""
    (finding,) = wait_for.judge(spec(**SCHEMES[scheme]), facts(cause), Place())

    assert finding.fixes


@pytest.mark.parametrize(
    ("fields", "status", "snippet"),
    [
        ({}, 503, "status: [200, 503]"),
        ({}, 404, "http: http://vector-db:6333/PATH"),
        ({"status": 204}, 200, "status: 200"),
        ({"json": {"status": "ok"}}, 200, "json: {KEY: VALUE}"),
        ({"body": "ready", "status": [200, 203]}, 203, "body: 'REGULAR EXPRESSION'"),
        ({}, None, "status: [200, NUMBER]"),
    ],
)
def test_the_answer_that_came_is_the_one_that_can_be_taken_for_good(
    fields: dict[str, Any], status: int | None, snippet: str
) -> None:
    entry = spec(http="http://vector-db:6333/readyz", **fields)
    (finding,) = wait_for.judge(entry, facts("status", status=status), Place(platforms=("docker",)))

    assert snippet in [fix.snippet for fix in finding.fixes]


@pytest.mark.parametrize("host", ["10.1.2.3", "127.0.0.1", "[fd00::7]", "[::1]"])
@pytest.mark.parametrize("cause", ["status", "refused", "silent", "unreachable"])
def test_an_address_is_not_taken_for_the_name_of_a_service(host: str, cause: Cause) -> None:
    """`docker logs 127` and `kubectl logs service/10 -n 1` lead nowhere."""
    fixes = waits.cure(cause, spec(http=f"http://{host}:6333/"), "", Place())
    words = {word for fix in fixes for word in fix.snippet.split()}

    assert not words & {"127", "10", "service/127", "service/10", "-n"}
    if cause == "status" and host in ("127.0.0.1", "[::1]"):
        assert "docker compose logs --tail 50" in [fix.snippet for fix in fixes]


@pytest.mark.parametrize("path", ["/run/app.sock", "/var/run/app.sock", "/tmp/app.sock", "/app.sock"])
def test_no_volume_is_laid_over_a_folder_that_others_use(path: str) -> None:
    fixes = waits.cure("absent", spec(unix=path), "", Place())
    own = f"{path.rpartition('/')[0]}/sockets"

    assert f"docker run -v {own}:{own} ..." in [fix.snippet for fix in fixes]
    assert f"wait for unix: {own}/app.sock" in fixes[0].do


def test_an_abstract_socket_has_no_folder_to_share() -> None:
    fixes = waits.cure("refused", spec(unix="@app"), "", Place(platforms=("docker",)))

    assert fixes[0].snippet == "docker run --network container:CONTAINER ..."


def test_the_fixes_name_the_service_and_its_namespace() -> None:
    entry = spec(**SCHEMES["http"])
    refused = waits.cure("refused", entry, "", Place(platforms=("kubernetes",)))[0]
    unknown = waits.cure("dns", entry, "", Place(platforms=("compose",)))[0]

    assert "kubectl get endpoints vector-db -n data" in refused.snippet
    assert "depends_on: [vector-db]" in unknown.snippet


def test_localhost_in_a_container_is_named_as_the_slip_it_is() -> None:
    fixes = waits.cure("refused", spec(tcp="localhost:6379"), "", Place(platforms=("compose",)))

    assert "inside a container, localhost is that container alone" in fixes[0].do


def test_only_waits_that_might_succeed_later_are_told_to_take_longer() -> None:
    entry = spec(tcp="redis:6379", timeout="5m")
    longer = [fix.snippet for fix in waits.cure("refused", entry, "", Place())]

    assert "timeout: 15m" in longer
    assert not any("timeout" in f.snippet for f in waits.cure("denied", spec(**SCHEMES["http"]), "", Place()))


def test_an_optional_dependency_that_never_came_is_a_warn_and_one_that_refuses_us_is_not() -> None:
    entry = spec(tcp="redis:6379", optional=True)
    (never,) = wait_for.judge(entry, facts("refused"), Place())
    (refuses,) = wait_for.judge(entry, facts("denied", hopeless=True), Place())

    assert (never.level, never.code) == (Level.WARN, "wait-refused")
    assert refuses.level is Level.FAIL


def test_a_file_that_decided_is_the_subject() -> None:
    entry = spec(http="https://db", ca="/etc/ssl/db.pem")
    (finding,) = wait_for.judge(entry, facts("file-missing", path="/etc/ssl/db.pem", hopeless=True), Place())

    assert (finding.code, finding.subject) == ("path-missing", "/etc/ssl/db.pem")
    assert finding.evidence["dependency"] == "https://db"
