"""YAML to plain data that knows its lines. Every problem becomes an Issue; nothing is raised, nothing takes long.

Why not yaml.safe_load: it drops duplicate keys silently, reads 0755 as 493, `1000:0` as 60000 and `on` as true, and
forgets the lines. Aliases and merge keys (`<<`) work; together they may not make more than LIMIT_VALUES values.
"""

from typing import Any

from msgspec import Struct, field

from modelgate import yaml_text
from modelgate.finding import Fix
from modelgate.secret_shapes import secret_name
from modelgate.yaml_nodes import TEXT_TAGS, Budget, Node, compose
from modelgate.yaml_text import Issue, Path, fix, without_zero

LIMIT_ISSUES = 200  # enough to work through; a bound for a manifest that is wrong everywhere

_OWN_TAGS = (None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")


class Document(Struct):
    """What was read, and what is known of each value by its path ("files", 0, "mode").

    lines    1-based line of each value: of its key where it has one
    quoted   paths of the text that was written as text: in quotes, or as a block
    written  how a value that is no text was written: 1.10 for the number 1.1
    broken   paths that have an issue already; what is there stands for nothing
    sources  what the manifest says where variables were put in ("Bearer ${TOKEN}"); filled by expand
    soft     the two readings, the likelier one first, of what was one variable (text "8" or number 8); by expand
    """

    data: Any = None
    issues: list[Issue] = field(default_factory=list)
    lines: dict[Path, int] = field(default_factory=dict)
    quoted: set[Path] = field(default_factory=set)
    written: dict[Path, str] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)
    sources: dict[Path, str] = field(default_factory=dict)
    soft: dict[Path, tuple[Any, ...]] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of the nearest thing on the way to `path` that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def moved(self, old: Path, new: Path) -> None:
        """The value at `old` is now at `new`, in the same line."""
        self.lines[new] = self.line(old)
        for known in (self.written, self.sources, self.soft):
            if old in known:
                known[new] = known.pop(old)  # type: ignore[assignment]
        if old in self.quoted:
            self.quoted.add(new)


