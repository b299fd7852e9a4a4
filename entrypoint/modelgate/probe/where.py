"""Where the state lies, and when it is believed. Shared by the gate, which writes it, and the probe, which reads it.

The directory: --state-dir, /run/modelgate, $XDG_RUNTIME_DIR/modelgate, /dev/shm/modelgate-UID, /tmp/modelgate-UID; the
first that works. The file is named after the mount namespace: the containers of a pod share /dev/shm, and two gates
of one uid must not overwrite each other's state.
"""

from __future__ import annotations

import os
import stat

from modelgate.probe import proc as process

TYPE_CHECKING = False  # typing costs a fifth of a bare interpreter
if TYPE_CHECKING:
    from typing import Any

LIMIT = 64 << 10  # bytes; a state is below 8 KiB


def candidates(state_dir: str | None, xdg: str | None, uids: list[int], root: str = "/") -> list[str]:
    """Directories in the order in which they are tried. `uids`: whose directories under /dev/shm and /tmp count."""
    found = [named(state_dir)] if state_dir else []
    found.append(os.path.join(root, "run/modelgate"))
    if xdg and xdg.startswith("/"):
        found.append(os.path.join(os.path.normpath(xdg), "modelgate"))
    found += [os.path.join(root, base, f"modelgate-{uid}") for base in ("dev/shm", "tmp") for uid in uids]
    return list(dict.fromkeys(found))


def named(state_dir: str | None) -> str:
    """--state-dir as gate and probe compare it; "" when there is none."""
    return os.path.abspath(state_dir) if state_dir else ""


def file_name(proc: str = process.PROC) -> str:
    number = process.mount_namespace(proc)
    return f"state.{number}.json" if number else "state.json"


def trusted(status: os.stat_result, uid: int) -> bool:
    """Owned by root or the reader, and writable by no one else."""
    return status.st_uid in (0, uid) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def describe(status: os.stat_result) -> str:
    return f"owner {status.st_uid}:{status.st_gid}, mode {stat.S_IMODE(status.st_mode):04o}"


def read(directory: str, proc: str = process.PROC) -> tuple[dict[str, Any] | None, str]:
    """(state, "") of a state that may be believed, else (None, why not); why is "" when there simply is none.

    root also believes what belongs to the owner of the very process that the state names: a gate that runs as 1001 in
    a container into which somebody looks as root.
    """
    uid = os.geteuid()
    path = os.path.join(directory, file_name(proc))
    try:  # O_PATH: a group member may go through a directory of mode 0710, not open it
        folder = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except OSError as error:
        return None, f"{directory}: {os.strerror(error.errno or 0)}"
    try:
        about_folder = os.fstat(folder)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        fd = os.open(os.path.basename(path), flags, dir_fd=folder)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path}: {os.strerror(error.errno or 0)}"
    finally:
        os.close(folder)
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            return None, f"{path} is no regular file"
        text = os.read(fd, LIMIT)
    except OSError as error:
        return None, f"{path}: {os.strerror(error.errno or 0)}"
    finally:
        os.close(fd)
    state = decode(text)
    if state is None:
        return None, f"{path} is damaged ({about.st_size} bytes that are no state of modelgate)"
    for what, seen in ((directory, about_folder), (path, about)):
        if trusted(seen, uid):
            continue
        if uid == 0 and trusted(seen, seen.st_uid) and process.uid_of(state["pid"], proc) == seen.st_uid:
            continue
        return (
            None,
            f"{what} is not believed: {describe(seen)}; it must be root's or {uid}'s and writable by no one else",
        )
    return state, ""


_TYPES: dict[str, type | tuple[type, ...]] = {
    "schema": int, "pid": int, "start_time": int, "phase": str, "stage": str, "says": str, "message": str,
    "named": str, "health": (str, type(None)), "exit_code": (int, type(None)), "updated": (int, float),
}  # fmt: skip


def decode(text: bytes) -> dict[str, Any] | None:
    """The state in `text`, None when it is not one. Every field the probe uses is there and of its type."""
    try:
        state = _loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(state, dict) or state.get("schema") != 1:
        return None
    good = all(isinstance(state.get(k), t) and not isinstance(state.get(k), bool) for k, t in _TYPES.items())
    return state if good else None


class _Context:
    """What the scanner of the json module asks of a decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012


def _loads(text: str) -> Any:
    try:
        from _json import make_scanner

        value, end = make_scanner(_Context)(text, 0)  # type: ignore[arg-type]
        if end == len(text):
            return value
    except (ImportError, TypeError, AttributeError, StopIteration, SystemError, ValueError):
        pass  # another interpreter's accelerator, or a damaged text
    import json

    return json.loads(text)
