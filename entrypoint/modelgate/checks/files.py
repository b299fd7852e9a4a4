"""Paths that the server needs: there, of the right type, and really usable by the identity it runs as.

## What is looked at
Every component of the path, with symbolic links followed by hand; then the thing itself is really opened, listed,
entered or written into as the runtime identity. Owner, group, mode and size are compared where the manifest names them.
A missing directory is made with `create: true`.

## Why it matters
A parent directory without x for the server's uid, or a link into a volume that is not mounted, is reported by most
servers as "No such file", minutes after the start. The component that decides is not in their message.

## How to fix
The finding names the deciding component and what would let this identity in, in the syntax of your platform.

## Limits
`w` on a regular file is asked of the kernel and never tried: opening it would copy the file up on overlayfs.
Device nodes are not opened here; name them under `devices`. Names are looked up in /etc/passwd and /etc/group only.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from modelgate.checks import digests
from modelgate.finding import Finding, Fix, fail, ok
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.remedies import access as rights
from modelgate.remedies import paths as remedies
from modelgate.remedies import scalar
from modelgate.units import Duration, Size
from modelgate.walk import Step, Walk, Walker, raw
from modelgate.walk import walk as look_again
from modelgate.walk.around import closer
from modelgate.walk.asks import load
from modelgate.walk.names import find_group, find_user
from modelgate.walk.refusal import absent, as_seen, evidence, hung, not_made, refused, tried
from modelgate.walk.tries import Try, ask, enter, list_directory, make_directories, make_entry, read_file

PathText = Annotated[str, Meta(pattern="^[^\x00]+$")]
Name = Annotated[str, Meta(pattern="^[^\x00:]+$")] | Annotated[int, Meta(ge=0, le=2**32 - 2)]
_DONE = {
    "directory": {"r": "listed", "w": "written into", "x": "entered"},
    "socket": {"r": "read", "w": "connected to", "x": "executed"},
    "": {"r": "read", "w": "written", "x": "executed"},
}


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest may ask of one path."""

    path: Annotated[PathText, Meta(description="The path; a relative one starts at the working directory")]
    type: Annotated[
        Literal["file", "directory", "socket", "any"], Meta(description="What must be there, links followed")
    ] = "any"
    access: Annotated[
        str,
        Meta(
            pattern="^[rwx]{1,3}$",
            description="Of r w x, as the runtime identity; a directory: r list, w make and remove an entry, x enter",
        ),
    ] = "r"
    owner: Annotated[Name | None, Meta(description="Owner, name or number")] = None
    group: Annotated[Name | None, Meta(description="Group, name or number")] = None
    mode: Annotated[
        Annotated[str, Meta(pattern="^0?[0-7]{3,4}$")] | None,
        Meta(description='Mode bits in octal, as quoted text: "0640"'),
    ] = None
    size: Annotated[Size | None, Meta(description="Exact size in bytes")] = None
    sha256: Annotated[
        Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")] | None,
        Meta(description="SHA-256 of the content, 64 hexadecimal digits"),
    ] = None
    create: Annotated[bool, Meta(description="Make the directory, and missing parents, when it is not there")] = False
    wait: Annotated[Duration, Meta(description="May still be arriving: looked at again for so long")] = Duration(0)

    def __post_init__(self) -> None:
        if len(set(self.access)) != len(self.access):
            raise ValueError(f"access names a letter twice: {self.access!r}")
        if self.create and self.type not in ("any", "directory"):
            raise ValueError(f"create makes directories, and type is {self.type}")
        if (self.size is not None or self.sha256) and (self.create or self.type not in ("any", "file")):
            raise ValueError("size and sha256 are those of a regular file")


class Facts(Struct, frozen=True):
    """The walk; what was tried on its end, or for `create`; ids of the owner and group asked for."""

    walk: Walk
    tries: tuple[Try, ...] = ()
    created: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None


def digest_spec(spec: Spec) -> digests.Spec | None:
    """The hashing that an entry with `sha256` implies, for the stage PROVE."""
    if spec.sha256 is None:
        return None
    return digests.Spec(
        path=spec.path, sha256=spec.sha256.lower(), level=spec.level, optional=spec.optional, wait=spec.wait
    )


def prepare(specs: Sequence[Spec]) -> None:
    """Imports, before the identity is taken."""
    load("".join(spec.access for spec in specs if spec.type != "directory" and not spec.create))


def observe(spec: Spec, host: Host) -> Facts:
    """Walk, make what is to be made, then really try. Leaves nothing behind but what `create` asks for."""
    uid, gid = find_user(spec.owner), find_group(spec.group)
    created: list[str] = []
    with Walker(host, "open") as walker:
        walk = walker.go(spec.path)
        # Computing for another identity (computed.py) makes nothing: it would be ours.
        make = spec.create and absent(walk) and walk.missing != "" and "computed" not in host.place.facts
        if make:
            mode = int(spec.mode, 8) if spec.mode else None
            created, made = make_directories(walker, walk, mode, uid, gid)
            if made.errno:
                return Facts(closer(walk, host, [made.errno]), (made,), tuple(created), uid, gid)
    if make:
        walk = look_again(spec.path, host, "open")
    if walk.last is not None:
        host.tell_path("open", walk.last.path)
    tries = _try(spec, walk)
    return Facts(closer(walk, host, [t.errno for t in tries]), tries, tuple(created), uid, gid)


