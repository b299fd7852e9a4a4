"""Looking at a home and at caches as the runtime identity, and what was met in words.

Nothing is made but files without a name.
"""

import os
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from modelgate.checks.cache_places import Room
from modelgate.finding import Finding, warn
from modelgate.host import Host, Place
from modelgate.walk import Walk, raw, shown, walk
from modelgate.walk.asks import may, name_of, why_not
from modelgate.walk.refusal import evidence, refused, tried
from modelgate.walk.tries import Try

MOST = 400  # links, and lock files, that are looked at
_REFUSALS = frozenset({"EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT"})


class Look(Struct, frozen=True):
    """A room as it was met.

    walk    to the room, or to the nearest directory above it when it is not there
    absent  it is not there: `walk` leads to what it would be made in
    tried   writing into the end of `walk`; nothing was tried where the walk was refused or ends at no directory
    """

    room: Room
    walk: Walk
    absent: bool = False
    tried: Try | None = None

    @property
    def good(self) -> bool:
        """It can be written, or made."""
        return self.tried is not None and not self.tried.errno

    @property
    def closed(self) -> bool:
        """It can neither be entered nor made: no use for reading either."""
        if self.walk.last is None or self.walk.last.type != "directory":
            return True
        return not self.good if self.absent else "x" not in self.walk.last.may

    @property
    def component(self) -> str:
        """The path that decides."""
        step = self.walk.last or self.walk.decider
        return step.path if step else self.walk.path


class Hub(Struct, frozen=True):
    """What else was met in the hub's cache: a lock of somebody else, and a link of a snapshot that leads nowhere.

    locks, links  how many of each were met among those looked at
    """

    lock: Walk | None = None
    locks: int = 0
    link: Walk | None = None
    links: int = 0


def look(room: Room, host: Host) -> Look:
    """Walk there, and try to write."""
    host.tell_path("look at", room.path)
    there = _nearest(room.path)
    found = walk(there, host)
    end = found.last
    tried = write(raw(there)) if end is not None and end.type == "directory" else None
    return Look(replace(room, path=shown(room.path)), found, there != room.path, tried)


def _nearest(path: str) -> str:
    """The path itself, or what is there of it. What cannot be looked at counts as there: the walk says why."""
    while True:
        try:
            os.lstat(raw(path))
        except FileNotFoundError:
            above = os.path.dirname(path.rstrip("/"))
            if above in ("", path):
                return above or "."
            path = above
        except (OSError, ValueError):
            return path
        else:
            return path


def write(path: bytes) -> Try:
    """A file without a name; where the file system has none of those the kernel is asked instead."""
    how = "open(O_TMPFILE)"
    try:
        os.close(os.open(path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if name_of(error) in _REFUSALS:
            return Try("w", how, name_of(error), error.strerror or "")
        for letter in "xw":
            refused = why_not(path, letter)
            if refused is not None:
                return Try("w", f"faccessat({letter.upper()}_OK)", name_of(refused), refused.strerror or "")
        return Try("w", "faccessat(W_OK)")
    return Try("w", how)


def hub(path: str, folders: list[str], host: Host) -> Hub:
    """Locks and snapshot links of the cache at `path`; only those of `folders` where one of these is there."""
    host.tell_path("list", path)
    names = sorted(name for name in _names(path) if name.startswith("models--"))
    chosen = [name for name in names if name in folders] or names
    locks = [p for p in _locks(path, chosen) if not may(raw(p), "w")]
    links = [p for p in _links(path, chosen) if _dangling(p)]
    return Hub(
        walk(locks[0], host) if locks else None,
        len(locks),
        walk(links[0], host) if links else None,
        len(links),
    )


def _locks(path: str, chosen: list[str]) -> Iterator[str]:
    """The directories of the locks, and what is in them."""
    top, left = os.path.join(path, ".locks"), MOST
    if os.path.isdir(top):
        yield top
    for name in chosen:
        folder = os.path.join(top, name)
        if left > 0 and os.path.isdir(folder):
            yield folder
            for lock in _names(folder, left):
                left -= 1
                yield os.path.join(folder, lock)


def _links(path: str, chosen: list[str]) -> Iterator[str]:
    left = MOST
    for name in chosen:
        snapshots = os.path.join(path, name, "snapshots")
        for revision in _names(snapshots, 10):
            for file in _names(os.path.join(snapshots, revision), left):
                left -= 1
                yield os.path.join(snapshots, revision, file)


def _names(path: str, most: int = 4000) -> list[str]:
    found: list[str] = []
    try:
        with os.scandir(raw(path)) as entries:
            for entry in entries:
                if len(found) >= most:
                    break
                found.append(os.fsdecode(entry.name))
    except OSError:
        return []
    return found


def _dangling(path: str) -> bool:
    try:
        os.stat(raw(path))
    except FileNotFoundError:
        return os.path.islink(raw(path))
    except OSError:
        return False
    return False


def usable(places: list[str], host: Host) -> str:
    """The first of the directories for temporary files that can be written; "" when none can."""
    for place in places:
        host.tell_path("look at", place)
        if os.path.isabs(place) and os.path.isdir(raw(place)) and not write(raw(place)).errno:
            return shown(place)
    return ""


def passwd(host: Host) -> tuple[str, str]:
    """Name and home of this identity, as the C library finds them; empty when it does not."""
    import pwd

    host.tell(doing=f"look up uid {os.geteuid()}", silence=30)
    try:
        found = pwd.getpwuid(os.geteuid())
    except (KeyError, OSError):
        return "", ""
    return found.pw_name, found.pw_dir


def no_flock(fs: str, options: tuple[str, ...]) -> bool:
    """Lustre alone shows it, by what is not there."""
    return fs == "lustre" and not {"flock", "localflock"} & set(options)


def of_home(home: Look, place: Place) -> str:
    """What HOME is, who says so, and what refused."""
    path = home.room.path
    said = {"HOME": f"HOME is {path}", "passwd": f"HOME is not set, the passwd entry of uid {place.uid} names {path}"}
    words = said.get(home.room.by, f"HOME is not set and uid {place.uid} has no passwd entry, so it is {path}")
    return f"{words}: {cause_of(home, place).observed.removeprefix(f'{path}: ')}"


def named(look: Look) -> str:
    """`Triton (/x by TRITON_CACHE_DIR)`, or `Triton (/app/.triton/cache)` where no variable of its own is set."""
    room = look.room
    return f"{room.of} ({room.path} by {room.by})" if room.by == room.variable else f"{room.of} ({room.path})"


def cause_of(look: Look, place: Place) -> Finding:
    """What refused, in the words of the path family."""
    walk, end = look.walk, look.walk.last
    if walk.errno or end is None:
        return refused(walk, place)
    if look.tried is None:
        observed = f"{walk.path} is a {end.type}, and a directory is needed"
        return warn("path-wrong-type", walk.path, observed, "", **evidence(walk, end))
    (found, *_) = tried(walk, end, [look.tried], place)
    return replace(found, observed=f"not there, and {found.observed}") if look.absent else found
