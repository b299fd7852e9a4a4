"""POSIX ACLs: the kernel's bytes as text, and which entry counts for an identity. Pure.

The text is setfacl's own with numbers for names: `u::rwx,u:1001:r-x,g::r-x,m::r-x,o::---`.
"""

from collections.abc import Iterable

from msgspec import Struct

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_TAGS = {0x01: "u", 0x02: "u", 0x04: "g", 0x08: "g", 0x10: "m", 0x20: "o"}
_NAMED = (0x02, 0x08)
_WORDS = {"u": "user", "g": "group", "o": "other"}


class Ruling(Struct, frozen=True):
    """The one thing that decides for an identity.

    part   u, g or o: the bits of the mode that a chmod would have to change
    entry  user, user:1001, group, group:2000 or other; those of the mode where there is no ACL
    has    letters that it gives
    mask   letters that the mask of the ACL leaves at most; None where no mask applies
    """

    part: str
    entry: str
    has: str
    mask: str | None = None

    def gives(self, letters: str) -> bool:
        return set(letters) <= set(self.effective)

    @property
    def effective(self) -> str:
        return self.has if self.mask is None else "".join(c for c in self.has if c in self.mask)

    def masked(self, letters: str) -> bool:
        """The entry would give them, and only the mask takes them away."""
        return set(letters) <= set(self.has) and not self.gives(letters)


def text(data: bytes) -> str:
    """The value of the extended attribute as text; "" when it is no ACL of version 2."""
    if int.from_bytes(data[:4], "little") != 2 or len(data) % 8 != 4:
        return ""
    found = []
    for at in range(4, len(data), 8):
        tag, bits = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 4], "little")
        if tag not in _TAGS:
            return ""
        number = str(int.from_bytes(data[at + 4 : at + 8], "little")) if tag in _NAMED else ""
        found.append(f"{_TAGS[tag]}:{number}:{_dashed(bits)}")
    return ",".join(found)


def letters_of(bits: int) -> str:
    return "".join(c for c, bit in (("r", 4), ("w", 2), ("x", 1)) if bits & bit)


def beyond_mode(acl: str) -> str:
    """Only what the mode bits do not show: named users and groups, the group itself, the mask."""
    return ",".join(entry for entry in acl.split(",") if acl and not entry.startswith(("u::", "o::")))


def ruling(acl: str, mode: int, wanted: str, *, owner: bool, group: int, uid: int, groups: frozenset[int]) -> Ruling:
    """Which entry decides: owner, named user, any group that gives `wanted`, else any group, other; as the kernel.

    `acl` is the text, or "" where the mode alone counts; `owner`: the identity owns the file.
    """
    if owner:
        return Ruling("u", "user", letters_of(mode >> 6))
    if not acl:
        part, shift = ("g", 3) if group in groups else ("o", 0)
        return Ruling(part, _WORDS[part], letters_of(mode >> shift))
    entries = [(tag, number, bare.replace("-", "")) for tag, number, bare in _entries(acl)]
    mask = next((has for tag, _, has in entries if tag == "m"), None)
    for tag, number, has in entries:
        if tag == "u" and number == str(uid):
            return Ruling("g", f"user:{uid}", has, mask)
    mine = [
        Ruling("g", f"group:{number}" if number else "group", has, mask)
        for tag, number, has in entries
        if tag == "g" and (int(number) if number else group) in groups
    ]
    if mine:
        return _best(mine, wanted)
    return Ruling("o", "other", next((has for tag, _, has in entries if tag == "o"), ""))


def _best(mine: list[Ruling], wanted: str) -> Ruling:
    for found in mine:
        if found.gives(wanted):
            return found
    return max(mine, key=lambda found: (found.masked(wanted), len(found.effective)))


def _entries(acl: str) -> Iterable[list[str]]:
    return (entry.split(":") for entry in acl.split(","))


def _dashed(bits: int) -> str:
    return "".join(c if bits & bit else "-" for c, bit in (("r", 4), ("w", 2), ("x", 1)))
