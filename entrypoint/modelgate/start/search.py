"""Execute the command as execvp does, but for the shell: never is a file that the kernel refuses given to /bin/sh.

What was refused becomes a finding. The implied check of the command has looked at all of it before; this speaks when
that was turned off, or when something has changed since.
"""

import errno
import os
from collections.abc import Sequence

from msgspec import Struct

from modelgate.exits import NOT_EXECUTABLE, NOT_FOUND
from modelgate.finding import IMAGE, Finding, Fix, fail
from modelgate.remedies import quote
from modelgate.walk.names import shown

DEFAULT_PATH = b"/bin:/usr/bin"  # what execvp searches when PATH is not set
NOT_HERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT})
GO_ON = NOT_HERE | {errno.EACCES}  # as execvp: the next directory of PATH may have it


def candidates(name: bytes, path: bytes) -> list[bytes]:
    """The name itself when it has a slash, else one path for each element of PATH; an empty element is `.`."""
    if b"/" in name or not name:
        return [name]
    return [os.path.join(directory, name) for directory in path.split(b":")]


class Refusal(Struct, frozen=True):
    """What the kernel said. `path` is the command's bare word when PATH has no such file; then `unsearched` are the
    directories of PATH that this identity may not enter.
    """

    path: bytes
    errno: int
    unsearched: tuple[bytes, ...] = ()


def execute(argv: list[bytes], environ: dict[bytes, bytes]) -> Refusal:
    """Become the program. Comes back only when no candidate could be executed."""
    there: Refusal | None = None  # a file that was refused; one that may not be executed is told before one that lacks
    unsearched = []
    paths = candidates(argv[0], environ.get(b"PATH", DEFAULT_PATH))
    for path in paths:
        try:
            os.execve(path, argv, environ)  # noqa: S606 - no shell is the point
        except OSError as error:
            number = error.errno or errno.EIO
        if paths == [argv[0]] or number not in GO_ON:
            return Refusal(path, number)
        try:
            os.lstat(path)
        except PermissionError:
            unsearched.append(os.path.dirname(path))
        except OSError:
            pass
        else:
            if there is None or (number == errno.EACCES and there.errno != errno.EACCES):
                there = Refusal(path, number)
    return there or Refusal(argv[0], errno.ENOENT, tuple(unsearched))


def refused(refusal: Refusal, command: Sequence[str], searched: bytes) -> Finding:
    """launch-not-found or launch-not-executable. The errno and the path as they were, and what else the file says."""
    path, number = refusal.path, refusal.errno
    name = shown(path)
    detail, do, snippet = _why(path, number)
    if number in NOT_HERE and b"/" not in path:
        detail = f"not in PATH: {shown(searched)}"
        if refusal.unsearched:
            detail += f"; may not be entered: {shown(b':'.join(refusal.unsearched))}"
    code = "launch-not-found" if number in NOT_HERE else "launch-not-executable"
    text = f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
    observed = f"exec {name or repr('')}: {text}" + (f" ({detail})" if detail else "")
    exits = NOT_FOUND if number in NOT_HERE else NOT_EXECUTABLE
    why = f"Everything was checked, but the kernel does not start the server (exit {exits})."
    fix = Fix(when="always", do=do, snippet=snippet, who=IMAGE)
    return fail(code, shown(command[0]) or "command", observed, why, fix, path=name, errno=number)


def _why(path: bytes, number: int) -> tuple[str, str, str]:
    """What the file says of the refusal, what to do, and the line to copy."""
    name = os.fsdecode(path)
    file = quote(name)
    if number == errno.E2BIG:
        do = "Pass less: Kubernetes gives every container variables for each Service of its namespace"
        return "arguments and environment together are larger than the kernel takes", do, "enableServiceLinks: false"
    if os.path.isdir(path):
        return "it is a directory", "Name the program in it", f"ls -l {file}"
    head = _head(path)
    if number in (errno.ENOENT, errno.EACCES) and head.startswith(b"#!"):
        raw = head[2:].partition(b"\n")[0]
        line = raw.decode("utf-8", "backslashreplace").strip()
        if raw.endswith(b"\r"):
            detail = f"its first line, #!{line}, ends in a carriage return"
            return detail, "Remove the carriage returns", f"RUN sed -i 's/\\r$//' {file}"
        if number == errno.ENOENT:
            interpreter = (line.split(None, 1) or [""])[0]
            do = f"Install {interpreter or 'it'}, or name one that is there in the first line"
            return f"its interpreter {interpreter!r} is not there", do, f"RUN test -x {quote(interpreter)}"
    if number == errno.ENOENT and head:
        do = "Take the build for the C library of this image, or a static one"
        return "it is there, but the loader that it names is not", do, f"ldd {file}"
    if number in NOT_HERE:
        do = "Install it, or put its directory into PATH; this line makes the build fail as long as it is not there"
        return "", do, f"RUN {'test -x' if '/' in name else 'command -v'} {file}"
    if number == errno.ENOEXEC:
        detail = "it is neither a program for this machine nor a script that begins with #!"
        return detail, "Let its first line name its interpreter, or name that as the first word", f"head -c 64 {file}"
    if number == errno.EACCES and not os.access(path, os.F_OK):
        do = "Install it where every user may read it, like /opt or /usr/local"
        return "a directory on the way may not be entered", do, f"modelgate explain {file}"
    if number == errno.EACCES:
        return "", "Make it executable for the runtime identity", f"RUN chmod 0755 {file}"
    return "", "See what the file is", f"ls -l {file}"


def _head(path: bytes) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 256)
    except OSError:
        return b""
    finally:
        os.close(fd)
