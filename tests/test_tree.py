"""The rules of this source tree that a reviewer would otherwise have to remember."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelgate import exits, pages
from modelgate.checks import KINDS

REPO = Path(__file__).parents[1]
PACKAGE = REPO / "entrypoint/modelgate"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEADINGS = ("## What is looked at", "## Why it matters", "## How to fix", "## Limits")
TOP = {"pyproject.toml", "entrypoint", "docker", "tests", "Makefile", "README.md", "LICENSE", "CHANGELOG.md"}

# What a check or a probe may know. The rest of the gate may change without a look at any of them.
KNOWN = {"__version__", "finding", "host", "kind", "units", "remedies", "weights", "walk"}
# Helpers of one theme, split off a check for its length; they follow the same rule.
SHARED = {"checks", "probes", "elf", "program", "sockets", "redact"}
HEAVY = {"ssl", "http", "urllib", "asyncio", "subprocess", "tenacity", "psutil", "grpc", "yaml", "structlog", "rich"}

# May spell the roots: host.py by definition, the others stand alone and take a root argument.
SPELLS_ROOTS = re.compile(r"host\.py|start/supervise/.*|probe/.*|inner/.*")


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tracked() -> list[Path]:
    """The files of this repository as git sees them, the new ones too; without git all that is no build output."""
    if shutil.which("git") and (REPO / ".git").exists():
        words = ["git", "-C", str(REPO), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0")
        return [path for name in names if name and (path := REPO / name).is_file()]
    skip = {".git", ".venv", ".demo", "build", "dist", "__pycache__"}
    return [p for p in REPO.rglob("*") if p.is_file() and not skip & set(p.relative_to(REPO).parts)]


FILES = tracked()


def test_the_top_level_is_fixed() -> None:
    top = {path.relative_to(REPO).parts[0] for path in FILES}

    assert {name for name in top if not name.startswith(".")} == TOP


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix in (".py", ".sh")], ids=str)
def test_no_file_is_longer_than_a_reader_can_hold(path: Path) -> None:
    """About 250 lines; what is longer knows two things and is two files."""
    assert len(path.read_text().splitlines()) <= 260


def test_test_files_have_names_of_their_own() -> None:
    """Tests are no packages: mypy, and a harness on pytest's path, know them by their base name."""
    names = [p.name for p in FILES if p.suffix == ".py" and p.is_relative_to(REPO / "tests")]

    assert sorted(n for n in set(names) if names.count(n) > 1) == []


def imports(tree: ast.AST) -> set[str]:
    """Dotted names that are imported when the module is: not inside functions, not for type checkers only."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "modelgate" else {module}
        elif (isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test)) or isinstance(node, ast.Try):
            found |= imports(node)
    return found


@pytest.mark.parametrize("path", [p for f in ("checks", "probes") for p in (PACKAGE / f).rglob("*.py")], ids=relative)
def test_checks_and_probes_know_little(path: Path) -> None:
    """Top-level imports: the vocabulary, what is cheap of the standard library, msgspec."""
    names = imports(ast.parse(path.read_text()))
    ours = {name.split(".")[1] for name in names if name.startswith("modelgate.")}
    others = {name.split(".")[0] for name in names if not name.startswith("modelgate")}

    assert ours - KNOWN - SHARED == set()
    assert others - {"msgspec", *sys.stdlib_module_names} == set()
    assert others & HEAVY == set()


@pytest.mark.parametrize("path", [PACKAGE / "__main__.py", *(PACKAGE / "probe").rglob("*.py")], ids=relative)
def test_the_probe_is_standard_library_only(path: Path) -> None:
    names = imports(ast.parse(path.read_text()))

    assert {n for n in names if n.startswith("modelgate.") and not n.startswith("modelgate.probe")} == set()
    assert {n.split(".")[0] for n in names} - {"modelgate", *sys.stdlib_module_names} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if not SPELLS_ROOTS.fullmatch(relative(p))], ids=relative)
def test_only_host_spells_the_roots(path: Path) -> None:
    """Tests point the roots at fixtures; a literal would look at this machine. Prose may name them."""
    spelled = []
    tree = ast.parse(path.read_text())
    prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in prose:
            continue
        # The whole text is a path: what a program would open, not a sentence or a snippet for a person.
        if re.fullmatch(r"/(proc|sys|dev)(/[\w./*-]*)?", node.value):
            spelled.append(f"line {node.lineno}: {node.value}")

    assert spelled == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_every_kind_has_its_page_and_its_test(kind: object) -> None:
    module = getattr(kind, "module").__name__.rpartition(".")[2]  # noqa: B009
    text = (PACKAGE / "checks" / f"{module}.py").read_text()
    doc = ast.get_docstring(ast.parse(text)) or ""

    assert [heading for heading in HEADINGS if heading not in doc] == []
    assert (REPO / "tests/checks" / f"test_{module}.py").is_file()


def codes_in_source() -> set[str]:
    """First arguments of finding.fail, warn and unknown, as far as they are literal."""
    found = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                value = node.args[0].value
                if name in ("fail", "warn", "unknown") and isinstance(value, str):
                    found.add(value)
    return found


@pytest.mark.parametrize("code", sorted(codes_in_source()))
def test_every_code_in_use_has_an_exit(code: str) -> None:
    assert code in exits.OF_CODE


@pytest.mark.parametrize("code", sorted(exits.OF_CODE))
def test_every_code_has_a_page(code: str) -> None:
    assert code in (pages.page(code) or "")


def test_nothing_of_one_machine_is_in_the_tree() -> None:
    """Paths that tell where something was made."""
    forbidden = re.compile(r"/tmp/v[e]nv|/w[o]rk/|\.p[y]env|/r[o]ot/\.|/home/[a-z]+/")
    found = []
    for path in FILES:
        if b"\0" in (data := path.read_bytes()):
            continue
        lines = enumerate(data.decode("utf-8", "replace").splitlines(), 1)
        found += [f"{path.relative_to(REPO)}:{n}: {line.strip()[:100]}" for n, line in lines if forbidden.search(line)]

    assert found == []
