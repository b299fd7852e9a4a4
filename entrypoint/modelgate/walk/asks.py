"""Questions to the kernel about one file, as the current identity: what may be done, and why not."""

import errno
import os

from modelgate.walk import acl
from modelgate.walk.names import raw

_MODES = {"r": os.R_OK, "w": os.W_OK, "x": os.X_OK}
_AT_FDCWD = -100
_AT_EACCESS = 0x200


def load(letters: str = "") -> None:
    """Import what a refused look may need, while the identity that may read our own files is still in force."""
    import difflib  # noqa: F401
    import fcntl  # noqa: F401

    if "w" in letters or "x" in letters:
        import ctypes  # noqa: F401


def name_of(error: OSError) -> str:
    """ENOENT, EACCES …"""
    return errno.errorcode.get(error.errno or 0, f"errno {error.errno}")


def may(path: bytes, letter: str, dir_fd: int | None = None) -> bool:
    """faccessat(AT_EACCESS). Asks the older call too: a seccomp filter may know only that one and refuse the newer."""
    mode = _MODES[letter]
    try:
        return os.access(path, mode, dir_fd=dir_fd, effective_ids=True) or os.access(path, mode, dir_fd=dir_fd)
    except (OSError, NotImplementedError):  # a C library without the flag
        return os.access(path, mode, dir_fd=dir_fd)


def why_not(path: bytes, letter: str) -> OSError | None:
    """The errno of a refused `may`, which os.access keeps to itself; None when it is granted after all."""
    if may(path, letter):
        return None
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        flag = 0 if os.getuid() == os.geteuid() else _AT_EACCESS
        if libc.faccessat(_AT_FDCWD, ctypes.c_char_p(path), _MODES[letter], flag) == 0:
            return None
        number = ctypes.get_errno()
    except (ImportError, OSError, AttributeError):  # not loaded in time, or no such C library
        number = errno.EROFS if letter == "w" and _read_only(path) else errno.EACCES
    return OSError(number, os.strerror(number))


def _read_only(path: bytes) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def acl_of(path: str, name: str) -> str:
    """A POSIX ACL as text, `name` being its attribute; "" when there is none or nobody tells."""
    try:
        return acl.text(os.getxattr(raw(path), name, follow_symlinks=False))
    except OSError:
        return ""


def has_acl(path: str) -> bool:
    """A POSIX ACL: then the group bits of the mode are its mask, and chmod g+x need not help the group."""
    return bool(acl_of(path, acl.ACCESS))
