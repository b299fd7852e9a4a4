"""It fails on this side: certificates, commands, sockets and limits of this container."""

from modelgate.finding import CLUSTER, IMAGE, Fix
from modelgate.host import Place
from modelgate.probes.spec import Spec
from modelgate.remedies import per_platform, quote
from modelgate.remedies.wait_words import entry, longer


def file(spec: Spec, path: str, place: Place) -> tuple[Fix, ...]:
    if spec.exec:
        return program(spec, path, place)
    mount = quote(f"./{path.rpartition('/')[2] or 'file'}:{path}:ro")
    return per_platform(
        place,
        f"Mount a PEM file at {path} that {place.who} may read",
        {
            "kubernetes": f"volumes:\n  - {{name: tls, secret: {{secretName: NAME, defaultMode: 0444}}}}\ncontainers:\n"
            f"  - volumeMounts: [{{name: tls, mountPath: {path}, subPath: KEY, readOnly: true}}]",
            "compose": f"services:\n  model:\n    volumes: [{mount}]",
            "docker": f"docker run -v {mount} ...",
            "shell": f"ls -l {quote(path)}; openssl x509 -noout -subject -in {quote(path)}",
        },
    )


def program(spec: Spec, path: str, _place: Place) -> tuple[Fix, ...]:
    name = (spec.exec or ("",))[0]
    if path.startswith("/"):
        run = f"RUN ls -l {quote(path)} && chmod a+rx {quote(path)}"
        do = "Make it executable there, and see that the interpreter of its first line is installed"
        find = f"command -v {quote(name.rpartition('/')[2])}"
        return (
            Fix(when="it is in the image", do=do, snippet=run, who=IMAGE),
            Fix(when="it is not", do="Install it in the image, or write where it is", snippet=find, who=IMAGE),
        )
    install = "RUN apt-get update && apt-get install -y PACKAGE"
    do = "Write its whole path"
    return (
        Fix(when="it is not in the image", do=f"Install {name} in the image", snippet=install, who=IMAGE),
        Fix(when="it is, in a folder outside of PATH", do=do, snippet=f"exec: [/opt/…/{name}]", who=IMAGE),
    )


def command(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    line = spec.subject
    return (
        *per_platform(
            place,
            "Run the command by hand, in the same image",
            {
                "kubernetes": f"kubectl debug -it POD --image=IMAGE -- {line}",
                "compose": f"docker compose run --rm --entrypoint '' model {line}",
                "docker": f"docker run --rm --entrypoint '' IMAGE {line}",
                "shell": line,
            },
        ),
        *longer(spec),
    )


_EVERYBODYS = ("", "/run", "/var/run", "/tmp", "/var/tmp")  # noqa: S108 - only named


def socket(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    path = str(spec.unix)
    if path.startswith("@"):
        return (*_abstract(path, place), *longer(spec))
    folder, _, name = path.rpartition("/")
    do = f"Start the server behind {path}, and share its folder with this container"
    if folder in _EVERYBODYS:  # a volume there would hide what else the image, or the node, keeps in it
        folder = f"{folder.rstrip('/')}/sockets"
        do = f"Let the server make its socket in a folder of its own, share that, and wait for unix: {folder}/{name}"
    return (
        *per_platform(
            place,
            do,
            {
                "kubernetes": "volumes:\n  - {name: sockets, emptyDir: {}}\n# in both containers:\nvolumeMounts:\n"
                f"  - {{name: sockets, mountPath: {folder}}}",
                "compose": f"# in both services:\nvolumes: [{quote(f'sockets:{folder}')}]",
                "docker": f"docker run -v {quote(f'{folder}:{folder}')} ...",
                "shell": f"ss -xlp | grep -F {quote(path)}",
            },
        ),
        *longer(spec),
    )


def _abstract(path: str, place: Place) -> tuple[Fix, ...]:
    """A name without a file: whoever shares the network namespace can reach it, and nobody else."""
    return per_platform(
        place,
        f"Start the server behind {path} in the same network namespace: an abstract socket is known only there",
        {
            "kubernetes": "# both containers in one pod\nkubectl logs POD --all-containers --tail 50",
            "compose": 'services:\n  model:\n    network_mode: "service:SERVER"',
            "docker": "docker run --network container:CONTAINER ...",
            "shell": f"ss -xlp | grep -F {quote(path)}",
        },
    )


def socket_denied(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    path = str(spec.unix)
    gid = place.gid
    return (
        *per_platform(
            place,
            f"Let {place.who} in: connecting needs w on the socket and x on every folder above it",
            {
                "kubernetes": f"securityContext:\n  supplementalGroups: [GID]  # the group of {path}",
                "compose": f'services:\n  model:\n    group_add: ["GID"]  # the group of {path}',
                "docker": f"docker run --group-add GID ...  # the group of {path}",
                "shell": f"namei -l {quote(path)}\nchgrp {gid} {quote(path)} && chmod g+w {quote(path)}",
            },
        ),
    )


def wrong_type(spec: Spec, path: str, place: Place) -> tuple[Fix, ...]:
    if spec.unix:
        do = "Write the path of the socket itself"
        return (entry("the socket is elsewhere", do, "unix: /run/…/app.sock"),)
    return file(spec, path, place)


def hung(_spec: Spec, path: str, _place: Place) -> tuple[Fix, ...]:
    return (
        Fix(when="in any case", do="See which mount it lies on, and have that mount recovered", who=CLUSTER,
            snippet=f"findmnt -T {quote(path)}; dmesg | tail -n 50"),
    )  # fmt: skip


def local(spec: Spec, _path: str, place: Place) -> tuple[Fix, ...]:
    return (
        *per_platform(
            place,
            "See the limits of this container: open files, processes, memory",
            {
                "kubernetes": "kubectl describe pod POD  # limits; kubelet: podPidsLimit",
                "compose": "services:\n  model:\n    pids_limit: 4096\n    ulimits: {nofile: 65536}",
                "docker": "docker run --pids-limit 4096 --ulimit nofile=65536 ...",
                "shell": "ulimit -a",
            },
        ),
        *longer(spec),
    )
