"""YAML text to a tree of nodes with their lines: no recursion, bounded, one document, aliases that end.

Why events and not yaml.compose: libyaml's composer recurses in C, and a megabyte of `[` ends the process with SIGSEGV.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from modelgate import yaml_errors
from modelgate.yaml_text import Refused, fix

LIMIT_VALUES = 50_000
LIMIT_DEPTH = 64
TEXT_TAGS = ("!", "tag:yaml.org,2002:str")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Node:
    """One value as it was composed. `children` of a mapping alternate key and value; an alias has its target."""

    __slots__ = ("children", "kind", "line", "opened", "quoted", "tag", "target", "text")

    def __init__(self, kind: str, line: int) -> None:
        self.kind, self.line = kind, line
        self.opened = False
        self.quoted = False
        self.tag: str | None = None
        self.text = ""
        self.children: list[Node] = []
        self.target: Node = self


class Budget:
    """How much there may be: an alias of aliases of aliases makes millions of values out of one line."""

    def __init__(self) -> None:
        self.values = 0

    def spend(self, line: int) -> None:
        self.values += 1
        if self.values > LIMIT_VALUES:
            raise Refused(
                line,
                f"it has more than {LIMIT_VALUES} values once its aliases are followed",
                fix("Use fewer aliases (*name), above all aliases of what holds aliases itself"),
            )

    @staticmethod
    def deep(depth: int, line: int) -> None:
        if depth > LIMIT_DEPTH:
            raise Refused(
                line,
                f"more than {LIMIT_DEPTH} levels inside each other",
                fix("Close the brackets that were left open, or indent by fewer levels: no key needs that many"),
            )


def compose(text: str, budget: Budget) -> Node | None:
    anchors: dict[str, Node] = {}
    open_nodes: list[Node] = []
    root: Node | None = None
    events: Iterator[Any] = yaml.parse(text, _LOADER)
    try:
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.CollectionEndEvent):
                open_nodes.pop().opened = False
            elif isinstance(event, yaml.NodeEvent):
                budget.spend(line)
                node = _node(event, line, anchors)
                if open_nodes:
                    open_nodes[-1].children.append(node)
                else:
                    root = node
                if node.opened:
                    open_nodes.append(node)
                    budget.deep(len(open_nodes), line)
            elif isinstance(event, yaml.DocumentStartEvent) and root is not None:
                raise Refused(
                    line,
                    "a second document begins here (`---`); a manifest is one document",
                    fix("Keep one document: remove this `---` line and what belongs to the other document"),
                )
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the Python parser lets chr() and int() through
        raise yaml_errors.refused(error, text) from None
    return root


def _node(event: Any, line: int, anchors: dict[str, Node]) -> Node:
    if isinstance(event, yaml.AliasEvent):
        node = Node("alias", line)
        node.target = _target(event.anchor or "", line, anchors)
        return node
    if isinstance(event, yaml.ScalarEvent):
        node = Node("scalar", line)
        node.text, node.quoted = event.value, bool(event.style) or event.tag in TEXT_TAGS
    else:
        node = Node("mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence", line)
        node.opened = True
    node.tag = event.tag
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


def _target(anchor: str, line: int, anchors: dict[str, Node]) -> Node:
    node = anchors.get(anchor)
    anchor = anchor[:60]
    if node is None:
        raise Refused(
            line,
            f"the alias *{anchor} has no anchor &{anchor} before it",
            fix(
                f"Put &{anchor} before the value that is meant",
                f"key: &{anchor} value",
                when="another value is meant",
            ),
            fix("Put quotes around it", f'"*{anchor}"', when="text that begins with * is meant"),
        )
    if node.opened:
        raise Refused(
            line,
            f"the alias *{anchor} stands inside its own anchor &{anchor} of line {node.line}: it would never end",
            fix(f"Write out what is meant here instead of *{anchor}"),
        )
    return node
