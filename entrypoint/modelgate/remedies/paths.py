"""Paths that are not there, lead astray, cannot be written or do not answer."""

import os
import re

from modelgate.finding import CLUSTER, DEPLOYER, IMAGE, Fix
from modelgate.host import Place, is_network
from modelgate.remedies import per_platform, quote, scalar
from modelgate.walk.steps import Step, Walk

_HUB = re.compile(r"(?P<cache>.*)/models--(?P<name>[^/]+)/snapshots/(?P<revision>[^/]+)/(?P<file>.+)")
_BLOB = re.compile(r"(\.\./)+blobs/[0-9a-f]{40,64}")


def missing(place: Place, walk: Walk) -> tuple[Fix, ...]:
    """Nothing there: a slip in the name, or a volume that is not mounted."""
    fixes: list[Fix] = []
    parent = os.path.dirname(walk.missing)
    if walk.path == "~" or walk.path.startswith("~/"):
        home = scalar("${HOME}" + walk.path[1:])
        when = "the home directory is meant (only a shell expands ~)"
        return (Fix(when=when, do="Write the path in full", snippet=f"path: {home}", who=IMAGE),)
    for name in walk.near:
        path = os.path.join(parent, name) + walk.path[len(walk.missing) :]
        when = f"{name} is meant"
        fixes.append(Fix(when=when, do="Name what is there", snippet=f"path: {scalar(path)}", who=IMAGE))
    step = next((s for s in reversed(walk.steps) if s.path == parent), None)
    # Over a directory that the image filled nothing is mounted: that would hide the rest of it.
    whole = step is not None and (step.mount == parent or walk.entries == 0) and parent != "/"
    return (*fixes, *mount(place, parent if whole else walk.missing))


def not_mounted(place: Place, walk: Walk, at: str, *, here: bool) -> tuple[Fix, ...]:
    """An empty directory. `here`: something is mounted there, and it is empty; else nothing is."""
    if not here:
        return mount(place, at)
    there = scalar(at)
    right = per_platform(
        place,
        f"Mount at {at} the volume, or the directory of it, that holds {os.path.relpath(walk.missing, at)}",
        {
            "kubernetes": f"volumeMounts:\n  - {{name: VOLUME, mountPath: {there}, subPath: DIRECTORY}}",
            "compose": f"services:\n  model:\n    volumes:\n      - {scalar(f'SOURCE:{at}:ro')}",
            "docker": f"ls -la SOURCE && docker run {quote('-v', f'SOURCE:{at}:ro')} ...   # SOURCE: not empty",
            "shell": f"findmnt -T {quote(at)}   # then mount what was meant",
        },
    )
    fill = f"cp -r SOURCE/. {quote(at)}/"
    return (*right, Fix(when="it is the right volume, and was never filled", do="Fill it", snippet=fill))


def create(walk: Walk) -> tuple[Fix, ...]:
    """The directory may be made by the gate: offered only where its parent lets this identity."""
    parent = next((s for s in reversed(walk.steps) if s.path == os.path.dirname(walk.missing)), None)
    if parent is None or "w" not in parent.may or "x" not in parent.may:
        return ()
    return (Fix(when="it may start out empty", do="Let the gate make it", snippet="create: true", who=IMAGE),)


def mount(place: Place, path: str, *, writable: bool = False) -> tuple[Fix, ...]:
    """Mount what belongs at `path`."""
    only, flag = ("", "") if writable else (", readOnly: true", ":ro")
    there = scalar(path)
    return per_platform(
        place,
        f"Mount the volume that holds it at {path}",
        {
            "kubernetes": f"volumeMounts:\n  - {{name: VOLUME, mountPath: {there}{only}}}",
            "compose": f"services:\n  model:\n    volumes:\n      - {scalar(f'SOURCE:{path}{flag}')}",
            "docker": f"docker run {quote('-v', f'SOURCE:{path}{flag}')} ...",
            "shell": f"ls -la {quote(os.path.dirname(path) or '/')}   # then put it there, or name where it is",
        },
    )


