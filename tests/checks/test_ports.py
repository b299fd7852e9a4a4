"""Ports, held by real sockets of this and of other processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from seen_as import seen_as

from modelgate.checks import ports
from modelgate.finding import Finding, Level
from modelgate.host import Host, Place

KUBERNETES = Place(platforms=("kubernetes",), container=True, uid=1001, gid=1001)
IPV6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6")
needs_ipv6 = pytest.mark.skipif(not IPV6, reason="no IPv6 on this machine")


@contextmanager
def held(
    address: str = "127.0.0.1", *, port: int = 0, listen: bool = True, reuse: int = 0, only_v6: bool = True
) -> Iterator[int]:
    """A socket bound to a port, as other servers do it; its number."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as it:
        if reuse:
            it.setsockopt(socket.SOL_SOCKET, reuse, 1)
        if family == socket.AF_INET6:
            it.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
        it.bind((address, port))
        if listen:
            it.listen()
        yield it.getsockname()[1]


def look(port: int, address: str | None = None, place: Place = KUBERNETES) -> Finding:
    spec = ports.Spec(port=port, address=address)
    (found,) = ports.judge(spec, ports.observe(spec, Host()), place)
    return found


def free_port() -> int:
    with held(listen=False) as port:
        return port


@pytest.mark.usefixtures("no_leaks")
def test_a_free_port_passes_and_stays_free() -> None:
    """Asking leaves no socket behind: the server can bind right after."""
    port = free_port()

    assert look(port).code == "ok"
    assert look(port).code == "ok"
    with held("0.0.0.0", port=port):
        pass


@pytest.mark.parametrize("reuse", [0, socket.SO_REUSEADDR, socket.SO_REUSEPORT])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.usefixtures("no_leaks")
def test_a_listener_is_seen_whatever_it_shares(address: str, reuse: int) -> None:
    with held(address, reuse=reuse) as port:
        found = look(port)

    assert (found.code, found.level) == ("port-in-use", Level.FAIL)
    assert f"bind 0.0.0.0 port {port} as 1001:1001: EADDRINUSE (Address already in use)" in found.observed
    assert f"{address} is listening: pid {os.getpid()}" in found.observed


def test_the_holder_is_named_without_its_arguments() -> None:
    """A command line may hold a password; the process's name does not."""
    script = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, "--api-key=s3cr3t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        found = look(int(other.stdout.readline()))
        other.stdin.close()

    assert f"pid {other.pid} (python" in found.observed
    assert "s3cr3t" not in msgspec.json.encode(found).decode()
    assert found.evidence["holders"][0]["uid"] == os.getuid()


def test_a_connection_in_time_wait_does_not_hold_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.close()  # the side that closes first waits
        client.recv(1)
        client.close()

    assert look(port).code == "ok"


def test_an_outgoing_connection_holds_its_port_and_is_told_as_one() -> None:
    with held() as port, socket.create_connection(("127.0.0.1", port)) as client:
        found = look(client.getsockname()[1])

    assert found.code == "port-in-use"
    assert "127.0.0.1 is established" in found.observed


def test_a_socket_that_never_listens_is_in_no_table_and_that_is_said() -> None:
    """A cause that was not seen is worded as a guess."""
    with held("0.0.0.0", listen=False) as port:
        found = look(port)

    assert found.code == "port-in-use"
    assert "perhaps a socket that is bound and not listening" in found.observed


def test_another_address_may_hold_the_port() -> None:
    """With `address` only that one is asked for."""
    with held("127.0.0.2") as port:
        assert look(port, "127.0.0.1").code == "ok"
        assert look(port, "127.0.0.2").code == "port-in-use"
        assert look(port).code == "port-in-use"


