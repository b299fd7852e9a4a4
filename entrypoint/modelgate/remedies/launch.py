"""Make the server's command one that the kernel can run."""

import json
import os
import re
import shlex

from modelgate.finding import IMAGE, Fix
from modelgate.host import Place
from modelgate.remedies import per_platform, quote

_BUILTINS = frozenset({".", "alias", "cd", "eval", "exec", "export", "set", "source", "trap", "ulimit", "umask"})
RUNNERS = {".py": "python", ".sh": "sh", ".bash": "bash", ".pl": "perl", ".js": "node"}


def start_with(place: Place, words: list[str], do: str) -> tuple[Fix, ...]:
    """The command written right, wherever it is written."""
    whole = json.dumps(["modelgate", "--", *words], ensure_ascii=False)
    return (
        Fix(when="in the Dockerfile", do=do, snippet=f"ENTRYPOINT {whole}", who=IMAGE),
        *per_platform(
            place,
            do,
            {
                "kubernetes": f"command: {whole}",
                "compose": f"services:\n  model:\n    entrypoint: {whole}",
                "docker": f"docker run --entrypoint modelgate IMAGE -- {quote(*words)}",
                "shell": f"modelgate -- {quote(*words)}",
            },
        ),
    )


def empty_word() -> Fix:
    """`modelgate -- "$CMD"` with CMD unset."""
    return Fix(
        when="it comes from a variable",
        do="Set that variable, or write the command itself after --",
        snippet='ENTRYPOINT ["modelgate", "--", "python", "serve.py"]',
        who=IMAGE,
    )


def not_found(
    place: Place, word: str, rest: list[str], *, near: tuple[str, ...], unsearched: tuple[str, ...]
) -> tuple[Fix, ...]:
    """No file of that name."""
    words = _split(word)
    if len(words) > 1:
        return start_with(place, [*words, *rest], "Write each word by itself: this is the whole line in one word")
    if word in _BUILTINS:
        line = " ".join([word, *(shlex.quote(w) for w in rest)])
        return start_with(place, ["sh", "-c", line], f"{word} is a word of the shell and no program: start a shell")
    if re.fullmatch(r"[A-Za-z_]\w*=.*", word):
        return start_with(place, ["env", word, *rest], "Variables before a command are the shell's: let env set them")
    if word.startswith("-"):
        do = "The command is missing: modelgate starts what stands after --, and this is an option"
        return start_with(place, ["python", "serve.py", word, *rest], do)
    fixes = [f for name in near[:1] for f in start_with(place, [name, *rest], f"Write {name}, if that is meant")]
    fixes += [
        Fix(
            when=f"the program is in {folder}",
            do="Install it where every user may read it (/opt, /usr/local), or let others pass into its directory",
            snippet=f"namei -l {quote(folder)}",
            who=IMAGE,
        )
        for folder in unsearched[:1]
    ]
    there = f"RUN command -v {quote(word)}" if "/" not in word else f"RUN test -x {quote(word)}"
    fixes.append(
        Fix(
            when="it is not in the image",
            do="Install it, or put its directory into PATH; this line makes the build fail as long as it is not there",
            snippet=there,
            who=IMAGE,
        )
    )
    return tuple(fixes)


def _split(word: str) -> list[str]:
    if not any(c.isspace() for c in word):
        return [word]
    try:
        return shlex.split(word)
    except ValueError:  # an open quote
        return word.split()


def mode(place: Place, path: str, words: list[str]) -> tuple[Fix, ...]:
    """The file's mode lacks x for the identity."""
    build = Fix(
        when="it comes with the image",
        do="Make it executable for everybody",
        snippet=f"RUN chmod 0755 {quote(path)}",
        who=IMAGE,
    )
    mounted = per_platform(
        place,
        "It comes from a mount: make it executable there",
        {
            "kubernetes": "volumes:\n  - name: scripts\n    configMap: {name: NAME, defaultMode: 0755}",
            "compose": f"chmod 0755 ./{quote(os.path.basename(path))}   # on the host, before the mount",
            "docker": f"chmod 0755 ./{quote(os.path.basename(path))}   # on the host, before the mount",
            "shell": f"chmod 0755 {quote(path)}",
        },
    )
    runner = RUNNERS.get(os.path.splitext(path)[1])
    return (build, *mounted, *(through(runner, path, words) if runner else ()))


def through(runner: str, path: str, words: list[str]) -> tuple[Fix, ...]:
    """Start the script by naming what runs it; nothing where `path` is not the command itself (no `words`)."""
    if not words:
        return ()
    whole = json.dumps(["modelgate", "--", runner, path, *words[1:]], ensure_ascii=False)
    return (Fix(when="it is a script", do=f"Start it with {runner}", snippet=f"ENTRYPOINT {whole}", who=IMAGE),)


def elsewhere(path: str) -> Fix:
    """A directory on the way to `path` denies: the way round."""
    return Fix(
        when="it can be elsewhere",
        do="Install the program where every user may read it, and not in a home directory",
        snippet=f"# in the Dockerfile, for example\nRUN python -m venv /opt/venv\n# what is there now: {quote(path)}",
        who=IMAGE,
    )


def noexec(place: Place, path: str, mount: str) -> tuple[Fix, ...]:
    """The mount forbids execution."""
    away = Fix(
        when="it can be elsewhere",
        do="Keep programs in the image, and only data on that mount",
        snippet=f"COPY --chmod=0755 {quote(os.path.basename(path))} /usr/local/bin/",
        who=IMAGE,
    )
    allow = per_platform(
        place,
        "Mount it without noexec",
        {
            "kubernetes": "# PersistentVolume or StorageClass\nmountOptions: [exec]",
            "compose": f'services:\n  model:\n    tmpfs:\n      - "{mount}:exec"',
            "docker": f"docker run --tmpfs {quote(f'{mount}:exec')} ...",
            "shell": f"mount -o remount,exec {quote(mount)}",
        },
    )
    return (away, *allow)
