"""Rights: let this identity through a directory, read, write or execute a file. Only what cures is offered."""

import json
import re

from msgspec.structs import replace

from modelgate.finding import CLUSTER, IMAGE, Fix
from modelgate.host import NETWORK_FS, Place, is_network
from modelgate.remedies import WHEN, acl, per_platform, quote, scalar
from modelgate.walk.steps import Step

WORDS = {"r": "read", "w": "write", "x": "execute"}
_ACL_FS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay", "zfs", "jfs", "bcachefs"})


def grant(place: Place, step: Step, letters: str) -> tuple[Fix, ...]:
    """Give the identity of `place` `letters` on `step` (a parent needs x, a directory to write into wx)."""
    groups = frozenset((place.gid, *place.groups))
    part = step.ruling(place.uid, groups, letters).part
    fixes: list[Fix] = []
    if part == "o" and not step.acl and step.gives(letters, "g") and step.gid > 0:
        fixes += join_group(place, [step.gid], f"{step.path} already lets its group {step.group} in")
    elif part != "u" and step.gives(letters, "u") and step.uid > 0:
        fixes += _run_as_owner(place, step)
    fixes += _fs_group(place, step, part)
    command = mode_command(place, step, letters, part)
    fixes += where_it_is_kept(place, step, command, f"Let {place.uid}:{place.gid} {_verbs(step, letters)}")
    alone = acl.command(place, step, letters)
    if step.fs in _ACL_FS and command != alone and place.platforms == ("shell",) and "ro" not in step.options:
        fixes.append(Fix(when="only this user is to get it", do="Add an ACL entry for this user alone", snippet=alone))
    return tuple(fixes)


def where_it_is_kept(place: Place, step: Step, command: str, do: str) -> tuple[Fix, ...]:
    """`command` here, or, where this mount is read-only, told for the place where the data is kept."""
    if "ro" in step.options:
        return (Fix(when="where the data is kept (it is mounted read-only here)", do=do, snippet=command),)
    return as_root(place, step, command, do)


def mode_command(place: Place, step: Step, letters: str, part: str) -> str:
    """The one command, run as root or the owner, after which the identity has `letters` on `step`."""
    if step.acl and part != "u":
        # With an ACL the group bits are its mask: chmod would change what others have, and not what we lack.
        return acl.command(place, step, letters)
    if part in ("u", "g"):
        return quote("chmod", f"{part}+{letters}", step.path)
    if letters == "x":
        return quote("chmod", "o+x", step.path)
    group = quote("chgrp", str(place.gid), step.path)
    return f"{group} && {quote('chmod', f'g+{letters}', step.path)}"


def as_root(place: Place, step: Step, command: str, do: str) -> tuple[Fix, ...]:
    """Run `command` once with the rights to do it: in the image for what it brought, else beside the volume."""
    if step.mount in ("/", "") and place.platforms != ("shell",):
        fixes = [Fix(when="in the Dockerfile, before USER", do=do, snippet=f"RUN {command}", who=IMAGE)]
        if "shell" in place.platforms:
            fixes += per_platform(replace(place, platforms=("shell",)), do, {"shell": command})
        return tuple(fixes)
    mount = scalar(step.mount or step.path)
    words = json.dumps(["sh", "-c", command], ensure_ascii=False)
    init = (
        f"initContainers:\n  - name: open-{_word(step.path)}\n    image: busybox\n    command: {words}\n"
        f"    securityContext: {{runAsUser: 0}}\n    volumeMounts:\n"
        f"      - {{name: VOLUME, mountPath: {mount}}}   # the volume that is mounted there"
    )
    volume = quote("-v", f"SOURCE:{step.mount or step.path}")
    return per_platform(
        place,
        do,
        {
            "kubernetes": init,
            "compose": f"docker compose run --rm --no-deps --user 0 --entrypoint sh SERVICE -c {quote(command)}",
            "docker": f"docker run --rm --user 0 {volume} --entrypoint sh IMAGE -c {quote(command)}",
            "shell": command,
        },
    )


