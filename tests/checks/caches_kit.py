"""Homes and caches as a server with a given environment meets them; the fix that is printed, applied for real."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from access_kit import open_tree, place_of, script
from isolation_kit import isolate

from modelgate import verdict
from modelgate.checks import KINDS, caches
from modelgate.finding import Finding, Fix
from modelgate.host import Host
from modelgate.identity import Identity
from modelgate.isolate import Job

NAMELESS = Identity(54321, 54321)  # no passwd entry anywhere
ROOT = Identity(0, 0)
AT_HOME = {"HOME": "@/home", "USER": "a"}
VLLM = ("vllm", "serve", "org/name")
(KIND,) = [kind for kind in KINDS if kind.key == "caches"]
Env = dict[str, str]
SNAPSHOT = "hub/models--org--name/snapshots/abc"
CACHE = f"""mkdir -p {SNAPSHOT} hub/models--org--name/blobs
echo x > hub/models--org--name/blobs/b
ln -s ../../blobs/b {SNAPSHOT}/model.safetensors"""
LOCKS = "mkdir -p hub/.locks/models--org--name; touch hub/.locks/models--org--name/e.lock; chmod 777 hub"


def tree_of_homes() -> Iterator[Path]:
    """tmp, home: for everybody; readable, with an empty hub: root's; shared: of group 2000; link: to home."""
    for path in open_tree():
        script("mkdir -p tmp home readable/hub; chmod 1777 tmp home; ln -s home link", path)
        script("install -d -g 2000 -m 2775 shared", path)
        yield path


def environ(tree: Path, given: Env) -> Env:
    """`@` is the tree. TMPDIR is in it, so that no test leaves anything elsewhere."""
    return {"TMPDIR": f"{tree}/tmp", **{name: value.replace("@", str(tree)) for name, value in given.items()}}


def look(
    env: Env, command: tuple[str, ...] = VLLM, who: Identity = NAMELESS, *platforms: str, proc: str = "/proc",
    given: tuple[str, ...] = (), covered: tuple[str, ...] = (),
) -> list[Finding]:  # fmt: skip
    """All that is not ok, as the gate tells it."""
    isolation = isolate(who)
    isolation.host = Host(environ=env, proc=proc)
    spec = caches.Spec(command=command, given=given, covered=covered)
    job = Job(kind=KIND, specs=(spec,), checks=("caches",), lines=(None,), implied_by="the environment")
    (outcome,) = isolation.run([job])
    found = verdict.judge(outcome, place_of(who, *platforms))
    assert "check-lost" not in [finding.code for finding in found], found
    return [finding for finding in found if finding.code != "ok"]


def apply(fix: Fix, env: Env, who: Identity, folder: Path) -> Env:
    """The environment after the fix: an `export` line is run by a shell as the identity, anything else as root."""
    given = re.fullmatch(r"env:\n  set: \{(.*)\}", fix.snippet)
    if given:
        return {**env, **dict(pair.split(": ", 1) for pair in given[1].replace('"', "").split(", "))}
    user = ["setpriv", "--reuid", str(who.uid), "--regid", str(who.gid), "--clear-groups"]
    as_server = user if "export " in fix.snippet else []
    script = f"{fix.snippet}\nenv -0"
    path = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*as_server, "sh", "-euc", script], cwd=folder, env={**env, **path}, check=True, capture_output=True, text=True
    )
    after = dict(row.split("=", 1) for row in done.stdout.split("\0") if row)
    return {name: value for name, value in after.items() if name not in ("PATH", "PWD", "OLDPWD", "SHLVL", "_")}
