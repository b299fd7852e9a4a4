"""The identity is taken completely and for good, or nothing is started."""

import pytest
from handover_kit import SLEEP, driver, finish, running, status


@pytest.mark.root
def test_the_drop_is_complete_and_keeps_the_inherited_groups() -> None:
    """Real, effective, saved and file system ids; fsGroup stays, root's own group does not."""
    with running(driver(SLEEP, run_as="12345:12346"), extra_groups=[0, 2000]) as pid:
        seen = status(pid)

    assert seen["Uid"].split() == ["12345"] * 4
    assert seen["Gid"].split() == ["12346"] * 4
    assert seen["Groups"].split() == ["2000"]
    assert seen["CapEff"] == seen["CapPrm"] == "0" * 16


@pytest.mark.root
def test_root_cannot_be_had_back() -> None:
    done = finish(driver(["setpriv", "--reuid", "0", "echo", "root again"], run_as="12345:12346"))

    assert done.returncode != 0
    assert done.stdout == ""
    assert "setresuid failed: Operation not permitted" in done.stderr


@pytest.mark.root
def test_a_drop_that_can_be_undone_is_refused() -> None:
    """SECBIT_NO_SETUID_FIXUP keeps CAP_SETUID through setuid: such a server could become root again."""
    argv = ["setpriv", "--securebits", "+no_setuid_fixup", *driver(["echo", "server"], run_as="12345:12346")]

    done = finish(argv)

    assert done.returncode == 77, done.stderr
    assert "could be had back" in done.stdout


@pytest.mark.root
def test_an_identity_that_cannot_be_taken_is_77_and_starts_nothing() -> None:
    argv = ["setpriv", "--bounding-set", "-setuid,-setgid", *driver(["echo", "server"], run_as="12345:12346")]

    done = finish(argv)

    assert done.returncode == 77, done.stderr
    assert "identity-denied" in done.stdout
    assert "server" not in done.stdout.split()


def test_no_new_privs_only_when_asked() -> None:
    with running(driver(SLEEP, no_new_privs=True)) as pid:
        asked = status(pid)["NoNewPrivs"]
    with running(driver(SLEEP)) as pid:
        not_asked = status(pid)["NoNewPrivs"]

    assert (asked, not_asked) == ("1", "0")
