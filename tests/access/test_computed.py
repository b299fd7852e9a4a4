"""Another identity's view without root: computed from mode bits and ACLs, held against what the kernel really does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import access_kit
import msgspec
import pytest
from access_kit import BY_KEY, SERVER, facts_of, look, place_of, script, spec_of
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate import computed
from modelgate.finding import Finding, Level
from modelgate.host import Host, Place
from modelgate.identity import Identity
from modelgate.isolate import Job, Seen
from modelgate.walk import Step, Walk
from modelgate.walk.acl import text
from modelgate.walk.compute import walk_as

IN_GROUP = Identity(1001, 1002, (2000,))
ROOT = Identity(0, 0)
FILES = BY_KEY["files"]
DIR = "mkdir -p a/b/c; echo x >a/b/c/f;"
# What was done, and what is asked: everything that mode bits, ACLs and links decide.
TREES: dict[str, tuple[str, dict[str, Any]]] = {
    "open": (DIR, {"path": "a/b/c/f"}),
    "parent 0700": (DIR + "chmod 0700 a/b", {"path": "a/b/c/f"}),
    "three parents 0700": (DIR + "chmod 0700 a a/b a/b/c", {"path": "a/b/c/f"}),
    "first parent 0711": (DIR + "chmod 0711 a", {"path": "a/b/c/f"}),
    "parent of a group": (DIR + "chgrp 2000 a; chmod 0710 a", {"path": "a/b/c/f"}),
    "parent of our group closed": (DIR + "chgrp 1002 a; chmod 0705 a", {"path": "a/b/c/f"}),
    "file 0600": (DIR + "chmod 0600 a/b/c/f", {"path": "a/b/c/f"}),
    "file of ours": (DIR + "chown 1001 a/b/c/f; chmod 0077 a/b/c/f", {"path": "a/b/c/f"}),
    "file of a group": (DIR + "chgrp 2000 a/b/c/f; chmod 0040 a/b/c/f", {"path": "a/b/c/f"}),
    "ACL user": (DIR + "chmod 0700 a/b; setfacl -m u:1001:rx a/b", {"path": "a/b/c/f"}),
    "ACL user masked": (DIR + "chmod 0700 a/b; setfacl -m u:1001:rx,m::r a/b", {"path": "a/b/c/f"}),
    "ACL group": (DIR + "chmod 0700 a/b; setfacl -m g:2000:x a/b", {"path": "a/b/c/f"}),
    "ACL groups of which none gives all": (
        DIR + "setfacl -m g:1002:r,g:2000:w a/b/c/f", {"path": "a/b/c/f", "access": "rw"},
    ),
    "ACL keeps us out": (DIR + "setfacl -m u:1001:- a", {"path": "a/b/c/f"}),
    "write to a file": (DIR, {"path": "a/b/c/f", "access": "rw"}),
    "execute a file": (DIR, {"path": "a/b/c/f", "access": "rx"}),
    "write into a directory": (DIR + "chmod 0757 a", {"path": "a", "access": "rwx"}),
    "w without x": (DIR + "chmod 0756 a", {"path": "a", "access": "w"}),
    "through a link": (DIR + "ln -s a/b l; chmod 0700 a/b/c", {"path": "l/c/f"}),
    "through a link with ..": (DIR + "ln -s ../a a/l; chmod 0700 a/b", {"path": "a/l/b/../b/c/f"}),
    "dangling behind a closed directory": (
        "mkdir a; ln -s nowhere a/l; chmod 0700 a", {"path": "a/l"},
    ),
    "dangling": ("ln -s nowhere l", {"path": "l"}),
    "ring": ("ln -s l l", {"path": "l"}),
    "missing": (DIR, {"path": "a/b/nothing"}),
    "missing in a closed directory": (DIR + "chmod 0700 a/b", {"path": "a/b/nothing"}),
    "a file in the way": ("echo x >f", {"path": "f/g"}),
    "wrong type": (DIR, {"path": "a", "type": "file"}),
    "other mode": (DIR, {"path": "a/b/c/f", "mode": "0600"}),
}  # fmt: skip


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


def compute(asked: dict[str, Any], seen_by: Identity, *wanted: Identity) -> list[list[Finding]]:
    """What is computed for each of `wanted` of what `seen_by` saw."""
    job = Job(kind=FILES, specs=(spec_of(FILES, asked),), checks=("files[0]",), lines=(1,))
    seen = Seen(job, 0, facts_of(FILES, asked, seen_by), 0.0)
    return [computed.judge(seen, computed.place_for(place_of(seen_by), who)) for who in wanted]


@pytest.mark.root
@pytest.mark.parametrize("name", TREES)
def test_what_is_computed_is_what_the_kernel_does(name: str, tree: Path) -> None:
    """Same code, same deciding component, as when that identity really tries; and it says that it was computed."""
    done, asked = TREES[name]
    script(done, tree)
    asked = {**asked, "path": f"{tree}/{asked['path']}"}
    identities = (SERVER, IN_GROUP, ROOT)

    for who, found in zip(identities, compute(asked, ROOT, *identities), strict=True):
        real = look("files", asked, who)
        assert [(f.code, f.evidence["component"]) for f in found] == [(f.code, f.evidence["component"]) for f in real]
        for finding in found:
            assert finding.evidence["computed"] is True
            assert finding.observed.endswith("(computed from mode bits and ACLs, not tried)")
            assert finding.evidence["uid"] == who.uid


@pytest.mark.root
def test_every_parent_that_blocks_is_in_the_one_command_and_no_other(tree: Path) -> None:
    """Who computes sees behind the first one too."""
    script(DIR + "chmod 0700 a a/b/c", tree)
    asked = {"path": f"{tree}/a/b/c/f"}

    ((finding,),) = compute(asked, ROOT, SERVER)
    fix = next(f.snippet for f in finding.fixes if f.snippet.startswith("for d in"))
    script(fix, tree)

    assert f"for d in {tree}/a {tree}/a/b/c; do" in fix
    assert look("files", asked)[0].code == "ok"


@pytest.mark.root
def test_what_the_gate_itself_cannot_see_is_unknown_and_not_passed(tree: Path) -> None:
    """Refused here, and not there: nobody looked further."""
    script(DIR + "chown 1001 a/b; chmod 0700 a/b", tree)
    ((finding,),) = compute({"path": f"{tree}/a/b/c/f"}, Identity(1500, 1500), SERVER)

    assert (finding.level, finding.evidence["component"]) == (Level.UNKNOWN, f"{tree}/a/b")
    assert "computed" not in finding.evidence
    script("chmod 0700 a", tree)
    ((finding,),) = compute({"path": f"{tree}/a/b/c/f"}, Identity(1500, 1500), SERVER)
    assert (finding.code, finding.evidence["component"]) == ("path-blocked", f"{tree}/a")


@pytest.mark.root
@pytest.mark.parametrize(("mode", "code"), [("0777", "ok"), ("0755", "path-unwritable")])
def test_a_directory_to_be_made_is_not_made_by_a_gate_that_computes(mode: str, code: str, tree: Path) -> None:
    script(f"mkdir a; chmod {mode} a", tree)
    spec = spec_of(FILES, {"path": f"{tree}/a/new", "create": True})
    place = computed.place_for(Place(platforms=("shell",)), SERVER)
    facts = FILES.module.observe(spec, Host(place=place))
    job = Job(kind=FILES, specs=(spec,), checks=("files[0]",), lines=(1,))

    (finding,) = computed.judge(Seen(job, 0, facts, 0.0), place)

    assert (finding.code, finding.evidence["computed"], os.listdir(tree / "a")) == (code, True, [])


def test_root_is_taken_to_have_its_capability_but_runs_nothing_without_x() -> None:
    file = Step(path="/f", type="file", mode="0640", uid=1500, gid=1500)
    found = walk_as(Walk(path="/f", uid=1, gid=1, groups=(), steps=(file,), end=0), ROOT)

    assert found
    assert found.steps[0].may == "rw"


def test_read_only_and_noexec_mounts_count() -> None:
    file = Step(path="/f", type="file", mode="0777", options=("ro", "noexec"))
    found = walk_as(Walk(path="/f", uid=1, gid=1, groups=(), steps=(file,), end=0), SERVER)

    assert found is not None
    assert found.steps[0].may == "r"


@given(data=st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_bytes_that_are_no_acl_are_none(data: bytes) -> None:
    """No crash; what is text has one entry for each eight bytes."""
    found = text(data)

    assert found == "" or len(found.split(",")) == (len(data) - 4) // 8


@pytest.mark.root
def test_check_and_explain_without_root_compute_and_say_so(tree: Path) -> None:
    """The whole command, as uid 1500 for 1001:1002,2000."""
    script(DIR + "chmod 0710 a/b; chown 1500:2000 a/b; chmod 0640 a/b/c/f; chown 1500 a/b/c/f", tree)
    (tree / "m.yaml").write_text(f"files:\n  - path: {tree}/a/b/c/f\n  - {{path: {tree}/new, create: true}}\n")
    me = ["setpriv", "--reuid", "1500", "--regid", "1500", "--clear-groups", sys.executable, "-m", "modelgate"]
    options = ["--run-as", "1001:1002,2000", "-m", f"{tree}/m.yaml"]
    if subprocess.run([*me, "--version"], check=False, capture_output=True, cwd=tree).returncode:
        pytest.skip("this checkout or its interpreter lies where another user may not go")

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*me, *words, *options], check=False, capture_output=True, text=True, cwd=tree)

    checked = run("check", "--no-implied", "--format", "json")
    explained = run("explain", f"{tree}/a/b/c/f")

    found = {f["code"]: f for f in msgspec.json.decode(checked.stdout)["findings"]}
    assert checked.returncode == 77, checked.stderr
    assert found.keys() == {"path-unreadable", "path-unwritable", "identity-denied"}
    assert found["path-unreadable"]["evidence"]["computed"] is True
    assert "1001:1002,2000" in found["identity-denied"]["why"]
    assert explained.returncode == 77, explained.stderr
    assert explained.stdout.startswith(f"{tree}/a/b/c/f as 1001:1002,2000\n")
    assert "not tried" in explained.stdout
