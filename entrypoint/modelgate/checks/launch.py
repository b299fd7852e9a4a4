"""The server's command: there, and something that the kernel can run as the runtime identity.

## What is looked at
The first word of the command, found as execvp finds it: by its path, or along PATH of the server's environment. Then
the file: its rights and mount, `#!` and the interpreter that it names (through `env` too), the header of machine code,
its machine and the loader that it names. Nothing of it is executed.

## Why it matters
execve says "No such file or directory" for a script whose interpreter is missing, for a line that ends in CR LF, and
for a program of another libc; "Exec format error" for another machine. The gate would end in that after minutes.

## How to fix
The finding names the file that decides: the command, the interpreter or the loader, and what cures it.

## Limits
Shared libraries, the arguments and what the program does are not judged. A file that may be executed but not read is
taken on trust. Options of `env` in a `#!` line other than -S are not followed.
"""

import os
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from modelgate.finding import Finding, Fix, fail, ok, unknown, warn
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.program import Step, folders, look_up, steps
from modelgate.remedies import access
from modelgate.remedies import launch as remedies
from modelgate.remedies import program as programs
from modelgate.walk.names import shown

_WHY_127 = "Starting the server would fail with ENOENT (exit 127)."
_WHY_126 = "Starting the server would fail with {} (exit 126)."
_ENTRIES = 20_000  # names of PATH that are looked through for a near match


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The command, as the server is to be started."""

    command: Annotated[tuple[str, ...], Meta(min_length=1, description="The command and its arguments")]
    cwd: Annotated[str, Meta(description="Where it is started; default here")] = ""

    @property
    def subject(self) -> str:
        return shown(self.command[0]) or "command"


class Facts(Struct, frozen=True):
    """The files from the command to machine code; none when nothing of that name was found in `path`.

    unsearched  directories of PATH that could not be searched, with the errno
    near        names that are there and resemble the one asked for
    machine     of this kernel
    """

    steps: tuple[Step, ...]
    path: tuple[str, ...] = ()
    unsearched: dict[str, str] = {}
    near: tuple[str, ...] = ()
    machine: str = ""


def prepare(_specs: Sequence[Spec]) -> None:
    """The runtime identity may not be able to read Python's own library (a venv below /root)."""
    import difflib  # noqa: F401


def observe(spec: Spec, host: Host) -> Facts:
    """Follow the command to machine code."""
    word, unsearched = spec.command[0], dict[str, str]()
    if "/" in word:
        found = steps(word, "command", host, spec.cwd)
    elif word:
        found, unsearched = look_up(word, "command", host, spec.cwd)
    else:
        found = ()
    absent = not found or (len(found) == 1 and found[0].problem == "missing")
    return Facts(
        found,
        tuple(shown(folder) or "." for folder in folders(host.environ)),
        unsearched,
        _near(word, spec.cwd, host) if absent and word else (),
        os.uname().machine,
    )


def _near(word: str, cwd: str, host: Host) -> tuple[str, ...]:
    from difflib import get_close_matches

    head, name = os.path.split(word)
    names: set[str] = set()
    for folder in [head] if head else folders(host.environ):
        where = os.path.join(cwd, folder) or "."
        host.tell_path("list", where)
        try:
            names.update(os.listdir(where))
        except OSError:
            continue
        if len(names) > _ENTRIES:
            break
    printable = [n for n in names if n.isprintable() and n != name]  # a link of that name may lead nowhere
    return tuple(os.path.join(head, n) for n in get_close_matches(name, printable, n=2, cutoff=0.75))


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """One finding: the first file of the chain that cannot be."""
    return [_judge(spec, facts, place)]


def _judge(spec: Spec, facts: Facts, place: Place) -> Finding:
    first = facts.steps[0] if facts.steps else None
    if first is None or (first.problem == "missing" and len(facts.steps) == 1):
        return _not_found(spec, facts, first, place)
    last = facts.steps[-1]
    if last.problem:
        return _broken(spec, facts, last, place)
    said = {"path": first.path, "steps": [s.path for s in facts.steps]}
    # That a script's interpreter has a loader of its own is not worth a word.
    observed = first.path + "".join(f", {_by(s)}" for s in facts.steps[1:] if s.role != "loader" or first.kind == "elf")
    if last.kind == "unread":
        observed += f" (mode {last.mode}: may be executed and not read, so not looked into)"
    dos = next((s for s in facts.steps if s.line.endswith("\\r")), None)
    if dos is not None:
        observed = f"the first line of {dos.path} ends in CR LF: #!{dos.line}"
        why = (
            "The interpreter is there, but gets the carriage return as part of its option; most refuse that (a guess)."
        )
        return warn("launch-not-executable", spec.subject, observed, why, *programs.line_ends(dos.path), **said)
    return ok(spec.subject, observed, **said)


def _by(step: Step) -> str:
    return {"interpreter": "run by ", "env": "which finds ", "loader": "loaded by "}.get(step.role, "") + step.path


