"""What the kernel says about a process, read with nothing but os. `proc` is the root of the proc file system."""

import os

PROC = "/proc"

# What PEP 538 puts into LC_CTYPE when the C locale is in force.
_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        chunks = []
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
    finally:
        os.close(fd)
    return b"".join(chunks)


def raw_environ(proc: str = PROC) -> dict[bytes, bytes]:
    """The environment this process was started with, byte for byte.

    Not os.environ: CPython adds LC_CTYPE to it when the locale is C. Of a key that is there twice the first one counts,
    as for getenv. Entries without a name cannot be handed on and are left out. Without /proc it is os.environ less the
    LC_CTYPE that CPython has most likely added.
    """
    found: dict[bytes, bytes] = {}
    try:
        text = _read(f"{proc}/self/environ")
    except OSError:
        found.update(os.environb)
        if found.get(b"LC_CTYPE") in _COERCED and not found.get(b"LC_ALL") and found.get(b"LANG", b"C") in (b"", b"C"):
            del found[b"LC_CTYPE"]
        return found
    for entry in text.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if name and equals:
            found.setdefault(name, value)
    return found


def status(name: str, proc: str = PROC, pid: int | str = "self") -> str | None:
    """One field of /proc/PID/status ("Umask", "Uid"), None when it cannot be read."""
    try:
        text = _read(f"{proc}/{pid}/status")
    except OSError:
        return None
    prefix = name.encode() + b":"
    for line in text.splitlines():
        if line.startswith(prefix):
            return line[len(prefix) :].decode("utf-8", "replace").strip()
    return None


def start_time(pid: int | str = "self", proc: str = PROC) -> int | None:
    """Ticks since boot at which the process began (field 22 of its stat). None when there is none, or a zombie.

    exec keeps it as it keeps the pid, so the two together name the gate and the server it becomes, and nobody else.
    """
    try:
        fields = _read(f"{proc}/{pid}/stat").rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def uid_of(pid: int, proc: str = PROC) -> int | None:
    """The effective uid of a process, None when it cannot be seen."""
    fields = (status("Uid", proc, pid) or "").split()
    return int(fields[1]) if len(fields) == 4 else None


def mount_namespace(proc: str = PROC) -> str:
    """Number of our mount namespace: one for each container, the same for what is exec'ed into it; "" when unknown."""
    try:
        return "".join(c for c in os.readlink(f"{proc}/self/ns/mnt") if c.isdigit())
    except OSError:
        return ""
