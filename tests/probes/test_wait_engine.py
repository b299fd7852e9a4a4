"""All waits at once: deadlines, last attempts, heartbeats, stuck threads, and nothing left behind."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from wait_kit import OK, answers, free_port, hold, look, no_threads, reply, serve, spec

from modelgate.checks import wait_for
from modelgate.host import Host
from modelgate.probes import PROBES, engine, probe
from modelgate.probes.spec import SCHEMES

pytestmark = pytest.mark.usefixtures("no_leaks")


def look_all(entries: list[wait_for.Spec]) -> tuple[dict[int, wait_for.Facts], list[int], list[dict[str, Any]], float]:
    """Facts by index, the order in which they came, what was told, seconds."""
    found: dict[int, wait_for.Facts] = {}
    order: list[int] = []
    told: list[dict[str, Any]] = []
    main = threading.current_thread()

    def done(index: int, facts: wait_for.Facts) -> None:
        assert threading.current_thread() is main
        assert index not in found
        found[index] = facts
        order.append(index)

    began = time.monotonic()
    wait_for.observe_all(entries, Host(tell=lambda **words: told.append(words)), done)
    seconds = time.monotonic() - began
    no_threads()
    return found, order, told, seconds


def test_every_scheme_has_its_probe() -> None:
    assert tuple(PROBES) == SCHEMES
    assert all(callable(probe(scheme).ask) for scheme in PROBES)


def test_twenty_waits_of_a_second_take_a_second() -> None:
    port = free_port()
    with serve(hold) as silent:
        entries = [spec(tcp=f"127.0.0.1:{port}", timeout="1s") for _ in range(10)]
        entries += [spec(http=silent.url(), timeout="1s") for _ in range(10)]
        found, _, _, seconds = look_all(entries)

    assert {f.cause for n, f in found.items() if n < 10} == {"refused"}
    assert {f.cause for n, f in found.items() if n >= 10} == {"silent"}
    assert len(found) == 20
    assert 1 <= seconds < 5


def test_each_is_answered_when_it_is_decided_and_not_at_the_end() -> None:
    with serve(answers(OK)) as server:
        entries = [spec(tcp=f"127.0.0.1:{free_port()}", timeout="700ms"), spec(http=server.url())]
        found, order, _, _ = look_all(entries)

    assert (order, found[0].ready, found[1].ready) == ([1, 0], False, True)


def test_each_failed_attempt_is_told_once_the_last_one_too() -> None:
    _, _, told, _ = look_all([spec(tcp=f"127.0.0.1:{free_port()}"), spec(unix="/no/such/socket")])
    for index in (0, 1):
        mine = [t for t in told if t["index"] == index]
        assert [t["attempt"] for t in mine] == list(range(1, len(mine) + 1))
        assert all("next" in t for t in mine[:-1])
        assert "next" not in mine[-1]
        assert {t["doing"] for t in mine} == {"wait"}


def test_the_sleeps_never_exceed_the_cap_and_jitter_spreads_them() -> None:
    with serve(answers(reply("503 No"))) as server:
        full = look(http=server.url(), timeout="1500ms", backoff={"initial": "50ms", "max": "100ms", "factor": 3})
        none = look(http=server.url(), timeout="1s", backoff={"initial": "50ms", "max": "200ms", "jitter": "none"})
    random = [t["next"] for t in full.told[:-2]]

    assert len(set(random)) > 3
    assert all(0 <= pause <= 0.1 for pause in random)
    assert [t["next"] for t in none.told[:3]] == [0.05, 0.1, 0.2]


def test_a_last_attempt_is_made_at_the_deadline() -> None:
    """The backoff would sleep for an hour; what became ready meanwhile is still noticed."""
    with serve(answers(reply("503 No"), OK)) as server:
        seen = look(http=server.url(), timeout="500ms", backoff={"initial": "1h", "max": "1h", "jitter": "none"})

    assert (seen.facts.ready, seen.facts.attempts) == (True, 2)
    assert 0.4 < seen.seconds < 5


def test_an_attempt_that_the_deadline_cuts_short_does_not_hide_the_last_real_error() -> None:
    calls: list[int] = []

    def handler(connection: Any, request: Any) -> None:
        calls.append(1)
        answers(reply("503 No"))(connection, request) if len(calls) == 1 else hold(connection, request)

    with serve(handler) as server:
        seen = look(http=server.url(), timeout="500ms")

    assert (seen.facts.attempts >= 2, seen.finding.code, seen.facts.status) == (True, "wait-status", 503)
    assert "gave no complete answer" in seen.told[-1]["error"]


@pytest.mark.parametrize(
    ("timeout", "attempt", "expected"), [("1s", "5s", 0.1), ("5m", "5s", 2.0), ("5m", "1s", 1.0), ("10s", "5s", 0.5)]
)
def test_the_last_attempt_has_a_bound_of_its_own(timeout: str, attempt: str, expected: float) -> None:
    assert engine.grace(spec(dns="x", timeout=timeout, attempt_timeout=attempt)) == pytest.approx(expected)


def test_a_wait_that_says_nothing_still_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "HEARTBEAT", 0.2)
    with serve(hold) as server:
        seen = look(http=server.url(), attempt_timeout="5s", timeout="1500ms")
    beats = [t for t in seen.told if "attempt" not in t]

    assert len(beats) >= 2
    assert beats[0].keys() == {"doing", "index", "subject", "left"}


def test_more_waits_than_threads_are_allowed_share_what_there_is() -> None:
    """A pids limit: what cannot be started yet is started as others end, and what never could be says so."""
    code = """
    import json, os, resource, sys, threading
    sys.path.insert(0, sys.argv[1])
    from wait_kit import spec
    from modelgate.checks import wait_for
    from modelgate.host import Host
    real = threading.Thread.start
    def start(self):
        if self.name.startswith("wait") and sum(t.name.startswith("wait") for t in threading.enumerate()) >= 2:
            raise RuntimeError("can't start new thread")
        real(self)
    threading.Thread.start = start
    wait_for.prepare([])
    entries = [spec(exec=["sleep", "0.2"], timeout="20s") for _ in range(5)]
    entries += [spec(exec=["sleep", "1000"], attempt_timeout="30s", timeout="3s") for _ in range(2)]
    entries += [spec(exec=["true"], timeout="500ms")]
    found = {}
    wait_for.observe_all(entries, Host(), found.__setitem__)
    print(json.dumps([[f.ready, f.cause, f.error] for _, f in sorted(found.items())]))
    """
    code = "\n".join(line[4:] for line in code.splitlines())
    words = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)

    assert [row[0] for row in rows[:5]] == [True] * 5
    assert rows[7][1:] == ["local", "no thread could be started: the limit on processes is reached"]


def test_a_file_on_a_dead_mount_stops_neither_the_others_nor_the_deadline(tmp_path: Path) -> None:
    """A FIFO that a blocking open would hang on stands for it: here the thread hangs in the middle of an attempt."""
    code = """
    import json, os, sys, threading, time
    sys.path.insert(0, sys.argv[1])
    from wait_kit import spec
    from modelgate.checks import wait_for
    from modelgate.host import Host
    from modelgate.probes import tls
    real = os.open
    def hanging(path, *rest, **more):  # what a dead NFS server does to open()
        if path == "/dead/mount/ca.pem":
            time.sleep(1000)
        return real(path, *rest, **more)
    tls.os.open = hanging
    entries = [spec(http=sys.argv[2], ca="/dead/mount/ca.pem", timeout="500ms"), spec(exec=["true"])]
    order = []
    began = time.monotonic()
    wait_for.observe_all(entries, Host(), lambda index, facts: order.append([index, facts.cause, facts.error]))
    judged = wait_for.judge(entries[0], wait_for.Facts(ready=False, attempts=1, seconds=1, cause="file-hung",
        error=order[1][2], path="/dead/mount/ca.pem"), Host().place)
    print(json.dumps([order, time.monotonic() - began, judged[0].code]))
    sys.stdout.flush()
    os._exit(0)
    """
    code = "\n".join(line[4:] for line in code.splitlines())
    with serve(hold, http=False) as server:
        words = [sys.executable, "-c", code, str(Path(__file__).parent), f"https://127.0.0.1:{server.port}/"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    order, seconds, finding = json.loads(done.stdout)

    why = "/dead/mount/ca.pem was being opened and the file system did not answer"
    assert order == [[1, None, ""], [0, "file-hung", why]]
    assert seconds < 5
    assert finding == "path-hung"


def test_a_fault_of_a_probe_is_raised_after_the_others_are_through() -> None:
    """A fault of ours must become check-lost, never a finding about the dependency."""

    class Broken(dict):  # type: ignore[type-arg]
        def get(self, *_: object) -> str:
            raise ZeroDivisionError("a bug")

    entries = [spec(exec=["no-such"]), spec(unix="/no/such", timeout="300ms")]
    found: dict[int, wait_for.Facts] = {}
    with pytest.raises(ZeroDivisionError):
        wait_for.observe_all(entries, Host(environ=Broken()), found.__setitem__)

    assert list(found) == [1]
    no_threads()


def test_hundreds_of_attempts_leave_nothing_behind() -> None:
    """Descriptors are counted: a leak of one an attempt would show."""
    backoff = {"initial": "1ms", "max": "1ms"}
    before = len(os.listdir("/proc/self/fd"))
    with serve(answers(reply("503 No"))) as server:
        entries = [spec(http=server.url(), backoff=backoff, timeout="1s") for _ in range(4)]
        entries += [spec(exec=["false"], backoff=backoff, timeout="1s"), spec(unix="/no/such", backoff=backoff)]
        found, _, _, _ = look_all(entries)
    after = len(os.listdir("/proc/self/fd"))

    assert sum(f.attempts for f in found.values()) > 100
    assert after == before
