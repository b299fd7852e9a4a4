"""What another identity would meet on a path that this process has walked: from mode bits and ACLs alone. Pure.

Not known here, and so not counted: security modules, file servers, inode flags, capabilities other than root's.
"""

import os

from msgspec.structs import replace

from modelgate.identity import Identity
from modelgate.walk.steps import Step, Walk
from modelgate.walk.tries import Try

HOW = "mode bits and ACL"


def walk_as(walk: Walk, who: Identity) -> Walk | None:
    """`walk` as `who` would have met it; None where this process itself was refused something that `who` is not."""
    asker = replace(walk, uid=who.uid, gid=who.gid, groups=who.groups, around=None)
    steps = tuple(replace(step, may=may(step, asker)) for step in walk.steps)
    where = {step.path: index for index, step in enumerate(steps)}
    shut = []
    # Every component but the first was looked up in the directory it lies in; with EACCES one more was.
    looked = [os.path.dirname(step.path) for step in steps[1:] if step.path != "/"]
    if walk.errno == "EACCES" and walk.deciding >= 0 and steps[walk.deciding].type == "directory":
        looked.append(steps[walk.deciding].path)
    for path in dict.fromkeys(looked):
        index = where.get(path, -1)
        if index >= 0 and steps[index].type == "directory" and "x" not in steps[index].may:
            shut.append(index)
    if shut:
        below = tuple(steps[index].path for index in shut[1:]) + (walk.below if walk.errno == "EACCES" else ())
        met = steps[: max(shut[0] + 1, 1)]
        return replace(
            asker, steps=met, errno="EACCES", words="Permission denied", deciding=shut[0], end=-1, below=below
        )
    if walk.errno in ("EACCES", "EPERM"):
        return None
    return replace(asker, steps=steps)


def may(step: Step, asker: Walk) -> str:
    """Which of r w x the identity of `asker` has on `step`."""
    if step.type in ("link", "absent", "") or not step.mode:
        return ""
    return "".join(letter for letter in "rwx" if not refusal(step, letter, asker))


def refusal(step: Step, letter: str, asker: Walk) -> str:
    """The errno that `letter` on `step` would be refused with; "" when it would be granted."""
    if letter == "w" and "ro" in step.options and step.type in ("file", "directory"):
        return "EROFS"
    if letter == "x" and step.type == "file" and "noexec" in step.options:
        return "EACCES"
    if asker.uid == 0:  # root of a container has CAP_DAC_OVERRIDE unless it was dropped
        return "EACCES" if letter == "x" and step.type == "file" and not int(step.mode, 8) & 0o111 else ""
    return "" if step.ruling(asker.uid, asker.all_groups, letter).gives(letter) else "EACCES"


def tries(walk: Walk, letters: str) -> tuple[Try, ...]:
    """What would become of `letters` on the end of `walk`; making an entry needs w and x of a directory."""
    end = walk.last
    return () if end is None else tuple(_try(end, letter, walk) for letter in "rwx" if letter in letters)


def make(walk: Walk) -> Try | None:
    """What would become of making what is missing; None when its directory is not known."""
    parent = next((s for s in walk.steps if s.path == (os.path.dirname(walk.missing) or "/")), None)
    if parent is None:
        return None
    return replace(_try(parent, "w", walk), letter="c")


def _try(step: Step, letter: str, walk: Walk) -> Try:
    number = refusal(step, letter, walk)
    if letter == "w" and step.type == "directory" and not number:
        number = refusal(step, "x", walk)
    words = {"": "", "EACCES": "Permission denied", "EROFS": "Read-only file system"}[number]
    return Try(letter, HOW, number, words)
