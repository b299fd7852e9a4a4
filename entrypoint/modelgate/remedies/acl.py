"""ACLs and chains of directories: let one user through, and take back what a recursive chmod took."""

import os

from modelgate.finding import Fix
from modelgate.host import Place
from modelgate.remedies import access, per_platform, quote
from modelgate.walk.steps import Step


def command(place: Place, step: Step, letters: str) -> str:
    """An entry for this user alone. The mask is named too: setfacl would widen it to all that any entry has."""
    # An entry for a user replaces what group or others gave that user: keep what it has.
    mine = _letters({*step.may, *letters})
    entries = f"u:{place.uid}:{mine}"
    mask = step.ruling(-1, frozenset({step.gid}), "").mask
    if mask is not None:
        entries += f",m::{_letters({*mask, *mine})}"
    return quote("setfacl", "-m", entries, step.path)


def widen(place: Place, step: Step, letters: str, mask: str) -> tuple[Fix, ...]:
    """The entry is right and the mask takes it away."""
    told = quote("setfacl", "-m", f"m::{_letters({*mask, *letters})}", step.path)
    do = f"Widen the mask of the ACL of {step.path} (it limits every named user, every group of the ACL, and the group)"
    return access.where_it_is_kept(place, step, told, do)


def chain(place: Place, step: Step, below: tuple[str, ...]) -> tuple[Fix, ...]:
    """One command for every directory of the way, of which only those are changed that keep the identity out."""
    if not below or "shell" not in place.platforms or "ro" in step.options or place.uid == 0:
        return ()
    groups = ",".join(map(str, place.groups))
    who = f"--reuid {place.uid} --regid {place.gid} " + (f"--groups {groups}" if groups else "--clear-groups")
    snippet = (
        f'for d in {quote(step.path, *below)}; do setpriv {who} test -x "$d" || setfacl -m u:{place.uid}:x "$d"; done'
    )
    do = f"Let {place.uid} pass through each directory that refuses (nobody could look past {step.path} yet)"
    return per_platform(place, do, {"shell": snippet})


def give_x_back(place: Place, step: Step, part: str, path: str, below: tuple[str, ...]) -> tuple[Fix, ...]:
    """Undo `chmod -R 664`: x for whoever may read, on the way one by one, and recursively below the path alone."""
    if "ro" in step.options:
        return ()
    who = "".join(c for c in "ugo" if step.gives("r", c) or c == part)
    way = list(dict.fromkeys((step.path, *below)))
    told = quote("chmod", f"{who}+x", *way)
    if os.path.normpath(path) not in (step.path, *below):
        told += f" && find {quote(path)} -type d -exec chmod {who}+x {{}} +"
    else:
        told = f"find {quote(path)} -type d -exec chmod {who}+x {{}} +"
    do = "Give the directories their x back (files keep their mode; the next time: chmod -R u=rwX,go=rX)"
    return access.as_root(place, step, told, do)


def _letters(have: set[str]) -> str:
    return "".join(c for c in "rwx" if c in have)
