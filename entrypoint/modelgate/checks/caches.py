"""HOME and the caches of the server's libraries: can this identity write where they will?

## What is looked at
HOME (or the home that the passwd entry names, `/` without one), and what is kept there or moved elsewhere by a
variable: XDG_CACHE_HOME, HF_HOME, HF_HUB_CACHE, CUDA_CACHE_PATH (with an NVIDIA device), TMPDIR; for a command that
looks like Python also TRITON_CACHE_DIR, TORCHINDUCTOR_CACHE_DIR, NUMBA_CACHE_DIR, TORCH_HOME, VLLM_CACHE_ROOT and a
name for the user. A directory that is there is tried with a file without a name; for one that is not the nearest
directory above. In the hub's cache: lock files of other users, snapshot links that lead nowhere, a mount without flock.

## Why it matters
A container that runs as another user than its image was made for has HOME=/ or /root. The server then dies in the
first library that writes, and after that is mended in the next one: one cause, many messages. A library that only
reads a complete cache still takes locks in it. And a read-only home that nobody writes to is a healthy one: only
`env.set` of the manifest says that a place is meant for this server. So it fails only where the manifest itself sets
HOME, HF_HOME or the hub's cache to a place that this identity can neither enter nor make; all else is a warn.

## How to fix
One line for the environment, or one for the manifest, that moves everything at once. A cache that the server cannot do
without is asked for under `files` with `access: rwx`: the gate then stops when it cannot be written.

## Limits
Whether the server writes there is a guess from the words of its command, so at most one warn is given for the home
and one for the hub. Offline (HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE) a cache that can be entered is enough. HOME set to
/nonexistent, /var/empty or a device is taken as "none wanted" and only ever warned about. Of a cache at most 400 links
and 400 lock files are looked at; how much room is left is asked by `disk`. What entries of `files` with `w` name, and
what lies below, is left to them. Variables that the server sets for itself are not seen.
"""

import copy
import os
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from modelgate.checks import cache_look, cache_places
from modelgate.checks.cache_look import Hub, Look, cause_of, named, of_home
from modelgate.checks.cache_places import HUB, Room
from modelgate.finding import Finding, Level, fail, ok, warn
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.remedies import caches as remedies
from modelgate.walk import shown
from modelgate.walk.refusal import as_seen, evidence, hung, refused

_NO_HOME = ("/nonexistent", "/var/empty")  # what image authors write when there is to be none
_GUESS = "Whether this server writes there is a guess."


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The command; the variables that the manifest sets; the paths that `files` asks to be writable."""

    command: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    covered: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return "home and caches"


class Facts(Struct, frozen=True):
    """What was seen.

    home     HOME; by: "HOME", "passwd" or "" when there is neither
    rooms    of what is kept elsewhere than in HOME, or in a HOME that can be written
    within   what is kept in a HOME that cannot be written: not looked at
    hub      cache of the Hugging Face hub; None when nothing says that it is used
    user     a name for the user; "" when there is none
    tmp      the first of `temporary` (directories for temporary files) that can be written; "" when there is none
    offline  the variable that keeps the hub's library from downloading
    """

    home: Look
    rooms: tuple[Look, ...] = ()
    within: tuple[Room, ...] = ()
    hub: Look | None = None
    inside: Hub = Hub()
    user: str = ""
    tmp: str = ""
    temporary: tuple[str, ...] = ()
    offline: str = ""


def observe(spec: Spec, host: Host) -> Facts:
    """Resolve the places from the server's environment, then look at each."""
    environ, table = host.environ, host.mounts()
    host = copy.copy(host)
    host.mounts = lambda: table  # type: ignore[method-assign]  # read once, not for each of ten places
    python = cache_places.is_python(spec.command)
    user = next((environ[name] for name in cache_places.USER if environ.get(name)), "")
    entry = cache_look.passwd(host) if "HOME" not in environ or (python and not user) else ("", "")
    user = user or entry[0]
    home = Room("HOME", environ.get("HOME", entry[1]) or "/", "HOME" if "HOME" in environ else "passwd", "home")
    if home.by == "passwd" and not entry[1]:
        home = replace(home, by="")
    temporary = cache_places.temporary(environ)
    tmp = cache_look.usable(temporary, host)
    gpu = os.path.exists(host.dev("nvidiactl"))
    seen = cache_look.look(home, host)
    rooms = cache_places.rooms(environ, home.path, spec.command, user=user, tmp=tmp, gpu=gpu)
    hub = cache_places.hub(environ, home.path)
    in_home = [] if seen.good else [room for room in (*rooms, hub) if room.by == "HOME" and (python or room is not hub)]
    elsewhere = tuple(cache_look.look(room, host) for room in rooms if room not in in_home)
    store, inside = None, Hub()
    if hub not in in_home and (python or hub.by in HUB):
        store = cache_look.look(hub, host)
        if not store.absent and not store.closed:
            inside = cache_look.hub(hub.path, cache_places.hub_folders(spec.command), host)
    return Facts(
        home=seen,
        rooms=elsewhere,
        within=tuple(replace(room, path=shown(room.path)) for room in in_home),
        hub=store,
        inside=inside,
        user=shown(user),
        tmp=shown(tmp),
        temporary=tuple(map(shown, temporary)),
        offline=cache_places.offline(environ),
    )


