"""What one child is asked (Job), what comes of it (Seen, Lost), and where it stands while it lives (Running)."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

from msgspec import Struct, field

from modelgate import burial, frames
from modelgate.kind import Kind
from modelgate.units import show_seconds

How = Literal["hung", "crashed", "failed", "identity", "cancelled", "timeout", "no-fork"]
Told = Callable[["Job", dict[str, Any]], None]
Turn = Callable[[], object]

LEAVE = 0.5  # seconds a child has to be gone once it has answered, or closed its pipe
BURIAL = 0.5  # seconds that SIGKILL is given; who is still there then is in state D


class Job(Struct, frozen=True, kw_only=True):
    """What one child does: look at every one of `specs` (one, unless the kind's entries share a child).

    checks      the manifest keys of the specs (`files[0]`)
    lines       their lines in the manifest; None for an implied one, then implied_by says by what
    wait        look again until the judgement holds, this many seconds at most
    """

    kind: Kind
    specs: tuple[Any, ...]
    checks: tuple[str, ...]
    lines: tuple[int | None, ...]
    implied_by: str | None = None
    wait: float = 0.0

    @property
    def silence(self) -> float:
        return self.kind.silence if not self.wait else max(self.kind.silence, 10.0)


class Seen(Struct, frozen=True):
    """The child answered for specs[index]."""

    job: Job
    index: int
    facts: Any
    seconds: float


class Lost(Struct, frozen=True):
    """The child never answered for specs[index].

    how     hung: silent for `silence` seconds · crashed: died by a signal or left without an answer ·
            failed: `observe` raised, or answered nonsense · identity: it could not become the runtime identity ·
            cancelled: another finding had stopped the gate · timeout: the gate's own upper bound had passed ·
            no-fork: no process could be made
    detail  for a person: "killed by SIGSEGV (Segmentation fault)", "FileNotFoundError: … (files.py:12)",
            "no sign of life for 10 s, in state D (request_wait_answer), even after SIGKILL"
    last    the last words of the child (Host.tell)
    """

    job: Job
    index: int
    how: How
    detail: str
    seconds: float
    last: dict[str, Any] = field(default_factory=dict)


class Running:
    """One live child. Plain state; what to do about it is Isolate's."""

    def __init__(self, job: Job, pid: int, fd: int, now: float) -> None:
        self.job, self.pid, self.fd = job, pid, fd
        self.started = self.heard = now
        self.silence = job.silence
        self.last: dict[str, Any] = {}
        self.last_of: dict[int, dict[str, Any]] = {}  # by entry, where entries share the child and say which one it is
        self.missing = set(range(len(job.specs)))
        self.how: How | None = None  # why the missing ones will be lost, once that is known
        self.detail = ""
        self.done: float | None = None  # when it closed its pipe or had answered everything: it should leave
        self.eof = False
        self.doomed = False  # it writes nonsense
        self.killed: float | None = None  # when SIGKILL was sent
        self.dead = False
        self.status: int | None = None
        self.left: set[int] = set()  # what else was killed with it
        self._reader = frames.Reader()

    def lose(self, how: How, detail: str) -> None:
        """The first reason stays."""
        if self.how is None:
            self.how, self.detail = how, detail

    def hear(self, chunk: bytes, now: float, told: Told) -> Iterator[Seen]:
        """Take in what came through the pipe; too late once it is being ended."""
        self.heard = now
        if self.killed is not None and self.how is not None:
            return
        try:
            for frame in self._reader.feed(chunk):
                yield from self._take(frame, now, told)
        except frames.Broken as error:
            self.lose("failed", f"its answer could not be read: {error}")
            self.doomed = True

    def _take(self, frame: frames.Frame, now: float, told: Told) -> Iterator[Seen]:
        if frame.what in (frames.TELL, frames.ODD_TELL):
            words = frames.words_of(frame)
            asked = words.pop("silence", 0)
            if isinstance(asked, (int, float)) and math.isfinite(asked):
                self.silence = max(self.silence, float(asked))
            self.last = words
            if isinstance(index := words.get("index"), int):
                self.last_of[index] = words
            told(self.job, words)
        elif frame.what in (frames.FACTS, frames.ODD_FACTS):
            if frame.entry not in self.missing:
                raise frames.Broken(f"an answer for entry {frame.entry}, which was not asked or answered before")
            facts = frames.facts_of(frame, self.job.kind.module.Facts)
            self.missing.discard(frame.entry)
            if not self.missing:
                self.done = now
            yield Seen(self.job, frame.entry, facts, now - self.started)
        else:
            how: How = "identity" if frame.what == frames.DENIED else "failed"
            self.lose(how, frame.body.decode("utf-8", "replace"))

    def over(self, passed: How | None, now: float) -> tuple[How, str] | None:
        """Why it must be killed now, if it must."""
        lasted, silent = now - self.started, now - self.heard
        if self.doomed:
            return "failed", self.detail
        if self.done is not None:
            return ("crashed", "closed its pipe without an answer and lived on") if now - self.done > LEAVE else None
        if passed:
            return passed, f"not finished after {show_seconds(lasted)}"
        if silent > self.silence:
            return "hung", f"no sign of life for {show_seconds(silent)}, in state {burial.state(self.pid)}"
        return None

    def losses(self, now: float) -> Iterator[Lost]:
        """One for every spec that was never answered."""
        for index in sorted(self.missing):
            last = self.last_of.get(index, {}) if self.last_of else self.last  # never another entry's error
            yield Lost(self.job, index, self.how or "crashed", self.detail, now - self.started, last)

    def due(self, now: float) -> float:
        """When to look at it again though nothing came from it."""
        if self.dead or self.killed is not None or self.done is not None:
            return now + 0.001  # any moment now
        return self.heard + self.silence


def never(job: Job, how: How, detail: str) -> Iterator[Lost]:
    """The losses of a job for which no child was made."""
    for index in range(len(job.specs)):
        yield Lost(job, index, how, detail, 0.0)