def dangling(place: Place, link: Step, target: str) -> tuple[Fix, ...]:
    """A link to something that is not in this container."""
    hub = _HUB.fullmatch(link.path)
    if hub:
        whole = f"{hub['cache']}/models--{hub['name']}"
        do = f"Mount the whole directory {whole}: the files of snapshots/ are links into blobs/ beside it"
        again = Fix(when="the blob was never downloaded, or deleted", do="Download it again", snippet=_hub_get(hub))
        return (*(_said(fix, do) for fix in mount(place, whole)), again)
    if _BLOB.fullmatch(link.target):
        at = os.path.dirname(link.path)
        do = (
            f"{link.path} is a file of a snapshot of a Hugging Face cache, mounted without its blobs: mount the whole "
            f"directory models--ORG--NAME at {at}, and name {at}/snapshots/COMMIT as the model"
        )
        copy = Fix(
            when="only this snapshot is wanted",
            do="Copy it with its links followed, and mount the copy",
            snippet="cp -rL models--ORG--NAME/snapshots/COMMIT COPY",
        )
        return (*(_said(fix, do) for fix in mount(place, at)), copy)
    # A relative link breaks when only its own directory is mounted, an absolute one when the host's path is not kept.
    common = target if link.target.startswith("/") else os.path.commonpath([os.path.dirname(link.path), target])
    at = os.path.dirname(target) if common in ("/", target) else common
    do = f"Mount {at} too: the link {link.path} leads to {target}"
    relink = Fix(
        when="the file is elsewhere",
        do="Point the link at it",
        snippet=f"ln -sfn TARGET {quote(link.path)}",
    )
    return (*(_said(fix, do) for fix in mount(place, at)), relink)


def relink(link: Step) -> tuple[Fix, ...]:
    """A link that leads back to itself."""
    do = f"Point the link {link.path} at the data; now it leads to {link.target} and so back to itself"
    return (Fix(when="the link can be changed", do=do, snippet=f"ln -sfn TARGET {quote(link.path)}", who=IMAGE),)


def sticky(link: Step) -> tuple[Fix, ...]:
    """Another user's link in a directory like /tmp: make it root's directory's own, or name what it leads to."""
    target = link.target if link.target.startswith("/") else os.path.join(os.path.dirname(link.path), link.target)
    do = "Give the link to the owner of its directory"
    return (
        in_manifest(
            "Name what the link leads to", f"path: {scalar(os.path.normpath(target))}", "the link is not needed"
        ),
        Fix(
            when="the link is needed",
            do=do,
            snippet=f"chown -h --reference={quote(os.path.dirname(link.path))} {quote(link.path)}",
        ),
    )


def room(step: Step, *, inodes: bool) -> tuple[Fix, ...]:
    """No space, or no inode left."""
    where = quote(step.mount or step.path)
    see = f"df -i {where}" if inodes else f"df -h {where}; du -xh --max-depth=2 {where} | sort -h | tail"
    do = "Delete files that are not needed, or give the volume more " + ("inodes" if inodes else "room")
    return (Fix(when="it stays full", do=do, snippet=see),)


def recover(place: Place, mount_point: str, fs: str, source: str) -> tuple[Fix, ...]:
    """A mount that answers with errors, or not at all: the node or the mount must recover before any restart helps."""
    where = quote(mount_point)
    server = f" (its server: {source})" if source and is_network(fs) else ""
    fixes = per_platform(
        place,
        f"Let {mount_point}{server} recover first; until then a restart of this container does not help",
        {
            "kubernetes": "kubectl describe node NODE; kubectl get events --field-selector involvedObject.kind=Node",
            "shell": f"dmesg | tail -n 30; umount -f -l {where} && mount {where}",
        },
        CLUSTER,
    )
    if is_network(fs):
        do = "Check the server and the network to it"
        look = (
            f"nfsstat -m; rpcinfo -t {quote(source.partition(':')[0])} nfs"
            if fs.startswith("nfs")
            else f"mount | grep {where}"
        )
        fixes += (Fix(when=f"{fs} is a network file system", do=do, snippet=look, who=CLUSTER),)
    return fixes


def in_manifest(do: str, snippet: str, when: str = "the manifest is wrong") -> Fix:
    """A line to change in the manifest."""
    return Fix(when=when, do=do, snippet=snippet, who=IMAGE)


def hub_again(path: str) -> tuple[Fix, ...]:
    """Fetch one file of a Hugging Face cache again. Empty when `path` is in none."""
    hub = _HUB.fullmatch(path)
    do = "Fetch the file again from the hub"
    return (Fix(when="the copy is damaged", do=do, snippet=_hub_get(hub), who=DEPLOYER),) if hub else ()


def _hub_get(hub: re.Match[str]) -> str:
    name = hub["name"].replace("--", "/", 1)
    revision, cache = hub["revision"], hub["cache"] or "/"
    return quote("hf", "download", name, hub["file"], "--revision", revision, "--cache-dir", cache, "--force-download")


def _said(fix: Fix, do: str) -> Fix:
    return Fix(when=fix.when, do=do, snippet=fix.snippet, who=fix.who)


def copy_again(path: str) -> tuple[Fix, ...]:
    """Fetch a file again from wherever it came; SOURCE is what only the reader knows."""
    snippet = f"cp SOURCE {quote(path)} && sha256sum {quote(path)}"
    return (Fix(when="the copy is damaged", do="Fetch the file again from its source", snippet=snippet),)
