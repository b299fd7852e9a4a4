"""`modelgate install DIR`: modelgate and the interpreter that runs it, copied into a volume for an unchanged image.

Why with its interpreter: the image of the server may have another Python, or none (llama.cpp, Ollama), and compiled
dependencies fit one minor version only. What the copy needs of the image is a C library at least as new as the one it
was made with, of the same kind; the command says which. The first line of DIR/bin/modelgate names the interpreter by
its whole path, because a shell in between would put PWD and SHLVL into the server's environment: DIR must be mounted
at the same path in both containers.
"""

import errno
import fcntl
import os
import shutil
import sys

from modelgate import __version__, exits
from modelgate.units import show_bytes

MARKER = ".modelgate"  # says that DIR is ours, and which version lies in it
OURS = frozenset({MARKER, "bin", "python", "lost+found"})
# The kernel reads 256 bytes of a first line; /python/bin/python3.NN -I takes some of them.
LONGEST = 200

_EXITS = {
    errno.EACCES: 77, errno.EPERM: 77, errno.EROFS: 77, errno.ENOSPC: 75, errno.EDQUOT: 75, errno.ENOENT: 66,
}  # fmt: skip


class RefusedError(Exception):
    """Nothing was installed; the text says why, `exit_code` whose turn it is."""

    def __init__(self, text: str, exit_code: int = exits.USAGE) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def install(directory: str) -> int:
    """Exit code: 0 installed, in place of what was there of ours; 64 no place for it; the rest as in the table."""
    try:
        target = _place(directory)
        made = _install(target)
    except RefusedError as error:
        return _complain(str(error), error.exit_code)
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "error")
        where = error.filename or directory
        return _complain(f"{where}: {error.strerror or error} ({name})", _EXITS.get(error.errno or 0, exits.SOFTWARE))
    sys.stdout.write(made)
    return exits.PASSED


def _complain(text: str, exit_code: int) -> int:
    sys.stderr.write(f"modelgate install: {text}\n")
    return exit_code


def _place(directory: str) -> str:
    """The directory as it will be named by the launcher. RefusedError when it must not be written into."""
    target = os.path.abspath(directory) if directory else ""
    if not target or target == "/" or (os.path.dirname(target) == "/" and target[1:] in _SYSTEM):
        raise RefusedError(f"{directory or repr('')} is no place for it: name a directory of its own, like /modelgate")
    if any(c.isspace() for c in target) or len(os.fsencode(target)) > LONGEST or not target.isprintable():
        raise RefusedError(f"{directory!r}: the path must be without spaces and at most {LONGEST} bytes long")
    if os.path.islink(target):
        raise RefusedError(f"{target} is a link to {os.readlink(target)}: name the directory itself")
    if os.path.lexists(target):
        if not os.path.isdir(target):
            raise RefusedError(f"{target} is no directory")
        there = set(os.listdir(target))
        foreign = {n for n in there - OURS if not n.startswith((".new-", ".old-"))}
        if foreign or (there & {"bin", "python"} and MARKER not in there):
            names = ", ".join(sorted(foreign or there)[:5])
            raise RefusedError(f"{target} holds what is not modelgate's ({names}): name an empty directory")
    return target


_SYSTEM = frozenset(
    {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin",
     "srv", "sys", "tmp", "usr", "var"}
)  # fmt: skip


def _install(target: str) -> str:
    """Build beside, then move in. What to say about it."""
    from modelgate import bundle

    if not os.path.isdir(target):
        os.makedirs(target)
        os.chmod(target, 0o755)  # noqa: S103 - the server's uid reads it
    lock = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two init containers of one pod never run at once, but people do this by hand
        _sweep(target)
        new, old = (os.path.join(target, f".{word}-{os.getpid()}") for word in ("new", "old"))
        os.mkdir(new, 0o700)
        try:
            made = bundle.build(new, target)
            _move_in(new, old, target)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(lock)
    program = os.path.join(target, "bin", "modelgate")
    needs = f" that have {', '.join(made.needs)}" if made.needs else ""
    return (
        f"modelgate {__version__} is in {target} ({show_bytes(made.size)}, {made.python}).\n"
        f"Mount it at the same path beside the server and start with: {program} -- COMMAND\n"
        f"It runs in images for {made.machine} with {made.libc}{needs}.\n"
    )


def _sweep(target: str) -> None:
    """What a run that was killed has left."""
    for name in os.listdir(target):
        if name.startswith((".new-", ".old-")):
            shutil.rmtree(os.path.join(target, name))


def _move_in(new: str, old: str, target: str) -> None:
    os.mkdir(old, 0o700)
    marker = os.path.join(new, MARKER)
    with open(marker, "w", encoding="utf-8") as file:
        file.write(f"{__version__}\n")
    os.chmod(marker, 0o644)
    # The marker first: a directory with python/ and without it would be refused the next time.
    os.replace(marker, os.path.join(target, MARKER))
    for name in ("python", "bin"):
        there = os.path.join(target, name)
        if os.path.lexists(there):
            os.rename(there, os.path.join(old, name))
        os.rename(os.path.join(new, name), there)
