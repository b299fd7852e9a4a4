"""Components as they would be recorded, and the finding of a refused open() of the last of them."""

from access_kit import SERVER, place_of

from modelgate.finding import Finding
from modelgate.identity import Identity
from modelgate.walk import Step, Walk
from modelgate.walk.refusal import tried
from modelgate.walk.steps import Around
from modelgate.walk.tries import Try


def step(path: str, **about: object) -> Step:
    base = {"type": "directory", "mode": "0755", "uid": 0, "gid": 0, "owner": "root", "group": "root", "mount": "/m"}
    return Step(path=path, **{**base, **about})  # type: ignore[arg-type]


def denied(*steps: Step, who: Identity = SERVER, seen: Around | None = None) -> Finding:
    """The finding of an open() of the last step that was refused with EACCES."""
    end = len(steps) - 1
    seen = seen or Around()
    found = Walk(path=steps[0].path, uid=who.uid, gid=who.gid, groups=who.groups, steps=steps, end=end, around=seen)
    no = Try("r", "open(O_RDONLY)", "EACCES", "Permission denied")
    (finding,) = tried(found, steps[end], [no], place_of(who, "kubernetes", "docker", "shell"))
    return finding
