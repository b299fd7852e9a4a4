"""Certificates for the tests of https: one authority for all of them."""

import ssl
from pathlib import Path

import trustme

AUTHORITY = trustme.CA()


def context(cert: trustme.LeafCert, *, clients: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
    """A server that shows `cert`, and asks for a client certificate of AUTHORITY's as `clients` says."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(made)
    if clients is not ssl.CERT_NONE:
        AUTHORITY.configure_trust(made)
        made.verify_mode = clients
    return made


def good(*, clients: ssl.VerifyMode = ssl.CERT_NONE) -> ssl.SSLContext:
    """One with a right certificate for localhost and 127.0.0.1."""
    return context(AUTHORITY.issue_cert("localhost", "127.0.0.1"), clients=clients)


def ca_file(folder: Path) -> str:
    """Path of AUTHORITY's certificate."""
    AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    return str(folder / "ca.pem")