def lost(_spec: Spec, lost: Any, place: Place) -> list[Finding] | None:
    """A look that never answered is told with its mount; that the server goes there is a guess."""
    path = str(lost.last.get("path", ""))
    if lost.how != "hung" or not path:
        return None
    return [replace(hung(path, lost.last, place, lost.detail), level=Level.WARN)]


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """At most one finding of the home and what is kept there, and one of the hub; else that all holds."""
    place = as_seen(place, facts.home.walk)
    home = _home(spec, facts, place)
    told = home.evidence.get("components", []) if home else []
    hub = _hub(spec, facts, place, told)
    found = [finding for finding in (home, hub) if finding is not None]
    if found:
        return found
    where = facts.home.room.path
    writable = "can be written" if facts.home.good else "cannot be written, and nothing known of this command is there"
    observed = f"HOME {where} {writable} as {facts.home.walk.who}"
    if facts.hub is not None:
        observed += f"; the hub's cache is {facts.hub.room.path}"
        layer = facts.hub.walk.last
        if layer is not None and layer.mount == "/" and layer.fs == "overlay":
            observed += ", on the container's own layer: what is downloaded goes with it"
    return [ok(spec.subject, observed, **evidence(facts.home.walk, facts.home.walk.last))]


def _home(spec: Spec, facts: Facts, place: Place) -> Finding | None:
    python, home = cache_places.is_python(spec.command), facts.home
    nameless = python and not facts.user
    bad = [look for look in facts.rooms if not look.good and not _covered(spec, look)]
    broken = not home.good and bool(facts.within) and not _covered(spec, home)
    tmpless = python and not facts.tmp
    if not (broken or bad or nameless or tmpless):
        return None
    moved = [look.room.variable for look in bad] + (["TMPDIR"] if tmpless else [])
    env = remedies.environment(facts.tmp, place, home=broken, user=nameless, moved=moved)
    fixes = remedies.move(place, env, given=spec.given, tmp=facts.tmp)
    parts = [of_home(home, place)] if broken else []
    parts += [f"{named(look)}: {cause_of(look, place).observed}" for look in bad]
    if nameless:
        parts.append(f"uid {place.uid} has no passwd entry, and none of {', '.join(cache_places.USER)} is set")
    if tmpless:
        parts.append(f"no directory for temporary files can be written ({', '.join(facts.temporary)})")
    first = home if broken else bad[0] if bad else None
    about: dict[str, Any] = dict(cause_of(first, place).evidence) if first else {"uid": place.uid, "gid": place.gid}
    about["components"] = [look.component for look in ([home] if broken else []) + bad]
    about["set"] = env
    whose = [f"{room.of} ({room.path})" for room in (*facts.within, *(look.room for look in bad))]
    why = f"{', '.join(whose)}: the first that writes there fails with an error of its own. " if whose else ""
    if nameless:
        why += "PyTorch names its compile cache after the user and raises KeyError without a name. "
    if broken and _demanded(spec, home) and not _none_wanted(home):
        return fail("home-unwritable", home.room.path, "; ".join(parts), why + _MEANT, *fixes, **about)
    if broken:
        return warn("home-unwritable", home.room.path, "; ".join(parts), why + _GUESS, *fixes, **about)
    subject = bad[0].room.path if bad else f"uid {place.uid}" if nameless else facts.temporary[0]
    rights = cause_of(bad[0], place).fixes if len(bad) == 1 and not bad[0].absent else ()
    return warn("cache-unwritable", subject, "; ".join(parts), why + _GUESS, *fixes, *rights, **about)