def _try(spec: Spec, walk: Walk) -> tuple[Try, ...]:
    end, path = walk.last, raw(spec.path)
    if end is None or _wrong_type(spec, end):
        return ()
    if end.type == "directory":
        tries = {"r": list_directory, "w": make_entry, "x": enter}
        return tuple(tries[letter](path) for letter in "rwx" if letter in spec.access)
    found = []
    for letter in "rwx":
        if letter in spec.access:
            really = letter == "r" and end.type in ("file", "fifo")
            found.append(read_file(path, fifo=end.type == "fifo") if really else ask(path, letter))
    return tuple(found)


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """One finding for a path that leads nowhere or to the wrong thing; else every requirement that does not hold."""
    walk, end = facts.walk, facts.walk.last
    made = [t for t in facts.tries if t.letter == "c"]
    if made and made[0].errno:
        return not_made(walk, made[0], place)
    if walk.errno or end is None:
        if spec.optional and absent(walk):
            return [ok(spec.path, "absent, optional", **evidence(walk, walk.decider))]
        return [refused(walk, place, creatable=spec.type == "directory" or (spec.type == "any" and "w" in spec.access))]
    wrong = _wrong_type(spec, end)
    if wrong:
        return [_of_wrong_type(spec, walk, end, wrong, place)]
    seen = as_seen(place, walk)
    found = [*tried(walk, end, facts.tries, place), *_owner(spec, facts, end, seen), *_mode(spec, walk, end, seen)]
    if spec.size is not None and end.size != spec.size:
        found.append(_size(spec, walk, end))
    return found or [_holds(spec, facts, end)]


def lost(spec: Spec, lost: Any, place: Place) -> list[Finding] | None:
    """A look that never answered is the fault of its mount."""
    return [hung(spec.path, lost.last, place, lost.detail)] if lost.how == "hung" and lost.last.get("path") else None


def _holds(spec: Spec, facts: Facts, end: Step) -> Finding:
    words = _DONE.get(end.type, _DONE[""])
    done = " and ".join(words[c] for c in "rwx" if c in spec.access)
    made = "made, then " if facts.created else ""
    return ok(spec.path, f"{end.type} can be {made}{done} as {facts.walk.who}", **evidence(facts.walk, end))


def _wrong_type(spec: Spec, end: Step) -> str:
    """What is there instead; "" when the type is right."""
    if end.type.endswith("device"):
        return end.type
    wanted = "directory" if spec.create else spec.type
    if wanted == "any" and (spec.size is not None or spec.sha256):
        wanted = "file"
    return "" if wanted in ("any", end.type) else end.type


def _of_wrong_type(spec: Spec, walk: Walk, end: Step, there: str, place: Place) -> Finding:
    path = spec.path
    if there.endswith("device"):
        observed = f"{path} is a {there} ({end.device}), and `files` opens no device"
        line = f"devices:\n  - {{path: {scalar(path)}}}"
        fix = remedies.in_manifest("Name it under `devices`", line, "it is a device that the server uses")
    else:
        wanted = "directory" if spec.create else spec.type if spec.type != "any" else "file"
        observed = f"{path} is a {there}, and a {wanted} is needed"
        fix = remedies.in_manifest("Say what it is", f"type: {there if there != 'fifo' else 'any'}")
    if walk.path != end.path:
        observed += f" (it is {end.path})"
    more = remedies.mount(place, path) if there == "directory" else ()
    why = "The server will meet something else than it expects."
    if more:
        why += " Docker makes an empty directory of a missing source given with -v."
    return fail("path-wrong-type", path, observed, why, fix, *more, **evidence(walk, end))


def _owner(spec: Spec, facts: Facts, end: Step, place: Place) -> list[Finding]:
    found = []
    owner, group = (spec.owner, facts.uid, end.uid, end.owner), (spec.group, facts.gid, end.gid, end.group)
    for key, (asked, wanted, there, name) in (("owner", owner), ("group", group)):
        if asked is None or wanted == there:
            continue
        told = f"{name} ({there})" if name != str(there) else name
        observed = f"{spec.path}: its {key} is {told}, and {asked} is asked for"
        if wanted is None:
            observed += f"; this image knows no {key} of that name"
            why = "Names differ from image to image; the file carries only the number."
            number = remedies.in_manifest("Write the number", f"{key}: {there}", f"{there} is the right {key}")
            fixes: tuple[Fix, ...] = (number,)
        else:
            why = f"The manifest asks for this {key}."
            uid, gid = (wanted, None) if key == "owner" else (None, wanted)
            fixes = rights.own(place, end, uid, gid)
        found.append(
            fail("path-owner", spec.path, observed, why, *fixes, **evidence(facts.walk, end, asked=str(asked)))
        )
    return found


def _mode(spec: Spec, walk: Walk, end: Step, place: Place) -> list[Finding]:
    if spec.mode is None or int(spec.mode, 8) == int(end.mode, 8):
        return []
    observed = f"{spec.path}: its mode is {end.mode}, and {spec.mode} is asked for"
    fixes = rights.set_mode(place, end, spec.mode)
    about = evidence(walk, end, asked=spec.mode)
    return [fail("path-mode", spec.path, observed, "The manifest asks for this mode.", *fixes, **about)]


def _size(spec: Spec, walk: Walk, end: Step) -> Finding:
    observed = f"{spec.path} has {end.size} bytes, and {spec.size} are asked for"
    why = "A copy of another size is another file, or a copy that was cut off."
    fixes = (
        *remedies.hub_again(end.path),
        *remedies.copy_again(spec.path),
        remedies.in_manifest("Write the size it has", f"size: {end.size}", "this is the right file"),
    )
    about = evidence(walk, end, size=end.size, asked=int(spec.size or 0))
    return fail("weights-size", spec.path, observed, why, *fixes, **about)