def _not_found(spec: Spec, facts: Facts, first: Step | None, place: Place) -> Finding:
    word, rest = shown(spec.command[0]), [shown(w) for w in spec.command[1:]]
    said = {"word": word, "path": list(facts.path), "unsearched": facts.unsearched, "near": list(facts.near)}
    if not word:
        observed, fix = "the first word of the command is empty", remedies.empty_word()
        return fail("launch-not-found", "command", observed, _WHY_127, fix, **said)
    if first is not None:
        what = f"a link to {first.link}, which is not there" if first.link else "no such file"
        observed = f"{first.path}: {first.errno} ({what})"
    else:
        observed = f"no file {word} in any directory of PATH ({':'.join(facts.path)}): ENOENT"
    if facts.unsearched:
        names = ", ".join(f"{folder} ({number})" for folder, number in facts.unsearched.items())
        observed += f"; not searched, because {place.who} may not: {names}"
    if facts.near:
        observed += f"; perhaps {' or '.join(facts.near)} is meant"
    fixes = remedies.not_found(place, word, rest, near=facts.near, unsearched=tuple(facts.unsearched))
    return fail("launch-not-found", word, observed, _WHY_127, *fixes, **said)


def _broken(spec: Spec, facts: Facts, last: Step, place: Place) -> Finding:
    """The last file of the chain is the one that decides."""
    before = facts.steps[-2] if len(facts.steps) > 1 else None
    said = {
        "path": facts.steps[0].path,
        "deciding": last.path,
        "problem": last.problem,
        "errno": last.errno,
        "mode": last.mode,
        "owner": last.owner,
        "component": last.decider.path if last.decider else last.mount,
    }
    observed, fixes = _told(spec, facts, last, before, place)
    if last.problem in ("maybe-foreign", "unknown-format"):
        why = (
            "The kernel runs it only with a handler for such files (binfmt_misc); whether it has one is not known here."
        )
        return warn("launch-not-executable", spec.subject, observed, why, *fixes, **said)
    if last.problem == "io":
        return unknown("path-io-error", spec.subject, observed, "Whether it can be run is not known.", *fixes, **said)
    if last.problem == "missing":
        why = f"{_WHY_127} The message names {facts.steps[0].path}, which is there: what it needs is not."
        if last.role == "env":
            why = "The server would end at once with exit 127: env cannot find what it is to run."
        return fail("launch-not-found", spec.subject, observed, why, *fixes, **said)
    return fail("launch-not-executable", spec.subject, observed, _WHY_126.format(last.errno), *fixes, **said)


def _told(spec: Spec, facts: Facts, last: Step, before: Step | None, place: Place) -> tuple[str, tuple[Fix, ...]]:
    """What was seen, and what cures it."""
    path, owner = last.path, f"mode {last.mode}, owner {last.owner}"
    words = [shown(w) for w in spec.command] if last.role == "command" else []  # to start it in another way
    if last.problem == "missing" and before is not None:
        return _missing(last, facts.steps, [shown(w) for w in spec.command])
    if last.problem == "blocked":
        return _blocked(last, place)
    if last.problem == "mode":
        fixes = remedies.mode(place, path, words)
        return f"{path} may not be executed by {place.who}: {last.errno} ({owner})", fixes
    if last.problem == "noexec":
        observed = f"{path} may not be executed: {last.errno}, the mount {last.mount} has noexec ({owner})"
        return observed, remedies.noexec(place, path, last.mount)
    if last.problem in ("foreign", "maybe-foreign"):
        observed = f"{path} is a program for {last.machine}, this machine is {facts.machine}"
        if last.problem == "foreign":
            observed += f", and its kernel has no handler for the other ({last.errno})"
        return observed, programs.foreign(place, facts.machine, last.machine)
    if last.problem in ("text", "bom", "first-line"):
        what = {
            "text": "is text without a first line that names its interpreter (#!)",
            "bom": "begins with a UTF-8 byte order mark, so the kernel does not see its #!",
            "first-line": f"has a first line that names no interpreter the kernel can use: #!{last.line[:80]}",
        }[last.problem]
        return f"{path} {what}: {last.errno} (Exec format error)", programs.shebang(path, last.problem, words)
    what = {
        "directory": "is a directory",
        "special": "is no regular file",
        "empty": "is empty (0 bytes)",
        "cut": "is machine code without all of its headers: cut short, or an object file",
        "unknown-format": "is neither machine code of this system nor a script",
        "depth": "is a script run by a script run by a script, deeper than the kernel follows",
        "loop": "cannot be reached: too many links",
        "io": "cannot be looked at",
    }[last.problem]
    return f"{path} {what}: {last.errno}", programs.not_a_program(path, last.problem)


def _blocked(last: Step, place: Place) -> tuple[str, tuple[Fix, ...]]:
    let = access.grant(place, last.decider, "x") if last.decider else ()
    words = last.decider.words if last.decider else "a directory on the way"
    return f"{last.path}: {last.errno} for {place.who}: {words} denies", (remedies.elsewhere(last.path), *let)


def _missing(last: Step, chain: tuple[Step, ...], words: list[str]) -> tuple[str, tuple[Fix, ...]]:
    script = next((s for s in reversed(chain[:-1]) if s.kind == "script"), chain[0])
    if last.role == "loader":
        asks = next(s for s in reversed(chain[:-1]) if s.kind == "elf").path
        return f"{asks} is loaded by {last.path}, which is not there: {last.errno}", programs.loader(last.path)
    observed = f"the first line of {script.path} is #!{script.line}, and "
    if last.role == "env":
        observed += f"env finds no {last.path!r} in PATH: {last.errno}"
    else:
        observed += f"{last.path} is not there: {last.errno}"
    if script.line.endswith("\\r"):
        return f"{observed} (the line ends in CR LF, and the CR counts)", programs.line_ends(script.path)
    return observed, programs.interpreter(script.path, script.line, last.path, last.found, words)