def parse(raw: bytes) -> Document:
    """The one document of `raw`; `data` is a mapping with text keys, or None where nothing of it can be used."""
    document = Document()
    try:
        text = yaml_text.decode(raw)
        document.data = _Reader(document).read(text)
    except yaml_text.Refused as refused:
        document.data = None
        document.issues.append(refused.issue)
    return document


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.budget = Budget()
        self.told: set[tuple[int, str]] = set()

    def read(self, text: str) -> dict[str, Any]:
        root = compose(text, Budget())
        empty = root is None or (root.kind == "scalar" and not root.text and not root.quoted)
        if root is None or empty:
            raise yaml_text.Refused(
                1, "there is nothing in it but blank lines and comments", fix("Write at least this", "version: 1")
            )
        if root.target.kind != "mapping":
            raise yaml_text.Refused(
                root.line,
                f"a manifest is a mapping of keys to values, but this is {_A[root.target.kind]}",
                fix("Begin with a key", "version: 1\nfiles:\n  - path: /models/config.json"),
            )
        data = self._plain(root, (), root.line, 0)
        assert isinstance(data, dict)  # noqa: S101 - a mapping, as was just looked at
        return data

    def _plain(self, node: Node, path: Path, line: int, depth: int) -> Any:
        """`line` is where the value is asked for: an alias is used on another line than its anchor's."""
        node = node.target
        self.budget.deep(depth, line)
        self.document.lines[path] = line
        known = _OWN_TAGS if node.kind != "scalar" else (None, *TEXT_TAGS)
        if node.tag not in known:
            name = str(node.tag)[:80].replace("tag:yaml.org,2002:", "!!")
            self._broken(path, line, f"the tag {name} means nothing in a manifest", fix(f"Remove {name}"))
            return None
        if node.kind == "scalar":
            return self._scalar(node, path, line)
        if node.kind == "sequence":
            return [self._item(child, (*path, n), depth) for n, child in enumerate(node.children)]
        data: dict[str, Any] = {}
        for key, (key_line, value) in self._pairs(node, path, depth).items():
            self.budget.spend(key_line)
            data[key] = self._plain(value, (*path, key), key_line, depth + 1)
        return data

    def _item(self, node: Node, path: Path, depth: int) -> Any:
        self.budget.spend(node.line)
        return self._plain(node, path, node.line, depth + 1)

    def _pairs(self, node: Node, path: Path, depth: int) -> dict[str, tuple[int, Node]]:
        """Line and value of each key. What stands in the mapping itself wins over what `<<` merges into it."""
        self.budget.deep(depth, node.line)
        own: dict[str, tuple[int, Node]] = {}
        merged: dict[str, tuple[int, Node]] = {}
        lines: dict[str, int] = {}
        for key_node, value in zip(node.children[::2], node.children[1::2], strict=True):
            key, line = self._key(key_node, path), key_node.line
            if key is None:
                continue
            if key in lines:
                again = f"the key is here twice: first in line {lines[key]}, again in line {line}"
                once = fix("Keep one of the two, with all that belongs to it, and remove the other")
                self._issue((*path, key), line, again, once, why=_WHY_ONCE)
                continue
            lines[key] = line
            if key == "<<" and not key_node.target.quoted:
                merged = self._merged(value, path, line, depth)
            else:
                own[key] = (line, value)
        return {**merged, **own}

    def _merged(self, value: Node, path: Path, line: int, depth: int) -> dict[str, tuple[int, Node]]:
        value = value.target
        parts = [child.target for child in value.children] if value.kind == "sequence" else [value]
        found: dict[str, tuple[int, Node]] = {}
        for part in parts:
            self.budget.spend(line)
            if part.kind != "mapping":
                what = f"`<<` merges mappings, but this is {_A[part.kind]}"
                self._broken((*path, "<<"), line, what, fix("Name an anchor that stands before a mapping", "<<: *name"))
                continue
            for name, pair in self._pairs(part, path, depth + 1).items():
                self.budget.spend(line)
                found.setdefault(name, pair)
        return found

    def _key(self, node: Node, path: Path) -> str | None:
        target = node.target
        if target.kind == "scalar" and (target.text or target.quoted):
            return target.text
        what = "a key is missing before the `:`" if target.kind == "scalar" else f"a key is {_A[target.kind]}"
        self._issue(path, node.line, f"{what}; keys are text", fix("Write the key's name before the `:`", "key: value"))
        return None

    def _scalar(self, node: Node, path: Path, line: int) -> Any:
        bad = yaml_text.unusable(node.text)
        if bad:
            self._broken(path, line, f"it holds {bad}", fix("Remove the escape that makes it from the quoted text"))
            return None
        if node.quoted:
            self.document.quoted.add(path)
            return node.text
        try:
            value = yaml_text.typed(node.text)
        except ValueError as error:
            hidden = any(isinstance(part, str) and secret_name(part) for part in path)
            text = "..." if hidden else node.text
            quoted = fix("Quote it", yaml_text.line_of(path, text), when="it is text, such as a file mode")
            others = [fix("Write it without the zero", n, when="it is a number") for n in without_zero(text)]
            message = "programs differ in how they read this number, which is not shown" if hidden else str(error)
            self._broken(path, line, message, quoted, *others)
            return None
        if not isinstance(value, str):
            self.document.written[path] = node.text
        return value

    def _issue(self, path: Path, line: int, message: str, *fixes: Fix, why: str = "") -> None:
        # What an alias repeats is told once.
        if len(self.document.issues) < LIMIT_ISSUES and (line, message) not in self.told:
            self.told.add((line, message))
            self.document.issues.append(Issue(line=line, path=path, message=message, fixes=fixes, why=why))

    def _broken(self, path: Path, line: int, message: str, *fixes: Fix) -> None:
        self.document.broken.add(path)
        self._issue(path, line, message, *fixes)


_WHY_ONCE = "Programs differ in which of the two they keep: one of the requirements would silently not be checked."
_A = {"mapping": "a mapping", "sequence": "a list", "scalar": "a single value", "alias": "an alias"}
