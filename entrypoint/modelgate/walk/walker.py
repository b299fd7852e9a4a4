"""The walk itself: component by component from the root, symbolic links followed by hand.

Why by hand: open() tells one errno for the whole path and never which component it was.
"""

import errno
import os
import stat
from collections import deque
from typing import Any

from modelgate.host import Host
from modelgate.walk import acl
from modelgate.walk.around import closer
from modelgate.walk.asks import acl_of, may, name_of
from modelgate.walk.names import group, parts, raw, shown, user
from modelgate.walk.steps import Step, Walk

LINKS = 40  # what Linux follows in one path
PATH_MAX = 4096
LISTED = 2000  # entries of a directory that are looked through for a near match
_TYPES = {
    stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "fifo", stat.S_IFCHR: "character device", stat.S_IFBLK: "block device",
}  # fmt: skip


def walk(path: str, host: Host, doing: str = "look at") -> Walk:
    """Walk `path` as this process; `doing` is what the last words say when it hangs. Raises nothing for a bad path."""
    with Walker(host, doing) as walker:
        return walker.go(path)


class Walker:
    """Walks once. Afterwards `fd` is the deepest directory reached and `rest` the names not yet gone through."""

    def __init__(self, host: Host, doing: str = "look at") -> None:
        self.host, self.doing, self.mounts = host, doing, host.mounts()
        self.fd = -1
        self.here = b""  # where fd is, links resolved
        self.rest: deque[tuple[bytes, int]] = deque()
        self._steps: list[Step] = []
        self._index: dict[bytes, int] = {}
        self._at = -1  # index of the component reached
        self._hops = 0
        self._twice = -1  # the first link met a second time
        self._told = ""

    def __enter__(self) -> "Walker":  # noqa: PYI034 - typing.Self is 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._move(-1, self.here)

    def go(self, path: str) -> Walk:
        bytes_ = raw(path)
        try:
            self._start(bytes_)
        except OSError as error:
            return self._walk(path, errno=name_of(error), words=error.strerror or "")
        self.rest.extend((name, -1) for name in parts(bytes_))
        while self.rest:
            refused = self._step(path)
            if refused is not None:
                return refused
        return self._walk(path, end=self._at)

    def _step(self, path: str) -> Walk | None:
        name, via = self.rest[0]
        at = self._steps[self._at]
        if at.type != "directory":
            return self._refused(path, OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), self._at)
        if name == b".":
            self.rest.popleft()
            return None
        child = os.path.dirname(self.here) if name == b".." else os.path.join(self.here, name)
        self._tell(child)
        try:
            found = os.lstat(name, dir_fd=self.fd)
        except OSError as error:
            if error.errno == errno.EACCES and self._closed_mount(child):
                return self._refused(path, error, self._add(child, via, errno=name_of(error)))
            if error.errno == errno.EACCES:
                return self._refused(path, error, self._at)  # the directory we stand in does not let us pass
            return self._not_there(path, error, child, via)
        try:
            if stat.S_ISLNK(found.st_mode):
                self._follow(name, child, found, via)
            else:
                self._at = self._record(child, found, via, self._may(name))
                if stat.S_ISDIR(found.st_mode):
                    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                    self._move(os.open(name, flags, dir_fd=self.fd), child)
                self.rest.popleft()
        except OSError as error:
            looping = error.errno == errno.ELOOP and self._twice >= 0
            return self._refused(path, error, self._twice if looping else self._index.get(child, self._at))
        return None

    def _closed_mount(self, child: bytes) -> bool:
        """A FUSE mount that only its owner may use refuses even to be looked at."""
        mount = self.host.mount_of(os.fsdecode(child), self.mounts)
        return mount is not None and mount.point == os.fsdecode(child) and mount.fs.startswith("fuse")

    def _start(self, path: bytes) -> None:
        if len(path) >= PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, f"{len(path)} bytes where Linux takes {PATH_MAX - 1} at most")
        if not path:
            raise OSError(errno.ENOENT, "an empty path")
        # A relative path starts at the working directory whatever its parents allow, exactly as open() does.
        at, here = (b"/", b"/") if path.startswith(b"/") else (b".", os.getcwdb())
        self._tell(here)
        self._move(os.open(at, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), here)
        self._at = self._record(here, os.stat(at), -1, "".join(c for c in "rwx" if may(at, c)))

    def _follow(self, name: bytes, child: bytes, found: os.stat_result, via: int) -> None:
        target = os.readlink(name, dir_fd=self.fd)
        seen = child in self._index
        link = self._record(child, found, via, "", shown(target))
        self._twice = link if seen and self._twice < 0 else self._twice
        self._hops += 1
        if self._hops > LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if self._steps[link].fs == "proc":
            # Links of /proc need not be paths at all (`pipe:[42]`): only the kernel can follow them.
            fd = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=self.fd)
            there = os.path.normpath(os.path.join(self.here, target))
            self._at = self._record(there, os.fstat(fd), link, self._may(name))
            self._move(fd, there)
            self.rest.popleft()
            return
        self.rest.popleft()
        self.rest.extendleft((part, link) for part in reversed(parts(target)))
        if target.startswith(b"/"):
            self._move(os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), b"/")
            self._at = self._record(b"/", os.stat(b"/"), -1, "".join(c for c in "rwx" if may(b"/", c)))

    def _record(self, path: bytes, found: os.stat_result, via: int, letters: str, target: str = "") -> int:
        """Each place once, at the moment it was first met."""
        if path in self._index:
            return self._index[path]
        kind = stat.S_IFMT(found.st_mode)
        device = kind in (stat.S_IFCHR, stat.S_IFBLK)
        return self._add(
            path,
            via,
            type=_TYPES.get(kind, "file"),
            mode=f"{stat.S_IMODE(found.st_mode):04o}",
            uid=found.st_uid,
            gid=found.st_gid,
            owner=user(found.st_uid),
            group=group(found.st_gid),
            size=found.st_size,
            device=f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if device else "",
            target=target,
            may=letters,
            **_acls(path, kind),
        )

    def _add(self, path: bytes, via: int, **about: Any) -> int:
        mount = self.host.mount_of(os.fsdecode(path), self.mounts)
        if mount is not None:
            about |= {"mount": shown(mount.point), "fs": mount.fs, "source": shown(mount.source)}
            about["options"] = tuple(shown(option) for option in mount.options)
        self._steps.append(Step(path=shown(path), via=via, **about))
        self._index[path] = len(self._steps) - 1
        return self._index[path]

    def _not_there(self, path: str, error: OSError, child: bytes, via: int) -> Walk:
        gone = error.errno == errno.ENOENT
        index = self._add(child, via, type="absent" if gone else "", errno=name_of(error))
        if not gone:
            return self._refused(path, error, index)
        near, entries = self._near(os.path.basename(child))
        words = os.strerror(errno.ENOENT)
        decides = via if via >= 0 else index  # a dangling link decides, not what it fails to point at
        return self._walk(
            path, errno="ENOENT", words=words, deciding=decides, missing=shown(child), near=near, entries=entries
        )

    def _near(self, name: bytes) -> tuple[tuple[str, ...], int]:
        try:
            fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        except OSError:
            return (), -1
        names: list[str] = []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if shown(entry.name) != "lost+found":  # what mkfs makes: a new volume is empty all the same
                        names.append(shown(entry.name))
                    if len(names) >= LISTED:
                        break
        except OSError:
            return (), -1
        finally:
            os.close(fd)
        try:
            from difflib import get_close_matches
        except ImportError:  # nobody loaded it while our own files could be read
            return (), len(names)
        wanted, lower = shown(name), {n.lower(): n for n in names}
        close = [lower[n] for n in get_close_matches(wanted.lower(), lower, n=3, cutoff=0.7)]
        return tuple(close), len(names)

    def _refused(self, path: str, error: OSError, deciding: int) -> Walk:
        below: list[str] = []
        names = [name for name, _ in self.rest if name != b"."]
        if error.errno == errno.EACCES and deciding == self._at and b".." not in names:
            below = [shown(os.path.join(self.here, *names[:number])) for number in range(1, len(names))]
        found = self._walk(
            path, errno=name_of(error), words=error.strerror or "", deciding=deciding, below=tuple(below)
        )
        return closer(found, self.host)

    def _walk(self, path: str, **rest: Any) -> Walk:
        groups = tuple(sorted(os.getgroups()))
        return Walk(
            path=shown(path), uid=os.geteuid(), gid=os.getegid(), groups=groups, steps=tuple(self._steps), **rest
        )

    def _may(self, name: bytes) -> str:
        return "".join(letter for letter in "rwx" if may(name, letter, self.fd))

    def _move(self, fd: int, here: bytes) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self.here = fd, here

    def _tell(self, path: bytes) -> None:
        """Before the first touch of each mount: what hangs is a mount, not a name."""
        mount = self.host.mount_of(os.fsdecode(path), self.mounts)
        if mount is None or mount.point != self._told:  # without /proc every component
            self._told = mount.point if mount else ""
            self.host.tell_path(self.doing, shown(path))


def _acls(path: bytes, kind: int) -> dict[str, str]:
    # By its path and not below /proc/self/fd: a process that changed its uid may not look there.
    if kind == stat.S_IFLNK:
        return {}
    found = {"acl": acl_of(os.fsdecode(path), acl.ACCESS)}
    if kind == stat.S_IFDIR:
        found["acl_default"] = acl_of(os.fsdecode(path), acl.DEFAULT)
    return found
