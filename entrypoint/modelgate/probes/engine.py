"""All waits at once, in one process: a thread for each dependency, and a main thread that can wait on none of them.

Each thread asks, sleeps and asks again as its tenacity policy says. The main thread passes answers on, keeps the
child's silence clock quiet, and decides by itself for a thread that is stuck: a file on a dead mount, a command in
state D. A wait ends at its deadline plus `grace`: the last attempt starts no later than the deadline.
"""

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from modelgate.host import Host
from modelgate.probes import probe
from modelgate.probes.answers import Answer, Failed, Never, NotYet
from modelgate.probes.call import Call, Names
from modelgate.probes.redact import hide_answer, secrets
from modelgate.probes.spec import Spec

if TYPE_CHECKING:
    from tenacity import RetryCallState

    _Answers = queue.SimpleQueue["tuple[_Wait, Outcome | BaseException]"]

HEARTBEAT = 9.0  # seconds without a word about a dependency after which one is given
SLACK = 0.25  # seconds beyond its bound after which a thread counts as stuck
TICK = 0.5
STACK = 1 << 20  # bytes for each thread: the default of 8 MiB would count against the child's bound on memory


class Outcome(Struct, frozen=True):
    """How one wait ended. `answer` is Ready, Never, or the last NotYet that says something."""

    answer: Answer
    attempts: int
    seconds: float


def grace(spec: Spec) -> float:
    """Seconds that an attempt may last beyond the deadline: a twentieth of the wait, 100 ms to 2 s."""
    return min(spec.attempt_timeout, max(0.1, min(2.0, spec.timeout / 20)))


def wait_all(specs: Sequence[Spec], host: Host, done: Callable[[int, Outcome], None]) -> None:
    """Call done(index, outcome) once for each, as they are decided; from this thread only.

    An exception that a probe did not expect is raised after all others are through.
    """
    shared = _Shared(host)
    lock = shared.lock
    waits = [_Wait(n, spec, shared) for n, spec in enumerate(specs)]
    pending = dict(enumerate(waits))
    faults: list[BaseException] = []
    before = threading.stack_size(STACK)
    try:
        while pending:
            for wait in pending.values():
                wait.start()
            for wait, outcome in _drain(shared.answers, pending):
                if pending.pop(wait.index, None) is None:
                    continue  # decided for it already
                if isinstance(outcome, Outcome):
                    with lock:
                        done(wait.index, outcome)
                else:
                    faults.append(outcome)
            now = time.monotonic()
            for wait in list(pending.values()):
                if now > wait.bound:
                    del pending[wait.index]
                    with lock:
                        done(wait.index, wait.overdue())
                elif now > wait.heard + HEARTBEAT:
                    wait.beat()
    finally:
        shared.closing.set()
        threading.stack_size(before)
        for wait in waits:
            wait.leave()
    if faults:
        raise faults[0]


def _drain(answers: "_Answers", pending: "dict[int, _Wait]") -> "list[tuple[_Wait, Outcome | BaseException]]":
    """Every answer that is there; waits for one no longer than until the next wait is over."""
    now = time.monotonic()
    found = []
    with contextlib.suppress(queue.Empty):
        found.append(answers.get(timeout=max(0.001, min(TICK, *(w.bound - now for w in pending.values())))))
        while True:
            found.append(answers.get_nowait())
    return found


