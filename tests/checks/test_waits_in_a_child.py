"""wait_for as the gate runs it: all entries in one forked child."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isolation_kit import isolate
from wait_kit import free_port, spec

from modelgate.checks import KINDS, wait_for
from modelgate.isolate import Job, Lost, Seen

KIND = next(kind for kind in KINDS if kind.key == "wait_for")


def job(*specs: wait_for.Spec) -> Job:
    n = len(specs)
    return Job(kind=KIND, specs=specs, checks=tuple(f"wait_for[{i}]" for i in range(n)), lines=(None,) * n)


@pytest.fixture
def server() -> Iterator[int]:
    """A web server in a process of its own: this one is going to fork. Its port."""
    words = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split(" port ")[1].split()[0])
        finally:
            process.kill()


@pytest.mark.usefixtures("no_leaks")
def test_all_entries_are_looked_at_in_one_child(server: int) -> None:
    told: list[dict[str, Any]] = []
    isolation = isolate(told=lambda _job, words: told.append(words))
    refused = free_port()
    entries = (
        spec(http=f"http://127.0.0.1:{server}/", timeout="20s"),
        spec(tcp=f"127.0.0.1:{refused}"),
        spec(exec=["sh", "-c", "exit 4"]),
        spec(dns="localhost"),
        spec(http=f"http://127.0.0.1:{server}/nothing-here"),
    )
    outcomes = {o.index: o for o in isolation.run([job(*entries)])}
    seen = {index: o.facts for index, o in outcomes.items() if isinstance(o, Seen)}

    assert len(seen) == 5, outcomes
    assert [seen[i].ready for i in range(5)] == [True, False, False, True, False]
    assert [seen[i].cause for i in (1, 2, 4)] == ["refused", "failed", "status"]
    assert {t["index"] for t in told} >= {1, 2, 4}
    assert not isolation.stuck


@pytest.mark.usefixtures("no_leaks")
def test_a_wait_that_is_cut_off_tells_its_own_last_error_and_leaves_no_process(tmp_path: Path) -> None:
    """The gate's own upper bound passes while two wait; neither gets the other's words."""
    pids = tmp_path / "pids"
    port = free_port()
    entries = (
        spec(tcp=f"127.0.0.1:{port}", timeout="60s"),
        spec(unix="/no/such.sock", timeout="60s"),
        spec(exec=["sh", "-c", f"echo $$ >> {pids}; sleep 1000; true"], timeout="60s", attempt_timeout="50s"),
    )
    outcomes = {o.index: o for o in isolate().run([job(*entries)], until=time.monotonic() + 1.5)}

    lost = {index: o for index, o in outcomes.items() if isinstance(o, Lost)}
    assert {o.how for o in lost.values()} == {"timeout"}, lost
    assert lost[0].last["error"] == f"connection refused by 127.0.0.1:{port} (ECONNREFUSED)"
    assert lost[1].last["error"] == "connect /no/such.sock: No such file or directory (ENOENT)"
    assert lost[2].last.get("error") is None
    assert ended(int(pids.read_text()))


def ended(pid: int) -> bool:
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return False
