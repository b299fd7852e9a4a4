"""What the kernel makes of a program file: machine code, a `#!` script, or nothing that it can run. Never runs it."""

import errno
import os
import re
import shlex
import stat
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from modelgate import elf
from modelgate.host import Host
from modelgate.walk import Step as Component
from modelgate.walk import shown, walk

Problem = Literal[
    "", "missing", "blocked", "mode", "noexec", "directory", "special", "loop", "io",
    "empty", "cut", "text", "bom", "first-line", "depth", "foreign", "maybe-foreign", "unknown-format",
]  # fmt: skip
Role = Literal["command", "interpreter", "env", "loader"]

_HEAD = 256  # bytes of a file by which the kernel decides (BINPRM_BUF_SIZE)
_DEPTH = 5  # scripts that name scripts


class Step(Struct, frozen=True):
    r"""One file on the way from the command to machine code. The last one holds the problem, if there is one.

    decider    of a blocked path: the directory that denies
    mount      of a file that may not be executed: the mount point that has noexec
    line       what follows `#!`, with a carriage return shown as \r
    found      of a missing interpreter: where PATH has one of the same name
    link       of a link that leads nowhere: its text
    """

    path: str
    role: Role
    problem: Problem = ""
    errno: str = ""
    kind: Literal["", "elf", "script", "unread"] = ""
    mode: str = ""
    owner: str = ""
    decider: Component | None = None
    mount: str = ""
    line: str = ""
    machine: str = ""
    found: str = ""
    link: str = ""


def folders(environ: Mapping[str, str]) -> list[str]:
    """Where a command without a slash is looked for; an empty entry is the current directory."""
    return environ.get("PATH", os.defpath).split(os.pathsep)


