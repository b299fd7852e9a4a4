"""Become the runtime uid, gid and groups. In a child before it looks, and at the very end before the server."""

import errno
import os
from collections.abc import Callable

from msgspec import Struct

from modelgate.host import PROC


class Identity(Struct, frozen=True):
    """Who the server will be. `groups` are the supplementary ones, sorted."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """As --run-as takes it: `1001:1002,44`."""
        return f"{self.uid}:{self.gid}" + "".join(f",{g}" for g in self.groups if g != self.gid)


def current() -> Identity:
    """The identity of this process."""
    return Identity(os.geteuid(), os.getegid(), tuple(sorted(os.getgroups())))


def parse(text: str) -> Identity | tuple[int, int | None]:
    """`UID:GID,GID…` -> Identity; `UID` or `UID:GID` -> (uid, gid or None): the groups are then those inherited.

    ValueError with a message for a person.
    """
    uid_text, colon, rest = text.partition(":")
    gid_text, comma, groups_text = rest.partition(",")
    numbers = [uid_text] + ([gid_text] if colon else []) + (groups_text.split(",") if comma else [])
    if not all(n.isascii() and n.isdigit() and int(n) < 2**32 - 1 for n in numbers):
        raise ValueError(f"expected UID[:GID[,GID…]] in numbers, got {text!r}")
    if comma:
        return Identity(int(uid_text), int(gid_text), tuple(sorted({int(g) for g in groups_text.split(",")})))
    return int(uid_text), int(gid_text) if colon else None


def resolve(run_as: str | None, *, etc: str = "/etc") -> Identity:
    """The runtime identity that `run_as` asks for.

    Without a group list the supplementary groups are those inherited (fsGroup, --group-add) minus 0 and minus what
    /etc/group gives root: a container started as root inherits root's groups, and the server must not keep them.
    Without a GID it is the passwd entry's, else the UID's own number is not guessed: 0 like Docker does.
    """
    me = current()
    if run_as is None:
        return me
    asked = parse(run_as)
    if isinstance(asked, Identity):
        return asked
    uid, gid = asked
    if gid is None:
        gid = me.gid if uid == me.uid else _passwd_gid(uid, etc)
    if uid == me.uid and gid == me.gid:
        return me
    roots = _groups_of_root(etc) if me.uid == 0 else frozenset()
    return Identity(uid, gid, tuple(g for g in me.groups if g not in roots and g != 0))


def can_become(identity: Identity) -> bool:
    """True when `become` would change nothing or we are root (CAP_SETUID and CAP_SETGID dropped: it will tell)."""
    return identity == current() or os.geteuid() == 0


class Denied(OSError):  # noqa: N818 - as in PermissionDenied
    """`become` was refused. The text is for a person: who, the kernel's answer, and the capability that is missing."""

    def __str__(self) -> str:
        return str(self.strerror)


def become(identity: Identity) -> None:
    """Groups before gid before uid; real, effective and saved. Denied when refused: the process is then of no use.

    Setting the ids that are in force already is skipped: a container without CAP_SETGID may still run.
    A process that changed its uid is not dumpable until it execs: it may not read its own environ in /proc.
    """
    me = current()
    uids, gids = (identity.uid,) * 3, (identity.gid,) * 3
    if me.groups != identity.groups:
        _change(identity, _SETGID, lambda: os.setgroups(list(identity.groups)))
    if os.getresgid() != gids:
        _change(identity, _SETGID, lambda: os.setresgid(*gids))
    if os.getresuid() != uids:
        _change(identity, _SETUID, lambda: os.setresuid(*uids))


_SETGID, _SETUID = (6, "CAP_SETGID"), (7, "CAP_SETUID")  # number of the bit, name


def _change(identity: Identity, capability: tuple[int, str], change: Callable[[], None]) -> None:
    try:
        change()
    except OSError as error:
        text = f"cannot become {identity.text}: {error.strerror}{_why(error, capability)}"
        raise Denied(error.errno, text) from None


def _why(error: OSError, capability: tuple[int, str]) -> str:
    """What the kernel's status says of the refusal; nothing when it says nothing."""
    bit, name = capability
    if error.errno == errno.EINVAL:
        return " (the id is not mapped in this user namespace)"
    if error.errno == errno.EPERM:
        rows = dict(row[:2] for row in _lines(PROC + "/self/status") if len(row) == 2)
        held = rows.get("CapEff", "").strip()
        if held and not int(held, 16) >> bit & 1:
            return f" ({name} is missing)"
        if ["deny"] in _lines(PROC + "/self/setgroups"):
            return " (this user namespace denies setgroups)"
    return ""


def _lines(path: str) -> list[list[str]]:
    # pwd and grp go through NSS, which may load a library or ask a network service: PID 1 reads the file itself.
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return [line.rstrip("\n").split(":") for line in file.read(1 << 20).splitlines()]
    except OSError:
        return []


def _passwd_gid(uid: int, etc: str) -> int:
    for row in _lines(os.path.join(etc, "passwd")):
        if len(row) >= 4 and row[2] == str(uid) and row[3].isdigit():
            return int(row[3])
    return 0


def _groups_of_root(etc: str) -> frozenset[int]:
    rows = _lines(os.path.join(etc, "group"))
    return frozenset(
        int(row[2]) for row in rows if len(row) >= 4 and row[2].isdigit() and "root" in row[3].split(",")
    ) | {0}
