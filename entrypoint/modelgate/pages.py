"""The pages of `modelgate explain CODE`: one section for each finding code, in the Markdown files beside this module.

The exit code and who acts are not written there: they are added from the table in exits, so they cannot disagree.
"""

import functools
import os

from modelgate import exits

HEADINGS = ("What it means", "Why it matters", "How to fix", "Limits")
NOT_REPORTED = "Not reported by this version."
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pages")


def page(code: str) -> str | None:
    """The page of a code as Markdown; None when there is no such code."""
    text = _sections().get(code)
    if text is None or code not in exits.OF_CODE:
        return None
    who = next(who for _, who, codes in exits.ROWS if code in codes)
    return f"# {code}\n\nExit code {exits.OF_CODE[code]}. Who acts: {who}.\n\n{text}\n"


def near(code: str) -> list[str]:
    """At most three codes that resemble what was typed, the best first."""
    import difflib

    codes = list(exits.OF_CODE)
    typed = code.strip().lower().replace("_", "-").replace(" ", "-")
    if typed in codes:
        return [typed]
    close = difflib.get_close_matches(typed, codes, n=3, cutoff=0.6)
    parts = [c for c in codes if typed and (c.startswith(typed) or c.endswith(f"-{typed}"))]
    return list(dict.fromkeys([*close, *parts]))[:3]


def reported(code: str) -> bool:
    """True when this version can report the code; the others are kept for what is still to be built."""
    return NOT_REPORTED not in _sections().get(code, NOT_REPORTED)


@functools.cache
def _sections() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(os.listdir(_FOLDER)):
        if not name.endswith(".md"):
            continue
        with open(os.path.join(_FOLDER, name), encoding="utf-8") as file:
            for section in ("\n" + file.read()).split("\n## ")[1:]:
                code, _, text = section.partition("\n")
                if code.strip() in found:
                    raise ValueError(f"{name}: a second page for {code.strip()}")
                found[code.strip()] = text.strip()
    return found
