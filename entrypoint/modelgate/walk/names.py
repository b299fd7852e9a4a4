"""Names of paths, users and groups, made fit to be shown and sent as JSON."""

import functools
import os

USERS = "/etc/passwd"
GROUPS = "/etc/group"


def raw(path: str) -> bytes:
    """The bytes the kernel gets. Text that came from argv or a directory carries odd bytes as surrogates."""
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:  # a manifest is UTF-8 whatever the locale says
        return path.encode("utf-8", "surrogateescape")


def shown(path: bytes | str) -> str:
    r"""Valid text for people and JSON: a byte that is no UTF-8 becomes `\xff`."""
    return (path if isinstance(path, bytes) else raw(path)).decode("utf-8", "backslashreplace")


def parts(path: bytes) -> list[bytes]:
    """Components in order. A slash at the end asks for a directory, as `.` does."""
    names = [name for name in path.split(b"/") if name]
    return [*names, b"."] if path.endswith(b"/") and names else names


def user(uid: int) -> str:
    """Name of a uid, or the number as text."""
    return _by_number(USERS).get(uid, str(uid))


def group(gid: int) -> str:
    """Name of a gid, or the number as text."""
    return _by_number(GROUPS).get(gid, str(gid))


def find_user(owner: str | int | None) -> int | None:
    """The uid of a name or number; None when nobody knows the name."""
    return _number(owner, USERS)


def find_group(wanted: str | int | None) -> int | None:
    """The gid of a name or number; None when nobody knows the name."""
    return _number(wanted, GROUPS)


def _number(wanted: str | int | None, path: str) -> int | None:
    if wanted is None or isinstance(wanted, int):
        return wanted
    for number, name in _by_number(path).items():
        if name == wanted:
            return number
    return int(wanted) if wanted.isascii() and wanted.isdigit() else None


# The files themselves and not NSS: asking a directory service for each unknown uid can take seconds, and a
# container without one is the rule.
@functools.lru_cache(maxsize=8)
def _by_number(path: str) -> dict[int, str]:
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            rows = [line.split(":") for line in file.read(1 << 20).splitlines()]
    except OSError:
        return {}
    names: dict[int, str] = {}
    for row in rows:
        if len(row) >= 3 and row[2].isascii() and row[2].isdigit():
            names.setdefault(int(row[2]), row[0])
    return names