class _Shared:
    """What all waits of this process use together."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.lock = threading.Lock()  # one pipe leads out of this process
        self.names = Names()
        self.closing = threading.Event()
        self.answers: _Answers = queue.SimpleQueue()

    def tell(self, **words: Any) -> None:
        with self.lock:
            self.host.tell(**words)


class _Closing(BaseException):
    """Ends a thread that nobody asks any more."""


class _Wait:
    """One dependency."""

    def __init__(self, index: int, spec: Spec, shared: "_Shared") -> None:
        self.index, self.spec = index, spec
        self._shared = shared
        self._hidden = secrets(spec)
        self._memory: dict[Any, Any] = {}
        self._call: Call | None = None
        self._thread: threading.Thread | None = None
        self.attempts = 0
        self.last: NotYet | None = None
        self.began = self.heard = time.monotonic()
        self.bound = self.began + spec.timeout + grace(spec) + SLACK

    # -- called by the main thread -------------------------------------------------------------------------------

    def start(self) -> None:
        """Once. Without room for one more thread it is tried again as others end."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"wait {self.index}", daemon=True)
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def leave(self) -> None:
        """Join the thread if it is about to end; one that is stuck is left alone."""
        if self._thread is not None:
            self._thread.join(0.05 if time.monotonic() > self.bound else 0.5)

    def beat(self) -> None:
        """A sign of life with the last that is known."""
        self.heard = time.monotonic()
        words: dict[str, Any] = {"error": self.last.why} if self.last else {}
        left = round(max(self.spec.timeout - (self.heard - self.began), 0), 1)
        self._shared.tell(doing="wait", index=self.index, subject=self.spec.subject, left=left, **words)

    def overdue(self) -> Outcome:
        """The outcome of a thread that has not come back in time."""
        what, path = self._call.doing if self._call else ("", "")
        if what == "file":
            why = f"{path} was being opened and the file system did not answer"
            return self._outcome(NotYet(cause="file-hung", why=why, path=path))
        if self.last is not None:
            return self._outcome(self.last)
        why = (
            "no attempt was finished"
            if self._thread
            else "no thread could be started: the limit on processes is reached"
        )
        return self._outcome(NotYet(cause="silent" if self._thread else "local", why=why))

    # -- called by its own thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            answer: Answer = self._policy()(self._attempt)
        except _Closing:
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread
            self._shared.answers.put((self, error))
        else:
            self._shared.answers.put((self, self._outcome(answer)))

    def _outcome(self, answer: Answer) -> Outcome:
        return Outcome(hide_answer(answer, self._hidden), self.attempts, time.monotonic() - self.began)

    def _policy(self) -> "Callable[[Callable[[], Answer]], Answer]":
        from tenacity import Retrying, retry_if_result, sleep_using_event, stop_before_delay

        sleeps = _sleeps(self.spec)

        def until_deadline(state: "RetryCallState") -> float:
            left = self.spec.timeout - (time.monotonic() - self.began)
            return min(sleeps(state), left) if left > 0 else math.inf

        return Retrying(
            retry=retry_if_result(lambda answer: isinstance(answer, NotYet)),
            wait=until_deadline,
            stop=stop_before_delay(self.spec.timeout + grace(self.spec)),
            sleep=sleep_using_event(self._shared.closing),
            before_sleep=self._tell_failure,
            retry_error_callback=self._give_up,
        )

    def _attempt(self) -> Answer:
        if self._shared.closing.is_set():
            raise _Closing
        end = self.began + self.spec.timeout + grace(self.spec)
        seconds = min(self.spec.attempt_timeout, max(end - time.monotonic(), 0.001))
        call = Call(seconds=seconds, names=self._shared.names, environ=self._shared.host.environ, memory=self._memory)
        self._call = call
        self.attempts += 1
        try:
            answer = probe(self.spec.scheme).ask(self.spec, call)
        except Failed as failed:
            answer = failed.answer
        except TimeoutError:
            answer = NotYet(cause="silent", why=f"no answer within {call.seconds:.1f} s", errno="ETIMEDOUT")
        answer = hide_answer(answer, self._hidden)
        if isinstance(answer, NotYet):
            # An attempt that the deadline cut short must not hide what a whole one has seen.
            cut = seconds < self.spec.attempt_timeout and answer.errno in ("ETIMEDOUT", "DEADLINE_EXCEEDED")
            if self.last is None or not cut:
                self.last = answer
        elif isinstance(answer, Never):
            self._failed(answer, hopeless=True)
        return answer

    def _tell_failure(self, state: "RetryCallState") -> None:
        outcome, action = state.outcome, state.next_action
        if outcome is not None and action is not None:
            self._failed(outcome.result(), next=round(float(action.sleep), 3))

    def _give_up(self, state: "RetryCallState") -> Answer | None:
        if state.outcome is not None:
            self._failed(state.outcome.result())
        return self.last

    def _failed(self, answer: Answer, **words: Any) -> None:
        self.heard = time.monotonic()
        about = {"doing": "wait", "index": self.index, "subject": self.spec.subject, "attempt": self.attempts}
        self._shared.tell(**about, error=answer.why, **words)


def _sleeps(spec: Spec) -> "Callable[[RetryCallState], float]":
    from tenacity import wait_exponential, wait_random_exponential

    kind = wait_random_exponential if spec.backoff.jitter == "full" else wait_exponential
    return kind(multiplier=spec.backoff.initial, max=spec.backoff.max, exp_base=spec.backoff.factor)
