"""Really trying: open, read, list, make and remove an entry, enter, make a directory. As the current identity."""

import errno
import os
import stat

from msgspec import Struct

from modelgate.walk.asks import name_of, why_not
from modelgate.walk.steps import Step, Walk
from modelgate.walk.walker import Walker


class Try(Struct, frozen=True):
    """One thing tried: `letter` r w x, or c for making a directory; `how` is the call; `errno` "" when it worked."""

    letter: str
    how: str
    errno: str = ""
    words: str = ""


def read_file(path: bytes, *, fifo: bool = False) -> Try:
    """Open for reading and read one byte: EIO and ESTALE show only then. A FIFO is opened, never read."""
    how = "open(O_RDONLY)"
    flags = os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | (os.O_NONBLOCK if fifo else 0)
    try:
        fd = os.open(path, flags)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                how = "read()"
                os.read(fd, 1)
        finally:
            os.close(fd)
    except OSError as error:
        return _no("r", how, error)
    return Try("r", how)


def list_directory(path: bytes) -> Try:
    """Open and read the first entry, not all: a directory in an object store may hold millions."""
    how = "open(O_DIRECTORY)"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            how = "getdents()"
            with os.scandir(fd) as entries:
                next(entries, None)
        finally:
            os.close(fd)
    except OSError as error:
        return _no("r", how, error)
    return Try("r", how)


def make_entry(path: bytes) -> Try:
    """A nameless temporary file where the file system has them, else one with a unique name, removed at once."""
    how = "open(O_PATH)"
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            how = "open(O_TMPFILE)"
            try:
                os.close(os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=fd))
                return Try("w", how)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EROFS):
                    raise
            name = b".modelgate-%d-%s" % (os.getpid(), os.urandom(6).hex().encode())
            how = "open(O_CREAT|O_EXCL)"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            made = os.open(name, flags, 0o600, dir_fd=fd)
            try:
                os.close(made)
            finally:
                how = f"unlink({name.decode()})"
                os.unlink(name, dir_fd=fd)
        finally:
            os.close(fd)
    except OSError as error:
        return _no("w", how, error, _room(path))
    return Try("w", how)


def enter(path: bytes) -> Try:
    """Look something up in the directory, which needs its x."""
    how = "enter"
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.stat(b".", dir_fd=fd)
        finally:
            os.close(fd)
    except OSError as error:
        return _no("x", how, error)
    return Try("x", how)


def ask(path: bytes, letter: str) -> Try:
    """Asked of the kernel and not tried: opening for writing would copy the file up on overlayfs."""
    how = f"faccessat({letter.upper()}_OK)"
    error = why_not(path, letter)
    return _no(letter, how, error) if error is not None else Try(letter, how)


def make_directories(
    walker: Walker, found: Walk, mode: int | None, uid: int | None, gid: int | None
) -> tuple[list[str], Try]:
    """Make what is missing below walker.fd, and only that; never through a link that could change meanwhile.

    `mode`, `uid`, `gid` are given to the last one, as far as this identity may. Returns the paths made.
    """
    made: list[str] = []
    names = [name for name, _ in walker.rest if name != b"."]
    if foreign_link(found) is not None:
        return made, Try("c", "mkdir()", "EPERM", "not tried")
    if b".." in names:
        return made, Try("c", "mkdir()", "ENOENT", "a path with `..` behind something missing leads nowhere")
    here = walker.here
    fd = os.dup(walker.fd)
    how = "mkdir()"
    try:
        for number, name in enumerate(names, 1):
            here = os.path.join(here, name)
            how = f"mkdir({here.decode('utf-8', 'backslashreplace')})"
            ours = True
            try:
                os.mkdir(name, 0o777, dir_fd=fd)
                made.append(here.decode("utf-8", "backslashreplace"))
            except FileExistsError:  # somebody was faster
                ours = False
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = inner
            if ours and number == len(names):
                _dress(fd, mode, uid, gid)
    except OSError as error:
        return made, _no("c", how, error, _room(walker.here))
    finally:
        os.close(fd)
    return made, Try("c", how)


def _dress(fd: int, mode: int | None, uid: int | None, gid: int | None) -> None:
    now = os.fstat(fd)
    if (uid is not None and uid != now.st_uid) or (gid is not None and gid != now.st_gid):
        try:
            os.fchown(fd, -1 if uid is None else uid, -1 if gid is None else gid)
        except PermissionError:
            pass  # told by the look at the owner that follows
    if mode is not None:
        os.fchmod(fd, mode)


def foreign_link(found: Walk) -> Step | None:
    """For root: a link on the way that somebody else could bend, and so lead root elsewhere. None for anybody else."""
    where = {step.path: step for step in found.steps}
    for step in found.steps:
        if step.type != "link" or found.uid != 0:
            continue
        parent = where.get(os.path.dirname(step.path))
        mode = int(parent.mode, 8) if parent and parent.mode else 0o777
        if step.uid != 0 or parent is None or parent.uid != 0 or (mode & 0o022 and not mode & stat.S_ISVTX):
            return step
    return None


def _room(path: bytes) -> str:
    try:
        room = os.statvfs(path)
    except OSError:
        return ""
    return "no inode is free" if room.f_files and not room.f_favail else ""


def _no(letter: str, how: str, error: OSError, more: str = "") -> Try:
    words = error.strerror or str(error)
    if error.errno == errno.ENOSPC and more:
        words += f": {more}"
    return Try(letter, how, name_of(error), words)
