"""Kernel parameters, read from fixture trees and from the real kernel."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from seen_as import open_to_all, seen_as

from modelgate.checks import host
from modelgate.finding import CLUSTER, Finding, Level
from modelgate.host import Host, Place

KUBERNETES = Place(platforms=("kubernetes",), container=True, uid=1001, gid=1001)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with a few parameters."""
    values = {
        "vm/swappiness": "60\n",
        "kernel/shmmax": "18446744073692774399\n",
        "kernel/core_pattern": "core\n",
        "net/ipv4/tcp_rmem": "4096\t131072\t6291456\n",
        "net/ipv4/conf/eth0.100/rp_filter": "2\n",
        "net/core/somaxconn": "4096\n",
    }
    for name, text in values.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def look(
    proc: Path, sysctl: Mapping[str, str | int], place: Place = KUBERNETES, *, optional: bool = False
) -> list[Finding]:
    spec = host.Spec(sysctl=dict(sysctl), optional=optional)
    return host.judge(spec, host.observe(spec, Host(proc=str(proc))), place)


@pytest.mark.parametrize(
    ("name", "wanted", "code"),
    [
        ("vm.swappiness", "<=60", "ok"),
        ("vm.swappiness", "<=10", "host-sysctl"),
        ("vm.swappiness", "< 60", "host-sysctl"),
        ("vm.swappiness", ">59", "ok"),
        ("vm.swappiness", ">=61", "host-sysctl"),
        ("vm.swappiness", "==60", "ok"),
        ("vm.swappiness", 60, "ok"),
        ("vm.swappiness", "060", "ok"),
        ("vm.swappiness", "6", "host-sysctl"),
        ("kernel.shmmax", ">=18446744073692774399", "ok"),
        ("kernel.core_pattern", "core", "ok"),
        ("kernel.core_pattern", "==corf", "host-sysctl"),
        ("net.ipv4.tcp_rmem", "4096 131072   6291456", "ok"),
        ("net.ipv4.tcp_rmem", "4096 131072 1", "host-sysctl"),
        ("net/ipv4/conf/eth0.100/rp_filter", 2, "ok"),
        ("net.ipv4.conf.eth0/100.rp_filter", 2, "ok"),
    ],
)
def test_a_parameter_is_compared_as_asked(proc: Path, name: str, wanted: str | int, code: str) -> None:
    (found,) = look(proc, {name: wanted})

    assert found.code == code


def test_every_parameter_has_its_own_finding(proc: Path) -> None:
    found = look(proc, {"vm.swappiness": "<=10", "vm.nothing": 1, "net.core.somaxconn": ">=1024"})

    assert [(f.subject, f.code) for f in found] == [
        ("vm.swappiness", "host-sysctl"),
        ("vm.nothing", "host-sysctl"),
        ("net.core.somaxconn", "ok"),
    ]
    assert found[0].observed == "vm.swappiness is 60, the manifest asks for <=10"


def test_a_parameter_that_is_not_there_fails_with_the_near_name(proc: Path) -> None:
    (found,) = look(proc, {"vm.swapiness": 1})

    assert found.level is Level.FAIL
    assert "ENOENT; perhaps vm.swappiness is meant" in found.observed


def test_optional_lets_a_missing_parameter_pass_and_no_wrong_one(proc: Path) -> None:
    found = look(proc, {"vm.nothing": 1, "vm.swappiness": 1}, optional=True)

    assert [f.code for f in found] == ["ok", "host-sysctl"]


def test_without_any_parameters_nothing_is_known(tmp_path: Path) -> None:
    """No /proc, or a masked one: that is no fault of the parameter."""
    (found,) = look(tmp_path, {"vm.swappiness": 1})

    assert (found.level, found.code) == (Level.UNKNOWN, "host-sysctl")
    assert "ENOENT (none of the kernel's parameters is visible" in found.observed


@pytest.mark.root
def test_what_the_runtime_identity_may_not_read_is_unknown(tmp_path: Path) -> None:
    """EACCES is told as it is, and nothing is blamed on the value."""
    open_path = open_to_all(tmp_path)
    secret = open_path / "sys/kernel/secret"
    secret.parent.mkdir(parents=True)
    secret.write_text("1\n")
    secret.chmod(0o600)
    spec = host.Spec(sysctl={"kernel.secret": 1})

    (found,) = host.judge(spec, seen_as(1001, host, spec, Host(proc=str(open_path))), KUBERNETES)

    assert (found.level, found.code) == (Level.UNKNOWN, "host-sysctl")
    assert "as 1001:1001: EACCES (Permission denied)" in found.observed


