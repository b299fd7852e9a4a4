"""`check --run-as` and `explain --run-as` without root: paths as that identity would meet them, computed, not tried.

Pure. `place.facts["computed"]` names the identity asked for; without it every outcome is judged as it was seen.
"""

from typing import Any

from msgspec.structs import replace

from modelgate import identity, verdict
from modelgate.checks import files
from modelgate.finding import Finding, Fix, Level, ok, unknown
from modelgate.host import Place
from modelgate.identity import Identity
from modelgate.running import Lost, Seen
from modelgate.walk import Walk
from modelgate.walk.compute import make, tries, walk_as
from modelgate.walk.refusal import absent, evidence

KEY = "computed"
WORDS = "computed from mode bits and ACLs, not tried"


def place_for(place: Place, wanted: Identity) -> Place:
    """`place`, with the order to compute for `wanted`."""
    facts = {**place.facts, KEY: wanted.text}
    return replace(place, uid=wanted.uid, gid=wanted.gid, groups=wanted.groups, facts=facts)


def judge(outcome: Seen | Lost, place: Place) -> list[Finding]:
    """As verdict.judge; of a path the findings are those of the identity asked for, and say that they are computed."""
    who = wanted(place)
    if who is None or not isinstance(outcome, Seen) or not isinstance(outcome.facts, files.Facts | Walk):
        return verdict.judge(outcome, place)
    job, index, seconds = outcome.job, outcome.index, outcome.seconds
    facts = as_wanted(outcome.facts, job.specs[index], who)
    if isinstance(facts, Finding):
        return [mark(verdict.settle(facts, job, index, seconds))]
    return [mark(finding) for finding in verdict.judge(Seen(job, index, facts, seconds), place)]


def wanted(place: Place) -> Identity | None:
    """Whom to compute for; None when everything was looked at as the identity itself."""
    parsed = identity.parse(place.facts[KEY]) if KEY in place.facts else None
    return Identity(parsed[0], parsed[1] or 0) if isinstance(parsed, tuple) else parsed


def as_wanted(facts: Any, spec: Any, who: Identity) -> Any:
    """Facts of `files` or `explain` as `who` would have them; a Finding where the answer is known already."""
    seen: Walk = facts if isinstance(facts, Walk) else facts.walk
    walk = walk_as(seen, who)
    if walk is None:
        return _blind(seen, who)
    if isinstance(facts, Walk):
        return walk
    tried = tries(walk, spec.access)
    made = make(walk) if spec.create and absent(walk) else None
    if made is not None and not made.errno:
        return ok(spec.path, f"not there yet, and can be made as {who.text}", **evidence(walk, None))
    return files.Facts(walk, (made,) if made is not None else tried, (), facts.uid, facts.gid)


def mark(finding: Finding) -> Finding:
    """Say that it was computed."""
    if finding.level is Level.UNKNOWN or "uid" not in finding.evidence:
        return finding
    return replace(finding, observed=f"{finding.observed} ({WORDS})", evidence={**finding.evidence, KEY: True})


def _blind(walk: Walk, who: Identity) -> Finding:
    """The gate itself is refused, where the identity asked for is not: nobody could look further."""
    step = walk.decider
    at = step.path if step is not None else walk.path
    observed = f"{walk.path}: {walk.errno} at {at} for the gate ({walk.who}) itself, so that nothing behind it was seen"
    why = f"By its mode and ACL {at} lets {who.text} pass; what comes then cannot be computed from here."
    fix = Fix(
        when="the answer is needed",
        do="Start the gate as root, or as that identity: it then tries instead of computing",
        snippet=f"docker run --user {who.uid}:{who.gid} ...",
    )
    return unknown("path-blocked", walk.path, observed, why, fix, **evidence(walk, step))