def join_group(place: Place, gids: list[int], do: str) -> tuple[Fix, ...]:
    """Give the container supplementary groups, by number: names differ from image to image."""
    numbers = ", ".join(map(str, gids))
    quoted = ", ".join(f'"{gid}"' for gid in gids)
    together = sorted({*place.groups, *gids} - {place.gid})
    snippets = {
        "kubernetes": f"spec:\n  securityContext:\n    supplementalGroups: [{numbers}]",
        "compose": f"services:\n  model:\n    group_add: [{quoted}]",
        "docker": "docker run " + " ".join(f"--group-add {gid}" for gid in gids) + " ...",
    }
    if place.platforms == ("shell",) and place.root:
        # Only a gate started as root can take groups on.
        who = f"{place.uid}:{place.gid}" + "".join(f",{gid}" for gid in together)
        snippets = {"shell": f"modelgate --run-as {who} -- ..."}
    elif place.platforms == ("shell",):
        return ()
    return per_platform(place, f"{do}: give the server the group{'s' if len(gids) > 1 else ''} {numbers}", snippets)


def not_the_mode(step: Step) -> tuple[Fix, ...]:
    """The mode bits would allow it and the kernel refuses: what can be looked at, told as the guess it is."""
    path = quote(step.path)
    fixes = []
    if is_network(step.fs):
        server = f"the server of {step.source}" if step.source else "the file server"
        do = f"Ask whoever runs {server}: it decides by its own rules (root squash, NFSv4 ACL, bucket policy)"
        fixes.append(Fix(when=f"{step.fs} is a network file system", do=do, snippet=f"id; ls -lnd {path}", who=CLUSTER))
    look = Fix(
        when="the node runs SELinux or AppArmor",
        do="See what it refused; a volume with a foreign SELinux label is relabelled with :z",
        snippet=f"ls -Zd {path}; ausearch -m avc -ts recent; dmesg | grep -i apparmor",
        who=CLUSTER,
    )
    return (*fixes, look)


def immutable(step: Step, flags: str) -> tuple[Fix, ...]:
    """EPERM where the mode would allow it is what an immutable or append-only file answers; "" where none was seen."""
    path = quote(step.path)
    do = "Take the immutable or append-only flag away"
    if flags:
        when = "nobody keeps it on purpose"
        return (Fix(when=when, do=do, snippet=f"chattr -{flags} {path}", who=CLUSTER),)
    return (Fix(when=f"`lsattr -d {path}` shows i or a", do=do, snippet=f"chattr -ia {path}", who=CLUSTER),)


def own(place: Place, step: Step, uid: int | None, gid: int | None) -> tuple[Fix, ...]:
    """Give the file the owner or group that the manifest asks for."""
    owner = f"{'' if uid is None else uid}{'' if gid is None else f':{gid}'}"
    return as_root(place, step, quote("chown", owner, step.path), f"Give {step.path} the owner the manifest asks for")


def set_mode(place: Place, step: Step, mode: str) -> tuple[Fix, ...]:
    """Give the file the mode that the manifest asks for."""
    do = f"Give {step.path} the mode the manifest asks for"
    if step.acl:
        do += " (its group digit becomes the mask of the ACL, and so limits every named user and group)"
    return as_root(place, step, quote("chmod", mode, step.path), do)


def _run_as_owner(place: Place, step: Step) -> tuple[Fix, ...]:
    uid, gid = step.uid, step.gid
    return (
        per_platform(
            place,
            f"Run the server as {uid}:{gid}, to whom {step.path} belongs",
            {
                "kubernetes": f"spec:\n  securityContext:\n    runAsUser: {uid}\n    runAsGroup: {gid}",
                "compose": f'services:\n  model:\n    user: "{uid}:{gid}"',
                "docker": f"docker run --user {uid}:{gid} ...",
            },
        )
        if place.platforms != ("shell",)
        else ()
    )


def _fs_group(place: Place, step: Step, part: str) -> tuple[Fix, ...]:
    # fsGroup is ignored on NFS, hostPath and whatever its driver does not support; from inside only the first shows.
    on_volume = step.mount not in ("", "/") and step.fs not in NETWORK_FS and not is_network(step.fs)
    if "kubernetes" not in place.platforms or not on_volume or step.fs == "overlay" or part == "u":
        return ()
    snippet = f"spec:\n  securityContext:\n    fsGroup: {place.gid or 2000}\n    fsGroupChangePolicy: OnRootMismatch"
    when = f"{WHEN['kubernetes']}, when {step.mount} is a block volume or an emptyDir (a hostPath ignores fsGroup)"
    return (Fix(when=when, do="Let Kubernetes give the volume to a group of the server", snippet=snippet),)


def _verbs(step: Step, letters: str) -> str:
    if step.type == "directory":
        if letters == "x":
            return f"pass through {step.path}"
        words = {"r": "list", "w": "write into", "x": ""}
        return " and ".join(words[c] for c in letters if words[c]) + f" {step.path}"
    return " and ".join(WORDS[c] for c in letters) + f" {step.path}"


def _word(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")[:40] or "path"
