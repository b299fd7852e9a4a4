"""What was seen on a path, as findings: the most specific code, the deciding component, the fix. Pure."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from modelgate.finding import Finding, Fix, fail, unknown
from modelgate.host import Place, is_network
from modelgate.remedies import access, mounts, paths, scalar
from modelgate.walk.cause import cause, link_refused
from modelgate.walk.steps import Step, Walk
from modelgate.walk.tries import Try, foreign_link

# We could not look, for reasons of our own: nothing is known about the path.
_OURS = frozenset({"EMFILE", "ENFILE", "ENOMEM", "EINTR", "EAGAIN"})
_CODES = {"r": "path-unreadable", "w": "path-unwritable", "x": "path-not-executable", "c": "path-unwritable"}


def as_seen(place: Place, walk: Walk) -> Place:
    """`place` with the identity that really looked."""
    return replace(place, uid=walk.uid, gid=walk.gid, groups=walk.groups)


def evidence(walk: Walk, step: Step | None, **more: Any) -> dict[str, Any]:
    """The deciding part of a finding, machine-readable."""
    found: dict[str, Any] = {"uid": walk.uid, "gid": walk.gid, "groups": list(walk.groups)}
    if step is not None:
        found = {
            "component": step.path,
            "type": step.type,
            "mode": step.mode,
            "owner": step.owner,
            "group": step.group,
            "mount": step.mount,
            "fs": step.fs,
            "options": list(step.options),
            **found,
        }
        if step.type == "link":
            found["target"] = step.target
    if walk.errno:
        found["errno"] = walk.errno
    return found | more


def absent(walk: Walk) -> bool:
    """Nothing is there; not: something is there and refuses or leads astray."""
    step = walk.decider
    return walk.errno == "ENOENT" and (step is None or step.type == "absent")


def refused(walk: Walk, place: Place, *, creatable: bool = False) -> Finding:
    """The finding of a path that leads nowhere (walk.errno is set). `creatable`: `create: true` would do."""
    place, step, path = as_seen(place, walk), walk.decider, walk.path
    told = f"{walk.errno} ({walk.words})"
    if walk.errno == "ENOENT" and step is not None and step.type == "link":
        observed = f"{path}: {told}; the link {step.path} leads to {step.target}, and {walk.missing} does not exist"
        why = "The link itself is there, so a listing looks complete; what it stands for is not in this container."
        fixes = paths.dangling(place, step, walk.missing)
        return fail("path-dangling-link", path, observed, why, *fixes, **evidence(walk, step, missing=walk.missing))
    if walk.errno == "ENOENT":
        return _missing(walk, place, told, creatable)
    if walk.errno in ("EACCES", "EPERM") and step is not None:
        return _blocked(walk, step, place, told)
    if walk.errno == "ELOOP" and step is not None:
        observed = f"{path}: {told}; the link {step.path} -> {step.target} comes round to itself"
        why = "Linux follows 40 links in one path; this one never ends."
        return fail("path-link-loop", path, observed, why, *paths.relink(step), **evidence(walk, step))
    if walk.errno == "ENOTDIR" and step is not None:
        observed = f"{path}: {told}; {step.words} is no directory, and the path goes on behind it"
        why = "A file stands where the path needs a directory."
        fixes = (
            paths.in_manifest("Name the path as it is", f"path: {scalar(step.path)}"),
            *paths.mount(place, step.path),
        )
        return fail("path-wrong-type", path, observed, why, *fixes, **evidence(walk, step))
    if walk.errno == "ENAMETOOLONG":
        short = paths.in_manifest("Use a shorter path: 255 bytes for each name, 4095 for all of it", "path: …")
        why = "No file system can hold such a name, so nothing can be there."
        return fail("path-missing", path, f"{path}: {told}", why, short, **evidence(walk, step))
    return io_error(walk, step, place, f"{path}: {told}", walk.errno)


def _missing(walk: Walk, place: Place, told: str, creatable: bool) -> Finding:
    observed = f"{walk.path}: {told}"
    if walk.missing and walk.missing != walk.path:
        observed += f"; the first component that is missing is {walk.missing}"
    parent = next((s for s in walk.steps if s.path == (walk.missing.rpartition("/")[0] or "/")), None)
    if parent is not None and walk.entries == 0 and parent.mount and parent.path != "/" and not creatable:
        return _not_mounted(walk, parent, place, observed)
    if parent is not None and walk.entries == 0:
        observed += f"; {parent.path} is an empty directory" + _on(parent)
    elif walk.near:
        observed += f"; {parent.path if parent else 'its directory'} has {', '.join(walk.near)}"
    why = "Nothing of that name is there for this identity; every parent directory could be entered."
    step = walk.decider
    fixes = (*paths.missing(place, walk), *(paths.create(walk) if creatable else ()))
    return fail(
        "path-missing",
        walk.path,
        observed,
        why,
        *fixes,
        **evidence(walk, step, near=list(walk.near), entries=walk.entries),
    )


def _not_mounted(walk: Walk, parent: Step, place: Place, observed: str) -> Finding:
    """Nothing at all is where something is asked for: told with what is mounted there, or that nothing is."""
    here = parent.mount == parent.path
    if here:
        observed += f"; {parent.path} is an empty directory and a mount point ({parent.fs} from {parent.source or '?'})"
        why = "What is mounted there holds nothing: another volume than was meant, another subPath, or never filled."
    else:
        observed += f"; {parent.path} is an empty directory, and nothing is mounted there (it lies on {parent.mount})"
        why = "Images seldom bring an empty directory: a volume probably belongs there, and is not mounted (a guess)."
    fixes = paths.not_mounted(place, walk, parent.path, here=here)
    about = evidence(walk, parent, entries=0, missing=walk.missing, mount_point=here)
    return fail("path-not-mounted", walk.path, observed, why, *fixes, **about)


def _blocked(walk: Walk, step: Step, place: Place, told: str) -> Finding:
    observed = f"{walk.path}: {told}; {step.words} does not let {walk.who} pass"
    why = "Without x on every parent directory nothing below is reached; servers often report that as a missing file."
    if step.type == "link":
        why = "The kernel refuses to follow this link (one of /proc, of a process that is not ours)."
        return fail("path-blocked", walk.path, observed, why, *paths.relink(step), **evidence(walk, step))
    found = cause(walk, step, "x", walk.errno, place)
    about = evidence(walk, step, **found.about)
    why = f"{found.why} {why}" if found.why else why
    return fail(found.code or "path-blocked", walk.path, observed, why, *found.fixes, **about)


def tried(walk: Walk, step: Step, tries: Sequence[Try], place: Place) -> list[Finding]:
    """Findings of what was tried on `step` and refused: one for all that rights refuse, one for each other cause."""
    place, found = as_seen(place, walk), []
    rights = [t for t in tries if t.errno in ("EACCES", "EPERM")]
    if rights:
        found.append(_denied(walk, step, rights, place))
    for other in (t for t in tries if t.errno and t not in rights):
        observed = f"{other.how} {walk.path}: {other.errno} ({other.words})"
        about = evidence(walk, step, errno=other.errno, access=other.letter)
        if other.errno == "EROFS":
            why = mounts.why_read_only(step)
            fixes = mounts.read_only(place, step)
            found.append(fail("path-read-only", walk.path, observed + _on(step), why, *fixes, **about))
        elif other.errno in ("ENOSPC", "EDQUOT"):
            inodes = "inode" in other.words
            code = "disk-inodes" if inodes else "disk-full"
            why = "The right to write is there; the room is not."
            fixes = paths.room(step, inodes=inodes)
            found.append(fail(code, walk.path, observed + _on(step), why, *fixes, **about))
        else:
            found.append(io_error(walk, step, place, observed, other.errno))
    return found


def _denied(walk: Walk, step: Step, rights: Sequence[Try], place: Place) -> Finding:
    first = rights[0]
    letters = "".join(
        dict.fromkeys("wx" if t.letter in "wc" and step.type == "directory" else t.letter for t in rights)
    )
    letters = "".join(c for c in "rwx" if c in letters)
    calls = ", ".join(f"{t.how}: {t.errno} ({t.words})" for t in rights)
    it = f"it is {step.mode} {step.owner}:{step.group}" if step.path == walk.path else f"{step.words} decides"
    observed = f"{walk.path}: {calls} as {walk.who}; {it}{_on(step) if 'noexec' in step.options else ''}"
    link = link_refused(walk, step, first.errno)
    if link is not None:
        return _link(walk, link, f"{walk.path}: {calls} as {walk.who}")
    found = cause(walk, step, letters, first.errno, place)
    why = f"The server runs as {walk.who} and needs to {_needs(step, letters)}."
    why += f" {found.why}" if found.why else ""
    about = evidence(walk, step, errno=first.errno, access=letters, **found.about)
    return fail(found.code or _CODES[first.letter], walk.path, observed, why, *found.fixes, **about)


def _link(walk: Walk, link: Step, observed: str) -> Finding:
    folder = os.path.dirname(link.path)
    observed += f"; the link {link.path} -> {link.target} belongs to {link.owner}, and {folder} is sticky and for all"
    why = "With fs.protected_symlinks only its owner follows such a link (or all, when the directory's owner made it)."
    return fail("path-blocked", walk.path, observed, why, *paths.sticky(link), **evidence(walk, link, errno="EACCES"))


def not_made(walk: Walk, made: Try, place: Place) -> list[Finding]:
    """A directory that could not be made: its parent decides, or a link that root does not follow."""
    link = foreign_link(walk)
    if link is None:
        parent = next(s for s in walk.steps if s.path == (walk.missing.rpartition("/")[0] or "/"))
        return tried(walk, parent, [made], place)
    names = walk.path.split("/")
    at = names.index(walk.missing.rpartition("/")[2])
    real = "/".join([walk.missing, *names[at + 1 :]])
    observed = f"{walk.path}: not made; the link {link.path} -> {link.target} ({link.owner}:{link.group}) "
    observed += "can be changed by others than root"
    why = "Root makes nothing through a link that somebody could bend in the meantime."
    fix = paths.in_manifest("Name the place itself", f"path: {scalar(real)}", f"{real} is meant")
    return [fail("path-unwritable", walk.path, observed, why, fix, **evidence(walk, link))]


def io_error(walk: Walk, step: Step | None, place: Place, observed: str, number: str) -> Finding:
    """The storage answers with an error, or we could not look for a reason of our own."""
    about = evidence(walk, step, errno=number)
    where = step.mount if step is not None and step.mount else walk.path
    if number in _OURS:
        again = Fix(when="it happens again", do="Look for the limit that was met", snippet="ulimit -a")
        return unknown("path-io-error", walk.path, observed, "The gate itself ran into a limit.", again, **about)
    why = "The storage behind the path answers with an error; rights are not the cause."
    fixes = paths.recover(place, where, step.fs if step else "", step.source if step else "")
    return fail("path-io-error", walk.path, observed + (_on(step) if step else ""), why, *fixes, **about)


def hung(path: str, words: Mapping[str, Any], place: Place, detail: str = "") -> Finding:
    """A look at `path` that never answered. `words` are its last: doing, path, mount, fs, source."""
    mount, fs, source = (str(words.get(key, "")) for key in ("mount", "fs", "source"))
    at, doing = str(words.get("path", path)), words.get("doing", "look at")
    on = f" on {mount} ({fs}{f' from {source}' if source else ''})" if mount else ""
    observed = f"{doing} {at}{on}: no answer" + (f" ({detail})" if detail else "")
    kind = "The file server or the network to it" if is_network(fs) else "The storage behind it"
    why = (
        f"{kind} does not answer, and what touches it cannot even be killed. The node or the mount must recover first."
    )
    fixes = paths.recover(place, mount or at, fs, source)
    return fail("path-hung", path, observed, why, *fixes, component=at, mount=mount, fs=fs, source=source)


def _on(step: Step) -> str:
    if not step.mount:
        return ""
    flags = [o for o in ("ro", "noexec", "nodev") if o in step.options]
    return f", on the mount {step.mount} ({', '.join([step.fs, *flags])})"


def _needs(step: Step, letters: str) -> str:
    directory = {"r": "list", "w": "write into", "x": "enter"}
    return " and ".join((directory if step.type == "directory" else access.WORDS)[c] for c in letters) + " it"