def steps(path: str, role: Role, host: Host, cwd: str, depth: int = 0) -> tuple[Step, ...]:
    """Follow a file to machine code. Stops at the first problem."""
    host.tell_path("look at the program", os.path.join(cwd, path))
    step = _reach(path, role, cwd, host)
    if step.problem:
        return (step,)
    try:
        fd = os.open(os.path.join(cwd, path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return (replace(step, kind="unread"),)  # may be run though not read
        return (replace(step, problem="io", errno=_name(error)),)
    try:
        head = os.pread(fd, _HEAD, 0)
        if head.startswith(b"\x7fELF"):
            return _machine_code(step, elf.read(head, fd), host, cwd)
    except OSError as error:
        return (replace(step, problem="io", errno=_name(error)),)
    finally:
        os.close(fd)
    if head.startswith(b"#!"):
        return _script(step, head, host, cwd, depth)
    if role == "env" and head:
        return (step,)  # execvp, and env through it, gives what the kernel refuses to /bin/sh
    return (replace(step, problem=_unrunnable(head), errno="ENOEXEC"),)


def look_up(name: str, role: Role, host: Host, cwd: str, depth: int = 0) -> tuple[tuple[Step, ...], dict[str, str]]:
    """Along PATH as the start of the server does it (start/search), or `env` (execvp): steps of what would be run, else
    of what stands in the way; and the directories that could not be searched, with the errno. No steps: not found.
    """
    denied: tuple[Step, ...] = ()
    unsearched: dict[str, str] = {}
    for folder in dict.fromkeys(folders(host.environ)):
        path = os.path.join(folder, name)
        found = steps(path, role, host, cwd, depth)
        problem, errno_ = found[-1].problem, found[-1].errno
        if not problem:
            return found, unsearched
        if len(found) == 1 and problem == "blocked":
            unsearched[shown(folder) or "."] = errno_
        elif errno_ == "EACCES":
            denied = denied or found
        elif len(found) == 1 and problem == "missing" and not os.path.lexists(os.path.join(cwd, path)):
            continue
        elif role == "command" or errno_ != "ENOENT":
            return found, unsearched
    return denied, unsearched


def _reach(path: str, role: Role, cwd: str, host: Host) -> Step:
    full, step = os.path.join(cwd, path), Step(shown(path), role)
    try:
        found = os.stat(full)
    except OSError as error:
        code = _name(error)
        if error.errno == errno.EACCES:
            return replace(step, problem="blocked", errno=code, decider=walk(full, host).decider)
        link = shown(os.readlink(full)) if os.path.islink(full) else ""
        known: dict[int | None, Problem] = {errno.ENOENT: "missing", errno.ENOTDIR: "missing", errno.ELOOP: "loop"}
        return replace(step, problem=known.get(error.errno, "io"), errno=code, link=link)
    step = replace(step, mode=f"{stat.S_IMODE(found.st_mode):04o}", owner=f"{found.st_uid}:{found.st_gid}")
    if not stat.S_ISREG(found.st_mode):
        return replace(step, problem="directory" if stat.S_ISDIR(found.st_mode) else "special", errno="EACCES")
    if os.access(full, os.X_OK):
        return step
    if os.statvfs(full).f_flag & os.ST_NOEXEC:
        mount = host.mount_of(os.path.realpath(full))
        return replace(step, problem="noexec", errno="EACCES", mount=mount.point if mount else "")
    return replace(step, problem="mode", errno="EACCES")


def _machine_code(step: Step, found: elf.Elf, host: Host, cwd: str) -> tuple[Step, ...]:
    step = replace(step, kind="elf", machine=found.machine)
    if found.problem:
        return (replace(step, problem=found.problem, errno=found.errno),)
    return (step, _reach(found.loader, "loader", cwd, host)) if found.loader and step.role != "loader" else (step,)


def _script(step: Step, head: bytes, host: Host, cwd: str, depth: int) -> tuple[Step, ...]:
    raw, newline, _ = head[2:].partition(b"\n")
    raw = raw.partition(b"\0")[0]
    words = re.split(rb"[ \t]+", raw.strip(b" \t"), maxsplit=1)
    line = raw.decode("utf-8", "backslashreplace").replace("\r", "\\r").strip()
    step = replace(step, kind="script", line=line)
    cut_off = not newline and len(head) == _HEAD and len(words) == 1
    if not words[0] or cut_off:
        return (replace(step, problem="first-line", errno="ENOEXEC"),)
    if depth == _DEPTH:
        return (replace(step, problem="depth", errno="ELOOP"),)
    interpreter = os.fsdecode(words[0])
    rest = steps(interpreter, "interpreter", host, cwd, depth + 1)
    if rest[-1].problem == "missing" and len(rest) == 1:
        found, _ = look_up(os.path.basename(interpreter.rstrip("\r")), "interpreter", host, cwd, _DEPTH)
        where = found[0].path if found and not found[-1].problem else ""
        rest = (replace(rest[0], path=rest[0].path.replace("\r", "\\r"), found=where),)
    if rest[-1].problem or os.path.basename(interpreter) != "env" or len(words) == 1:
        return (step, *rest)
    return (step, *rest, *_through_env(os.fsdecode(words[1]), host, cwd, depth + 1))


def _through_env(argument: str, host: Host, cwd: str, depth: int) -> tuple[Step, ...]:
    name = argument
    if match := re.match(r"(?:-S|--split-string[= ])\s*", argument):
        try:
            words = shlex.split(argument[match.end() :])
        except ValueError:
            return ()
        name = words[0] if words else ""
    if not name or name.startswith("-") or "=" in name:
        return ()  # an option or an assignment may change what is found: not followed
    if "/" in name:
        return steps(name, "env", host, cwd, depth)
    found, _ = look_up(name, "env", host, cwd, depth)
    return found or (Step(shown(name).replace("\r", "\\r"), "env", "missing", "ENOENT"),)


def _unrunnable(head: bytes) -> Problem:
    if not head:
        return "empty"
    if head.startswith(b"\xef\xbb\xbf#!"):
        return "bom"
    text = not any(byte < 32 and byte not in (7, 8, 9, 10, 12, 13, 27) for byte in head)
    return "text" if text else "unknown-format"


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))
