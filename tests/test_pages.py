"""The pages of `modelgate explain CODE`, held against the table of exit codes and against the source."""

import ast
import re
from pathlib import Path

import pytest

import modelgate
from modelgate import exits, pages
from modelgate.checks import KINDS
from modelgate.kind import Kind

PACKAGE = Path(modelgate.__file__).parent
CODES = sorted(exits.OF_CODE)


@pytest.fixture(scope="module")
def named() -> set[str]:
    """Every code that stands as a text of its own somewhere in the source, the table of exits left out."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "exits.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found & set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_page_with_its_exit_and_who_acts(code: str) -> None:
    page = pages.page(code)

    assert page is not None
    row = next(row for row in exits.ROWS if code in row[2])
    assert page.startswith(f"# {code}\n\nExit code {row[0]}. Who acts: {row[1]}.\n")


@pytest.mark.parametrize("code", CODES)
def test_every_page_has_the_four_headings_or_says_that_it_is_not_reported(code: str) -> None:
    page = pages.page(code) or ""
    headings = tuple(re.findall("^### (.+)$", page, re.MULTILINE))

    if pages.reported(code):
        assert headings == pages.HEADINGS
        bodies = re.split("^### .+$", page, flags=re.MULTILINE)[1:]
        assert all(body.strip() for body in bodies)
    else:
        assert headings == pages.HEADINGS[:1]
        assert page.endswith(f"\n{pages.NOT_REPORTED}\n")


def test_every_page_belongs_to_a_code() -> None:
    found = set()
    for path in (PACKAGE / "pages").glob("*.md"):
        found |= set(re.findall("^## (.+)$", path.read_text(), re.MULTILINE))

    assert found == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_page_says_of_this_version_what_is_true(code: str, named: set[str]) -> None:
    """A code that no module names cannot be reported; one that is named can."""
    assert pages.reported(code) is (code in named)


def test_no_page_holds_a_number_of_the_table() -> None:
    """The exit code comes from one place."""
    for path in (PACKAGE / "pages").glob("*.md"):
        numbers = {str(row[0]) for row in exits.ROWS} - {"126", "127"}  # what a shell answers is a fact of its own
        assert not {n for n in numbers if re.search(rf"exit(s| code)? (with )?{n}\b", path.read_text())}


def test_what_is_no_code_has_no_page() -> None:
    assert pages.page("path-blokced") is None
    assert pages.page("") is None
    assert pages.page("../exits") is None


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("path-blokced", "path-blocked"),
        ("PATH_BLOCKED", "path-blocked"),
        ("port in use", "port-in-use"),
        ("disk", "disk-full"),
        ("refused", "wait-refused"),
    ],
)
def test_a_slip_leads_to_the_code(typed: str, first: str) -> None:
    near = pages.near(typed)

    assert near[0] == first
    assert len(near) <= 3


def test_nothing_like_a_code_has_no_near_one() -> None:
    assert pages.near("xyzzyxyzzy") == []
    assert pages.near("") == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_every_check_says_what_it_looks_at_and_what_it_cannot_see(kind: Kind) -> None:
    """The headings of a check's module, in this order."""
    headings = re.findall("^## (.+)$", kind.module.__doc__ or "", re.MULTILINE)

    assert headings == ["What is looked at", "Why it matters", "How to fix", "Limits"]
