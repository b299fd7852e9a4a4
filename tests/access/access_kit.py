"""Trees on a real disk, looked at by real children of another identity; fixes applied and looked at again.

As a program (`access_kit.py KIND WHO SPEC [SPEC…]` with JSON specs) it prints the findings as JSON: for looks inside a
mount namespace of their own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from isolation_kit import isolate
from msgspec.structs import replace

from modelgate import identity, verdict
from modelgate.checks import KINDS
from modelgate.finding import Finding
from modelgate.host import Host, Place
from modelgate.identity import Identity
from modelgate.isolate import Job, Seen
from modelgate.kind import Kind
from modelgate.units import plain, revive

SERVER = Identity(1001, 1002)
BY_KEY = {kind.key: kind for kind in KINDS}
APPLICABLE = re.compile(r"(chmod|chgrp|chown|setfacl|chattr|mount|ln) ")
RUN_AS = re.compile(r"modelgate --run-as (\S+) ")


def open_tree() -> Iterator[Path]:
    """A directory that everybody may enter (pytest's own is 0700), removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="access-")).resolve()
    path.chmod(0o755)
    try:
        yield path
    finally:
        subprocess.run(["chattr", "-R", "-f", "-ia", str(path)], check=False, capture_output=True)
        shutil.rmtree(path, ignore_errors=True)


def script(text: str, folder: Path) -> None:
    """Run shell commands in `folder`; a failing one fails the test. Skips it where a tool is not installed."""
    for tool in ("setfacl", "chattr", "setpriv"):
        if tool in text and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    subprocess.run(["sh", "-euc", f"umask 022\n{text}"], cwd=folder, check=True, stdin=subprocess.DEVNULL)


def place_of(who: Identity, *platforms: str) -> Place:
    return Place(platforms=platforms or ("shell",), uid=who.uid, gid=who.gid, groups=who.groups, root=True)


def spec_of(kind: Kind, asked: dict[str, Any]) -> Any:
    """A Spec as the manifest makes it; durations and sizes in their plain form."""
    return msgspec.convert(asked, kind.module.Spec, dec_hook=revive)


def facts_of(kind: Kind, asked: dict[str, Any], who: Identity = SERVER) -> Any:
    """What a child that runs as `who` saw."""
    job = Job(kind=kind, specs=(spec_of(kind, asked),), checks=(f"{kind.key}[0]",), lines=(1,))
    (outcome,) = isolate(who).run([job])
    assert isinstance(outcome, Seen), outcome
    return outcome.facts


def look(key: str, asked: dict[str, Any], who: Identity = SERVER, *platforms: str) -> list[Finding]:
    """Look as `who` in a real child, and judge as the gate does."""
    kind = impatient(BY_KEY[key]) if "IMPATIENT" in os.environ else BY_KEY[key]
    job = Job(kind=kind, specs=(spec_of(kind, asked),), checks=(f"{key}[0]",), lines=(1,))
    (outcome,) = isolate(who).run([job])
    if isinstance(outcome, Seen):
        again = kind.module.judge(job.specs[0], outcome.facts, place_of(who, *platforms))
        assert again == kind.module.judge(job.specs[0], outcome.facts, place_of(who, *platforms))
    return verdict.judge(outcome, place_of(who, *platforms))


def impatient(kind: Kind) -> Kind:
    """The kind with a silence of one second, that no mount can lengthen: what hangs costs a test no half minute."""

    def observe(spec: Any, host: Host) -> Any:
        tell = host.tell
        host.tell = lambda **words: tell(**{key: words[key] for key in words if key != "silence"})
        return kind.module.observe(spec, host)

    words = {name: value for name, value in vars(kind.module).items() if not name.startswith("_")}
    return replace(kind, module=SimpleNamespace(**{**words, "observe": observe}), silence=1.0)


def mend(finding: Finding, who: Identity, folder: Path) -> Identity:
    """Apply the first fix that is a command here; the identity to look again with."""
    for fix in finding.fixes:
        if run_as := RUN_AS.match(fix.snippet):
            parsed = identity.parse(run_as[1])
            return parsed if isinstance(parsed, Identity) else Identity(parsed[0], parsed[1] or 0)
        if APPLICABLE.match(fix.snippet):
            script(fix.snippet, folder)
            return who
    raise AssertionError(f"no fix that can be applied: {[f.snippet for f in finding.fixes]}")


def in_own_mounts(setup: str, folder: Path, key: str, who: Identity, *asked: dict[str, Any]) -> list[Finding]:
    """The same look after `setup`, in a mount namespace that ends with it."""
    words = [key, who.text, *(json.dumps(spec) for spec in asked)]
    command = f'umask 022\n{setup}\nexec "$0" "$@"'
    return findings("unshare", "-m", "--propagation", "private", "sh", "-euc", command, *PROGRAM, *words, cwd=folder)


def in_mounts_of(pid: int, key: str, who: Identity, asked: dict[str, Any]) -> list[Finding]:
    """The same look, impatient, in the mount namespace of another process."""
    return findings("env", "IMPATIENT=1", "nsenter", "-m", "-t", str(pid), *PROGRAM, key, who.text, json.dumps(asked))


PROGRAM = (sys.executable, __file__)


def findings(*command: str, cwd: Path | None = None) -> list[Finding]:
    kits = {"PYTHONPATH": str(Path(__file__).parent.parent / "isolation")}
    done = subprocess.run(
        command, cwd=cwd, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ, **kits}
    )
    return msgspec.json.decode(done.stdout, type=list[Finding])


def main() -> None:
    key, text, *specs = sys.argv[1:]
    parsed = identity.parse(text)
    who = parsed if isinstance(parsed, Identity) else Identity(parsed[0], parsed[1] or 0)
    found = [finding for spec in specs for finding in look(key, json.loads(spec), who)]
    os.write(1, msgspec.json.encode(found, enc_hook=plain))


if __name__ == "__main__":
    main()
