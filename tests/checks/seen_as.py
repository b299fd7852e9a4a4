"""A check as the gate makes it: in a child of its own that has become the runtime identity."""

import os
from pathlib import Path
from typing import Any

from isolation_kit import isolate, only

from modelgate.host import Host
from modelgate.identity import Identity
from modelgate.isolate import Job
from modelgate.kind import kind


def seen_as(uid: int, module: Any, spec: Any, host: Host | None = None) -> Any:
    """The facts that a child of this uid and gid brings back. Needs root."""
    isolation = isolate(Identity(uid, uid))
    isolation.host = host or Host()
    job = Job(kind=kind("test", module), specs=(spec,), checks=("test[0]",), lines=(None,))
    return only(list(isolation.run([job]))).facts


def open_to_all(path: Path) -> Path:
    """Let everybody pass into a test's own directory: pytest's are closed to others. The path itself."""
    for folder in (path, path.parent, path.parent.parent):
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest-", path.name)):
            folder.chmod(0o755)
    return path
