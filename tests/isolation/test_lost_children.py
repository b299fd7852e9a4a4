"""Every way in which a child can fail to answer is one Lost that names what happened, and nobody waits for it."""

import ctypes
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn, cast

import pytest
from isolation_kit import Facts, Spec, gone, isolate, job, lost, only, run, sleeper, together

from modelgate import frames
from modelgate.host import Host
from modelgate.isolate import Lost, Seen

pytestmark = pytest.mark.usefixtures("no_leaks")


def _raise(error: BaseException) -> NoReturn:
    raise error


def _dive(n: int) -> int:
    return _dive(n + 1) + 1


def _grow(_spec: Spec, _host: Host) -> Facts:
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


class _Mute(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise ValueError


class _Odd:
    pass


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT, signal.SIGFPE])
def test_a_crash_names_its_signal(number: signal.Signals) -> None:
    outcome = lost(run(job(lambda _s, _h: os.kill(os.getpid(), number))))

    assert outcome.how == "crashed"
    assert f"killed by {number.name} (" in outcome.detail


def test_a_real_wild_read_is_a_crash() -> None:
    assert "SIGSEGV" in lost(run(job(lambda _s, _h: ctypes.string_at(8)))).detail


def test_a_kill_from_outside_is_not_taken_for_ours() -> None:
    detail = lost(run(job(lambda _s, _h: os.kill(os.getpid(), signal.SIGKILL)))).detail

    assert "SIGKILL, which modelgate did not send" in detail


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_without_an_answer_names_the_exit_code(code: int) -> None:
    outcome = lost(run(job(lambda _s, _h: os._exit(code))))

    assert (outcome.how, outcome.detail) == ("crashed", f"left with exit code {code} and no answer")


@pytest.mark.parametrize(
    ("observe", "text"),
    [
        (
            lambda _s, _h: os.stat("/nowhere"),
            "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere' (test_",
        ),
        (lambda _s, _h: _raise(ValueError("a\udcff\n")), "ValueError: a\\udcff\n (test_"),
        (lambda _s, _h: _raise(_Mute()), "_Mute: no text can be had of it"),
        (lambda _s, _h: _raise(SystemExit(4)), "SystemExit: 4"),
        (lambda _s, _h: _raise(KeyboardInterrupt()), "KeyboardInterrupt: "),
        (lambda _s, _h: _raise(ValueError("x" * 10_000_000)), "ValueError: xxx"),
        (lambda _s, _h: _dive(0), "RecursionError: maximum recursion depth exceeded"),
        (lambda _s, _h: sys.exit("gone"), "SystemExit: gone"),
        (lambda _s, _h: _Odd(), "no plain form of _Odd"),
        (lambda _s, _h: Facts(text=cast("str", 5)), "Expected `str`, got `int` - at `$.text`"),
        (lambda _s, _h: Facts(text="x" * (frames.FACTS_LIMIT + 1)), "bytes, more than the 16777216 that are taken"),
    ],
    ids=[
        "oserror",
        "surrogate",
        "mute",
        "systemexit",
        "interrupt",
        "long",
        "recursion",
        "exit",
        "odd",
        "typed",
        "large",
    ],
)
def test_what_observe_raises_is_told_in_its_own_words(observe: Callable[..., Any], text: str) -> None:
    outcome = lost(run(job(observe)))

    assert outcome.how == "failed"
    assert text in outcome.detail
    assert len(outcome.detail) < 5000


def test_want_of_memory_is_told_though_there_is_none_left() -> None:
    outcome = lost(run(job(_grow, memory=64 << 20)))

    assert (outcome.how, outcome.detail) == ("failed", "it needed more than 64 MiB of memory")


def test_a_silent_child_is_hung_and_its_last_words_are_kept() -> None:
    def observe(spec: Spec, host: Host) -> Facts:
        host.tell(doing="open", path="/models/x")
        return sleeper(spec, host)

    outcome = lost(run(job(observe, silence=0.3)))

    assert outcome.how == "hung"
    assert outcome.detail.startswith("no sign of life for ")
    assert "in state S" in outcome.detail
    assert outcome.last == {"doing": "open", "path": "/models/x"}
    assert 0.3 <= outcome.seconds < 10


