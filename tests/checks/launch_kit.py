"""What the tests of the command share: look at it as the gate does, and ask the kernel what it really does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from modelgate.checks import launch
from modelgate.finding import Finding
from modelgate.host import Host, Place

DOCKER = Place(platforms=("docker",), container=True, uid=1001, gid=1001)
PATH = "/usr/local/bin:/usr/bin:/bin"
SH = shutil.which("sh", path="/usr/bin:/bin") or "/bin/sh"


def look(*command: str, path: str | None = PATH, cwd: str = "", place: Place = DOCKER) -> Finding:
    """The finding for a command, with this PATH (None: not set)."""
    environ = {} if path is None else {"PATH": path}
    spec = launch.Spec(command=command, cwd=cwd)
    (found,) = launch.judge(spec, launch.observe(spec, Host(environ=environ)), place)
    return found


def execute(program: str) -> int:
    """errno of a real exec; 0 when it went well."""
    try:
        subprocess.run([program], env={"PATH": PATH}, capture_output=True, check=False, timeout=20)
    except OSError as error:
        return error.errno or -1
    return 0


def handed_over(name: str, path: str) -> str:
    """What the start of the server makes of the same command: `PATH ERRNO`, or nothing when it was executed."""
    script = (
        "import os, sys\nfrom modelgate.start import search\n"
        "refusal = search.execute([sys.argv[1].encode()], {b'PATH': sys.argv[2].encode()})\n"
        "print(os.fsdecode(refusal.path), refusal.errno)"
    )
    told = subprocess.run([sys.executable, "-c", script, name, path], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def write(folder: Path, name: str, content: str | bytes, mode: int = 0o755) -> str:
    """A file of that content and mode, with the directories above it; its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return os.fspath(path)
