"""What a refusal of rights (EACCES, EPERM) comes from: one cause, in words, with the fixes that cure it. Pure."""

import os
from typing import Any

from msgspec import Struct

from modelgate.finding import Fix
from modelgate.host import Place, is_network
from modelgate.remedies import access, confined, mounts
from modelgate.remedies import acl as acls
from modelgate.walk.steps import Around, Step, Walk

AUTH_SYS_GROUPS = 16
_DAC_OVERRIDE = 1 << 1
_OVERFLOW = 65534  # what an owner looks like that this user namespace does not know


class Cause(Struct, frozen=True, kw_only=True):
    """`code` is more specific than what was refused, or "". `why` is the sentence for people; `about`: evidence."""

    code: str = ""
    why: str = ""
    fixes: tuple[Fix, ...]
    about: dict[str, Any] = {}


def cause(walk: Walk, step: Step, letters: str, number: str, place: Place) -> Cause:
    """Why `letters` on `step` were refused with the errno `number`. `place` has the identity that looked."""
    around = walk.around or Around()
    ruling = step.ruling(walk.uid, walk.all_groups, letters)
    if number == "EPERM" and not (around.selinux and ruling.gives(letters) and not around.flags):
        return _immutable(step, around)
    if "x" in letters and step.type == "file" and "noexec" in step.options:
        return Cause(why=f"{step.mount} is mounted noexec: nothing on it can be executed.", fixes=mounts.no_exec(step))
    if not step.type or ruling.gives(letters) or _overrides(walk, step, letters):
        return _beyond(walk, step, around, place, ruling.part)
    about: dict[str, Any] = {"part": ruling.part, "entry": ruling.entry}
    if step.acl:
        about["acl"] = step.acl
    if ruling.masked(letters):
        about["mask"] = ruling.mask
        why = (
            f"Its ACL has {ruling.entry}:{ruling.has} for this identity, and the mask ({ruling.mask or '---'}) takes "
            f"{_said(letters, ruling.mask or '')} away. chmod of the group bits sets that mask."
        )
        return Cause(why=why, fixes=acls.widen(place, step, letters, ruling.mask or ""), about=about)
    if step.acl and ruling.entry not in ("user", "other"):
        why = f"The entry {ruling.entry} of its ACL decides, and gives {ruling.effective or 'nothing'}."
        return Cause(why=why, fixes=_grant(walk, step, letters, place), about=about)
    if stripped(step, letters):
        why = (
            f"Its mode {step.mode} lets somebody read or write it, and nobody has x: that is what `chmod -R 664` or "
            "`chmod -R 644` makes of directories."
        )
        fixes = acls.give_x_back(place, step, ruling.part, walk.path, walk.below)
        return Cause(why=why, fixes=(*fixes, *_grant(walk, step, letters, place)), about=about)
    return Cause(fixes=_grant(walk, step, letters, place), about=about)


def link_refused(walk: Walk, refused_on: Step, number: str) -> Step | None:
    """The link that fs.protected_symlinks keeps this identity from following, None when that is not the reason.

    The rule: the last link of a path, in a sticky directory that all may write, of another owner than the directory's,
    is followed by its owner only. Root is no exception.
    """
    if number != "EACCES" or walk.around is None or not walk.around.links or walk.last is not refused_on:
        return None
    where = {step.path: step for step in walk.steps}
    via = refused_on.via
    while via >= 0:
        link = walk.steps[via]
        folder = where.get(os.path.dirname(link.path))
        if (
            folder is not None
            and link.uid not in (walk.uid, folder.uid)
            and int(folder.mode or "0", 8) & 0o1002 == 0o1002
        ):
            return link
        via = link.via
    return None


def stripped(step: Step, letters: str) -> bool:
    """A directory that somebody may read or write and nobody may enter."""
    mode = int(step.mode or "0", 8)
    return step.type == "directory" and "x" in letters and not step.acl and not mode & 0o111 and bool(mode & 0o666)


