"""What a run of jobs promises when nothing goes wrong with them: answers, order, bounds, nothing left behind."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from isolation_kit import Facts, Spec, gone, isolate, job, lost, nap, only, run, sleeper, together

from modelgate.finding import Finding, Fix, fail
from modelgate.host import Host, Place
from modelgate.isolate import Job, Lost, Seen

pytestmark = pytest.mark.usefixtures("no_leaks")


def _echo(spec: Spec, _host: Host) -> Facts:
    return Facts(n=spec.n)


def _pid(_spec: Spec, _host: Host) -> Facts:
    return Facts(n=os.getpid())


def test_every_entry_of_every_job_is_answered() -> None:
    jobs = [job(_echo, Spec(n=1), key="a"), job(_echo, Spec(n=2), Spec(n=3), key="b")]

    got = {(o.job.kind.key, o.index): o.facts.n for o in run(*jobs) if isinstance(o, Seen)}

    assert got == {("a", 0): 1, ("b", 0): 2, ("b", 1): 3}


def test_two_hundred_jobs_leave_no_child_and_no_descriptor() -> None:
    isolated = isolate()
    jobs = [job(_echo, Spec(n=n)) for n in range(200)]

    outcomes = list(isolated.run(jobs))

    assert sorted(o.facts.n for o in outcomes if isinstance(o, Seen)) == list(range(200))
    assert isolated.sessions == set()
    assert isolated.stuck == {}


def test_entries_that_share_a_child_are_told_as_each_is_decided() -> None:
    def observe_all(specs: Sequence[Spec], _host: Host, done: Any) -> None:
        for index in reversed(range(len(specs))):
            done(index, Facts(n=specs[index].n))

    got = run(together(observe_all, Spec(n=5), Spec(n=6), Spec(n=7)))

    assert [(o.index, o.facts.n) for o in got if isinstance(o, Seen)] == [(2, 7), (1, 6), (0, 5)]


def test_an_entry_that_its_shared_child_forgets_is_lost_and_the_others_are_not() -> None:
    outcomes = run(together(lambda _specs, _host, done: done(1, Facts(n=1)), Spec(), Spec()))

    assert [(type(o), o.index) for o in outcomes] == [(Seen, 1), (Lost, 0)]
    assert outcomes[1].detail == "ended without an answer"  # type: ignore[union-attr]


@pytest.mark.parametrize("cap", [1, 3])
def test_no_more_children_than_the_cap_at_a_time(cap: int) -> None:
    def nap(_spec: Spec, _host: Host) -> Facts:
        began = time.monotonic_ns()
        time.sleep(0.03)
        return Facts(numbers=(began, time.monotonic_ns()))

    spans = [o.facts.numbers for o in run(*[job(nap) for _ in range(7)], cap=cap) if isinstance(o, Seen)]

    assert len(spans) == 7
    assert max(sum(a <= t < b for a, b in spans) for t, _ in spans) <= cap


def test_an_answer_is_out_while_others_still_look() -> None:
    outcomes = isolate().run([job(sleeper), job(_echo, Spec(n=4))])

    assert only([next(outcomes)]).facts.n == 4
    outcomes.close()


def test_small_jobs_wait_for_no_tick() -> None:
    began = time.monotonic()
    for _ in range(8):
        only(run(job(_echo)))

    assert time.monotonic() - began < 8 * 0.25  # a tick each would be that


def test_a_large_answer_comes_through_whole() -> None:
    answer = only(run(job(lambda _s, _h: Facts(text="x" * 5_000_000)))).facts

    assert len(answer.text) == 5_000_000


def test_words_reach_the_gate_and_a_file_name_that_is_no_utf8_is_no_loss() -> None:
    heard: list[dict[str, Any]] = []

    def observe(_spec: Spec, host: Host) -> Facts:
        host.tell(doing="open", path="/models/\udcff", silence=20)
        return Facts(text="/models/\udcff")

    isolated = isolate(told=lambda _job, words: heard.append(words))

    assert only(list(isolated.run([job(observe)]))).facts.text == "/models/\udcff"
    assert heard == [{"doing": "open", "path": "/models/\udcff"}]


def test_an_entry_with_wait_is_looked_at_until_it_holds(tmp_path: Any) -> None:
    path = tmp_path / "late"

    def observe(_spec: Spec, _host: Host) -> Facts:
        return Facts(n=int(path.exists()))

    def judge(_spec: Spec, facts: Facts, _place: Place) -> list[Finding]:
        return [] if facts.n else [fail("path-missing", "late", "", "", Fix(when="", do=""))]

    def make(_spec: Spec, _host: Host) -> Facts:
        time.sleep(0.3)
        path.touch()
        return Facts(n=7)

    got = [o.facts.n for o in run(job(observe, judge=judge, wait=20.0), job(make)) if isinstance(o, Seen)]
    assert sorted(got) == [1, 7]

    path.unlink()
    began = time.monotonic()
    assert only(run(job(observe, judge=judge, wait=0.3))).facts.n == 0
    assert 0.3 <= time.monotonic() - began < 5


def test_until_bounds_what_runs_and_what_had_not_begun() -> None:
    began = time.monotonic()
    outcomes = run(job(sleeper), job(sleeper), cap=1, until=began + 0.2)

    assert next((o.how, o.detail) for o in outcomes if isinstance(o, Lost)) == ("timeout", "it had not begun")
    assert sorted(o.how for o in outcomes if isinstance(o, Lost)) == ["timeout", "timeout"]
    assert 0.2 <= time.monotonic() - began < 5


def test_hurry_cancels_what_is_not_finished_and_lets_answers_in_time_through() -> None:
    def soon(_spec: Spec, host: Host) -> Facts:
        host.tell(doing="count")
        time.sleep(0.2)
        return Facts(n=2)

    isolated, got = isolate(), []
    for outcome in isolated.run([job(_echo), job(soon), job(sleeper)]):
        got.append(outcome)
        if len(got) == 1:
            isolated.hurry(1.5)
            isolated.hurry(60)  # the nearer one holds

    assert [type(o) for o in got] == [Seen, Seen, Lost]
    assert lost(got[2:]).how == "cancelled"


def test_a_hurry_of_one_run_is_over_with_it() -> None:
    isolated = isolate()
    isolated.hurry(0)

    assert only(list(isolated.run([job(_echo, Spec(n=1))]))).facts.n == 1


def test_a_child_that_talks_on_is_not_hung_but_bounded() -> None:
    def talk(_spec: Spec, host: Host) -> Facts:
        while True:
            host.tell(doing="talk", done=1)

    outcome = lost(run(job(talk, silence=0.2), until=time.monotonic() + 1))

    assert outcome.how == "timeout"
    assert outcome.last == {"doing": "talk", "done": 1}


def test_no_fork_while_a_second_thread_lives() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="second thread"):
            run(job(_echo))
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def started() -> Iterator[list[int]]:
    pids: list[int] = []
    yield pids
    assert all(gone(pid) for pid in pids)


def _two_at_work(started: list[int]) -> Job:
    """A job that has told its pid and does not end."""

    def observe(_spec: Spec, host: Host) -> Facts:
        host.tell(pid=os.getpid())
        return sleeper(_spec, host)

    return job(observe)


def test_closing_a_run_early_ends_and_buries_its_children(started: list[int]) -> None:
    isolated = isolate(told=lambda _job, words: started.append(words["pid"]))
    outcomes = isolated.run([_two_at_work(started), _two_at_work(started), job(nap(1))])
    next(outcomes)

    outcomes.close()

    assert len(started) == 2
    assert isolated.sessions == set()
    assert isolated.stuck == {}


def test_a_consumer_that_raises_leaves_no_child(started: list[int]) -> None:
    def told(_job: Job, words: dict[str, Any]) -> None:
        started.append(words["pid"])
        raise LookupError

    with pytest.raises(LookupError):
        list(isolate(told=told).run([_two_at_work(started), _two_at_work(started)]))
