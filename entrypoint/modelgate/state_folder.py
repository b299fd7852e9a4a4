"""A directory for the state that nobody but its owner can change, and files in it that a group may read."""

import errno
import os
import stat

from modelgate.probe import where


def open_folder(path: str, uid: int, group: int | None) -> int:
    """Fd of the directory, made 0700 where it is missing. OSError when it is not ours alone.

    Component by component and through no link: whoever can change a parent must not choose where root writes.
    """
    parent = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *components, last = [c for c in os.path.abspath(path).split("/") if c] or ["."]
        for component in components:
            below = os.open(component, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            os.close(parent)
            parent = below
        made = True
        try:
            os.mkdir(last, 0o700, dir_fd=parent)
        except FileExistsError:
            made = False
        fd = os.open(last, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    finally:
        os.close(parent)
    seen = os.fstat(fd)
    if seen.st_uid != uid or seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        os.close(fd)
        raise OSError(
            errno.EPERM, f"not believed: {where.describe(seen)}; it must be {uid}'s and writable by no one else"
        )
    if made:
        os.fchmod(fd, 0o700)  # whatever the umask left of it
        give(fd, group, 0o710)
    return fd


def write_all(fd: int, data: bytes) -> None:
    if os.write(fd, data) != len(data):  # half a page was left
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def give(fd: int, group: int | None, mode: int) -> None:
    """Let a group in, through what we just made. Without CAP_CHOWN it stays the owner's alone."""
    if group is None:
        return
    try:
        os.fchown(fd, -1, group)
    except PermissionError:
        return
    os.fchmod(fd, mode)
