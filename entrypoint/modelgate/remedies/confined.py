"""Security modules, NFS servers and FUSE mounts: they refuse what the mode allows."""

from modelgate.finding import CLUSTER, Fix
from modelgate.host import Place
from modelgate.remedies import per_platform, quote
from modelgate.walk.steps import Step


def selinux(place: Place, step: Step, context: str) -> tuple[Fix, ...]:
    """A label that this process may not use: relabel the volume, or give the process the level of the data."""
    at = step.mount or step.path
    level = ":".join(context.split(":")[3:]) or "s0:c123,c456"
    fixes = per_platform(
        place,
        f"Give {at} a label that containers may use",
        {
            "kubernetes": f'spec:\n  securityContext:\n    seLinuxOptions: {{level: "{level}"}}   # that of the volume',
            "compose": f"services:\n  model:\n    volumes:\n      - SOURCE:{at}:z   # Z: for this container alone",
            "docker": f"docker run {quote('-v', f'SOURCE:{at}:z')} ...   # Z: for this container alone",
            "shell": f"chcon -t container_file_t {quote(step.path)}   # below the model: with -R",
        },
    )
    return (*fixes, _logged(f"ls -Zd {quote(step.path)}; ausearch -m avc -ts recent"))


def apparmor(place: Place) -> tuple[Fix, ...]:
    """The profile may forbid it: what it refused is in the node's log; without it the guess is proved or not."""
    fixes = per_platform(
        place,
        "Start once without the profile: when that helps, write a profile that allows it",
        {
            "kubernetes": "securityContext:\n  appArmorProfile: {type: Unconfined}",
            "compose": "services:\n  model:\n    security_opt: [apparmor=unconfined]",
            "docker": "docker run --security-opt apparmor=unconfined ...",
            "shell": "aa-status; aa-complain PROFILE",
        },
    )
    return (_logged("dmesg | grep -i apparmor"), *fixes)


def squashed(place: Place, step: Step) -> tuple[Fix, ...]:
    """Root is nobody on that server: be the owner of the files, or have the export changed."""
    export = step.source or "the export"
    who = f"{step.uid}:{step.gid}"
    fixes: tuple[Fix, ...] = ()
    if step.uid > 0:
        fixes = per_platform(
            place,
            f"Run the server as {who}, to whom {step.path} belongs: only root is squashed",
            {
                "kubernetes": f"spec:\n  securityContext:\n    runAsUser: {step.uid}\n    runAsGroup: {step.gid}",
                "compose": f'services:\n  model:\n    user: "{who}"',
                "docker": f"docker run --user {who} ...",
                "shell": f"modelgate --run-as {who} -- ...",
            },
        )
    snippet = "# /etc/exports of the server, then exportfs -ra\nEXPORT CLIENTS(ro,no_root_squash)"
    do = f"Export {export} without root_squash"
    return (*fixes, Fix(when="root is really needed", do=do, snippet=snippet, who=CLUSTER))


def too_many_groups(place: Place, step: Step) -> tuple[Fix, ...]:
    """AUTH_SYS carries 16 groups: send fewer, or let the server look them up itself."""
    server = step.source.partition(":")[0] or "the NFS server"
    do = f"Let {server} look up the groups itself (it must know the user)"
    return (
        *per_platform(
            place,
            f"Give the server only the groups that it needs, {step.gid} among them",
            {
                "kubernetes": f"spec:\n  securityContext:\n    supplementalGroups: [{step.gid}]",
                "compose": f'services:\n  model:\n    group_add: ["{step.gid}"]',
                "docker": f"docker run --group-add {step.gid} ...",
                "shell": f"modelgate --run-as {place.uid}:{place.gid},{step.gid} -- ...",
            },
        ),
        Fix(when="all groups are needed", do=do, snippet="rpc.mountd --manage-gids", who=CLUSTER),
    )


def fuse(step: Step) -> tuple[Fix, ...]:
    """Only the user who mounted it may use it, root included in the others."""
    do = f"Mount {step.mount} with allow_other (and user_allow_other in /etc/fuse.conf)"
    return (Fix(when="others are to use the mount", do=do, snippet="-o allow_other", who=CLUSTER),)


def _logged(snippet: str) -> Fix:
    when = "on the node, to see whether that is so"
    return Fix(when=when, do="See what was refused", snippet=snippet, who=CLUSTER)
