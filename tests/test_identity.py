"""Who the server will be: what run_as may say, which groups are kept, and that nothing of root stays behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelgate.identity import Identity, can_become, current, parse, resolve

AS = "from modelgate.identity import *; import os\n"


@pytest.fixture
def etc(tmp_path: Path) -> str:
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nodd line\nai:x:1001:1002::/home/ai:/bin/sh\n")
    (tmp_path / "group").write_text(
        "root:x:0:\nadm:x:4:syslog,root\nvideo:x:44:ai,rooty\nbroken\nwheel:x:ten:root\ndisk:x:6:root\n"
    )
    return str(tmp_path)


def _as_root(code: str, *, groups: str = "", wrap: tuple[str, ...] = ()) -> str:
    """The last line that `code` prints in a process started as root with these supplementary groups."""
    keep = f"--groups={groups}" if groups else "--clear-groups"
    argv = ["setpriv", keep, *wrap, sys.executable, "-c", AS + code]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("1001", (1001, None)),
        ("1001:1002", (1001, 1002)),
        ("0:0", (0, 0)),
        ("1001:1002,44,4,44", Identity(1001, 1002, (4, 44))),
        ("4294967294", (4294967294, None)),
    ],
)
def test_run_as_is_uid_gid_groups(text: str, asked: object) -> None:
    assert parse(text) == asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ai",
        "1001:",
        ":5",
        "1001:ai",
        "1001:1002,",
        "-1",
        "1.5",
        "4294967295",
        "1001:1002:3",
        "1001,44",
        "\u0661",
        " 1",
    ],
)
def test_anything_else_is_refused_for_a_person(text: str) -> None:
    with pytest.raises(ValueError, match="expected UID"):
        parse(text)


@given(st.text(max_size=12))
def test_any_text_is_an_identity_or_a_refusal(text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        assert "expected UID" in str(error)  # noqa: PT017


@given(st.integers(0, 2**32 - 2), st.integers(0, 2**32 - 2), st.sets(st.integers(0, 2**32 - 2), min_size=1, max_size=5))
def test_what_is_shown_can_be_given_back(uid: int, gid: int, groups: set[int]) -> None:
    identity = Identity(uid, gid, tuple(sorted(groups - {gid})))

    assert parse(identity.text) in (identity, (uid, gid))


def test_without_run_as_it_is_us() -> None:
    assert resolve(None) == current()
    assert can_become(current())


def test_our_own_ids_keep_our_own_groups(etc: str) -> None:
    me = current()

    assert resolve(f"{me.uid}:{me.gid}", etc=etc) == me


def test_a_gid_that_is_not_given_is_the_one_of_passwd_else_0(etc: str) -> None:
    assert resolve("1001", etc=etc).gid == 1002
    assert resolve("4711", etc=etc).gid == 0
    assert resolve("4711", etc="/nowhere").gid == 0


@pytest.mark.root
def test_inherited_groups_are_kept_but_those_of_root(etc: str) -> None:
    """0, and what /etc/group gives root (4, 6), go; an fsGroup (2000) and --group-add (44) stay."""
    told = _as_root(f"print(resolve('1001:1002', etc={etc!r}).groups)", groups="0,4,6,44,2000")

    assert told == "(44, 2000)"


@pytest.mark.root
def test_a_list_of_groups_is_taken_as_it_is(etc: str) -> None:
    assert _as_root(f"print(resolve('1001:1002,0,4', etc={etc!r}).groups)", groups="44") == "(0, 4)"


@pytest.mark.root
def test_becoming_leaves_no_id_and_no_group_of_root() -> None:
    told = _as_root(
        "become(Identity(1001, 1002, (44,)))\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "caps = [l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapPrm', 'CapEff'))]\n"
        "try: os.setuid(0)\n"
        "except PermissionError: print(os.getresuid(), os.getresgid(), os.getgroups(), *caps)",
        groups="0,4",
    )

    assert told == "(1001, 1001, 1001) (1002, 1002, 1002) [44] 0000000000000000 0000000000000000"


@pytest.mark.root
def test_becoming_takes_the_saved_ids_too() -> None:
    """seteuid alone would leave a way back."""
    told = _as_root("os.seteuid(1001)\nos.seteuid(0)\nbecome(Identity(1001, 0))\nprint(os.getresuid(), os.getresgid())")

    assert told == "(1001, 1001, 1001) (0, 0, 0)"


@pytest.mark.root
def test_what_is_in_force_already_is_not_set_again() -> None:
    """A container without CAP_SETGID may run as what it was started as."""
    told = _as_root(
        "become(current())\nprint('still', os.getuid())", wrap=("setpriv", "--bounding-set=-setgid,-setuid")
    )

    assert told == "still 0"


@pytest.mark.root
@pytest.mark.parametrize(
    ("wrap", "identity", "told"),
    [
        (
            "setpriv --bounding-set=-setuid",
            "Identity(1001, 0)",
            "1001:0: Operation not permitted (CAP_SETUID is missing)",
        ),
        ("setpriv --bounding-set=-setgid", "Identity(0, 9)", "0:9: Operation not permitted (CAP_SETGID is missing)"),
        (
            "setpriv --bounding-set=-setgid",
            "Identity(0, 0, (9,))",
            "0:0,9: Operation not permitted (CAP_SETGID is missing)",
        ),
        (
            "unshare -U -r",
            "Identity(0, 0, (0,))",
            "0:0: Operation not permitted (this user namespace denies setgroups)",
        ),
        (
            "unshare -U -r",
            "Identity(1001, 0)",
            "1001:0: Invalid argument (the id is not mapped in this user namespace)",
        ),
    ],
)
def test_a_refusal_names_what_is_missing(wrap: str, identity: str, told: str) -> None:
    code = f"try: become({identity})\nexcept Denied as error: print(error.errno in (1, 22), error)"
    argv = [*wrap.split(), sys.executable, "-c", AS + code]
    prepare = ["setpriv", "--clear-groups"]
    done = subprocess.run(prepare + argv, capture_output=True, text=True, check=False)
    if "unshare" in wrap and "unshare" in done.stderr:
        pytest.skip(done.stderr.strip())

    assert done.stdout.strip() == f"True cannot become {told}", done.stderr


@pytest.mark.root
def test_only_root_can_become_somebody_else() -> None:
    assert _as_root("print(can_become(Identity(5, 5)))") == "True"
    assert _as_root("os.setuid(7)\nprint(can_become(Identity(5, 5)), can_become(current()))") == "False True"
    assert os.geteuid() == 0
