"""Paths that are not there, lead astray, cannot be written or do not answer."""

import os
import re

from modelgate.finding import CLUSTER, DEPLOYER, IMAGE, Fix
from modelgate.host import Place, is_network
from modelgate.remedies import per_platform, quote, scalar
from modelgate.walk.steps import Step, Walk

_HUB = re.compile(r"(?P<cache>.*)/models--(?P<name>[^/]+)/snapshots/(?P<revision>[^/]+)/(?P<file>.+)")


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
        cache = hub["cache"] or "/"
        do = f"Mount the whole cache {cache}: the files of snapshots/ are links into blobs/ beside it"
        again = Fix(when="the blob was never downloaded, or deleted", do="Download it again", snippet=_hub_get(hub))
        return (*(_said(fix, do) for fix in mount(place, cache, writable=True)), again)
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


def read_only(place: Place, step: Step) -> tuple[Fix, ...]:
    """A read-only mount, or the container's read-only root."""
    if step.mount in ("", "/"):
        path = step.path if step.type == "directory" else os.path.dirname(step.path)
        there = scalar(path)
        return per_platform(
            place,
            f"The root file system is read-only: mount something writable at {path}",
            {
                "kubernetes": f"volumes:\n  - {{name: scratch, emptyDir: {{}}}}\n# in the container\n"
                f"volumeMounts:\n  - {{name: scratch, mountPath: {there}}}",
                "compose": f"services:\n  model:\n    volumes:\n      - {scalar(f'scratch:{path}')}\n"
                "volumes:\n  scratch: {}",
                "docker": f"docker run {quote('-v', f'scratch:{path}')} ...",
                "shell": f"mount -o remount,rw {quote(step.mount or '/')}",
            },
        )
    there = scalar(step.mount)
    return per_platform(
        place,
        f"Mount {step.mount} writable",
        {
            "kubernetes": f"volumeMounts:\n  - {{name: VOLUME, mountPath: {there}, readOnly: false}}",
            "compose": f"services:\n  model:\n    volumes:\n      - {scalar(f'SOURCE:{step.mount}')}   # without :ro",
            "docker": f"docker run {quote('-v', f'SOURCE:{step.mount}')} ...   # without :ro",
            "shell": f"mount -o remount,rw {quote(step.mount)}",
        },
    )


def no_exec(step: Step) -> tuple[Fix, ...]:
    """A mount with noexec runs nothing, whatever the mode says."""
    do = f"{step.mount} is mounted noexec: keep programs elsewhere, or mount it with exec"
    snippet = f"mount -o remount,exec {quote(step.mount)}"
    return (Fix(when="the mount may run programs", do=do, snippet=snippet, who=CLUSTER),)


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
