"""A home and caches that the server can write: the environment that moves them, or a volume in their place."""

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import replace

from modelgate.finding import CLUSTER, Fix
from modelgate.host import Place
from modelgate.remedies import paths, per_platform, quote, scalar
from modelgate.remedies.access import as_root
from modelgate.walk.steps import Step

_SCRATCH = "/scratch"  # a volume of that name, where not even a directory for temporary files can be written
_NAMES = {"XDG_CACHE_HOME": "xdg", "HF_HOME": "huggingface", "TRITON_CACHE_DIR": "triton", "CUDA_CACHE_PATH": "cuda"}
_COMPLETE = "the cache holds all that the server loads"


def environment(
    tmp: str, place: Place, *, home: bool = False, user: bool = False, moved: Sequence[str] = ()
) -> dict[str, str]:
    """Variables that move HOME, name the user, and let each of those in `moved` lead where this identity can write."""
    top = tmp or _SCRATCH
    caches = f"{top.rstrip('/')}/cache-{place.uid}"
    # In a container the directory itself: some programs do not make a home that is not there.
    new_home = f"{top.rstrip('/')}/home-{place.uid}" if place.platforms == ("shell",) else top
    found = {"HOME": new_home} if home or "HOME" in moved else {}
    found |= {"USER": "server"} if user else {}
    for variable in moved:
        if variable == "TMPDIR":
            found["TMPDIR"] = top
        elif variable != "HOME":
            found[variable] = f"{caches}/{_NAMES.get(variable, variable.partition('_')[0].lower())}"
    return found


def move(place: Place, env: Mapping[str, str], given: Collection[str] = (), tmp: str = "/") -> tuple[Fix, ...]:
    """Set these variables. `given`: what the manifest sets, and would set again. Without `tmp` a volume is mounted."""
    do = f"Set {' '.join(f'{name}={value}' for name, value in env.items())}, where the server can write"
    if {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} & set(env):
        do += " (weights that it downloads are kept only on a volume)"
    volume = "" if tmp else _SCRATCH
    if set(given) & set(env):
        line = "env:\n  set: {" + ", ".join(f"{name}: {scalar(value)}" for name, value in env.items()) + "}"
        more = per_platform(place, f"Mount something writable at {volume}", _mounts(volume)) if volume else ()
        return (paths.in_manifest(do, line, "the manifest sets it"), *more)
    return per_platform(place, do, _snippets(env, volume, place))


def offline(place: Place, given: Collection[str] = ()) -> tuple[Fix, ...]:
    """Let the hub's library only read."""
    fixes = move(place, {"HF_HUB_OFFLINE": "1"}, given)
    do = "Let the hub's library only read the cache"
    return tuple(replace(fix, when=f"{fix.when}, when {_COMPLETE}", do=do) for fix in fixes)


def volume(place: Place, path: str) -> tuple[Fix, ...]:
    """Put a writable volume where the cache is meant to be."""
    fixes = paths.mount(replace(place, platforms=_containers(place)), path, writable=True)
    return tuple(replace(fix, do=f"Mount a volume at {path} that {place.uid}:{place.gid} may write") for fix in fixes)


def demand(path: str) -> Fix:
    """For those who want the gate to stop here."""
    line = f"files:\n  - {{path: {scalar(path)}, type: directory, access: rwx}}"
    return paths.in_manifest("Ask for it in the manifest, and the gate stops", line, "the server cannot do without it")


def locks(place: Place, hub: str, lock: Step) -> tuple[Fix, ...]:
    """Lock files of somebody else: they hold nothing, and are made anew."""
    command = quote("rm", "-r", f"{hub.rstrip('/')}/.locks")
    return as_root(place, lock, command, "Remove the locks while nobody downloads: they hold nothing")


def flock(mount: str) -> tuple[Fix, ...]:
    """A Lustre mount that has no locks."""
    snippet = f"umount {quote(mount)} && mount -o flock {quote(mount)}"
    return (Fix(when="the mount can be changed", do="Mount it with flock", snippet=snippet, who=CLUSTER),)


def _snippets(env: Mapping[str, str], volume: str, place: Place) -> dict[str, str]:
    rows = [f"  - {{name: {name}, value: {_text(value)}}}" for name, value in env.items()]
    sets = [f"      {name}: {_text(value)}" for name, value in env.items()]
    docker = " ".join(quote("-e", f"{name}={value}") for name, value in env.items())
    exports = "export " + " ".join(f"{name}={quote(value)}" for name, value in env.items())
    mounts = _mounts(volume) if volume else {}
    tmpfs = f"\n    tmpfs: [{volume}]" if volume else ""
    flag = f"--tmpfs {volume} " if volume else ""
    make = [value for name, value in env.items() if name == "HOME" and value.endswith(f"-{place.uid}")]
    first = f"install -d -o {place.uid} -g {place.gid} {volume} && " if volume else ""
    first += f"mkdir -p {quote(*make)} && " if make else ""
    return {
        "kubernetes": "\n".join(["env:", *rows]) + (f"\n{mounts['kubernetes']}" if volume else ""),
        "compose": "\n".join(["services:", "  model:", "    environment:", *sets]) + tmpfs,
        "docker": f"docker run {flag}{docker} ...",
        "shell": f"{first}{exports}",
    }


def _mounts(volume: str) -> dict[str, str]:
    return {
        "kubernetes": f"volumeMounts:\n  - {{name: scratch, mountPath: {volume}}}\n"
        "# beside the containers\nvolumes:\n  - {name: scratch, emptyDir: {}}",
        "compose": f"services:\n  model:\n    tmpfs: [{volume}]",
        "docker": f"docker run --tmpfs {volume} ...",
    }


def _text(value: str) -> str:
    return f'"{value}"' if value.isdecimal() else scalar(value)


def _containers(place: Place) -> tuple[str, ...]:
    return tuple(p for p in place.platforms if p != "shell") or ("kubernetes", "compose", "docker")
