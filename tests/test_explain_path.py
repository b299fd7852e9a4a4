"""`explain PATH`: the table names every component, the verdict names the one that decides."""

from collections.abc import Iterator
from pathlib import Path

import access_kit
import pytest
from access_kit import SERVER, facts_of, place_of, script

from modelgate import explain_path
from modelgate.host import Host
from modelgate.kind import kind
from modelgate.walk import Step, Walk

EXPLAIN = kind("explain", explain_path)


@pytest.fixture
def tree() -> Iterator[Path]:
    yield from access_kit.open_tree()


def explain(path: str) -> tuple[str, list[str]]:
    """What uid 1001 is told, and the codes."""
    spec = explain_path.Spec(path=path)
    facts = facts_of(EXPLAIN, {"path": path}, SERVER)
    findings = explain_path.judge(spec, facts, place_of(SERVER))
    return explain_path.render(facts, findings, place_of(SERVER)), [f.code for f in findings]


def row(text: str, start: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{start}  ")]
    return line


@pytest.mark.root
def test_a_blocked_path_shows_the_component_the_verdict_and_the_fix(tree: Path) -> None:
    script("mkdir -p a/b; echo x >a/b/f; chmod 0700 a/b; ln -s a/b l", tree)

    text, codes = explain(f"{tree}/l/f")

    assert codes == ["path-blocked"]
    assert text.splitlines()[0] == f"{tree}/l/f as 1001:1002"
    assert "COMPONENT" in text
    assert f"{tree}/l -> a/b" in text
    assert "REFUSED: EACCES" in row(text, f"{tree}/a/b")
    assert "0700" in row(text, f"{tree}/a/b")
    assert f"path-blocked: {tree}/l/f: EACCES" in text
    assert f"      chmod o+x {tree}/a/b" in text


@pytest.mark.root
def test_acls_are_shown_with_the_mask_and_the_default_one(tree: Path) -> None:
    """Only what the mode does not say."""
    script("mkdir d; echo x >d/f; setfacl -m u:1001:rx,m::r d; setfacl -d -m g:2000:rx d", tree)

    text, codes = explain(f"{tree}/d/f")

    assert codes == ["path-blocked"]
    assert " u:1001:r-x,g::r-x,m::r--,d:g::r-x,g:2000:r-x,m::r-x " in row(text, f"{tree}/d")
    assert "the mask (r) takes x away" in text
    assert f"      setfacl -m m::rx {tree}/d" in text


@pytest.mark.root
def test_a_path_that_can_be_read_says_so_and_who_may_change_it(tree: Path) -> None:
    script("echo x >f; chown 1001 f", tree)

    text, codes = explain(f"{tree}/f")

    assert codes == ["ok"]
    assert "ok: 1001:1002 may read, write it" in text
    assert row(text, f"{tree}/f").endswith("1001, root")


@pytest.mark.root
@pytest.mark.parametrize(
    ("done", "code"), [("echo x >t; chmod 0600 t", "path-unreadable"), ("mkdir t; chmod 0700 t", "path-unreadable"),
                       ("mkdir t; chmod 0744 t", "path-not-executable"), ("mknod t c 1 3; chmod 0666 t", "ok"),
                       ("mkfifo t; chmod 0666 t", "ok")],
)  # fmt: skip
def test_the_end_of_the_path_is_judged_without_opening_it(done: str, code: str, tree: Path) -> None:
    script(done, tree)

    assert explain(f"{tree}/t")[1] == [code]


def test_a_device_on_a_nodev_mount_is_refused_though_its_mode_allows() -> None:
    """As open() does; faccessat() says yes."""
    node = Step(path="/m/n", type="character device", mode="0666", mount="/m", fs="tmpfs", options=("nodev",), may="rw")
    found = Walk(path="/m/n", uid=1001, gid=1002, groups=(), steps=(node,), end=0)

    (finding,) = explain_path.judge(explain_path.Spec(path="/m/n"), found, place_of(SERVER))

    assert (finding.code, finding.fixes[0].snippet) == ("device-denied-mode", "mount -o remount,bind,dev /m")


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m").write_text("x")
    spec = explain_path.Spec(path=f"{tmp_path}/a\x1b[31m")
    facts = explain_path.observe(spec, Host())

    text = explain_path.render(facts, explain_path.judge(spec, facts, place_of(SERVER)), place_of(SERVER))

    assert "\x1b" not in text
    assert "\\x1b[31m" in text
