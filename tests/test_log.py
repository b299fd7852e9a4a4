"""The log: one JSON object a line, quiet or loud as asked, cheap to import, never in the way."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelgate.finding import Finding, Fix, Report, fail, ok, warn
from modelgate.lines import json as json_line
from modelgate.log import Log
from modelgate.scrub import Scrubber

FIX = Fix(when="on Kubernetes", do="Let it in", snippet="fsGroup: 1\nx: 2")


class Reader:
    """A file as the log's descriptor, and what was written to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def sink(tmp_path: Path) -> Any:
    reader = Reader(tmp_path / "stderr")
    yield reader
    os.close(reader.fd)


def test_a_line_has_its_keys_in_order_and_a_utc_timestamp(sink: Reader) -> None:
    log = Log(sink.fd)
    log.stage("look", looks=2)
    log.say("warning", "x", zeta=1, check="files[0]", code="path-missing", absent=None)

    line = sink.lines[-1]
    assert list(line) == ["timestamp", "level", "event", "stage", "code", "check", "zeta"]
    assert line["stage"] == "look"
    stamp = time.strptime(line["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")
    assert line["timestamp"][19] == "."
    assert line["timestamp"].endswith("Z")
    assert abs(time.mktime(stamp) - time.mktime(time.gmtime())) < 3600


@pytest.mark.parametrize(
    ("verbosity", "levels"),
    [(-1, ["warning", "error"]), (0, ["info", "warning", "error"]), (1, ["debug", "info", "warning", "error"])],
)
def test_verbosity_decides_what_is_said(sink: Reader, verbosity: int, levels: list[str]) -> None:
    log = Log(sink.fd, verbosity=verbosity)
    for level in ("debug", "info", "warning", "error"):
        log.say(level, level)

    assert [line["level"] for line in sink.lines] == levels


def test_a_failing_finding_carries_cause_and_fix_in_one_line(sink: Reader) -> None:
    Log(sink.fd).finding(fail("path-missing", "/m", "ENOENT", "why so", FIX, FIX, component="/m"))

    line = sink.lines[0]
    assert (line["level"], line["event"], line["code"]) == ("error", "/m: ENOENT", "path-missing")
    assert line["fix"] == "on Kubernetes: Let it in"
    assert line["snippet"] == FIX.snippet
    assert len(line["fixes"]) == 2
    assert line["why"] == "why so"
    assert line["evidence"] == {"component": "/m"}


def test_a_schema_error_begins_with_its_file_and_line(sink: Reader) -> None:
    finding = fail("manifest-invalid", "files[0].acces", "unknown key", "", FIX)
    Log(sink.fd).finding(Finding(**{**_fields(finding), "line": 7}), manifest="/etc/m.yaml")

    assert sink.lines[0]["event"] == "/etc/m.yaml:7: unknown key"


def _fields(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in finding.__struct_fields__}


def test_what_held_is_told_with_v_only(sink: Reader) -> None:
    Log(sink.fd).debug_finding(ok("/m", "opened"))
    assert sink.text == ""

    Log(sink.fd, verbosity=1).debug_finding(ok("/m", "opened"))
    assert sink.lines[0]["event"] == "/m: opened"


def test_the_verdict_tells_failures_then_five_warns_then_the_sum(sink: Reader) -> None:
    warns = [warn("path-owner", f"/w{n}", "o", "y", FIX) for n in range(7)]
    report = Report(findings=[*warns, fail("path-missing", "/m", "ENOENT", "y", FIX)], verdict="fail", exit_code=66)
    Log(sink.fd).verdict(report)

    assert [line["level"] for line in sink.lines] == ["error"] + ["warning"] * 5 + ["error"]
    assert sink.lines[-1]["exit_code"] == 66
    assert sink.lines[-1]["more_warnings"] == 2


def test_each_attempt_is_a_line_with_the_last_error(sink: Reader) -> None:
    Log(sink.fd).attempt(check="wait_for[0]", subject="redis:6379", attempt=3, error="connection refused", next=0.4)

    line = sink.lines[0]
    assert line["event"] == "redis:6379: attempt 3: connection refused"
    assert (line["attempt"], line["next"], line["level"]) == (3, 0.4, "info")


def test_progress_is_told_at_most_every_five_seconds(sink: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("modelgate.log.time.monotonic", lambda: now[0])
    log = Log(sink.fd)
    for step in range(120):
        now[0] = 100 + step / 10
        log.progress(check="digests[0]", subject="x", path="/m", doing="hash", done=step << 20, total=120 << 20)

    assert [line["event"] for line in sink.lines] == ["/m: hash: 50.0 MiB of 120 MiB", "/m: hash: 100 MiB of 120 MiB"]


def test_secrets_and_foreign_characters_do_not_pass(sink: Reader) -> None:
    log = Log(sink.fd, scrubber=Scrubber({"HF_TOKEN": "s3cretvalue"}))
    log.say("info", "a\x1b[31m\u202e\udc80 s3cretvalue", path="s3cretvalue\x85")

    assert "s3cretvalue" not in sink.text
    assert sink.text.rstrip("\n").isprintable()
    assert sink.lines[0]["event"] == "a\x1b[31m\u202e\\udc80 ***"


def test_fields_with_reserved_names_do_no_harm(sink: Reader) -> None:
    Log(sink.fd).attempt(subject="s", event=1, level=2, insist=3, method_name=5)

    assert sink.lines[0]["event_"] == 1


def test_a_line_never_grows_beyond_what_a_container_runtime_takes() -> None:
    line = json_line({"event": "e" * 90_000, "evidence": {"x": "y" * 90_000}, "code": "c"}, 15_000, ("evidence",))

    assert len(line) <= 15_001
    assert json.loads(line)["cut"] is True
    assert json.loads(line)["code"] == "c"


def test_nobody_reading_costs_a_second_and_the_next_line_tells_what_was_lost() -> None:
    read, write = os.pipe()
    try:
        log = Log(write)
        started = time.monotonic()
        for _ in range(300):
            log.say("info", "x" * 1000)
        assert time.monotonic() - started < 15
        os.set_blocking(read, False)
        while len(os.read(read, 1 << 16)) == 1 << 16:
            pass
        log.say("info", "back")
        last = json.loads(os.read(read, 1 << 16).strip().splitlines()[-1])

        assert last["event"] == "back"
        assert last["dropped"] > 200
        log.say("info", "again")
        assert "dropped" not in json.loads(os.read(read, 1 << 16))
    finally:
        os.close(read)
        os.close(write)


def run(code: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-I", *options, "-c", code], capture_output=True, text=True, check=True)


def test_importing_the_log_imports_neither_structlog_nor_rich() -> None:
    loaded = run("import modelgate.log", "-X", "importtime").stderr

    assert "modelgate.log" in loaded
    assert "structlog" not in loaded
    assert "rich" not in loaded


LOADED = "; import sys; print([m for m in ('rich', 'asyncio', 'structlog') if m in sys.modules])"


def test_off_a_terminal_structlog_comes_without_rich_and_asyncio() -> None:
    done = run("from modelgate.log import Log; Log(2).say('info', 'x')" + LOADED)

    assert done.stdout == "['structlog']\n"
    assert json.loads(done.stderr)["event"] == "x"


def test_asyncio_is_the_real_one_again_afterwards() -> None:
    done = run("from modelgate.log import Log; Log(2).say('info', 'x'); import asyncio; print(asyncio.run)")

    assert "function run" in done.stdout


def test_without_structlog_the_lines_are_the_same() -> None:
    done = run(
        "import sys; sys.modules['structlog'] = None; from modelgate.log import Log; Log(2).say('info', 'x', b=1)"
    )

    assert list(json.loads(done.stderr)) == ["timestamp", "level", "event", "b"]


def test_in_a_hurry_the_lines_are_the_same_and_structlog_is_left_out() -> None:
    code = "from modelgate.log import Log; import sys; log = Log(); log.hurried = {}; log.say('info', 'x', a=1, b='');"
    code += "print('structlog' in sys.modules)"
    slow, fast = run(code.format(False)), run(code.format(True))

    assert (slow.stdout, fast.stdout) == ("True\n", "False\n")
    assert slow.stderr.partition(",")[2] == fast.stderr.partition(",")[2] != ""


def test_a_signal_during_the_import_of_structlog_is_logged(sink: Reader) -> None:
    """The handler of the gate speaks and ends; it may interrupt the very first line."""
    code = (
        "import builtins, os, signal, sys\n"
        "from modelgate.log import Log\n"
        "log = Log(2)\n"
        "signal.signal(signal.SIGTERM, lambda *_: (log.say('error', 'ended'), os._exit(143)))\n"
        "real = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'logging':\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = slow\n"
        "log.say('info', 'first')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], stderr=sink.fd, check=False, timeout=60)

    assert done.returncode == 143
    assert [line["event"] for line in sink.lines] == ["ended"]


def test_console_off_a_terminal_is_plain_words(sink: Reader, golden: Callable[[str, str], None]) -> None:
    log = Log(sink.fd, format="console", scrubber=Scrubber({}))
    log.say("warning", "MODELGATE_X is set but is no option of modelgate")
    log.stage("look", looks=1)
    log.attempt(check="wait_for[0]", subject="redis:6379", attempt=1, error="connection refused")
    log.verdict(Report(findings=[ok("/m", "opened")], seconds=0.25))
    log.say("info", "starting the server", command=["python", "a b.py"])

    golden("report/console.txt", sink.text)
