"""The command line of the probe and what its three questions mean. No memory: each answer is made of the state alone.

startup, ready  the server was started and its health answers
live            the gate moves; once the server runs, its health answers (yes where none is set: exec replaced the gate
                by the server, so as long as the process is there it is the server)
"""

from __future__ import annotations

import os
import time

from modelgate.probe import proc as process
from modelgate.probe import where

TYPE_CHECKING = False  # typing costs a fifth of a bare interpreter
if TYPE_CHECKING:
    from typing import Any

# Kubernetes gives a probe one second unless told otherwise, and the start of the probe is part of it.
TIMEOUT = 0.8
# The state is renewed by whatever the gate hears of its checks, and the longest silence that it allows one is 120 s.
# A gate that hangs is rare; one that a liveness probe kills while it hashes must not be.
STILL = 180.0

USAGE = """usage: modelgate probe [startup|ready|live] [--timeout DURATION] [--format text|json] [--state-dir DIR]
  startup, ready   the server was started and launch.health answers (without a word: ready)
  live             the gate moves; once the server runs, launch.health answers (yes when none is set)
  --timeout        for the answer of launch.health, 800ms by default: keep it below timeoutSeconds of the probe
  exit: 0 yes, 1 no, 64 wrong usage"""

_WORDS = {"startup": ("started", "not started"), "ready": ("ready", "not ready"), "live": ("live", "not live")}


class UsageError(Exception):
    """A wrong word on the command line."""


def main(args: list[str], *, root: str = "/", proc: str = process.PROC) -> int:
    environ = process.raw_environ(proc)
    try:
        options = parse(args)
    except UsageError as error:
        _say(2, f"modelgate probe: {error}\n{USAGE}")
        return 64
    if options is None:
        _say(1, USAGE)
        return 0
    what, timeout, form, state_dir = options
    state_dir = state_dir or os.fsdecode(environ.get(b"MODELGATE_STATE_DIR", b"")) or None
    xdg = os.fsdecode(environ.get(b"XDG_RUNTIME_DIR", b""))
    state, why = find(state_dir, xdg, root, proc)
    yes, message = (False, why) if state is None else judge(what, state, timeout)
    message = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    if form == "json":
        import json

        state = state or {}
        told = {"probe": what, "yes": yes, "message": message, **{k: state.get(k) for k in ("phase", "stage", "pid")}}
        _say(1, json.dumps(told, ensure_ascii=False))
    else:
        _say(1, f"{_WORDS[what][0 if yes else 1]}: {message}")
    return 0 if yes else 1


def parse(args: list[str]) -> tuple[str, float, str, str | None] | None:
    """(question, timeout, format, state dir); None when help is asked for. UsageError when it is none of these."""
    what, timeout, form, state_dir = "", TIMEOUT, "text", None
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word in ("-h", "--help"):
            return None
        if not word.startswith("-"):
            if what:
                raise UsageError(f"one question at a time: {what!r} and {word!r}")
            if word not in _WORDS:
                raise UsageError(f"{word!r} is none of startup, ready, live")
            what = word
            continue
        name, equals, value = word.partition("=")
        if name not in ("--timeout", "--format", "--state-dir"):
            raise UsageError(f"unknown option {name}")
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs a value")
            value = rest.pop(0)
        if name == "--timeout":
            timeout = seconds(value)
        elif name == "--state-dir":
            state_dir = value
        elif value in ("text", "json"):
            form = value
        else:
            raise UsageError(f"--format is text or json, not {value!r}")
    return what or "ready", timeout, form, state_dir


def seconds(text: str) -> float:
    """`800ms`, `2s`, `1m`. UsageError for anything else, and for 0."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0)):
        number = text[: -len(unit)]
        if text.endswith(unit) and number.replace(".", "", 1).isdigit() and number.isascii() and float(number) > 0:
            return float(number) * factor
    raise UsageError(f"--timeout takes a duration like 800ms or 2s, not {text!r}")


def find(
    state_dir: str | None, xdg: str, root: str = "/", proc: str = process.PROC
) -> tuple[dict[str, Any] | None, str]:
    """The state of the gate that lives, or None and why there is none.

    Asked with a directory, only the state of a gate that was told the same one counts: where that could not be used,
    it lies in one of the others.
    """
    uids = [os.geteuid(), 0, *(uid for uid in (process.uid_of(1, proc),) if uid is not None)]
    looked = where.candidates(state_dir, xdg, list(dict.fromkeys(uids)), root)
    why = ""
    for directory in looked:
        state, problem = where.read(directory, proc)
        elsewhere = state_dir is not None and directory != where.named(state_dir)
        if elsewhere and (state is None or state["named"] != where.named(state_dir)):
            continue
        if state is not None:
            now = process.start_time(state["pid"], proc)
            if now == state["start_time"]:
                return state, ""
            gone = "is gone" if now is None else "is another one by now"
            problem = f"{directory} tells of an earlier start: its process {state['pid']} {gone}"
        why = why or problem
    return None, why or f"no modelgate has begun here yet, or its state lies elsewhere (looked in {', '.join(looked)})"


def judge(what: str, state: dict[str, Any], timeout: float, now: float | None = None) -> tuple[bool, str]:
    """The answer for a state whose process lives. `now` is on the boot clock."""
    phase, health = state["phase"], state["health"]
    if phase == "failed":
        code = state["exit_code"]
        return False, f"the gate ended with exit code {code}: {state['message'] or 'see its log'}"
    if phase != "started":
        still = (time.clock_gettime(time.CLOCK_BOOTTIME) if now is None else now) - state["updated"]
        line = f"in the gate, stage {state['stage']}" if state["stage"] else "in the gate"
        line += f": {state['says']}" if state["says"] else ""
        if still > STILL:
            return False, f"{line}; it has not moved for {still:.0f} s"
        return what == "live", line
    if health is None:
        if what == "live":
            return True, f"the server runs (process {state['pid']}); launch.health is not set, so it was not asked"
        return False, (
            "the server was started, but nothing says how to ask whether it is ready: "
            "set launch.health in the manifest, for example launch: {health: http://127.0.0.1:8000/health}"
        )
    from modelgate.probe.ask import ask

    return ask(health, timeout)


def _say(fd: int, text: str) -> None:
    try:
        os.write(fd, f"{text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody listens; the exit code is the answer
