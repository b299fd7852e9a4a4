"""The live display and the verdict on a terminal. rich is imported here only; nothing refreshes by itself (law 1)."""

import os
import time
from collections.abc import Mapping
from typing import IO, Any, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from modelgate import layout
from modelgate.finding import Level, Report
from modelgate.report import progress_words
from modelgate.scrub import visible
from modelgate.units import show_bytes, show_seconds
from modelgate.writer import Writer

FRAMES = "|/-\\"
EVERY = 0.1  # seconds between two refreshes at least
_STYLE = {"fail": "bold red", "ok": "green", "warn": "yellow", "bold": "bold", "dim": "dim", "copy": "cyan"}


class Row:
    """One thing under way. done and total in bytes; total 0 for what only waits."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.began = time.monotonic()
        self.first = 0
        self.done = 0
        self.total = 0
        self.words = ""

    def take(self, words: Mapping[str, Any]) -> None:
        self.words = visible(progress_words(words))
        if words.get("total"):
            if not self.total:
                self.first = int(words.get("done") or 0)
            self.done, self.total = int(words.get("done") or 0), int(words["total"])


class Screen:
    """A terminal behind a Writer. The cursor is never hidden: a gate that is killed leaves a usable terminal."""

    def __init__(self, writer: Writer, fd: int, environ: Mapping[str, str]) -> None:
        self._writer, self._fd, self._environ = writer, fd, environ
        self._rows: dict[str, Row] = {}
        self._files, self._bytes = 0, 0
        self._began: float | None = None
        self._drawn = 0.0
        self._frame = 0
        self._live: Live | None = None
        self._taken = True
        self._patience = 1.0
        self._insist = False
        self.ascii = not is_utf8(environ)
        self._console = _Console(
            file=cast("IO[str]", self),
            force_terminal=True,
            width=self._size()[0],
            height=self._size()[1],
            markup=False,
            highlight=False,
            emoji=False,
            legacy_windows=False,
            _environ=environ,
        )

    # What rich asks of a file.
    @property
    def encoding(self) -> str:
        return "ascii" if self.ascii else "utf-8"

    def write(self, text: str) -> int:
        """Guarded: a picture that nobody takes at once is skipped and not counted as a lost line."""
        dropped = self._writer.dropped
        raw = text.encode(self.encoding, "backslashreplace")
        self._taken = self._writer.write(raw, patience=self._patience, insist=self._insist)
        if not self._patience:
            self._writer.dropped = dropped
        return len(text)

    def flush(self) -> None:
        return None

    def line(self, line: bytes) -> bool:
        """One finished line above the live display."""
        text = line.decode("utf-8", "replace").rstrip("\n")
        style = "yellow" if text.startswith("modelgate: warning:") else "red" if ": error:" in text[:20] else ""
        self._print(Text(text, style=style))
        return self._taken

    def show(self, key: str, subject: str, words: Mapping[str, Any]) -> None:
        """Make or move one row."""
        row = self._rows.setdefault(key, Row(visible(subject)))
        row.take(words)
        if row.total and self._began is None:
            self._began = time.monotonic()
        if row.total and row.done >= row.total:
            self._finish(key)
        self.tick()

    def done(self, *keys: str) -> None:
        """Take rows away; one with bytes counts as a file that is through."""
        for key in keys:
            if key in self._rows:
                self._finish(key)
        self.tick()

    def tick(self) -> None:
        """Draw again, unless that was just done. What takes less than half a second is never shown."""
        now = time.monotonic()
        if now - self._drawn < EVERY or not (self._live or any(now - r.began > 0.5 for r in self._rows.values())):
            return
        self._drawn = now
        self._frame += 1
        self._console.width, self._console.height = self._size()
        if self._live is None:
            # Standard output and error stay what they are: they belong to the server.
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                get_renderable=self._picture,
            )
        self._patience = 0.0
        try:
            if not self._live.is_started:
                self._live.start()
            self._live.refresh()
        finally:
            self._patience = 1.0

    def clear(self) -> None:
        """Wipe the live display; lines stay."""
        self._rows.clear()
        self._files, self._bytes, self._began = 0, 0, None
        if self._live is not None:
            self._live.stop()
            self._live = None

    def verdict(self, report: Report, notes: tuple[str, ...] = ()) -> None:
        """The same words as the plain text, in colour; a passing start shows what held as a table before it."""
        self.clear()
        width = self._size()[0]
        if not report.exit_code:
            findings = [f for f in report.findings if f.level in (Level.OK, Level.WARN)]
            if findings:
                self._print(_table(report))
        self._insist = True
        for line in layout.verdict(report, min(width, 100), notes=notes):
            self._print(Text.assemble(*[(text, _STYLE.get(style, "")) for text, style in line]))
        self._insist = False

    # -- drawing -------------------------------------------------------------------------------------------------

    def _finish(self, key: str) -> None:
        row = self._rows.pop(key)
        if row.total:
            self._files += 1
            self._bytes += row.done - row.first

    def _print(self, what: RenderableType) -> None:
        # Never wrapped or cut by rich: the terminal wraps, and a copied line is whole.
        self._console.print(what, no_wrap=isinstance(what, Text), overflow="ignore", crop=False, soft_wrap=True)

    def _picture(self) -> RenderableType:
        width, height = self._size()
        rows = list(self._rows.values())
        most = max(1, min(12, height - 4))
        grid = Table.grid(padding=(0, 1), expand=True)
        for width_of, ratio in ((1, None), (None, 2), (None, 3)):
            grid.add_column(width=width_of, ratio=ratio, no_wrap=True, overflow="crop")
        for row in rows[:most]:
            frame = FRAMES[self._frame % len(FRAMES)]
            grid.add_row(frame, Text(_tail(row.subject, width * 2 // 5 - 2)), self._state(row, width))
        parts: list[RenderableType] = [grid]
        if len(rows) > most:
            parts.append(Text(f"  and {len(rows) - most} more", style="dim"))
        if self._began is not None:
            parts.append(Text(self._totals(), style="dim"))
        return Group(*parts)

    def _state(self, row: Row, width: int) -> RenderableType:
        passed = time.monotonic() - row.began
        if not row.total:
            return Text(f"{show_seconds(int(passed))}  {row.words}")
        rate = (row.done - row.first) / passed if passed > 0.2 else 0.0
        left = f", {show_seconds(max(1, round((row.total - row.done) / rate)))} left" if rate else ""
        numbers = f"{show_bytes(row.done)} of {show_bytes(row.total)}, {show_bytes(rate)}/s{left}"
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(row.total, row.done, width=max(6, width * 3 // 5 - 50)), Text(numbers))
        return bar

    def _totals(self) -> str:
        under_way = [r for r in self._rows.values() if r.total]
        done = self._bytes + sum(r.done - r.first for r in under_way)
        passed = time.monotonic() - (self._began or 0.0)
        rate = done / passed if passed > 0.2 else 0.0
        left = sum(r.total - r.done for r in under_way)
        eta = f", {show_seconds(max(1, round(left / rate)))} left for these" if rate and left else ""
        read = f"{show_bytes(done)} read, {show_bytes(rate)}/s{eta}"
        return f"  {self._files} files done, {len(under_way)} under way, {read}"

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._fd)
        except OSError:
            return 80, 24
        return max(size.columns, 40) if size.columns else 80, size.lines or 24


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:
        """Never hide it: a gate that is killed could not bring it back."""
        return show


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("check", overflow="fold", no_wrap=False)
    table.add_column("subject", overflow="fold")
    table.add_column("result")
    table.add_column("seconds", justify="right")
    lines = list(layout.table(report, layout.ROWS))
    for line in lines:
        cells = [Text(text.strip(), style=_STYLE.get(style, "")) for text, style in line]
        table.add_row(*cells) if len(cells) == 4 else table.add_row("", *cells)
    return table


def is_utf8(environ: Mapping[str, str]) -> bool:
    """What the locale says the terminal shows; in the C locale only ASCII is sure to arrive."""
    ctype = environ.get("LC_CTYPE", "")
    if ctype == "C.UTF-8":  # CPython sets this by itself where the locale is C: nobody said it
        ctype = ""
    locale = environ.get("LC_ALL") or ctype or environ.get("LANG") or "C"
    return "utf-8" in locale.lower() or "utf8" in locale.lower()


def _tail(text: str, room: int) -> str:
    """The end of a path says more than its beginning."""
    room = max(room, 10)
    return text if len(text) <= room else "..." + text[3 - room :]
