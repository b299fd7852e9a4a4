"""wait_for: https, with real certificates that are wrong in every way."""

import datetime as dt
import subprocess
from pathlib import Path

import pytest
import trustme
from tls_kit import AUTHORITY, ca_file, context, good
from wait_kit import OK, answers, hold, look, reply, serve

pytestmark = pytest.mark.usefixtures("no_leaks")
NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


@pytest.fixture
def ca(tmp_path: Path) -> str:
    return ca_file(tmp_path)


def test_the_authority_of_the_manifest_is_trusted(ca: str) -> None:
    with serve(answers(OK), context=good()) as server:
        by_name = look(http=server.url(host="localhost"), ca=ca, timeout="20s")
        by_address = look(http=server.url(), ca=ca, timeout="20s")

    assert (by_name.facts.ready, by_address.facts.ready) == (True, True)
    assert by_name.facts.tls.startswith("TLSv1.3, certificate until ")


def test_a_folder_of_authorities_will_do(ca: str) -> None:
    """OpenSSL finds them by the hash of their subject; a folder without it is none."""
    folder = Path(ca).parent
    name = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", ca], capture_output=True, text=True, check=True)
    (folder / f"{name.stdout.strip()}.0").symlink_to(ca)
    with serve(answers(OK), context=good()) as server:
        assert look(http=server.url(), ca=str(folder), timeout="20s").facts.ready


def test_the_servers_own_certificate_will_do_as_ca(tmp_path: Path) -> None:
    """What people mount is often the certificate itself; curl and Go take that too."""
    leaf = AUTHORITY.issue_cert("127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "leaf.pem")
    with serve(answers(OK), context=context(leaf)) as server:
        assert look(http=server.url(), ca=str(tmp_path / "leaf.pem"), timeout="20s").facts.ready


def test_an_unknown_authority_ends_the_wait() -> None:
    with serve(answers(OK), context=good()) as server:
        seen = look(http=server.url(), timeout="60s")

    assert (seen.finding.code, seen.facts.cause, seen.facts.hopeless) == ("wait-tls", "tls-ca", True)
    assert seen.facts.error == "certificate verify failed: unable to get local issuer certificate"
    assert any("ca: /etc/ssl/dependency-ca.pem" in fix.snippet for fix in seen.finding.fixes)
    assert any("openssl s_client" in fix.snippet for fix in seen.finding.fixes)


def test_insecure_asks_no_questions() -> None:
    with serve(answers(OK), context=good()) as server:
        seen = look(http=server.url(), insecure=True, timeout="20s")

    assert (seen.facts.ready, seen.facts.tls) == (True, "TLSv1.3, certificate not checked")


def test_a_certificate_for_another_name_ends_the_wait(ca: str) -> None:
    with serve(answers(OK), context=context(AUTHORITY.issue_cert("vector-db.internal"))) as server:
        seen = look(http=server.url(host="localhost"), ca=ca, timeout="60s")

    assert (seen.finding.code, seen.facts.cause, seen.facts.hopeless) == ("wait-tls", "tls-name", True)
    assert "certificate is not valid for 'localhost'" in seen.facts.error


def test_an_expired_certificate_ends_the_wait(ca: str) -> None:
    old = AUTHORITY.issue_cert("127.0.0.1", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    with serve(answers(OK), context=context(old)) as server:
        seen = look(http=server.url(), ca=ca, timeout="60s")

    assert (seen.facts.cause, seen.facts.hopeless) == ("tls-expired", True)
    assert seen.facts.error == "certificate verify failed: certificate has expired"


def test_a_certificate_of_tomorrow_is_waited_for(ca: str) -> None:
    """A clock may still be set."""
    early = AUTHORITY.issue_cert("127.0.0.1", not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    with serve(answers(OK), context=context(early)) as server:
        seen = look(http=server.url(), ca=ca)

    assert (seen.finding.code, seen.facts.cause, seen.facts.hopeless) == ("wait-tls", "tls-not-yet", False)
    assert seen.facts.attempts > 1


def test_plain_http_on_a_tls_port_is_told() -> None:
    with serve(answers(reply("400 Bad Request")), http=False) as server:
        seen = look(http=f"https://127.0.0.1:{server.port}/", timeout="60s")

    assert (seen.finding.code, seen.facts.cause, seen.facts.hopeless) == ("wait-tls", "tls-plain", True)
    assert f"http: http://127.0.0.1:{server.port}/" in [fix.snippet for fix in seen.finding.fixes]


def test_plain_http_asked_of_a_tls_port_is_told() -> None:
    """What OpenSSL servers say to plain text: an alert."""
    with serve(answers(b"\x15\x03\x01\x00\x02\x02\x16")) as server:
        seen = look(http=server.url(), timeout="60s")

    assert (seen.finding.code, seen.facts.cause, seen.facts.hopeless) == ("wait-tls", "tls-needed", True)
    assert f"http: https://127.0.0.1:{server.port}/" in [fix.snippet for fix in seen.finding.fixes]


def test_a_handshake_without_an_answer_ends_with_the_attempt() -> None:
    with serve(hold, http=False) as server:
        seen = look(http=f"https://127.0.0.1:{server.port}/", attempt_timeout="200ms", timeout="300ms")

    assert (seen.finding.code, seen.facts.error) == ("wait-timeout", "the TLS handshake got no answer within 0.2 s")


def test_a_connection_closed_in_the_handshake_is_waited_for() -> None:
    with serve(lambda *_: None, http=False) as server:
        seen = look(http=f"https://127.0.0.1:{server.port}/")

    assert (seen.facts.cause, seen.facts.hopeless) == ("closed", False)


@pytest.mark.parametrize(("with_token", "hopeless"), [(True, True), (False, False)])
def test_https_is_never_left_for_http(ca: str, *, with_token: bool, hopeless: bool) -> None:
    headers = {"headers": {"Authorization": "Bearer abcdefgh"}} if with_token else {}
    with serve(answers(OK)) as plain, serve(answers(reply("302 F", Location=plain.url())), context=good()) as server:
        seen = look(http=server.url(), ca=ca, **headers)

    assert (seen.facts.cause, seen.facts.hopeless, plain.requests) == ("redirect", hopeless, [])


def test_the_server_name_is_sent() -> None:
    """SNI: without it an ingress shows another certificate."""
    asked: list[str | None] = []
    cert = trustme.CA().issue_cert("localhost")
    made = context(cert)
    made.sni_callback = lambda _sock, name, _context: asked.append(name)
    with serve(answers(OK), context=made) as server:
        look(http=server.url(host="localhost"), insecure=True, timeout="20s")

    assert asked == ["localhost"]
