"""wait_for: tcp and dns, with real sockets."""

import os
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from wait_kit import free_port, look, serve

pytestmark = pytest.mark.usefixtures("no_leaks")


# Bring up the loopback of a network namespace that was just made: SIOCSIFFLAGS, IFF_UP.
LO_UP = """
import fcntl, socket, struct
with socket.socket() as sock:
    fcntl.ioctl(sock, 0x8914, struct.pack("16sh", b"lo", 1) + bytes(14))
"""


def test_an_open_port_is_ready_and_the_connection_is_closed() -> None:
    closed = threading.Event()

    def until_closed(connection: socket.socket, _request: object) -> None:
        assert connection.recv(1) == b""
        closed.set()

    with serve(until_closed, http=False) as server:
        seen = look(tcp=f"127.0.0.1:{server.port}")
        assert closed.wait(5)

    assert (seen.facts.ready, seen.facts.peers) == (True, (f"127.0.0.1:{server.port}",))


def test_a_closed_port_is_wait_refused() -> None:
    port = free_port()
    seen = look(tcp=f"localhost:{port}")

    assert (seen.finding.code, seen.facts.errno, seen.finding.subject) == (
        "wait-refused", "ECONNREFUSED", f"tcp://localhost:{port}",
    )  # fmt: skip
    assert f"127.0.0.1:{port} ECONNREFUSED" in seen.facts.peers
    assert seen.facts.error.endswith(f"127.0.0.1:{port} (localhost) (ECONNREFUSED)")


def test_ipv6_alone_will_do() -> None:
    with serve(lambda *_: None, family=socket.AF_INET6, http=False) as server:
        assert look(tcp=f"[::1]:{server.port}").facts.ready


def test_the_first_address_that_accepts_wins_over_those_that_refuse(tmp_path: Path) -> None:
    """A name with a dead IPv6 and a live IPv4 address, as /etc/hosts of a private mount namespace gives it."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a mount namespace of its own")
    (tmp_path / "hosts").write_text("::1 twofold\n127.0.0.2 twofold\n127.0.0.1 twofold\n")
    with serve(lambda *_: None, http=False) as server:
        out = in_namespace(tmp_path / "hosts", "/etc/hosts", f"tcp='twofold:{server.port}'")

    assert out.splitlines()[0] == "True None"
    assert f"127.0.0.1:{server.port} accepted the connection" in out


def in_namespace(file: Path, over: str, fields: str, before: str = "", *, namespaces: str = "-m") -> str:
    """Wait in a process that sees `file` in the place of `over`; its output."""
    script = f"""
    import sys, threading, time
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    from modelgate.checks import wait_for
    from modelgate.host import Host
    from wait_kit import spec
    {before}
    began = time.monotonic()
    facts = wait_for.observe(spec({fields}), Host())
    print(facts.ready, facts.cause)
    print(facts.error or facts.saw)
    print(facts.attempts, time.monotonic() - began, threading.active_count())
    sys.stdout.flush()
    import os; os._exit(0)  # as the gate's child leaves: a look-up may still hang
    """
    words = ["unshare", namespaces, "sh", "-c", 'mount --bind "$1" "$2" && exec "$3" -c "$4"', "sh"]
    words += [str(file), over, sys.executable, textwrap.dedent(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.root
def test_a_socket_that_meets_itself_is_nobody_listening() -> None:
    """In the ephemeral range the kernel may give the asking socket the very port it asks for: it then connects."""
    script = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    {textwrap.indent(LO_UP, "    ").strip()}
    open("/proc/sys/net/ipv4/ip_local_port_range", "w").write("40001 40003")
    met = 0
    for _ in range(50):
        with socket.socket() as sock:
            met += sock.connect_ex(("127.0.0.1", 40001)) == 0
    from wait_kit import look
    seen = look(tcp="127.0.0.1:40001", timeout="1s", backoff={{"initial": "1ms", "max": "1ms"}})
    print(met > 0, seen.facts.ready, seen.facts.attempts > 50)
    """
    words = ["unshare", "-n", sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.split() == ["True", "False", "True"], done.stderr


# -- dns -------------------------------------------------------------------------------------------------------------


def test_a_name_that_resolves_is_ready() -> None:
    seen = look(dns="localhost")

    assert seen.facts.ready
    assert "127.0.0.1" in seen.facts.peers
    assert seen.facts.saw.startswith("localhost is ")


def test_a_name_that_does_not_exist_is_waited_for_and_named() -> None:
    """.invalid never resolves; what a sandbox's resolver says instead of NXDOMAIN is wait-dns too."""
    seen = look(dns="no-such-service.invalid")

    assert (seen.finding.code, seen.facts.hopeless) == ("wait-dns", False)
    assert "no-such-service.invalid" in seen.facts.error
    assert "EAI_" in seen.facts.error


@pytest.mark.parametrize("field", ["http", "tcp", "grpc"])
def test_every_scheme_tells_an_unknown_name_apart(field: str) -> None:
    value = {"http": "http://db.invalid:6333/", "tcp": "db.invalid:6333", "grpc": "db.invalid:6333"}[field]
    seen = look(**{field: value})

    assert seen.finding.code in ({"wait-dns"} if field != "grpc" else {"wait-dns", "manifest-unsupported"})


SILENT_RESOLVER = (
    LO_UP
    + """
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.53", 53))
"""
)


@pytest.mark.root
@pytest.mark.parametrize("fields", ["dns='db.cluster'", "tcp='db.cluster:1'", "http='http://db.cluster/'"])
def test_a_resolver_that_never_answers_stops_nobody(tmp_path: Path, fields: str) -> None:
    """getaddrinfo would hang for 10 s and more; the attempt and the wait end when they should, with one thread left."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:30 attempts:3\n")
    fields += ", attempt_timeout='300ms', timeout='1s'"
    before = textwrap.indent(SILENT_RESOLVER, "    ").strip()
    out = in_namespace(tmp_path / "resolv.conf", "/etc/resolv.conf", fields, before, namespaces="-mn")
    first, error, numbers = out.splitlines()

    assert first == "False dns-silent"
    assert error == "no answer from the resolver for db.cluster within 0.3 s"
    attempts, seconds, threads = numbers.split()
    assert int(attempts) >= 2
    assert float(seconds) < 5
    assert int(threads) == 2