_MEANT = "The manifest sets it for this server, and this identity can neither enter nor make it."


def _none_wanted(home: Look) -> bool:
    end = home.walk.last
    return home.room.path.rstrip("/") in _NO_HOME or (end is not None and end.type.endswith("device"))


def _covered(spec: Spec, look: Look) -> bool:
    path = os.path.normpath(look.room.path)
    return any(path == c or path.startswith(c.rstrip("/") + "/") for c in map(os.path.normpath, spec.covered))


def _demanded(spec: Spec, look: Look) -> bool:
    if look.room.by not in spec.given or not look.closed:
        return False
    # HF_HOME itself may be there and be read, even where its `hub` is not.
    above = look.room.path.removesuffix("/" + look.room.below)
    end = look.walk.last
    return not (look.room.below and look.walk.path == above and end is not None and "x" in end.may)


def _hub(spec: Spec, facts: Facts, place: Place, told: list[str]) -> Finding | None:
    look, inside = facts.hub, facts.inside
    if look is None or _covered(spec, look):
        return None
    name = named(look)
    move = remedies.move(
        place, remedies.environment(facts.tmp, place, moved=[look.room.variable]), spec.given, facts.tmp
    )
    same = look.room.by not in HUB and look.component in told  # what moves the home moves this too
    if not same and _unusable(spec, look, facts.offline):
        if look.absent and facts.offline:
            about = {**evidence(look.walk, look.walk.last), "cache": look.room.path, "offline": facts.offline}
            why = f"{facts.offline} is set: a model that is named by its hub id cannot be loaded. {_GUESS}"
            fixes = remedies.volume(place, look.room.path)
            return warn("cache-unwritable", look.room.path, f"{name} is not there", why, *fixes, **about)
        cause = cause_of(look, place)
        about = {**cause.evidence, "cache": look.room.path, "offline": facts.offline or None}
        if _demanded(spec, look) and not facts.offline:
            # Where a directory on the way denies, a volume below it would not be reached either.
            fixes = move if look.walk.errno else (*move, *remedies.volume(place, look.room.path))
            return fail("cache-unwritable", look.room.path, f"{name}: {cause.observed}", _MEANT, *fixes, **about)
        complete = () if look.closed else remedies.offline(place, spec.given)
        rights = () if look.absent or look.closed else cause.fixes
        why = f"The hub's library makes directories and locks there, for files that it has too. {_GUESS}"
        fixes = (*complete, *move, *rights, remedies.demand(look.room.path))
        return warn("cache-unwritable", look.room.path, f"{name}: {cause.observed}", why, *fixes, **about)
    if inside.lock and inside.lock.last and not facts.offline:
        lock = inside.lock.last
        observed = f"{name}: {lock.words} cannot be written by {place.who} (1 of {inside.locks} such locks)"
        why = "Downloads, and looks for newer files too, take these locks; another user made them. " + _GUESS
        fixes = (*remedies.offline(place, spec.given), *remedies.locks(place, look.room.path, lock))
        return warn("cache-unwritable", lock.path, observed, why, *fixes, **evidence(inside.lock, lock))
    mount = look.walk.last
    if mount is not None and cache_look.no_flock(mount.fs, mount.options) and not facts.offline:
        observed = f"{name}: {mount.mount} ({mount.fs}) is mounted without flock ({','.join(mount.options)})"
        why = "The hub's library locks files; without flock that fails with ENOSYS. " + _GUESS
        fixes = (*remedies.flock(mount.mount), *remedies.offline(place, spec.given))
        return warn("cache-unwritable", look.room.path, observed, why, *fixes, **evidence(look.walk, mount))
    if inside.link is not None and inside.link.errno:
        broken = refused(inside.link, place)
        observed = f"{broken.observed} (1 of {inside.links} such links in {look.room.path})"
        return replace(broken, level=Level.WARN, observed=observed, why=f"{broken.why} {_GUESS}")
    return None


def _unusable(spec: Spec, look: Look, offline: str) -> bool:
    if not offline:
        return not look.good
    if look.absent:  # with models of its own the server never misses it
        return look.room.by in HUB and bool(cache_places.hub_folders(spec.command))
    return look.closed
