"""What a walk is made of: the components, and what became of the path. Plain data, recordable as JSON."""

from msgspec import Struct

from modelgate.walk import acl as acls
from modelgate.walk.acl import Ruling

_BITS = {"r": 4, "w": 2, "x": 1}


class Step(Struct, frozen=True, kw_only=True):
    """One component, as lstat and faccessat told it. All text is valid UTF-8.

    path     where it really lies (links before it resolved)
    type     directory file link socket fifo, character device, block device, absent; "" when it could not be looked at
    mode     "0755"; owner and group are names, or numbers as text
    mount    mount point it lies on, with fs, source and options; "" without /proc
    target   text of a link
    may      which of r w x this process may, as the kernel answers it; always "" for a link
    errno    why it could not be looked at ("EACCES"); "" when it could
    via      index of the link whose target named this component; -1: the path itself did
    acl      its POSIX ACL as text (`u::rwx,u:1001:--x,…`), and the default one of a directory; "" without
    """

    path: str
    type: str = ""
    mode: str = ""
    uid: int = -1
    gid: int = -1
    owner: str = ""
    group: str = ""
    size: int = -1
    device: str = ""  # "MAJOR:MINOR" of a device node
    mount: str = ""
    fs: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    target: str = ""
    may: str = ""
    errno: str = ""
    via: int = -1
    acl: str = ""
    acl_default: str = ""

    def part(self, uid: int, groups: frozenset[int]) -> str:
        """Which bits count for this identity: u, g or o. The first that fits does, even when it gives less."""
        return "u" if uid == self.uid else "g" if self.gid in groups else "o"

    def gives(self, letters: str, part: str) -> bool:
        """True when the mode bits of u, g or o give all of `letters`."""
        bits = int(self.mode or "0", 8) >> {"u": 6, "g": 3, "o": 0}[part]
        return all(bits & _BITS[letter] for letter in letters)

    def ruling(self, uid: int, groups: frozenset[int], letters: str) -> Ruling:
        """What of mode and ACL decides whether this identity may `letters`."""
        mode, owner = int(self.mode or "0", 8), uid == self.uid
        return acls.ruling(self.acl, mode, letters, owner=owner, group=self.gid, uid=uid, groups=groups)

    @property
    def mount_only(self) -> bool:
        """Read-only by the options of this mount; the file system behind it is writable (mount options come first)."""
        return "ro" in self.options and "rw" in self.options and self.options.index("ro") < self.options.index("rw")

    @property
    def words(self) -> str:
        """`directory /models (0700 root:root)`."""
        about = f" ({self.mode} {self.owner}:{self.group})" if self.mode and self.type != "link" else ""
        return f"{self.type} {self.path}{about}".strip()


class Around(Struct, frozen=True, kw_only=True):
    """What decides beside mode and ACL, as far as a process can see it.

    capabilities  effective ones as the kernel's bit set; -1 when it cannot be read
    context       what confines this process: an SELinux context or an AppArmor profile with its mode; "" when none
    selinux       SELinux is there;  label: the SELinux context of the component that refused
    flags         of the letters i (immutable) and a (append-only), those of that component
    links         fs.protected_symlinks is on
    """

    capabilities: int = -1
    context: str = ""
    selinux: bool = False
    label: str = ""
    flags: str = ""
    links: bool = False


class Walk(Struct, frozen=True, kw_only=True):
    """What a path turned out to be for this identity.

    errno     "" when the path leads somewhere, else what lookup was refused with ("ENOENT"); `words` is its text
    deciding  index of the component that decides a refusal; -1 when none does
    end       index of what the path leads to; -1 when it was refused
    below     directories that lie behind the component that refused, by the text of the path: nobody looked at them
    around    what else may decide, seen where rights refused; None where it was not looked for
    missing   the first component that is not there; near: names beside it that look like it;
              entries: how many names its directory holds (at most LISTED are counted), -1 when it cannot be listed
    """

    path: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    errno: str = ""
    words: str = ""
    deciding: int = -1
    end: int = -1
    below: tuple[str, ...] = ()
    around: Around | None = None
    missing: str = ""
    near: tuple[str, ...] = ()
    entries: int = -1

    @property
    def decider(self) -> Step | None:
        return self.steps[self.deciding] if self.deciding >= 0 else None

    @property
    def last(self) -> Step | None:
        return self.steps[self.end] if self.end >= 0 else None

    @property
    def all_groups(self) -> frozenset[int]:
        return frozenset((self.gid, *self.groups))

    @property
    def who(self) -> str:
        """As --run-as takes it: `1001:1002,44`."""
        return f"{self.uid}:{self.gid}" + "".join(f",{g}" for g in self.groups if g != self.gid)
