"""Is it the answer that the manifest wants? Status, body, JSON values."""

import json
import re
import time
from typing import TYPE_CHECKING, Any

from modelgate.probes.answers import Answer, NotYet, Ready
from modelgate.probes.call import Call
from modelgate.probes.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Container
    from http.client import HTTPResponse

BODY = 1 << 20  # bytes of a body that are looked at
DEPTH = 200  # levels of JSON: some Pythons follow deeper ones down until the stack of a thread is used up, and crash
SHOWN = 120  # characters of a body or value that are shown
_ABSENT = object()


def wanted(spec: Spec) -> "Container[int]":
    """The statuses that will do."""
    if isinstance(spec.status, int):
        return (spec.status,)
    return spec.status or range(200, 300)


def content(spec: Spec, response: "HTTPResponse", status: int) -> Answer:
    """The status will do; the rest is looked at only when asked about: an endless body is no hindrance then."""
    if not spec.body and not spec.json:
        return Ready(why=f"HTTP {status}", status=status)
    encoding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if encoding != "identity":
        why = f"HTTP {status} with a body encoded as {encoding[:40]}, though identity was asked for"
        return NotYet(cause="protocol", why=why, status=status)
    data = response.read(BODY + 1)
    wrong = body(spec, data) or values(spec, data)
    if wrong:
        return NotYet(cause="status", why=f"HTTP {status}, but {wrong}", status=status)
    return Ready(why=f"HTTP {status} with the wanted content", status=status)


def body(spec: Spec, data: bytes) -> str | None:
    """What is wrong with it, or None."""
    if not spec.body or re.search(spec.body, data[:BODY].decode("utf-8", "replace")):
        return None
    return f"the body ({_size(data)}) does not match {spec.body!r}{_begins(data)}"


def values(spec: Spec, data: bytes) -> str | None:
    """The first JSON value that is not as wanted, or None."""
    if not spec.json:
        return None
    if len(data) > BODY:
        return f"the body is larger than {BODY} bytes, too much to be read as JSON"
    try:
        text = data.decode("utf-8-sig")
        if _deep(text):
            return f"the body is JSON nested more than {DEPTH} levels deep"
        document = json.loads(text)
    except ValueError:
        return f"the body ({_size(data)}) is no JSON{_begins(data)}"
    for path, asked in spec.json.items():
        found = find(document, path)
        if found is _ABSENT:
            return f"the JSON body has no {path}"
        if not same(found, asked):
            return f"JSON {path} is {_json(found)}, not {_json(asked)}"
    return None


def _deep(text: str) -> bool:
    """Nested more than DEPTH levels. Brackets inside of strings do not count."""
    if text.count("[") + text.count("{") <= DEPTH:
        return False
    depth, quoted = 0, False
    for mark in re.findall(r"(?s)\\.|[\"\[\]{}]", text):
        if mark == '"':
            quoted = not quoted
        elif not quoted and mark in "[{":
            depth += 1
            if depth > DEPTH:
                return True
        elif not quoted and mark in "]}":
            depth -= 1
    return False


def find(document: Any, path: str) -> Any:
    """The value at a dotted path, _ABSENT when there is none. A key that holds dots itself is found as well."""
    if isinstance(document, list):
        head, _, rest = path.partition(".")
        if not (head.isascii() and head.isdigit() and len(head) < 10 and int(head) < len(document)):
            return _ABSENT
        return find(document[int(head)], rest) if rest else document[int(head)]
    if not isinstance(document, dict):
        return _ABSENT
    if path in document:
        return document[path]
    end = path.find(".")
    while end >= 0:
        if path[:end] in document and (found := find(document[path[:end]], path[end + 1 :])) is not _ABSENT:
            return found
        end = path.find(".", end + 1)
    return _ABSENT


def same(found: Any, asked: Any) -> bool:
    """Equal as JSON is: true is not 1, and 3 is 3.0."""
    if isinstance(found, bool) or isinstance(asked, bool):
        return found is asked
    if isinstance(found, dict) and isinstance(asked, dict):
        return found.keys() == asked.keys() and all(same(found[k], asked[k]) for k in asked)
    if isinstance(found, list) and isinstance(asked, (list, tuple)):
        return len(found) == len(asked) and all(map(same, found, asked))
    return bool(found == asked)


def excerpt(response: "HTTPResponse", call: Call) -> str:
    """The first line of a body that explains an unwanted status; nothing when it is long in coming or a page."""
    deadline, call.deadline = call.deadline, min(call.deadline, time.monotonic() + 0.5)
    try:
        text = response.read1(1024).decode("utf-8", "replace").strip()
    except Exception:  # noqa: BLE001 - decoration: whatever goes wrong, the status is what counts
        text = ""
    finally:
        call.deadline = deadline
    line = text.splitlines()[0] if text else ""
    return "" if line.startswith("<") or "\ufffd" in line else line[:SHOWN]


def _begins(data: bytes) -> str:
    text = " ".join(data[: 4 * SHOWN].decode("utf-8", "replace").split())[:SHOWN]
    return f"; it begins with {text!r}" if text else ""


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _size(data: bytes) -> str:
    return f"{len(data)} bytes" if len(data) <= BODY else f"more than {BODY} bytes"
