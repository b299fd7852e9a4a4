"""What a person sees on a terminal: a real pseudo-terminal, a real process, the screen as pyte draws it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from typing import NamedTuple

import pyte
import pytest

from modelgate.terminal import is_utf8

COLUMNS, ROWS = 100, 40

SETUP = """
import os, sys, time
from msgspec.structs import replace
from modelgate.finding import *
from modelgate.log import Log
from modelgate.report import to_text
fix = Fix(when="on Kubernetes", do="Let it in", snippet="securityContext:\\n  fsGroup: 1002")
good = replace(ok("/models/x", "opened"), check="files[0]", line=3, seconds=0.0123)
bad = replace(fail("path-blocked", "/models/y", "EACCES \\x1b[31m", "why", fix), check="files[1]", line=4)
log = Log(2)
threads = lambda: len(os.listdir("/proc/self/task"))
"""


class Seen(NamedTuple):
    screens: list[str]  # what stood on the screen after each piece of output
    last: str
    raw: bytes
    rc: int


def show(code: str, env: Mapping[str, str] | None = None) -> Seen:
    """Run SETUP and `code` on a terminal of its own."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environ = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", **(env or {})}
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", SETUP + code], stdin=slave, stdout=slave, stderr=slave, env=environ
    )
    os.close(slave)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    screens, raw, until = [], b"", time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([master], [], [], 1.0)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: the other side has closed
            break
        if not piece:
            break
        raw += piece
        stream.feed(piece)
        screens.append(text_of(screen))
    os.close(master)
    return Seen(screens, text_of(screen), raw, process.wait(10))


def text_of(screen: pyte.Screen) -> str:
    return "\n".join(line.rstrip() for line in screen.display).rstrip()


def test_a_passing_start_is_a_compact_table_and_one_line() -> None:
    seen = show("log.verdict(Report(findings=[good], seconds=0.5))")

    assert seen.last.splitlines() == [
        "check     subject    result  seconds",
        "files[0]  /models/x  ok        0.012",
        "modelgate: passed: 1 check held in 500 ms",
    ]


def test_a_failure_shows_the_words_of_the_plain_text() -> None:
    report = "Report(findings=[good, bad], exit_code=77, verdict='fail')"
    seen = show(f"log.verdict({report}); print('='); print(to_text({report}))")

    shown, _, plain = seen.last.partition("=\n")
    assert shown.strip() == plain.strip()
    assert "fsGroup: 1002" in shown
    assert b"\x1b[31mEACCES" not in seen.raw
    assert "EACCES \\x1b[31m" in shown


PROGRESS = """
for n in range(16):
    words = {"path": "/models/w.safetensors", "done": n << 20, "total": 20 << 20}
    log.progress(check="digests[0]", subject="x", doing="hash", **words)
    log.attempt(check="wait_for[0]", subject="redis:6379", attempt=n, error="connection refused")
    if n == 8: log.say("warning", "a line above")
    time.sleep(0.1)
seen = threads()
log.close()
print("threads", seen)
"""


def test_bytes_have_a_bar_with_rate_and_time_left_and_waits_their_last_error() -> None:
    seen = show(PROGRESS)

    live = next(s for s in reversed(seen.screens) if "of 20.0 MiB" in s)
    assert "/models/w.safetensors" in live
    assert "MiB/s" in live
    assert "left" in live
    assert "redis:6379" in live
    assert "connection refused" in live
    assert "0 files done, 1 under way" in live


def test_the_display_leaves_lines_and_nothing_else_behind_and_has_no_thread() -> None:
    seen = show(PROGRESS)

    assert seen.last.splitlines() == ["modelgate: warning: a line above", "threads 1"]
    assert b"\x1b[?25l" not in seen.raw, "a hidden cursor would stay hidden when the gate is killed"


def test_what_is_over_at_once_is_never_drawn() -> None:
    seen = show("log.progress(subject='x', doing='hash', done=1, total=2); log.debug_finding(good); log.close()")

    assert seen.last == ""


def test_quiet_shows_no_progress() -> None:
    seen = show("log = Log(2, verbosity=-1)\n" + PROGRESS)

    assert not any("of 20.0 MiB" in s for s in seen.screens)


def test_in_the_c_locale_everything_is_ascii() -> None:
    code = PROGRESS + "log.verdict(Report(findings=[replace(good, subject='/models/\\u00e9')]))"
    seen = show(code, {"LANG": "C"})

    assert seen.raw.isascii()
    assert "/models/\\xe9" in seen.last


def test_a_dumb_terminal_gets_plain_words() -> None:
    seen = show(PROGRESS + "log.verdict(Report(findings=[good]))", {"TERM": "dumb"})

    assert b"\x1b" not in seen.raw
    assert "attempt 3: connection refused" in seen.last
    assert "modelgate: passed" in seen.last


def test_no_color_is_honoured() -> None:
    seen = show("log.verdict(Report(findings=[good, bad], exit_code=77))", {"NO_COLOR": "1"})

    assert b"\x1b[31m" not in seen.raw
    assert b"\x1b[1;31m" not in seen.raw
    assert "path-blocked" in seen.last


@pytest.mark.parametrize("seconds", [0.7, 0.8, 0.9])
def test_a_signal_in_the_middle_of_drawing_still_tells_the_verdict(seconds: float) -> None:
    code = """
import signal
def end(*_):
    log.say("error", "ended by SIGALRM")
    log.verdict(Report(findings=[good, bad], exit_code=142))
    os._exit(142)
signal.signal(signal.SIGALRM, end)
signal.setitimer(signal.ITIMER_REAL, %s)
while True:
    log._draw(log._begin_screen().show, "x", "x", {"done": 1, "total": 2})
    log._screen._drawn = 0.0
"""
    seen = show(code % seconds)

    assert seen.rc == 142
    assert "ended by SIGALRM" in seen.last
    assert "path-blocked: /models/y" in seen.last


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_CTYPE": "de_DE.utf8"}, True),
    ],
)
def test_the_locale_says_what_may_be_shown(environ: dict[str, str], expected: bool) -> None:
    """CPython sets LC_CTYPE=C.UTF-8 itself where the locale is C; that is nobody's word."""
    assert is_utf8(environ) is expected
