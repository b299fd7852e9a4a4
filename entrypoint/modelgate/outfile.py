"""Write the report and the termination message without following anybody's tricks.

Both may lie on a mount that does not answer: call these in a child with a bounded wait.
"""

import errno
import os
import stat

from modelgate.host import DEV, Host

_PLAIN = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_IN_PLACE = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)


def termination_path(host: Host) -> str | None:
    """$MODELGATE_TERMINATION_LOG, else the kubelet's file when there is one; None: nobody reads one here."""
    named = host.environ.get("MODELGATE_TERMINATION_LOG")
    if named:
        return named
    try:  # the directory only: the file itself may be a mount
        there = "termination-log" in os.listdir(host.dev())
    except OSError:
        return None
    return host.dev("termination-log") if there else None


def write_termination(path: str, data: bytes) -> str:
    """Fill the file, made when it is missing (never below /dev). Empty, or what went wrong in one line."""
    default = path.startswith(f"{DEV}/")
    try:
        fd = _open(path, 0 if default else os.O_CREAT)
        try:
            return _fill(fd, path, data)
        finally:
            os.close(fd)
    except OSError as error:
        if default and error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS):
            return ""  # the default is used when it can be
        return _say("termination message", path, error)


def write_report(path: str, data: bytes) -> str:
    """Beside it and renamed, mode 0644, so that a reader sees all of it or the one before. Empty, or what went wrong.

    A file mounted by itself, or in a directory that cannot be written, is written in place.
    """
    folder, name = os.path.split(path)
    try:
        at = _directory(folder or ".")
    except OSError as error:
        return _say("report", path, error)
    try:
        there = _lstat(name or ".", at)
        if there is not None and not stat.S_ISREG(there.st_mode):
            return f"the report could not be written: {path!r} is not a regular file"
        try:
            _beside(name, at, data)
        except OSError as error:
            if there is None or error.errno not in _IN_PLACE:
                raise
            return _over(name, at, path, data)
        return ""
    except OSError as error:
        return _say("report", path, error)
    finally:
        os.close(at)


def _beside(name: str, at: int, data: bytes) -> None:
    beside = f".{name[:200]}.{os.urandom(6).hex()}"
    fd = os.open(beside, _PLAIN | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
    try:
        try:
            os.fchmod(fd, 0o644)  # whatever the umask was
            _all(fd, data)
        finally:
            os.close(fd)
        os.rename(beside, name, src_dir_fd=at, dst_dir_fd=at)
    except BaseException:  # whatever it was, no half file stays beside the real one; it is raised on
        os.unlink(beside, dir_fd=at)
        raise


def _over(name: str, at: int, path: str, data: bytes) -> str:
    fd = os.open(name, _PLAIN, dir_fd=at)
    try:
        return _fill(fd, path, data)
    finally:
        os.close(fd)


def _open(path: str, flags: int) -> int:
    folder, name = os.path.split(path)
    at = _directory(folder or ".")
    try:
        return os.open(name, _PLAIN | flags, 0o644, dir_fd=at)
    finally:
        os.close(at)


def _fill(fd: int, path: str, data: bytes) -> str:
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode):
        return f"{path!r} is not a regular file: nothing was written to it"
    if about.st_nlink > 1 and os.geteuid() == 0:
        return f"{path!r} has {about.st_nlink} names: root does not write what may be another file"
    os.ftruncate(fd, 0)
    _all(fd, data)
    return ""


def _all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _lstat(name: str, at: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _directory(path: str) -> int:
    """Open a directory, one component after the other; the caller closes it.

    A symbolic link is followed when nobody else could have put it there: it is root's, and so is its directory,
    which nobody else can write. Any other link is ELOOP for root; for a plain user it gains nobody anything.
    """
    parts = [p for p in reversed(os.fspath(path).split("/")) if p not in ("", ".")]
    here = os.open("/" if path.startswith("/") else ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    links = 0
    try:
        while parts:
            part = parts.pop()
            about = os.stat(part, dir_fd=here, follow_symlinks=False)
            if stat.S_ISLNK(about.st_mode):
                links += 1
                _believe(links, about, os.fstat(here))
                target = os.readlink(part, dir_fd=here)
                parts += [p for p in reversed(target.split("/")) if p not in ("", ".")]
                if not target.startswith("/"):
                    continue
                part = "/"
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
            below = os.open(part, flags, dir_fd=here)
            os.close(here)
            here = below
    except BaseException:  # whatever it was, the descriptor is not leaked; it is raised on
        os.close(here)
        raise
    return here


def _believe(links: int, link: os.stat_result, folder: os.stat_result) -> None:
    ours = link.st_uid == 0 == folder.st_uid and not folder.st_mode & 0o022
    if links > 40 or (os.geteuid() == 0 and not ours):
        raise OSError(errno.ELOOP, "a symbolic link that root does not follow" if links <= 40 else "too many links")


def _say(what: str, path: str, error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, "?")
    return f"the {what} could not be written to {path!r}: {error.strerror} ({name})"
