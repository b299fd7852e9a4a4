"""Facts to fixes, in the syntax of the reader's platform. One module per theme; each remedy is one function."""

import re
import shlex

from modelgate.finding import DEPLOYER, Fix
from modelgate.host import Place

WHEN = {
    "kubernetes": "on Kubernetes",
    "openshift": "on OpenShift",
    "compose": "with docker compose",
    "docker": "with docker run",
    "podman": "with podman run",
    "shell": "in a shell",
}


def quote(*words: str) -> str:
    """One shell command line, every word quoted where it needs it."""
    return shlex.join(words)


_BARE = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z_/][A-Za-z0-9_./-]*", re.IGNORECASE)


def scalar(text: str) -> str:
    """`text` as it may stand for a value or a key in YAML, quoted where it needs it."""
    return text if _BARE.fullmatch(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def per_platform(place: Place, do: str, snippets: dict[str, str], who: str = DEPLOYER) -> tuple[Fix, ...]:
    """One Fix for each of the reader's platforms that has a snippet; all of them when none of theirs has.

    An OpenShift reader gets the kubernetes snippet where no openshift one is given, a podman reader the docker one.
    """
    fallback = {"openshift": "kubernetes", "podman": "docker"}
    chosen = []
    for platform in place.platforms:
        key = platform if platform in snippets else fallback.get(platform, platform)
        if key in snippets:
            snippet = snippets[key].replace("docker run", "podman run") if platform == "podman" else snippets[key]
            chosen.append(Fix(when=WHEN[platform], do=do, snippet=snippet, who=who))
    if chosen:
        return tuple(chosen)
    return tuple(Fix(when=WHEN[p], do=do, snippet=s, who=who) for p, s in snippets.items())
