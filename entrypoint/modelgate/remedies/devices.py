"""Device nodes: pass them, let the identity open them, bring the driver back."""

import re

from modelgate.finding import CLUSTER, IMAGE, Fix
from modelgate.host import Place
from modelgate.remedies import WHEN, access, per_platform, quote, scalar
from modelgate.walk.steps import Step

# Which device plugin hands out which nodes; more than one where the name does not tell the vendor.
_PLUGINS = (
    (re.compile(r".*/nvidia[^/]*$|.*/nvidia-caps/.*"), (("NVIDIA", "nvidia.com/gpu"),)),
    (re.compile(r".*/kfd$"), (("AMD", "amd.com/gpu"),)),
    (re.compile(r".*/dri(/.*)?$"), (("AMD", "amd.com/gpu"), ("Intel", "gpu.intel.com/i915"))),
    (re.compile(r".*/infiniband/.*"), (("RDMA", "rdma/hca_shared_devices_a"),)),
    (re.compile(r".*/(kvm|vfio/.*)$"), (("KubeVirt", "devices.kubevirt.io/kvm"),)),
)


def hand_over(place: Place, path: str) -> tuple[Fix, ...]:
    """The container lacks the node, or may not use it: pass it as a device (node and device cgroup rule together)."""
    fixes: list[Fix] = []
    wild = any(c in path for c in "*?[")
    known = next((plugins for pattern, plugins in _PLUGINS if pattern.fullmatch(path)), ())
    if "kubernetes" in place.platforms or "openshift" in place.platforms:
        when = WHEN["openshift" if "openshift" in place.platforms else "kubernetes"]
        for vendor, resource in known:
            snippet = f"resources:\n  limits:\n    {resource}: 1"
            do = f"Ask for the device of {vendor}; its device plugin passes the nodes"
            fixes.append(Fix(when=f"{when}, with the {vendor} device plugin", do=do, snippet=snippet))
        if not known:
            name = re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")
            source = path.rsplit("/", 1)[0] if wild else path
            snippet = (
                f"volumes:\n  - {{name: {name}, hostPath: {{path: {scalar(source)}}}}}\n# in the container\n"
                f"volumeMounts:\n  - {{name: {name}, mountPath: {scalar(source)}}}\n"
                "securityContext: {privileged: true}   # no device cgroup; a device plugin does with less"
            )
            fixes.append(Fix(when=f"{when}, without a device plugin for it", do="Mount the node", snippet=snippet))
    source = path.rsplit("/", 1)[0] if wild else path  # --device takes a directory, and no pattern
    snippets = {
        "compose": f"services:\n  model:\n    devices:\n      - {scalar(f'{source}:{source}')}",
        "docker": f"docker run {quote('--device', source)} ...",
        "shell": f"ls -l {quote(source)}; lsmod; dmesg | tail -n 30   # the driver makes the node",
    }
    if known and known[0][0] == "NVIDIA":
        snippets["docker"] = "docker run --gpus all ..."
        snippets["compose"] = (
            "services:\n  model:\n    deploy:\n      resources:\n        reservations:\n          devices:\n"
            "            - {driver: nvidia, count: all, capabilities: [gpu]}"
        )
    mine = {key: text for key, text in snippets.items() if key in place.platforms or key == "docker"}
    if fixes and not {"compose", "docker", "podman", "shell"} & set(place.platforms):
        return tuple(fixes)
    return (*fixes, *per_platform(place, f"Pass {source} to the container as a device", mine))


def let_in(place: Place, steps: list[Step], letters: str) -> tuple[Fix, ...]:
    """The mode of the nodes refuses: the group by its number, else the mode on the node (the machine)."""
    groups = frozenset((place.gid, *place.groups))
    # Never group 0: it is taken away again from a server that is started as another user.
    closed = [s for s in steps if s.part(place.uid, groups) == "o" and not s.acl and s.gid > 0]
    gids = sorted({s.gid for s in closed if s.gives(letters, "g")})
    fixes: list[Fix] = []
    if gids:
        do = f"The group of the node may {' and '.join(access.WORDS[c] for c in letters)} it"
        fixes += access.join_group(place, gids, do)
    rest = [s for s in steps if s.gid not in gids]
    if rest or not fixes:
        commands = [access.mode_command(place, s, letters, s.part(place.uid, groups)) for s in (rest or steps)]
        do = "Let the server's group use the node, on the machine itself (a container gets a copy when it is made)"
        fixes.append(Fix(when="on the machine, as root", do=do, snippet="\n".join(commands), who=CLUSTER))
    return tuple(fixes)


def without_nodev(place: Place, step: Step) -> tuple[Fix, ...]:
    """A mount with nodev opens no device node, whatever its mode."""
    return (
        Fix(
            when=f"{step.mount} may hold devices",
            do=f"Mount {step.mount} without nodev",
            snippet=f"mount -o remount,dev {quote(step.mount)}",
            who=CLUSTER,
        ),
        *hand_over(place, step.path),
    )


def allow(place: Place, path: str, device: str, kind: str) -> tuple[Fix, ...]:
    """The device cgroup refuses. `device` is MAJOR:MINOR."""
    rule = f"{'b' if kind.startswith('block') else 'c'} {device} rwm"
    fixes = list(hand_over(place, path))
    if {"compose", "docker", "podman"} & set(place.platforms):
        fixes += per_platform(
            Place(platforms=tuple(p for p in place.platforms if p in ("compose", "docker", "podman"))),
            "Or add the rule alone, when the node itself is mounted",
            {
                "compose": f'services:\n  model:\n    device_cgroup_rules: ["{rule}"]',
                "docker": f"docker run {quote('--device-cgroup-rule', rule)} ...",
            },
        )
    again = Fix(
        when="it worked until lately (a systemctl daemon-reload on the machine takes GPUs away from containers)",
        do="Make the container anew; for good: CDI, or the links below",
        snippet="nvidia-ctk system create-dev-char-symlinks --create-all",
        who=CLUSTER,
    )
    return (*fixes, again)


def driver(place: Place) -> tuple[Fix, ...]:
    """The node is there and no driver, or no device, answers behind it."""
    shell = Fix(
        when="on the machine, as root",
        do="See what the kernel says of the device, and load or reset its driver",
        snippet="dmesg | tail -n 50; lsmod; lspci -nnk",
        who=CLUSTER,
    )
    more = per_platform(
        place,
        "Move to another node until it is repaired; then make the container anew, so that it gets fresh nodes",
        {
            "kubernetes": "kubectl cordon NODE; kubectl delete pod POD",
            "docker": "docker rm -f CONTAINER; docker run ...",
        },
        CLUSTER,
    )
    return (shell, *more) if place.platforms != ("shell",) else (shell,)


def ask_less(count: int, path: str) -> Fix:
    """The manifest asks for more than the place has."""
    line = f"devices:\n  - {{path: {scalar(path)}, count: {count}}}"
    return Fix(when=f"{count} are enough", do="Ask for what is there", snippet=line, who=IMAGE)
