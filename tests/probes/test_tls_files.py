"""wait_for: https: client certificates, and files that are none."""

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from tls_kit import AUTHORITY, ca_file, good
from wait_kit import OK, Request, answers, look, nobody, reply, serve

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def ca(tmp_path: Path) -> str:
    return ca_file(tmp_path)


def test_a_client_certificate_is_shown(ca: str, tmp_path: Path) -> None:
    me = AUTHORITY.issue_cert("model")
    me.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    me.private_key_pem.write_to_path(tmp_path / "key.pem")
    me.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with serve(answers(OK), context=good(clients=ssl.CERT_REQUIRED)) as server:
        one = look(http=server.url(), ca=ca, cert=f"{tmp_path}/both.pem", timeout="20s")
        two = look(http=server.url(), ca=ca, cert=f"{tmp_path}/cert.pem", key=f"{tmp_path}/key.pem", timeout="20s")

    assert (one.facts.ready, two.facts.ready) == (True, True)


def test_a_missing_client_certificate_ends_the_wait(ca: str) -> None:
    with serve(answers(OK), context=good(clients=ssl.CERT_REQUIRED)) as server:
        seen = look(http=server.url(), ca=ca, timeout="20s")

    assert (seen.finding.code, seen.facts.cause, seen.facts.hopeless) == ("wait-tls", "tls-client", True)
    assert any("cert: /etc/ssl/client.pem" in fix.snippet for fix in seen.finding.fixes)


def test_a_client_certificate_of_a_stranger_ends_the_wait(ca: str, tmp_path: Path) -> None:
    trustme.CA().issue_cert("model").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
    with serve(answers(OK), context=good(clients=ssl.CERT_REQUIRED)) as server:
        seen = look(http=server.url(), ca=ca, cert=f"{tmp_path}/me.pem", timeout="20s")

    assert (seen.facts.cause, seen.facts.hopeless) == ("tls-client", True)


def test_the_client_certificate_stays_at_home(ca: str, tmp_path: Path) -> None:
    AUTHORITY.issue_cert("model").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
    curious = good(clients=ssl.CERT_OPTIONAL)
    shown: list[bool] = []

    def other(connection: socket.socket, _request: Request) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        shown.append(bool(connection.getpeercert()))
        connection.sendall(OK)

    with serve(other, context=curious) as there:
        with serve(answers(reply("302 Found", Location=there.url())), context=good()) as server:
            moved = look(http=server.url(), ca=ca, cert=f"{tmp_path}/me.pem", timeout="20s")
        direct = look(http=there.url(), ca=ca, cert=f"{tmp_path}/me.pem", timeout="20s")

    assert (moved.facts.ready, direct.facts.ready, shown) == (True, True, [False, True])


@pytest.mark.parametrize(
    ("field", "content", "code", "cause"),
    [
        ("ca", None, "path-missing", "file-missing"),
        ("ca", "not pem", "wait-tls", "tls-file"),
        ("ca", "", "wait-tls", "tls-file"),
        ("cert", None, "path-missing", "file-missing"),
        ("cert", "not pem", "wait-tls", "tls-file"),
    ],
)
def test_a_file_that_is_none_ends_the_wait(
    tmp_path: Path, field: str, content: str | None, code: str, cause: str
) -> None:
    path = tmp_path / "it.pem"
    if content is not None:
        path.write_text(content)
    with serve(answers(OK), context=good()) as server:
        seen = look(http=server.url(), **{field: str(path)}, timeout="60s")

    assert (seen.finding.code, seen.facts.cause, seen.facts.hopeless) == (code, cause, True)
    assert seen.facts.path == str(path)
    assert str(path) in seen.finding.observed


def test_an_encrypted_key_is_told_and_nobody_is_asked_for_its_passphrase(ca: str, tmp_path: Path) -> None:
    me = AUTHORITY.issue_cert("model")
    me.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    me.private_key_pem.write_to_path(tmp_path / "key.pem")
    words = ["openssl", "pkey", "-aes128", "-passout", "pass:x", "-in", "key.pem", "-out", "locked.pem"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    with serve(answers(OK), context=good()) as server:
        seen = look(http=server.url(), ca=ca, cert=f"{tmp_path}/cert.pem", key=f"{tmp_path}/locked.pem")

    assert (seen.finding.code, seen.facts.hopeless) == ("wait-tls", True)
    assert "the key is encrypted" in seen.facts.error


def test_a_fifo_or_directory_in_place_of_a_certificate_hangs_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with serve(answers(OK), context=good()) as server:
        fifo = look(http=server.url(), ca=f"{tmp_path}/fifo")
        folder = look(http=server.url(), ca=f"{tmp_path}", cert=f"{tmp_path}")

    assert (fifo.finding.code, folder.finding.code) == ("path-wrong-type", "path-wrong-type")


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """A thread cannot change its identity alone, so the whole test process does, for a moment."""
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    with nobody():
        yield


@pytest.mark.root
def test_a_key_that_this_user_may_not_read_is_told(tmp_path: Path, unprivileged: None) -> None:
    os.seteuid(0)
    (tmp_path / "key.pem").write_text("secret")
    (tmp_path / "key.pem").chmod(0o600)
    os.seteuid(65534)
    with serve(answers(OK), context=good()) as server:
        seen = look(http=server.url(), ca=f"{tmp_path}/key.pem")

    assert (seen.finding.code, seen.finding.subject) == ("path-unreadable", f"{tmp_path}/key.pem")
    assert "EACCES" in seen.finding.observed
