"""The machine as a check sees it (Host), and where the container runs (Place).

The only module that spells /proc, /sys and /dev: tests point the roots at fixtures.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

PROC = "/proc"
SYS = "/sys"
DEV = "/dev"

# A mount of one of these types may be slow without being hung, and lies about ownership.
NETWORK_FS = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "9p", "afs",
        "virtiofs", "orangefs", "wekafs", "pvfs2",
    }
)  # fmt: skip


def is_network(fs: str) -> bool:
    """FUSE counts: most FUSE mounts in clusters are object stores (gcsfuse, s3fs, juicefs, blobfuse)."""
    return fs in NETWORK_FS or fs == "fuse" or fs.startswith("fuse.")


def _no_tell(**_: Any) -> None:
    return None


class Mount(Struct, frozen=True):
    """One line of /proc/self/mountinfo. `options` joins the mount's own and the superblock's ("ro,nosuid").

    `parent` is the id of the mount that this one is mounted on.
    """

    point: str
    fs: str
    source: str
    options: tuple[str, ...] = ()
    id: int = 0
    parent: int = 0

    @property
    def network(self) -> bool:
        return is_network(self.fs)


class Host:
    """What `observe` may use of the machine.

    environ  the environment the server will get (not the gate's own)
    tell     `tell(doing="open /models/x", ...)`: restarts the silence clock of this child; the last words of a
             child that never answers again are what its finding is made of. `silence=30` lengthens the clock,
             `path=`, `mount=`, `fs=` name what may hang, `done=`/`total=` are bytes of a long job.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        tell: Callable[..., None] = _no_tell,
        now: Callable[[], float] = time.monotonic,
        proc: str = PROC,
        sys: str = SYS,
        dev: str = DEV,
        place: "Place | None" = None,
    ) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.tell = tell
        self.now = now
        self.place = Place() if place is None else place
        self._proc, self._sys, self._dev = proc, sys, dev

    def proc(self, path: str = "") -> str:
        return os.path.join(self._proc, path) if path else self._proc

    def sys(self, path: str = "") -> str:
        return os.path.join(self._sys, path) if path else self._sys

    def dev(self, path: str = "") -> str:
        return os.path.join(self._dev, path) if path else self._dev

    def read(self, path: str, limit: int = 1 << 20) -> str:
        """Text of a small kernel file. OSError as it comes."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            chunks = []
            while limit > 0 and (chunk := os.read(fd, min(limit, 65536))):
                chunks.append(chunk)
                limit -= len(chunk)
        finally:
            os.close(fd)
        return b"".join(chunks).decode("utf-8", "surrogateescape")

    def mounts(self) -> list[Mount]:
        """Every mount of this namespace, in mount order (a later one hides an earlier one). Empty without /proc."""
        try:
            text = self.read(self.proc("self/mountinfo"), 16 << 20)
        except OSError:
            return []
        return [m for line in text.split("\n") if (m := _mount(line)) is not None]

    def mount_of(self, path: str, mounts: list[Mount] | None = None) -> Mount | None:
        """The mount `path` lies on, by its text alone: touches nothing, so it is safe before a look that may hang."""
        path = "/" + os.path.abspath(path).lstrip("/")
        table = [m for m in (self.mounts() if mounts is None else mounts) if _covers(m.point, path)]
        ids = {m.id for m in table}
        # Down from the root as the kernel walks: the next is the nearest on the way that is mounted on this one. What a
        # later mount on a parent has hidden is never met; nor is what lies on "/" itself, where the walk begins.
        here: Mount | None = None
        on = [m for m in table if m.parent == m.id or m.parent not in ids]
        for _ in table:
            if not on:
                break
            here = min(reversed(on), key=lambda m: len(m.point))
            on = [m for m in table if m.parent == here.id and m.id != here.id and m.point != "/"]
        return here

    def tell_path(self, doing: str, path: str) -> None:
        """Say that `path` is about to be touched, with its mount; more patience where the mount is a network's."""
        mount = self.mount_of(path)
        if mount is None:
            self.tell(doing=doing, path=path)
        elif mount.network:
            self.tell(doing=doing, path=path, mount=mount.point, fs=mount.fs, source=mount.source, silence=30)
        else:
            self.tell(doing=doing, path=path, mount=mount.point, fs=mount.fs, source=mount.source)


def _covers(point: str, path: str) -> bool:
    return point in ("/", path) or path.startswith(point + "/")


_LAYERS = ("lowerdir=", "lowerdir+=", "datadir+=", "upperdir=", "workdir=")


def _mount(line: str) -> Mount | None:
    left, separator, right = line.partition(" - ")
    a, b = left.split(" "), right.split(" ", 2)  # a source may be empty, a point may hold any other white space
    if not separator or len(a) < 6 or len(b) < 2 or not (a[0].isdecimal() and a[1].isdecimal()):
        return None
    # The layers of an overlay are paths of the node, hundreds of characters long, and say nothing about rights.
    words = a[5].split(",") + (b[2].split(",") if len(b) > 2 else [])
    options = tuple(dict.fromkeys(w for w in words if not w.startswith(_LAYERS)))
    return Mount(_unescape(a[4]), b[0], _unescape(b[1]), options, int(a[0]), int(a[1]))


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")):
        text = text.replace(octal, char)
    return text


class Place(Struct, frozen=True, kw_only=True):
    """Where the reader is, so that a fix is written in the syntax they use.

    platforms   any of kubernetes openshift compose docker podman shell; more than one when it cannot be told apart
    uid…groups  the runtime identity the checks were made as
    root        the gate itself was started as root
    """

    platforms: tuple[str, ...] = ("kubernetes", "compose", "docker", "shell")
    container: bool = False
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    root: bool = False
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def who(self) -> str:
        """`1001:1002` or `1001:1002,44`: the identity as --run-as takes it."""
        groups = [g for g in self.groups if g != self.gid]
        return f"{self.uid}:{self.gid}" + "".join(f",{g}" for g in groups)


def find_place(environ: Mapping[str, str], uid: int, gid: int, groups: tuple[int, ...], *, root: str = "/") -> Place:
    """Look where we are: environment and marker files of the root file system only, which Python itself runs from."""

    def there(path: str) -> bool:
        return os.path.exists(os.path.join(root, path))

    container = True
    platforms: tuple[str, ...] = ("kubernetes", "compose", "docker", "shell")
    if environ.get("KUBERNETES_SERVICE_HOST") or there("var/run/secrets/kubernetes.io"):
        # OpenShift gives every project a block of uids from 1,000,000,000 up.
        platforms = ("openshift",) if uid >= 1_000_000_000 else ("kubernetes",)
    elif there("run/.containerenv"):
        platforms = ("podman",)
    elif there(".dockerenv"):
        platforms = ("compose", "docker")
    elif os.getpid() != 1 and not environ.get("container"):
        container, platforms = False, ("shell",)
    return Place(platforms=platforms, container=container, uid=uid, gid=gid, groups=groups, root=os.geteuid() == 0)


def cpus(sys: str = SYS) -> int:
    """Cores this container may keep busy: the affinity mask, and the cgroup's quota (v2, then v1) rounded down."""
    cores = len(os.sched_getaffinity(0))
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join(Host().read(os.path.join(sys, "fs/cgroup", name)) for name in names).split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):  # not that version, or `max`
            continue
        if quota > 0 and period > 0:
            return max(1, min(cores, quota // period))
    return cores