def test_a_comparison_with_several_values_says_that_it_cannot_be(proc: Path) -> None:
    (found,) = look(proc, {"net.ipv4.tcp_rmem": ">=4096"})

    assert found.code == "host-sysctl"
    assert "cannot be compared" in found.why


@pytest.mark.parametrize(
    ("wanted", "written"), [("<=10", "=10"), ("<10", "=9"), (">=70", "=70"), (">70", "=71"), ("==7", "=7"), (7, "=7")]
)
def test_the_fix_writes_a_value_that_satisfies_the_comparison(proc: Path, wanted: str | int, written: str) -> None:
    (found,) = look(proc, {"vm.swappiness": wanted})
    value = written.removeprefix("=")

    assert f"sysctl -w vm.swappiness{written}\n" in found.fixes[0].snippet
    (proc / "sys/vm/swappiness").write_text(value)
    assert look(proc, {"vm.swappiness": wanted})[0].code == "ok"


def test_a_parameter_of_the_node_is_the_cluster_admins(proc: Path) -> None:
    """securityContext.sysctls would be refused for it."""
    (found,) = look(proc, {"vm.swappiness": 1})

    assert [f.who for f in found.fixes] == [CLUSTER]
    assert "securityContext" not in found.fixes[0].snippet


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        ("kubernetes", "sysctls:\n      - name: net.ipv4.tcp_fin_timeout"),
        ("compose", 'net.ipv4.tcp_fin_timeout: "15"'),
        ("docker", "docker run --sysctl net.ipv4.tcp_fin_timeout=15"),
        ("shell", "sysctl -w net.ipv4.tcp_fin_timeout=15"),
    ],
)
def test_a_parameter_of_the_container_is_set_where_the_container_is_described(
    proc: Path, platform: str, words: str
) -> None:
    (proc / "sys/net/ipv4/tcp_fin_timeout").write_text("60\n")

    (found,) = look(proc, {"net.ipv4.tcp_fin_timeout": "<=15"}, Place(platforms=(platform,)))

    assert words in found.fixes[0].snippet
    assert "unsafe" not in found.fixes[0].do


def test_the_kubelet_must_allow_an_unsafe_parameter(proc: Path) -> None:
    (found,) = look(proc, {"net.core.somaxconn": ">=65535"})

    assert "--allowed-unsafe-sysctls" in found.fixes[0].do


@pytest.mark.parametrize(
    "sysctl",
    [
        {"../../etc/passwd": 1},
        {"vm/../../x": 1},
        {"/vm/swappiness": 1},
        {"vm..swappiness": 1},
        {"": 1},
        {"vm swappiness": 1},
        {"vm.swappiness": "<=many"},
        {"vm.swappiness": ""},
        {"vm.swappiness": 1.5},
        {"vm.swappiness": True},
    ],
)
def test_what_is_no_parameter_or_no_requirement_is_refused(sysctl: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"sysctl": sysctl}, host.Spec)


def test_keys_of_later_versions_are_known_as_such() -> None:
    """So that the manifest can say manifest-unsupported, and not `unknown key`."""
    assert set(host.NOT_YET) == {"memory", "shm", "memlock", "nofile", "swap"}
    assert not set(host.NOT_YET) & set(host.Spec.__struct_fields__)


def test_the_real_kernel_answers() -> None:
    pid_max = Path("/proc/sys/kernel/pid_max").read_text().strip()
    spec = host.Spec(sysctl={"kernel.pid_max": f">={pid_max}", "kernel.ostype": os.uname().sysname})

    found = host.judge(spec, host.observe(spec, Host()), KUBERNETES)

    assert [f.code for f in found] == ["ok", "ok"]


def test_judging_recorded_facts_again_agrees(proc: Path) -> None:
    spec = host.Spec(sysctl={"vm.swappiness": "<=10", "vm.nothing": 1})
    facts = host.observe(spec, Host(proc=str(proc)))
    again = msgspec.json.decode(msgspec.json.encode(facts), type=host.Facts)

    assert host.judge(spec, facts, KUBERNETES) == host.judge(spec, again, KUBERNETES)