@needs_ipv6
def test_a_holder_on_ipv6_alone_is_a_warning() -> None:
    """A server on 0.0.0.0 would start: it must not be stopped."""
    with held("::") as port:
        found = look(port)
        only_v4 = look(port, "0.0.0.0")
        only_v6 = look(port, "::")

    assert (found.code, found.level) == ("port-in-use", Level.WARN)
    assert "On IPv4 the port is free" in found.why
    assert only_v4.code == "ok"
    assert (only_v6.code, only_v6.level) == ("port-in-use", Level.FAIL)


@needs_ipv6
def test_a_holder_on_both_families_fails() -> None:
    with held("::", only_v6=False) as port:
        assert look(port).level is Level.FAIL


def test_an_address_of_another_machine_is_named_as_such() -> None:
    """EADDRNOTAVAIL is not "in use"."""
    found = look(free_port(), "192.0.2.1")

    assert (found.code, found.level) == ("port-address", Level.FAIL)
    assert "EADDRNOTAVAIL" in found.observed


def test_a_machine_without_ipv6_is_no_fault() -> None:
    spec = ports.Spec(port=80)
    binds = (ports.Bind("0.0.0.0"), ports.Bind("::", "EAFNOSUPPORT", "Address family not supported by protocol"))

    (found,) = ports.judge(spec, ports.Facts(binds), KUBERNETES)

    assert found.code == "ok"
    assert "free to bind on 0.0.0.0 as" in found.observed


@pytest.mark.root
def test_a_low_port_is_denied_with_the_rule_that_denies_it() -> None:
    """EACCES is not "in use" either; the limit is what the kernel of this machine says."""
    start = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if start < 2:
        pytest.skip("here every user may bind every port")
    low = next((p for p in range(start - 1, 0, -1) if look(p).code == "ok"), None)
    assert low is not None
    spec = ports.Spec(port=low)

    (found,) = ports.judge(spec, seen_as(1001, ports, spec), KUBERNETES)

    assert (found.code, found.level) == ("port-denied", Level.FAIL)
    assert f"bind 0.0.0.0 port {low} as 1001:1001: EACCES (Permission denied)" in found.observed
    assert "NET_BIND_SERVICE" in found.why
    assert any(f'value: "{low}"' in fix.snippet for fix in found.fixes)


def test_a_denial_that_the_rule_does_not_explain_is_told_as_a_guess() -> None:
    spec = ports.Spec(port=8000)
    facts = ports.Facts((ports.Bind("0.0.0.0", "EACCES", "Permission denied"),), unprivileged_from=1024)

    (found,) = ports.judge(spec, facts, KUBERNETES)

    assert found.code == "port-denied"
    assert "that is a guess" in found.why


@pytest.mark.root
def test_a_holder_of_another_user_is_told_without_a_name() -> None:
    """From uid 1001 this process's descriptors cannot be seen: its uid can."""
    with held() as port:
        spec = ports.Spec(port=port)
        (found,) = ports.judge(spec, seen_as(1001, ports, spec), KUBERNETES)

    assert "uid 0: a process outside this container or of another user" in found.observed
    assert "pid " not in found.observed


@pytest.mark.parametrize(
    "asked", [{"port": 0}, {"port": 65536}, {"port": True}, {"port": "80"}, {"port": 80, "address": "localhost"}, {}]
)
def test_what_is_no_port_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(asked, ports.Spec)


def test_a_bare_number_in_the_manifest_names_this_field() -> None:
    assert ports.SHORTHAND in ports.Spec.__struct_fields__


@pytest.mark.parametrize("platform", ["kubernetes", "openshift", "compose", "docker", "podman", "shell"])
def test_a_port_in_use_has_a_fix_for_every_platform(platform: str) -> None:
    with held() as port:
        found = look(port, place=Place(platforms=(platform,)))

    assert found.fixes[0].snippet


def test_judging_recorded_facts_again_agrees() -> None:
    with held() as port:
        spec = ports.Spec(port=port)
        facts = ports.observe(spec, Host())
    again = msgspec.json.decode(msgspec.json.encode(facts), type=ports.Facts)

    assert ports.judge(spec, facts, KUBERNETES) == ports.judge(spec, again, KUBERNETES)