def test_each_word_restarts_the_silence_clock_and_can_lengthen_it() -> None:
    def observe(_spec: Spec, host: Host) -> Facts:
        for n in range(4):
            host.tell(done=n)
            time.sleep(0.4)  # together longer than the silence
        host.tell(doing="a long one", silence=30)
        time.sleep(1.2)
        return Facts(n=1)

    assert only(run(job(observe, silence=0.9))).facts.n == 1


@pytest.mark.parametrize("asked", [float("inf"), float("nan"), -5, "1h", None])
def test_a_silence_that_makes_no_sense_changes_nothing(asked: object) -> None:
    def observe(spec: Spec, host: Host) -> Facts:
        host.tell(silence=asked)
        return sleeper(spec, host)

    assert lost(run(job(observe, silence=0.2), until=time.monotonic() + 20)).how == "hung"


def test_a_stopped_child_is_hung_and_ended() -> None:
    outcome = lost(run(job(lambda _s, _h: os.kill(os.getpid(), signal.SIGSTOP), silence=0.3)))

    assert outcome.how == "hung"
    assert "in state T" in outcome.detail


def test_a_child_that_closes_its_pipe_and_lives_on_is_named_so() -> None:
    def observe(_spec: Spec, _host: Host) -> None:
        os.close(3)
        time.sleep(600)

    outcome = lost(run(job(observe)))

    assert (outcome.how, outcome.detail) == ("crashed", "closed its pipe without an answer and lived on")
    assert outcome.seconds < 9  # did not cost its silence


def test_a_child_that_answered_and_does_not_leave_costs_nobody_its_silence() -> None:
    def observe_all(_specs: object, _host: Host, done: Any) -> None:
        done(0, Facts(n=1))
        time.sleep(600)

    began = time.monotonic()

    assert only(run(together(observe_all))).facts.n == 1
    assert time.monotonic() - began < 9


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (b"Traceback (most recent call last):\n", "no frame begins with"),
        (struct.pack("<IIc", 2**32 - 1, 0, frames.FACTS), "4294967295 bytes at once"),
        (frames.pack(frames.FACTS, 0, b'{"n": "x"}'), "Expected `int`, got `str`"),
        (frames.pack(frames.FACTS, 0, b"[" * 100_000), "could not be read"),
        (frames.pack(frames.FACTS, 9, b"{}"), "entry 9, which was not asked"),
        (frames.pack(frames.TELL, 0, b"3"), "could not be read"),
    ],
    ids=["text", "huge", "typed", "deep", "index", "words"],
)
def test_nonsense_in_the_pipe_ends_the_child_and_is_told(written: bytes, text: str) -> None:
    def observe(_spec: Spec, _host: Host) -> None:
        os.write(3, written)
        time.sleep(600)

    outcome = lost(run(job(observe)))

    assert outcome.how == "failed"
    assert text in outcome.detail
    assert outcome.seconds < 9


def test_half_an_answer_is_none() -> None:
    def observe(_spec: Spec, _host: Host) -> None:
        os.write(3, frames.pack_facts(0, Facts(n=1))[:-3])
        os._exit(0)

    assert lost(run(job(observe))).detail == "left with exit code 0 and no answer"


def test_a_second_answer_for_one_entry_is_refused_and_the_first_stays() -> None:
    def observe_all(_specs: object, _host: Host, done: Any) -> None:
        done(0, Facts(n=1))
        done(0, Facts(n=2))

    outcomes = run(together(observe_all, Spec(), Spec()))

    assert [(type(o), o.index) for o in outcomes] == [(Seen, 0), (Lost, 1)]


def test_many_that_hang_cost_the_time_of_one() -> None:
    began = time.monotonic()
    outcomes = run(*[job(sleeper, silence=0.5) for _ in range(6)])

    assert [o.how for o in outcomes if isinstance(o, Lost)] == ["hung"] * 6
    assert time.monotonic() - began < 3 * 1.5


def test_the_pid_of_the_lost_is_gone() -> None:
    def observe(spec: Spec, host: Host) -> Facts:
        host.tell(pid=os.getpid())
        return sleeper(spec, host)

    isolated = isolate()
    outcome = lost(list(isolated.run([job(observe, silence=0.3)])))

    assert gone(outcome.last["pid"], 0.1)
    assert isolated.sessions == set()
