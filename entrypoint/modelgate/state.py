"""The state that `modelgate probe` reads: written by PID 1 while the gate is open, and left behind by exec.

Who may read it. The directory and the file belong to the uid the gate was started as. When root starts a server that
runs as another identity, both stay root's, so that the server cannot forge what root's probe believes, and so that no
root process ever writes into a directory of a less trusted user; its primary group may go through the directory (0710)
and read the file (0640). Otherwise they are 0700 and 0600. See probe/where.py for the reader's side.

Nothing here stops a start: a State that cannot be written is silent, and `why` says what was in the way.
"""

import os
import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from modelgate import __version__
from modelgate.host import Host
from modelgate.identity import Identity
from modelgate.probe import proc as process
from modelgate.probe import where
from modelgate.state_folder import give, open_folder, write_all
from modelgate.units import show_bytes, show_seconds


class Told(Struct, kw_only=True):
    """What a state file says, schema 1. `updated` is on the boot clock; `done` and `total` are bytes, `eta` seconds.

    phase       gate: it looks and waits · started: the server has this pid · failed: the verdict is out
    says        what is being done or waited for, rendered for a person
    start_time  with `pid` names this process through exec, and no other
    named       the directory that --state-dir named, wherever the state lies; "" when none was named
    """

    schema: int = 1
    version: str = __version__
    pid: int = 0
    start_time: int = 0
    uid: int = 0
    named: str = ""
    phase: Literal["gate", "started", "failed"] = "gate"
    stage: str = ""
    waiting_for: str = ""
    done: int | None = None
    total: int | None = None
    eta: float | None = None
    says: str = ""
    verdict: str | None = None
    exit_code: int | None = None
    message: str = ""
    health: str | None = None
    updated: float = 0.0


_CHANGEABLE = frozenset(Told.__struct_fields__) - {
    "schema",
    "version",
    "pid",
    "start_time",
    "uid",
    "named",
    "says",
    "updated",
}
_PROGRESS = frozenset({"phase", "stage", "waiting_for", "done", "total", "eta"})
PACE = 0.2  # seconds
_LONGEST = {"message": 4096}  # characters; any other text 500


class State:
    """One file. `path` is where it lies ("" when it is nowhere), `why` what stood in the way of each directory."""

    def __init__(self) -> None:
        self.told = Told()
        self.path = ""
        self.why: list[str] = []
        self._folder: int | None = None
        self._group: int | None = None
        self._began: dict[
            str, tuple[float, int]
        ] = {}  # what is waited for -> when its bytes were first told, and how many

    @classmethod
    def open(
        cls,
        host: Host,
        state_dir: str | None,
        identity: Identity,
        environ: Mapping[str, str],
        *,
        root: str = "/",
    ) -> "State":
        """Choose the directory, make it, write the first state. Never raises.

        identity  who the server will be; `root` is where /run, /dev/shm and /tmp are.
        """
        self = cls()
        uid = os.geteuid()
        self.told.pid, self.told.uid = os.getpid(), uid
        self.told.start_time = process.start_time(proc=host.proc()) or 0
        self.told.named = where.named(state_dir)
        if uid == 0 and identity.uid != 0:
            self._group = identity.gid
        mounts = host.mounts()
        for directory in where.candidates(state_dir, environ.get("XDG_RUNTIME_DIR"), [uid], root):
            mount = host.mount_of(directory, mounts)
            if mount is not None and mount.network:
                self.why.append(f"{directory}: on {mount.fs} ({mount.point}), which could hang")
                continue
            try:
                self._folder = open_folder(directory, uid, self._group)
                self.path = os.path.join(directory, where.file_name(host.proc()))
                self._save()
            except OSError as error:
                self.why.append(f"{directory}: {error.strerror or error}")
                self.close()
                continue
            break
        return self

    def write(self, **fields: Any) -> None:
        """Change what is told and write it now. The fields of Told, less those that State itself knows."""
        unknown = fields.keys() - _CHANGEABLE
        if unknown:
            raise TypeError(f"a state has no {', '.join(sorted(unknown))}")
        told = self.told
        before = (told.phase, told.stage)
        if "waiting_for" in fields:  # another one: its bytes are not those of the last
            fields = {"done": None, "total": None, "eta": None, **fields}
        for name, value in fields.items():
            setattr(told, name, _clean(value, _LONGEST.get(name, 500)) if isinstance(value, str) else value)
        now = _now()
        if told.eta is None:
            told.eta = self._eta(now)
        told.says = _says(told)
        # Progress comes by the hundred a second; what it is worth is told by the next write or beat.
        if not fields.keys() <= _PROGRESS or before != (told.phase, told.stage) or now - told.updated >= PACE:
            self._try()

    def _eta(self, now: float) -> float | None:
        """Seconds left at the speed seen so far, once there is a second of it."""
        told = self.told
        if not told.total or told.done is None:
            return None
        began, first = self._began.setdefault(told.waiting_for, (now, told.done))
        if now - began < 1 or told.done <= first:
            return None
        return round((told.total - told.done) * (now - began) / (told.done - first), 1)

    def beat(self) -> None:
        """Say that the gate still moves. Cheap to call from any loop: it writes once a second at most."""
        if _now() - self.told.updated >= 1:
            self._try()

    def close(self) -> None:
        """Write no more. The file stays: it is what the probe reads."""
        if self._folder is not None:
            os.close(self._folder)
        self._folder, self.path = None, ""

    def _try(self) -> None:
        if self._folder is None:
            return
        try:
            self._save()
        except OSError as error:  # full, gone or read-only by now: the next beat tries again
            words = f"{self.path}: {error.strerror or error}"
            if words not in self.why:
                self.why.append(words)

    def _save(self) -> None:
        self.told.updated = _now()
        name = os.path.basename(self.path)
        draft = f".{name}.{self.told.pid}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(draft, flags, 0o600, dir_fd=self._folder)
        except FileExistsError:  # left by a gate that was killed in the middle
            os.unlink(draft, dir_fd=self._folder)
            fd = os.open(draft, flags, 0o600, dir_fd=self._folder)
        try:
            give(fd, self._group, 0o640)
            write_all(fd, msgspec.json.encode(self.told))
        except OSError:
            os.unlink(draft, dir_fd=self._folder)
            raise
        finally:
            os.close(fd)
        os.rename(draft, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _clean(text: str, longest: int) -> str:
    return text.encode("utf-8", "backslashreplace").decode()[:longest]


def _says(told: Told) -> str:
    line = told.waiting_for
    if told.total:
        line += f"{', ' if line else ''}{show_bytes(told.done or 0)} of {show_bytes(told.total)}"
    elif told.done:
        line += f"{', ' if line else ''}{show_bytes(told.done)}"
    if told.eta is not None:
        line += f"{', ' if line else ''}about {show_seconds(told.eta)} left"
    return line
