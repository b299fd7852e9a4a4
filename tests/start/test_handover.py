"""The server cannot tell that there was a gate: each item of a clean start, compared with a start without one."""

import contextlib
import os
import resource
import signal
from pathlib import Path
from typing import Any

from handover_kit import ENV, SLEEP, both, driver, finish, running, status


def test_ignored_signals_stay_ignored_and_pipe_and_xfsz_are_default() -> None:
    def parent() -> None:
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    gated, direct = both(lambda pid: [status(pid)[k] for k in ("SigIgn", "SigCgt")], preexec_fn=parent)

    ignored = sum(1 << (n - 1) for n in (signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD, signal.SIGINT))
    # The C library's own two, 32 and 33: whoever started the tests may have left them ignored, and no test can know.
    ours = int(status(os.getpid())["SigIgn"], 16) & (3 << 31)
    assert gated == direct == [f"{ignored | ours:016x}", "0" * 16]


def test_the_signal_mask_is_the_parents() -> None:
    def parent() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})

    gated, direct = both(lambda pid: status(pid)["SigBlk"], preexec_fn=parent)

    assert gated == direct != "0" * 16


def test_the_environment_is_byte_for_byte_the_parents() -> None:
    """No LC_CTYPE, which CPython adds in the C locale; undecodable values; the order."""
    env = {b"PATH": b"/usr/bin:/bin", b"Z": b"\xff\xfe", b"\xe9": b"1", b"EMPTY": b"", b"A": b"a=b\nc"}

    gated, direct = both(lambda pid: Path(f"/proc/{pid}/environ").read_bytes(), env=env)

    assert gated == direct
    assert b"LC_CTYPE" not in gated


def test_an_lc_ctype_of_the_parent_stays() -> None:
    gated, direct = both(lambda pid: Path(f"/proc/{pid}/environ").read_bytes(), env={**ENV, "LC_CTYPE": "C.UTF-8"})

    assert gated == direct
    assert b"LC_CTYPE=C.UTF-8" in gated


def test_what_the_manifest_sets_joins_the_environment_and_wins() -> None:
    done = finish(driver(["env"], env_set={"B": "new \udcff", "C": "é"}, dirt=[]), env={**ENV, "B": "old"}, text=False)

    assert sorted(done.stdout.splitlines()) == [b"B=new \xff", "C=é".encode(), b"PATH=/usr/local/bin:/usr/bin:/bin"]


def test_no_fd_above_2() -> None:
    """Neither what the gate opened nor what was left open for it."""
    left_open = os.open("/dev/null", os.O_RDONLY)
    with running(driver(SLEEP), pass_fds=[left_open]) as pid:
        numbers = sorted(int(n) for n in os.listdir(f"/proc/{pid}/fd"))
    os.close(left_open)

    assert numbers == [0, 1, 2]


def test_a_closed_stdin_is_closed_for_the_server_too() -> None:
    gated, direct = both(lambda pid: sorted(os.listdir(f"/proc/{pid}/fd")), stdin=None, preexec_fn=lambda: os.close(0))

    assert gated == direct == ["1", "2"]


def test_timers_end_with_the_gate() -> None:
    """An alarm of the gate's would end the server after 0.3 s."""
    done = finish(driver(["sh", "-c", "sleep 0.6; echo alive"]))

    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_cwd_and_umask_are_the_parents(tmp_path: Path) -> None:
    def look(pid: int) -> list[str]:
        return [os.readlink(f"/proc/{pid}/cwd"), status(pid)["Umask"]]

    gated, direct = both(look, cwd=tmp_path, preexec_fn=lambda: os.umask(0o027))

    assert gated == direct == [str(tmp_path), "0027"]


def test_a_current_directory_that_was_deleted_is_no_obstacle(tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    def parent() -> None:
        os.makedirs(gone, exist_ok=True)
        os.chdir(gone)
        os.rmdir(gone)

    gated, direct = both(lambda pid: os.readlink(f"/proc/{pid}/cwd"), preexec_fn=parent)

    assert gated == direct == f"{gone} (deleted)"


def test_limits_nice_session_and_oom_score_are_untouched() -> None:
    def parent() -> None:
        os.nice(3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, 600))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 1 << 20))
        Path("/proc/self/oom_score_adj").write_text("500")

    def look(pid: int) -> list[Any]:
        limits = Path(f"/proc/{pid}/limits").read_text()
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return [limits, stat[16], os.getsid(pid), os.getpgid(pid), Path(f"/proc/{pid}/oom_score_adj").read_text()]

    gated, direct = both(look, preexec_fn=parent)

    assert gated == direct
    assert gated[1] == str(os.nice(0) + 3)


def test_argv_and_pid_are_the_servers() -> None:
    with running(driver(SLEEP)) as pid:
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x0060\x00"


def processes_with(word: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if word.encode() in Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0"):
                    found.append(int(name))
    return found


def test_what_a_job_left_behind_is_ended_and_what_was_there_before_is_not() -> None:
    mine, older = f"{os.getpid()}81", f"{os.getpid()}82"
    gate = driver(["sleep", "60"], dirt=["child"], mark=mine)
    line = 'sleep "$0" & exec "$@"'
    try:
        with running(["sh", "-c", line, older, *gate]) as pid:
            assert processes_with(mine) == []
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            assert [int(c) for c in children] == processes_with(older) != []
    finally:
        for pid in processes_with(older) + processes_with(mine):
            os.kill(pid, signal.SIGKILL)
