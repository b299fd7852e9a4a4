"""Set a kernel parameter: for this container where the kernel allows it, else on the node."""

from modelgate.finding import CLUSTER, Fix
from modelgate.host import Place
from modelgate.remedies import per_platform, quote, scalar

# What a container may have of its own. Of net.core only somaxconn belongs to the network namespace on every kernel.
_OWN = frozenset(
    {
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced", "net.core.somaxconn",
    }
)  # fmt: skip
# The kubelet lets these through without being told to.
_SAFE = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    }
)  # fmt: skip


def is_own(name: str) -> bool:
    """A container can have its own value (with hostNetwork no net.* one)."""
    return name in _OWN or name.startswith(("fs.mqueue.", "net.ipv4.", "net.ipv6."))


def sysctl(place: Place, name: str, value: str) -> tuple[Fix, ...]:
    """`name` with dots; `value` as it is to be written."""
    pair = quote(f"{name}={value}")
    node = Fix(
        when="on the node itself" if place.container else "on this machine",
        do=f"Set {name} as root, and keep it over a reboot",
        snippet=f"sysctl -w {pair}\necho {pair} > /etc/sysctl.d/90-{name.replace('/', '.')}.conf",
        who=CLUSTER,
    )
    if not is_own(name):
        return (node,)
    allowed = "" if name in _SAFE else " (the kubelet needs it in --allowed-unsafe-sysctls)"
    fixes = per_platform(
        place,
        f"Set {name} for this container" + (allowed if _cluster(place) else ""),
        {
            "kubernetes": f'spec:\n  securityContext:\n    sysctls:\n      - name: {name}\n        value: "{value}"',
            "compose": f'services:\n  model:\n    sysctls:\n      {name}: "{value}"',
            "docker": f"docker run --sysctl {pair} ...",
            "shell": f"sysctl -w {pair}",
        },
    )
    return fixes if not place.container else (*fixes, node)


def _cluster(place: Place) -> bool:
    return any(p in ("kubernetes", "openshift") for p in place.platforms)


def room(place: Place, *, path: str, looked: str, fs: str, wanted: int) -> tuple[Fix, ...]:
    """More free bytes where `path` is or will be; `looked` is there now."""
    gib = max(1, -(-wanted // (1 << 30)))
    show = Fix(
        when="something there can go",
        do="See what takes the room, then remove it",
        snippet=f"du -xh --max-depth=2 {quote(looked)} | sort -h | tail -n 20",
    )
    if fs == "tmpfs":
        larger = per_platform(
            place,
            f"Make the memory file system larger (it counts as memory of the container): {gib} GiB free are wanted",
            {
                "kubernetes": "volumes:\n  - name: scratch\n    emptyDir:\n      medium: Memory\n"
                f"      sizeLimit: {gib}Gi\n{_mounted(path)}",
                "compose": "services:\n  model:\n    tmpfs:\n      - " + scalar(f"{path}:size={gib}g"),
                "docker": f"docker run --tmpfs {quote(f'{path}:size={gib}g')} ...",
                "shell": f"mount -o remount,size={gib}G {quote(looked)}",
            },
        )
        return (*larger, show)
    return (*_volume(place, path, f"{gib}Gi", f"at least {gib} GiB free are wanted"), show)


def inodes(place: Place, *, path: str, looked: str, fs: str, wanted: int) -> tuple[Fix, ...]:
    """More free inodes where `path` is or will be."""
    show = Fix(
        when="something there can go",
        do="See which directories hold the most files, then remove what is not needed",
        snippet=f"du -x --inodes --max-depth=2 {quote(looked)} | sort -n | tail -n 20",
    )
    if fs == "tmpfs":
        more = quote(f"{path}:nr_inodes={wanted * 2}")
        remount = f"mount -o remount,nr_inodes={wanted * 2} {quote(looked)}"
        larger = per_platform(
            place,
            "Give the memory file system more inodes",
            {"docker": f"docker run --tmpfs {more} ...", "shell": remount},
        )
        return (show, *larger)
    do = "a file system made with more inodes (mkfs.ext4 -N), or one without a fixed number (xfs), is wanted"
    return (show, *_volume(place, path, "100Gi", do))


def _volume(place: Place, path: str, size: str, do: str) -> tuple[Fix, ...]:
    bind = scalar(f"/data/model-scratch:{path}")
    return per_platform(
        place,
        f"Put a volume with more room at {path}: {do}",
        {
            "kubernetes": "# where the storage class can expand\n"
            f"""kubectl patch pvc NAME -p '{{"spec":{{"resources":{{"requests":{{"storage":"{size}"}}}}}}}}'\n"""
            "# or a volume of its own\nvolumes:\n"
            f"  - name: scratch\n    emptyDir: {{sizeLimit: {size}}}\n{_mounted(path)}",
            "compose": f"# docker system df shows what fills the disk, docker system prune removes what is unused\n"
            f"services:\n  model:\n    volumes:\n      - {bind}",
            "docker": f"# docker system df shows what fills the disk, docker system prune removes what is unused\n"
            f"docker run -v {quote(f'/data/model-scratch:{path}')} ...",
            "shell": f"df -h {quote(path)}",
        },
    )


def _mounted(path: str) -> str:
    return f"# in the container:\nvolumeMounts:\n  - name: scratch\n    mountPath: {scalar(path)}"


def port(place: Place, number: int) -> tuple[Fix, ...]:
    """Free a port, or take another one."""
    return per_platform(
        place,
        "End what holds the port, or let the server take another one",
        {
            "kubernetes": "# containers of a pod share their ports; with hostNetwork: true so do all pods of the node\n"
            "kubectl get pod NAME -o jsonpath='{.spec.hostNetwork} {.spec.containers[*].ports}'",
            "compose": f"# with network_mode: host the machine's own services count\nss -ltnp 'sport = :{number}'",
            "docker": f"# with --network host the machine's own services count\nss -ltnp 'sport = :{number}'",
            "shell": f"ss -ltnp 'sport = :{number}'",
        },
    )


def low_port(place: Place, number: int) -> tuple[Fix, ...]:
    """Let a user without NET_BIND_SERVICE bind a low port, or take one that everybody may."""
    name = "net.ipv4.ip_unprivileged_port_start"
    other = Fix(
        when=f"the server need not listen on {number} itself",
        do="Let it listen on a port from 1024 up, and let the Service or the published port be the low one",
        snippet=f"# Kubernetes Service\nports:\n  - {{port: {number}, targetPort: 8000}}\n# Docker\n-p {number}:8000",
    )
    return (other, *sysctl(place, name, str(number)))
