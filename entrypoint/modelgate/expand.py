"""Put the variables of the environment into the values of a manifest.

`${VAR}`, `${VAR:-default}`, `${VAR:?message}`, and `$${` for a literal `${`. In values only, never in keys. A value is
foreign text: it is not expanded again and cannot bring YAML structure with it. `:-` and `:?` take an empty variable
for an unset one, as a shell and compose do.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from modelgate import yaml_text
from modelgate.finding import Fix
from modelgate.host import Place
from modelgate.remedies.env import supply
from modelgate.secret_shapes import ordinary, secret_name
from modelgate.yaml_lines import LIMIT_ISSUES, Document
from modelgate.yaml_text import Issue, Path, fix

# `$${` stands first, or its second half would be read as a variable.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)\}|(?P<bad>\$\{)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<how>[-?])(?P<rest>.*))?", re.DOTALL)
_LIMIT = 4 << 20  # characters put in altogether; a hundred thousand aliases of one text may hold a large variable each

FORMS = "${VAR}, ${VAR:-default}, ${VAR:?message}; $${ is a literal ${"


def expand(document: Document, environ: Mapping[str, str], place: Place) -> frozenset[str]:
    """Change the document's data in place. Returns the values that must not be shown again."""
    expander = _Expander(document, environ, place)
    document.data = expander.value(document.data, ())
    return frozenset(expander.secrets)


class _Expander:
    def __init__(self, document: Document, environ: Mapping[str, str], place: Place) -> None:
        self.document, self.environ, self.place = document, environ, place
        self.secrets: set[str] = set()
        self.size = 0
        self.told: set[tuple[int, str]] = set()

    def value(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, n)) for n, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._scalar(value, path)
        return value

    def _scalar(self, text: str, path: Path) -> Any:
        self.document.sources[path] = text
        found = list(_REFERENCE.finditer(text))
        parts, end = [], 0
        for match in found:
            parts.append(text[end : match.start()])
            put_in = "${" if match[0] == "$${" else self._reference(match, path)
            if put_in is None:
                self.document.broken.add(path)
                return None
            parts.append(put_in)
            end = match.end()
        whole = "".join([*parts, text[end:]])
        alone = len(found) == 1 and found[0]["inside"] is not None and found[0][0] == text
        return self._readings(whole, path) if alone else whole

    def _readings(self, text: str, path: Path) -> Any:
        """The likelier reading of what was one variable. The other one is kept: the schema may want that."""
        try:
            likely, other = yaml_text.canonical(text), yaml_text.typed(text)
        except ValueError:  # 0755 and the like: text, if that is what is wanted
            likely = other = text
        if path in self.document.quoted:
            likely = text
        readings = [likely, *(x for x in (text, other) if type(x) is not type(likely))]
        if len(readings) > 1:
            self.document.soft[path] = tuple(readings)
        return likely

    def _reference(self, match: "re.Match[str]", path: Path) -> str | None:
        """The text to put in; None after an issue was made."""
        parsed = _INSIDE.fullmatch(match["inside"]) if match["inside"] is not None else None
        if parsed is None:
            start = match.string[match.start() : match.start() + 40].split("\n")[0]
            shown = yaml_text.echo(start, match.string)
            cures = (
                fix(f"Use one of the forms {FORMS}; a default holds no braces", when="a variable is meant"),
                fix("Write $${ for a literal ${", "$" + shown, when="the text is meant as it is"),
            )
            self._issue(path, f"`{shown}` is no variable reference", *cures)
            return None
        name, how, rest = parsed["name"], parsed["how"], parsed["rest"] or ""
        value = self.environ.get(name)
        if value is None or (value == "" and how):
            if how != "-":
                self._unset(path, name, f": {rest}" if rest else "", empty=value == "")
                return None
            value = rest
        return self._checked(name, value, path)

    def _checked(self, name: str, value: str, path: Path) -> str | None:
        self.size += len(value)
        if self.size > _LIMIT:
            cure = fix("Use the variable in fewer places, or a shorter value", f"${{{name}}}")
            self._issue(path, f"the variables make the manifest larger than {_LIMIT >> 20} MiB", cure)
            return None
        if bad := yaml_text.unusable(value):
            what = "bytes that are not UTF-8" if "half a pair" in bad else bad
            self._issue(path, f"the value of {name} holds {what}", *self._set(name))
            return None
        if secret_name(name) and not ordinary(value):
            self.secrets.add(value)
        return value

    def _unset(self, path: Path, name: str, message: str, *, empty: bool) -> None:
        state = "set but empty" if empty else "not set"
        cures = [*self._set(name)]
        if not message:
            form = f"${{{name}:-value}}"
            cures.append(fix("Give it a default", form, when="the manifest can name one that is right everywhere"))
        self._issue(path, f"the variable {name} is {state}{message}", *cures)

    def _set(self, name: str) -> tuple[Fix, ...]:
        # Not under env.set, where a missing variable of the server's may be put: that is for the server alone.
        do = f"Set {name} for the container; env.set is for the server, and comes too late for the manifest itself"
        return tuple(replace(cure, do=do) for cure in supply(self.place, name))

    def _issue(self, path: Path, message: str, *fixes: Fix) -> None:
        line = self.document.line(path)
        if len(self.document.issues) < LIMIT_ISSUES and (line, message) not in self.told:
            self.told.add((line, message))
            self.document.issues.append(Issue(line=line, path=path, message=message, fixes=fixes, why=_WHY))


_WHY = "A value that is only half filled in would check, or start, something else than what was meant."
