"""What a mount forbids whatever the mode says: writing (read-only) and executing (noexec)."""

import os

from modelgate.finding import CLUSTER, Fix
from modelgate.host import Place
from modelgate.remedies import per_platform, quote, scalar
from modelgate.walk.steps import Step

_NEVER = frozenset({"squashfs", "iso9660", "erofs", "cramfs", "romfs", "udf"})  # made once, written never


def why_read_only(step: Step) -> str:
    """EROFS told apart: the option of this mount, the file system itself, or one that can never be written."""
    where = step.mount or "The file system"
    if step.fs in _NEVER:
        return f"{where} is a {step.fs} image, which can never be written."
    if step.mount_only:
        return f"{where} is mounted read-only here (the file system behind it is not), whatever the mode says."
    return (
        f"The file system on {where} is read-only itself, whatever the mode says: mounted so, or turned so by the "
        "kernel after an I/O error (then the node's log says it)."
    )


def read_only(place: Place, step: Step) -> tuple[Fix, ...]:
    """A read-only mount, or the container's read-only root."""
    if step.mount in ("", "/") or step.fs in _NEVER:
        path = step.path if step.type == "directory" else os.path.dirname(step.path)
        there = scalar(path)
        over = quote("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", path) + "   # in memory; or a disk"
        what = "The root file system" if step.mount in ("", "/") else step.mount
        return per_platform(
            place,
            f"{what} is read-only: mount something writable at {path}",
            {
                "kubernetes": f"volumes:\n  - {{name: scratch, emptyDir: {{}}}}\n# in the container\n"
                f"volumeMounts:\n  - {{name: scratch, mountPath: {there}}}",
                "compose": f"services:\n  model:\n    volumes:\n      - {scalar(f'scratch:{path}')}\n"
                "volumes:\n  scratch: {}",
                "docker": f"docker run {quote('-v', f'scratch:{path}')} ...",
                "shell": over if step.fs in _NEVER else f"mount -o remount,rw {quote(step.mount or '/')}",
            },
        )
    there, remount = scalar(step.mount), "remount,bind,rw" if step.mount_only else "remount,rw"
    return per_platform(
        place,
        f"Mount {step.mount} writable",
        {
            "kubernetes": f"volumeMounts:\n  - {{name: VOLUME, mountPath: {there}, readOnly: false}}",
            "compose": f"services:\n  model:\n    volumes:\n      - {scalar(f'SOURCE:{step.mount}')}   # without :ro",
            "docker": f"docker run {quote('-v', f'SOURCE:{step.mount}')} ...   # without :ro",
            "shell": f"mount -o {remount} {quote(step.mount)}",
        },
    )


def no_exec(step: Step) -> tuple[Fix, ...]:
    """A mount with noexec runs nothing, whatever the mode says."""
    do = f"{step.mount} is mounted noexec: keep programs elsewhere, or mount it with exec"
    snippet = f"mount -o remount,bind,exec {quote(step.mount)}"
    return (Fix(when="the mount may run programs", do=do, snippet=snippet, who=CLUSTER),)


def no_dev(step: Step) -> tuple[Fix, ...]:
    """A mount with nodev opens no device, whatever the mode says."""
    do = f"{step.mount} is mounted nodev: pass the device to the container (--device), or mount it with dev"
    snippet = f"mount -o remount,bind,dev {quote(step.mount)}"
    return (Fix(when="the mount may hold devices", do=do, snippet=snippet, who=CLUSTER),)