def _grant(walk: Walk, step: Step, letters: str, place: Place) -> tuple[Fix, ...]:
    chain = acls.chain(place, step, walk.below) if walk.errno and letters == "x" else ()
    return (*access.grant(place, step, letters), *chain)


def _immutable(step: Step, around: Around) -> Cause:
    if not around.flags:
        why = "EPERM is what an immutable file answers, not the mode (a guess)."
        return Cause(why=why, fixes=access.immutable(step, ""))
    words = {"i": "immutable", "a": "append-only", "ia": "immutable and append-only"}[around.flags]
    why = f"{step.path} carries the flag {words}, which no mode, owner or capability overrides."
    return Cause(why=why, fixes=access.immutable(step, around.flags), about={"flags": around.flags})


def _overrides(walk: Walk, step: Step, letters: str) -> bool:
    """Root with its capability: the mode does not count, but for x on a file that has none."""
    held = walk.around is not None and walk.around.capabilities >= 0 and walk.around.capabilities & _DAC_OVERRIDE
    no_x = "x" in letters and step.type == "file" and not int(step.mode or "0", 8) & 0o111
    return bool(held) and walk.uid == 0 and not no_x and _OVERFLOW not in (step.uid, step.gid)


def _beyond(walk: Walk, step: Step, around: Around, place: Place, part: str) -> Cause:
    """Mode and ACL would allow it, as they are seen from here."""
    root = _overrides(walk, step, "r")
    who = "root's capabilities would" if root else "its mode and ACL would"
    seen = f"From here {who} allow it" if step.type else "Not even its mode can be seen from here"
    if step.fs.startswith("nfs") and root:
        why = (
            f"Root holds CAP_DAC_OVERRIDE and {step.fs} refuses it all the same: the export squashes root to a nobody "
            "(root_squash is the default of NFS servers; a guess from these facts)."
        )
        about = {"cause": "root-squash", "source": step.source}
        return Cause(code="path-squashed", why=why, fixes=confined.squashed(place, step), about=about)
    if step.fs.startswith("nfs") and len(walk.all_groups) > AUTH_SYS_GROUPS and part == "g":
        why = (
            f"{walk.who} has {len(walk.all_groups)} groups, AUTH_SYS sends {AUTH_SYS_GROUPS} to the NFS server, and "
            f"the right comes from a group: that one was probably cut off (a guess from these facts)."
        )
        about = {"cause": "auth-sys-groups", "source": step.source, "count": str(len(walk.all_groups))}
        return Cause(code="path-squashed", why=why, fixes=confined.too_many_groups(place, step), about=about)
    if step.fs.startswith("fuse") and "allow_other" not in step.options:
        why = f"{step.mount} is a FUSE mount without allow_other: the kernel lets in only the user who mounted it."
        return Cause(why=why, fixes=confined.fuse(step), about={"cause": "fuse-allow-other"})
    if is_network(step.fs):
        why = f"{seen}; {step.fs} is a network file system, whose server decides (a guess)."
        return Cause(why=why, fixes=access.not_the_mode(step))
    about = {"context": around.context, "label": around.label}
    if around.selinux and around.label:
        why = (
            f"{seen}, SELinux is in force, the process is {around.context or 'unlabelled'} and "
            f"the label of {step.path} is {around.label}: SELinux refuses, as far as can be seen (a guess)."
        )
        fixes = confined.selinux(place, step, around.context)
        return Cause(code="path-lsm-denied", why=why, fixes=fixes, about=about)
    if around.context and not around.selinux:
        why = f"{seen}; AppArmor confines this process ({around.context}) and may refuse (a guess)."
        return Cause(code="path-lsm-denied", why=why, fixes=confined.apparmor(place), about=about)
    why = f"{seen}: a security module or a file server decides (a guess)."
    return Cause(why=why, fixes=access.not_the_mode(step))


def _said(letters: str, mask: str) -> str:
    return "".join(c for c in letters if c not in mask)
