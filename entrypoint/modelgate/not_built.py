"""What the manifest may ask for and this version cannot do yet: refused with its line, never ignored.

A kind says it of its own keys with `NOT_YET = ("memory", ...)`. A whole section is built from the moment its kind is
in KINDS.
"""

from collections.abc import Sequence
from typing import Any

from modelgate.kind import Kind, Shape
from modelgate.start.spec import SUPERVISE_ONLY
from modelgate.yaml_lines import Document
from modelgate.yaml_text import Issue, Path, fix, show

SECTIONS = ("models", "gpus", "python", "fleet")


def refuse(document: Document, kinds: Sequence[Kind]) -> None:
    """An issue for each such key; the keys are taken out of the data, for the schema does not know them."""
    data: dict[str, Any] = document.data
    version = data.get("version", 1)
    if isinstance(version, int) and not isinstance(version, bool) and version != 1:
        del data["version"]
        message = f"version {version} of the manifest's format is not known here; this modelgate reads version 1"
        cures = (
            fix("Use the modelgate that the manifest was written for", when="it was written for a newer one"),
            fix("Write the version it has", "version: 1", when="it was not"),
        )
        path: Path = ("version",)
        issue = Issue(line=document.line(path), path=path, message=message, fixes=cures, code="manifest-unsupported")
        document.issues.append(issue)
    built = {kind.key for kind in kinds}
    for key in SECTIONS:
        if key in data and key not in built:
            del data[key]
            _not_yet(document, (key,))
    for kind in kinds:
        section = data.get(kind.key)
        entries = enumerate(section) if kind.shape is Shape.LIST and isinstance(section, list) else [(None, section)]
        for n, entry in entries:
            for key in getattr(kind.module, "NOT_YET", ()):
                if isinstance(entry, dict) and key in entry:
                    del entry[key]
                    _not_yet(document, (kind.key, key) if n is None else (kind.key, n, key))
    if isinstance(data.get("launch"), dict):
        _launch(document, data["launch"])


def _launch(document: Document, launch: dict[str, Any]) -> None:
    if launch.get("mode") == "supervise":
        exec_mode = fix("Let the gate end in the server itself", "mode: exec", when="a supervisor is not needed")
        _not_yet(document, ("launch", "mode"), "`supervise`", exec_mode)
    elif launch.get("mode", "exec") == "exec":
        for key in SUPERVISE_ONLY:
            if key in launch:
                del launch[key]  # what is wrong inside it is beside the point
                _needs_supervise(document, ("launch", key))
    profiles = launch.get("profiles")
    for n, profile in enumerate(profiles if isinstance(profiles, list) else ()):
        if isinstance(profile, dict) and profile.get("needs"):
            path: Path = ("launch", "profiles", n, "needs")
            del profile["needs"]
            cure = fix("Remove `needs` and keep one profile: the first one is used", when="one profile is enough")
            _not_yet(document, path, "choosing a profile by what it needs", cure)


def _not_yet(document: Document, path: Path, what: str = "", *cures: Any) -> None:
    key = path[-1]
    what = what or f"`{key}`"
    remove = fix(
        f"Remove `{show(path)}` from the manifest", when="the server can start without that having been checked"
    )
    document.issues.append(
        Issue(
            line=document.line(path),
            path=path,
            message=f"{what} is not built in this version of modelgate",
            fixes=cures or (remove,),
            why="Ignoring what was asked for would pass a server that nobody has looked at.",
            code="manifest-unsupported",
        )
    )


def _needs_supervise(document: Document, path: Path) -> None:
    document.issues.append(
        Issue(
            line=document.line(path),
            path=path,
            message="needs `mode: supervise`, and the mode is exec",
            fixes=(fix(f"Remove `{show(path)}`", when="the server is to be process 1 itself (mode: exec)"),),
            why="In exec mode the gate has become the server: nothing is left that could do this.",
        )
    )
