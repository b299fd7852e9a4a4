"""What the gate says while it works: one JSON object a line, or plain words, or a live display on a terminal.

structlog is loaded when the first line is written, while the first children already work; rich on a terminal only.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modelgate.finding import Finding, Level
from modelgate.writer import Writer

if TYPE_CHECKING:
    from modelgate.finding import Report
    from modelgate.scrub import Scrubber
    from modelgate.terminal import Screen

_RANK = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_LEVEL = {Level.OK: "info", Level.WARN: "warning", Level.FAIL: "error", Level.UNKNOWN: "error"}
_FIRST = ("timestamp", "level", "event", "stage", "code", "check", "line", "subject")
_LONG = ("evidence", "fixes", "snippet", "why", "command")  # left out first when a line is too long
LONGEST = 15_000  # container runtimes cut a line at 16 KiB, and half an object is none
PROGRESS_EVERY = 5.0
_TAKEN = frozenset({"event", "level", "timestamp", "insist", "self", "method_name"})  # by a line, or by structlog


class Log:
    """Speaks on `fd`. `format` is auto (console on a terminal, else JSON), json or console.

    verbosity: -1 warnings and failures only, 0 what a start is made of, 1 every check that held as well.
    environ: TERM, LANG and NO_COLOR, as the person at the terminal has them.
    Nothing here raises or blocks: a line that nobody takes within a second is dropped, and the next one says so.
    Every method may be called from a signal handler that interrupts another one.
    """

    def __init__(
        self,
        fd: int = 2,
        *,
        format: str = "auto",  # noqa: A002 - the option's own name
        verbosity: int = 0,
        scrubber: "Scrubber | None" = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if scrubber is None:
            from modelgate.scrub import Scrubber

            scrubber = Scrubber({})
        self.scrubber = scrubber
        self.verbosity = verbosity
        self.patience = 1.0  # seconds that a line waits for a reader
        self.hurried = False  # lines come by the same functions without loading structlog: 30 ms of a short start
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self._writer = Writer(fd)
        self.console = format == "console" or (format == "auto" and self._writer.terminal)
        self._live = self.console and self._writer.terminal and self._environ.get("TERM", "dumb") not in ("", "dumb")
        self._fd = fd
        self._least = 30 if verbosity < 0 else 20 if verbosity == 0 else 10
        self._screen: Screen | None = None
        self._logger: Any = None
        self._stage = ""
        self._depth = 0
        self._insist = False
        self._told: dict[str, float] = {}

    def say(self, level: str, event: str, **fields: Any) -> None:
        """One line. level: debug, info, warning or error."""
        self._say(level, event, fields)

    def finding(self, finding: Finding, *, manifest: str | None = None, level: str | None = None) -> None:
        """One line for a finding. A schema error's begins with FILE:LINE, any other with its subject."""
        from modelgate.report import event_of

        first = finding.fixes[0] if finding.fixes else None
        fields: dict[str, Any] = {
            "code": finding.code,
            "check": finding.check,
            "line": finding.line,
            "subject": finding.subject,
            "result": finding.level.value,
            "implied_by": finding.implied_by,
            "why": finding.why or None,
            "fix": f"{first.when}: {first.do}" if first else None,
            "snippet": first.snippet or None if first else None,
            "fixes": [{"when": f.when, "do": f.do, "snippet": f.snippet, "who": f.who} for f in finding.fixes] or None,
            "seconds": finding.seconds,
            "evidence": finding.evidence or None,
        }
        self._say(level or _LEVEL[finding.level], event_of(finding, manifest), fields)

    def debug_finding(self, finding: Finding) -> None:
        """A finding as it comes, for -v; without -v the verdict tells it. It also ends the progress of its check."""
        if self._screen is not None and not self._depth:
            self._draw(self._screen.done, finding.check, finding.subject)
        if self.verbosity > 0:
            self.finding(finding, level="debug")

    def stage(self, name: str, **fields: Any) -> None:
        """A stage begins; its name stands in every line until the next."""
        self._stage = name
        self._told.clear()
        looks = fields.get("looks")
        what = f"{name}: {looks} check{'' if looks == 1 else 's'}" if looks is not None else name
        self._say("debug" if self.console else "info", what, fields)

    def stage_done(self, name: str, **fields: Any) -> None:
        """A stage is over: nothing of it moves any more."""
        self._clear()
        self._say("debug", f"{name}: done", fields)

    def attempt(self, *, subject: str, check: str = "", **words: Any) -> None:
        """One try of something waited for. Words: attempt, error, next (seconds until the next try) and others."""
        if self._live and not self._depth:
            self.progress(subject=subject, check=check, **words)
        number, error = words.get("attempt", ""), words.get("error") or "not ready"
        fields = {"check": check, "subject": subject, **{k: v for k, v in words.items() if k != "index"}}
        level = "debug" if self._live else "info"
        self._say(level, f"{subject}: attempt {number}: {error}".replace("attempt : ", ""), fields)

    def progress(self, *, subject: str, check: str = "", **words: Any) -> None:
        """What a child said it is doing: done and total in bytes for a bar, else doing, path, error."""
        if self._depth:
            return
        # One child may hash many files: the path it names is the thing, the check is only where the child began.
        subject = str(words.get("path") or subject)
        if self._live:
            if self._least <= 20:
                key = subject if "path" in words else check or subject
                self._draw(self._begin_screen().show, key, subject, self.scrubber.data(words))
            return
        now = time.monotonic()
        if now - self._told.setdefault(subject, now) < PROGRESS_EVERY:
            return
        self._told[subject] = now
        from modelgate.report import progress_words

        shown = {k: v for k, v in words.items() if k not in ("index", "path", "stage") and v is not None}
        text = f"{subject}: {progress_words(words)}"
        self._say("info", text, {"check": check, "subject": subject, **shown})

    def tick(self) -> None:
        """Move the live display on. Call it now and then; there is no thread that would (law 1)."""
        if self._screen is not None and not self._depth:
            self._draw(self._screen.tick)

    def verdict(self, report: "Report", notes: tuple[str, ...] = ()) -> None:
        """The end of it, from a scrubbed report. `notes` are told with a failure, on a line of their own."""
        from modelgate import report as texts

        self._clear()
        self._stage = "verdict"
        level = "error" if report.exit_code else "info"
        if not self.console:
            failing, warns, more = texts.split(report)
            for finding in failing + warns:
                self.finding(finding, manifest=report.manifest)
            fields = {**texts.summary(report), "more_warnings": more or None, "notes": list(notes) or None}
            self._say(level, texts.headline(report), fields, insist=True)
        elif _RANK[level] >= self._least or any(f.level is Level.WARN for f in report.findings):
            if self._live and not self._depth:
                self._draw(self._begin_screen().verdict, report, notes)
            else:
                text = texts.to_text(report, short=True, notes=notes)
                self._writer.write(text.encode("utf-8", "backslashreplace"), patience=self.patience, insist=True)

    def close(self) -> None:
        """Leave the terminal as it was found. The log may still be used."""
        self._clear()

    # -- one line ------------------------------------------------------------------------------------------------

    def _say(self, level: str, event: str, fields: dict[str, Any], *, insist: bool = False) -> None:
        if _RANK[level] < self._least:
            return
        self._depth += 1
        try:
            fields = {f"{k}_" if k in _TAKEN else k: v for k, v in fields.items() if v is not None and v != ""}
            if self._stage and "stage" not in fields:
                fields["stage"] = self._stage
            dropped = self._writer.dropped
            if dropped:
                fields["dropped"] = dropped
            if self._emit(level, event, fields, insist=insist):
                self._writer.dropped -= dropped
        finally:
            self._depth -= 1

    def _emit(self, level: str, event: str, fields: dict[str, Any], *, insist: bool) -> bool:
        if self._depth == 1 and not (self.hurried and self._logger is None):
            if self._logger is None:
                from modelgate.lines import make_logger

                self._logger = make_logger(self._put, [self._order, self._render])
            if self._logger is not False:
                taken = getattr(self._logger, level)(event, insist=insist, **fields)
                return bool(taken)
        # In a hurry, or inside a signal handler, maybe in the middle of that import: the same functions, by hand.
        words = {**fields, "event": event, "insist": insist}
        return self._put(self._render(None, level, self._order(None, level, words)))

    def _order(self, _logger: object, level: str, words: Any) -> dict[str, Any]:
        """Timestamp, level, event, stage, code, check first; secrets hidden; the pen's own instruction set aside."""
        self._insist = words.pop("insist", False)
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        hidden = self.scrubber.data({"timestamp": stamp, "level": level, **words})
        first = {key: hidden[key] for key in _FIRST if key in hidden}
        return {**first, **{k: v for k, v in hidden.items() if k not in first}}

    def _render(self, _logger: object, _level: str, words: Any) -> bytes:
        from modelgate import lines

        return lines.plain(words) if self.console else lines.json(words, LONGEST, _LONG)

    def _put(self, line: bytes) -> bool:
        if self._screen is not None and self._depth <= 1:
            return self._screen.line(line)
        return self._writer.write(line, patience=self.patience, insist=self._insist)

    # -- the live display ----------------------------------------------------------------------------------------

    def _begin_screen(self) -> "Screen":
        if self._screen is None:
            from modelgate.terminal import Screen

            self._screen = Screen(self._writer, self._fd, self._environ)
        return self._screen

    def _clear(self) -> None:
        if self._screen is None:
            return
        if self._depth:
            self._writer.write(b"\n")  # a display half drawn is not drawn over from a signal handler
        else:
            self._draw(self._screen.clear)

    def _draw(self, what: Callable[..., None], *words: Any) -> None:
        """A signal handler that comes in between sees _depth and speaks plainly: rich could not be entered twice."""
        self._depth += 1
        try:
            what(*words)
        finally:
            self._depth -= 1
