"""Cures for a manifest that is missing, unreadable or not to be believed."""

import os
from typing import TYPE_CHECKING

from modelgate.finding import DEPLOYER, IMAGE, Fix
from modelgate.host import Place
from modelgate.remedies import per_platform, quote, scalar

if TYPE_CHECKING:
    from modelgate.manifest_source import Facts


def naming(path: str) -> str:
    """The command line that names a manifest."""
    return f"modelgate --manifest {quote(path)} -- COMMAND"


def missing(facts: "Facts", place: Place, *, named: bool) -> tuple[Fix, ...]:
    """A slip in the name, a manifest that was not mounted, or none that is needed."""
    folder = os.path.dirname(facts.absolute)
    fixes = [
        Fix(
            when=f"{name} is meant",
            do="Name what is there",
            snippet=naming(os.path.join(folder, name)),
            who=IMAGE,
        )
        for name in facts.near
    ]
    name = os.path.basename(facts.absolute)
    fixes += per_platform(
        place,
        f"Put the manifest at {facts.absolute}",
        {
            "kubernetes": f"# kubectl create configmap modelgate --from-file={quote(f'{name}={name}')}\n"
            f"volumes:\n  - {{name: modelgate, configMap: {{name: modelgate}}}}\n"
            f"volumeMounts:\n  - {{name: modelgate, mountPath: {scalar(folder)}, readOnly: true}}",
            "compose": f"services:\n  model:\n    volumes:\n      - {scalar(f'./{name}:{facts.absolute}:ro')}",
            "docker": f"docker run {quote('-v', f'./{name}:{facts.absolute}:ro')} ...",
            "shell": f"ls -la {quote(folder)}   # then put it there, or name where it is",
        },
    )
    leave = "Leave out --manifest, and take MODELGATE_MANIFEST away" if named else f"Remove the link {facts.absolute}"
    return (*fixes, Fix(when="no manifest is needed", do=leave, who=IMAGE))


def readable(facts: "Facts", place: Place) -> tuple[Fix, ...]:
    """A mode that keeps us out, or storage that fails."""
    if facts.failed in ("EACCES", "EPERM"):
        what, mode = (facts.blocked, "a+x") if facts.blocked else (facts.absolute, "a+r")
        return per_platform(
            place,
            f"Let uid {facts.me} {'search' if facts.blocked else 'read'} {what}",
            {
                "kubernetes": "volumes:\n  - name: modelgate\n    configMap: {name: modelgate, defaultMode: 0444}",
                "compose": f"chmod {mode} FILE   # on the host, what is mounted at {what}",
                "docker": f"chmod {mode} FILE   # on the host, what is mounted at {what}",
                "shell": f"chmod {mode} {quote(what)}",
            },
        )
    if facts.failed == "ELOOP":
        return (
            Fix(
                when="it is a link that leads to itself", do="Name the file", snippet=f"ls -la {quote(facts.absolute)}"
            ),
        )
    do = f"Look at the storage of {os.path.dirname(facts.absolute)}: this is no question of rights"
    return (Fix(when=f"{facts.failed} comes again", do=do, snippet=f"cat {quote(facts.absolute)}", who=DEPLOYER),)


def trusted(facts: "Facts", place: Place) -> tuple[Fix, ...]:
    """Nobody else may change it, or somebody says by name that this one is meant."""
    path, folder = facts.absolute, facts.folder
    words = []
    if facts.uid not in (0, facts.me):
        words.append(f"chown {facts.me} {quote(path)}")
    if facts.mode & 0o022:
        words.append(f"chmod go-w {quote(path)}")
    if facts.folder_uid not in (0, facts.me):
        words.append(f"chown {facts.me} {quote(folder)}")
    if facts.folder_mode & 0o022:
        words.append(f"chmod go-w {quote(folder)}")
    command = " && ".join(words)
    mount = f"./{os.path.basename(path)}:{path}:ro"
    own = "Make it belong to root or to the runtime identity, writable by nobody else"
    only_shell = place.platforms == ("shell",)
    fixes: tuple[Fix, ...] = ()
    owned = facts.uid in (0, facts.me) and facts.folder_uid in (0, facts.me)
    if owned and not only_shell:  # then the mode alone is in the way, and read-only it says nothing
        fixes = per_platform(
            place,
            "Mount it read-only",
            {
                "kubernetes": f"volumeMounts:\n  - {{name: modelgate, mountPath: {scalar(folder)}, readOnly: true}}",
                "compose": f"services:\n  model:\n    volumes: [{scalar(mount)}]",
                "docker": f"docker run {quote('-v', mount)} ...",
            },
        )
    when = "in any case" if only_shell else "it comes with the image"
    fixes += (Fix(when=when, do=own, snippet=command if only_shell else f"RUN {command}", who=IMAGE),)
    trust = Fix(
        when="you trust whoever can change it",
        do="Name it: one that is named is believed",
        snippet=naming(facts.path or path),
        who=IMAGE,
    )
    return (*fixes, trust)
