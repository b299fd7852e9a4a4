"""What a YAML parser complains of, in plain words with a cure.

The two parsers (libyaml and PyYAML's own) word the same mistake differently, so the context they name and the text of
the line itself decide, and not the wording.
"""

from typing import Any

from modelgate.yaml_text import Refused, echo, fix

_OPENS = {
    "*": "begins an alias", "&": "begins an anchor", "!": "begins a tag", "@": "is reserved", "`": "is reserved",
    "%": "begins a directive",
}  # fmt: skip
_QUOTE = 'key: "value"'
_WHOLE = "key: 'it''s \"all\" of it'"


def refused(error: Exception, text: str) -> Refused:
    """`error` as a parser raised it while reading `text`."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Refused(1, f"it is not YAML: {error}", fix("Correct the text; a YAML linter names the place"))
    problem, context = str(getattr(error, "problem", "") or ""), str(getattr(error, "context", "") or "")
    began = getattr(error, "context_mark", None) or mark
    lines = text.split("\n")
    source = lines[mark.line] if mark.line < len(lines) else ""
    at = source[mark.column : mark.column + 1]
    return (
        _indent(source, mark)
        or _quoted(problem, context, mark, began)
        or _opening(context, at, source, mark)
        or _flow(context, source, mark, began)
        or _block(problem, context, source, mark, began)
        or Refused(mark.line + 1, f"it is not YAML: {problem} {context}".rstrip(), fix("Correct this line"))
    )


def _indent(source: str, mark: Any) -> Refused | None:
    if "\t" not in source[: len(source) - len(source.lstrip())]:
        return None
    cure = fix("Replace the tab by spaces", f"  {echo(source, source)}")
    return Refused(mark.line + 1, "a tab indents this line; YAML is indented by spaces", cure)


def _quoted(problem: str, context: str, mark: Any, began: Any) -> Refused | None:
    if "quoted scalar" not in context:
        return None
    if "escape" in problem or "hexdecimal" in problem or "hexadecimal" in problem:
        cure = fix(r"Write \\ for a backslash, or use single quotes: nothing is escaped in them", r"key: '^\d+$'")
        return Refused(mark.line + 1, "a backslash in double quotes begins an escape, and this is none", cure)
    cure = fix("Close the quote at the end of the value", _QUOTE)
    return Refused(began.line + 1, "the quote that opens in this line is never closed", cure)


def _opening(context: str, at: str, source: str, mark: Any) -> Refused | None:
    scanning = {"an alias": "*", "an anchor": "&", "a tag": "!", "a directive": "%"}
    char = next((char for words, char in scanning.items() if f"scanning {words}" in context), "")
    if not char and at in _OPENS and "scanning for the next token" in context:
        char = at
    if not char:
        return None
    if source.startswith("%"):
        return Refused(mark.line + 1, "a line that begins with % means nothing in a manifest", fix("Remove this line"))
    value = source[source.find(char) :].strip()
    cure = fix("Put quotes around the value", f'"{echo(value, source)}"' if value else _QUOTE)
    return Refused(mark.line + 1, f"{char} {_OPENS[char]} when it stands first in a value without quotes", cure)


def _flow(context: str, source: str, mark: Any, began: Any) -> Refused | None:
    if "flow" not in context:
        return None
    if "${" in source:
        cure = fix("Put quotes around the variable", '["${NAME}"]')
        return Refused(
            mark.line + 1, "inside [ ] and { } a variable needs quotes: its braces have a meaning there", cure
        )
    bracket = "[ ]" if "sequence" in context else "{ }"
    message = (
        f"the {bracket} that opens in line {began.line + 1} is not closed, or a comma is missing before this place"
    )
    return Refused(mark.line + 1, message, fix("Close the bracket, or put a comma between the entries", "[a, b]"))


def _block(problem: str, context: str, source: str, mark: Any, began: Any) -> Refused | None:
    line, opened = mark.line + 1, began.line + 1
    if "mapping values are not allowed" in problem:
        return _colon(source, mark)
    if "sequence entries are not allowed" in problem:
        cures = (
            fix("Begin the list on the line below its key", "key:\n  - entry", when="it is a list"),
            fix("Put quotes around the value", 'key: "- text"', when="it is text"),
        )
        return Refused(line, "a list cannot begin here, beside what stands before it", *cures)
    if "document start" in problem:
        cure = fix("Remove the `...` line, or what follows it")
        return Refused(line, "the document ended above (`...`), and a manifest is one document", cure)
    if "simple key" in context:
        cure = fix("Write it as a key and its value", "key: value")
        return Refused(opened, "this line should be `key: value`, but no `: ` follows", cure)
    if "block" not in context:
        return None
    spaces = len(source) - len(source.lstrip(" "))
    if mark.column > spaces:
        cure = fix("Put quotes around the whole value ('' is one quote inside single quotes)", _WHOLE)
        message = f"{echo(source[mark.column :], source)} cannot stand here: the value before it has ended"
        return Refused(line, message, cure)
    if spaces == began.column:  # the indentation is right, so it is what stands there
        entry = "- entry" if "collection" in context or "sequence" in context else "key: value"
        message = f"this line should be `{entry}` like the others of the block that begins in line {opened}"
        return Refused(line, message, fix("Write it like the lines around it", entry))
    message = f"this line is indented by {spaces} spaces and fits no block above it; one begins in line {opened}"
    return Refused(line, message, fix(f"Indent it as far as the entries it belongs to: {began.column} for that block"))


def _colon(source: str, mark: Any) -> Refused:
    if ": " in source[: mark.column]:
        cure = fix("Put quotes around the value", _QUOTE)
        return Refused(mark.line + 1, "a second `: ` stands here, and a value without quotes cannot hold one", cure)
    cures = (
        fix("Indent this line exactly like the other keys of its mapping", when="it is one of several keys"),
        fix("End the line above with a colon", "key:", when="it belongs to the line above"),
    )
    message = "a key cannot begin here: this line is indented deeper than the key above, or that one has no colon"
    return Refused(mark.line + 1, message, *cures)
