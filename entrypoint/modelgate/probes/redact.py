"""Secrets of a dependency, and texts without them. What a probe says ends in logs, reports and termination messages."""

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from msgspec import structs

from modelgate.probes import url
from modelgate.probes.answers import Answer

if TYPE_CHECKING:
    from modelgate.probes.spec import Spec

HIDDEN = "***"
_SHORTEST = 3  # a header value of one or two characters is no secret, and replacing it would ruin every text
# Text, compiled when first used: PID 1 reads this module too, and few entries are commands.
_FLAG = r"(?i)-{1,2}[a-z0-9_.-]*(?:pass|pwd|token|secret|key|auth|cred)[a-z0-9_.-]*"
_SETTING = r"(?is)(-{0,2}[a-z0-9_.-]*(?:pass|pwd|token|secret|key|auth|cred)[a-z0-9_.-]*[=:])(.+)"
_JOINED = r"(?s)(-p)(.+)"  # mysqladmin -pPASSWORD
_A = TypeVar("_A", bound=Answer)


def secrets(spec: "Spec") -> tuple[str, ...]:
    """Every text that must not be shown, the longest first."""
    found: set[str] = set()
    for value in (spec.headers or {}).values():
        found.add(value)
        if " " in value:  # "Bearer TOKEN": the token alone too
            found.add(value.partition(" ")[2].strip())
    if spec.http:
        found |= url.secrets(spec.http)
        asked = url.parse(spec.http)
        if asked.user is not None:
            found.add(basic(asked.user, asked.password or ""))
            if asked.password:
                found.add(asked.password)
    for _, hidden in _words(spec.exec or ()):
        found |= hidden
    return tuple(sorted((s for s in found if len(s) >= _SHORTEST), key=len, reverse=True))


def hide(text: str, hidden: Sequence[str]) -> str:
    """`text` on one line, without control characters and secrets."""
    for secret in hidden:
        text = text.replace(secret, HIDDEN)
    return "".join(c if c.isprintable() else " " if c in "\n\t" else repr(c)[1:-1] for c in text)


def hide_answer(answer: _A, hidden: Sequence[str]) -> _A:
    """`answer` with every text of it hidden from."""
    changes: dict[str, object] = {}
    for name in answer.__struct_fields__:
        value = getattr(answer, name)
        if isinstance(value, str) and value and name != "cause":
            changes[name] = hide(value, hidden)
        elif isinstance(value, tuple):
            changes[name] = tuple(hide(v, hidden) for v in value)
    return structs.replace(answer, **changes)


def basic(user: str, password: str) -> str:
    """Credentials of HTTP Basic, without the word."""
    from binascii import b2a_base64

    return b2a_base64(f"{user}:{password}".encode(), newline=False).decode()


def command(words: Sequence[str]) -> str:
    """A command line as typed into a shell, with what looks like a secret replaced by ***."""
    shown = [text for text, _ in _words(words)]
    # *** itself needs no quotes.
    return " ".join(s if s == HIDDEN or _plain(s.replace(HIDDEN, "")) else shlex.quote(s) for s in shown)


def _plain(word: str) -> bool:
    return bool(word) and shlex.quote(word) == word


def _words(words: Sequence[str]) -> list[tuple[str, set[str]]]:
    """Each word as it may be shown, and what was taken from it."""
    found: list[tuple[str, set[str]]] = []
    mysql = bool(words) and words[0].rpartition("/")[2].startswith(("mysql", "mariadb"))
    for at, word in enumerate(words):
        match = (re.fullmatch(_SETTING, word) or (mysql and re.fullmatch(_JOINED, word)) or None) if at else None
        if match:
            found.append((match[1] + HIDDEN, {match[2]}))
        elif at and re.fullmatch(_FLAG, words[at - 1]) and not word.startswith("-"):
            found.append((HIDDEN, {word}))
        else:
            found.append((url.show(word), url.secrets(word)))
    return found
