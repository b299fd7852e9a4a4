"""From an outcome of isolation to findings of the report. Pure: no I/O, no clock."""

from msgspec.structs import replace

from modelgate.finding import CLUSTER, DEPLOYER, IMAGE, US, Finding, Fix, Level, Unfinished, fail, unknown, warn
from modelgate.host import Place
from modelgate.isolate import Job, Lost, Seen
from modelgate.remedies import per_platform
from modelgate.report import ordered
from modelgate.units import show_seconds


def judge(outcome: Seen | Lost, place: Place) -> list[Finding]:
    """Findings with check, line, implied_by and seconds filled in, and levels settled. [] when it was cancelled."""
    job, index = outcome.job, outcome.index
    spec = job.specs[index]
    if isinstance(outcome, Lost) and outcome.how in ("cancelled", "timeout"):
        return []
    try:
        if isinstance(outcome, Seen):
            found = job.kind.module.judge(spec, outcome.facts, place)
        else:
            hook = getattr(job.kind.module, "lost", None)
            found = (hook(spec, outcome, place) if hook else None) or [_lost(outcome, subject(job, index), place)]
    except Exception as error:  # noqa: BLE001 - one judgement that fails must not take the verdict of all others along
        found = [fault(error, subject(job, index), f"what was seen for {job.checks[index]} could not be judged")]
    return [settle(f, job, index, outcome.seconds) for f in found]


def settle(finding: Finding, job: Job, index: int, seconds: float) -> Finding:
    """With check, line, implied_by and seconds, and its level settled."""
    level = finding.level
    if finding.code == "identity-denied":  # not about this entry: the server could not be started either
        return replace(finding, check="run_as", seconds=round(seconds, 4))
    lowered = getattr(job.specs[index], "level", "fail") == "warn"
    implied = job.implied_by is not None
    if (lowered and finding.stops) or (implied and level is Level.UNKNOWN):
        level = Level.WARN
    return replace(
        finding,
        level=level,
        check=finding.check or job.checks[index],
        line=finding.line if finding.line is not None else job.lines[index],
        implied_by=job.implied_by,
        seconds=round(seconds, 4),
    )


def unfinished(outcome: Lost) -> Unfinished:
    """A cancelled look, with the last that was heard of it."""
    return Unfinished(outcome.job.checks[outcome.index], subject(outcome.job, outcome.index), last_words(outcome.last))


def last_words(last: dict[str, object]) -> str:
    """What a child said it was doing: `open /models/x`, `waiting: connection refused`."""
    doing, path, error = last.get("doing", ""), last.get("path") or last.get("subject") or "", last.get("error", "")
    words = f"{doing} {path}".strip()
    return f"{words}: {error}" if error else words


def subject(job: Job, index: int) -> str:
    """The thing itself: the path, the URL; the manifest key where a spec names none."""
    spec = job.specs[index]
    named = getattr(spec, "subject", None) or getattr(spec, "path", None)
    return str(named) if named else job.checks[index]


def _lost(lost: Lost, what: str, place: Place) -> Finding:
    """No answer, and the kind has no words of its own for that."""
    check = lost.job.checks[lost.index]
    doing = last_words(lost.last)
    at = f"; the last it did was: {doing}" if doing else ""
    go_on = Fix(
        when="the server does not depend on it",
        do=f"Put `level: warn` on {check}: the gate then tells it and goes on",
        snippet="level: warn",
        who=IMAGE,
    )
    if lost.how == "identity":
        return identity_denied(lost.detail, place)
    if lost.how == "no-fork":
        more = per_platform(
            place,
            "Allow more processes: the gate needs about ten at a time",
            {
                "kubernetes": "# kubelet: --pod-max-pids, or podPidsLimit in its configuration file",
                "compose": "services:\n  model:\n    pids_limit: 4096",
                "docker": "docker run --pids-limit 4096 ...",
                "shell": "ulimit -u 4096",
            },
        )
        return unknown("check-lost", what, f"no process could be made for {check}: {lost.detail}", _WHY, *more)
    if lost.how == "hung":
        look = Fix(
            when="it hangs again", do="See what the node is waiting for", snippet="dmesg | tail -n 50", who=CLUSTER
        )
        observed = f"{check} did not answer: {lost.detail}{at}"
        return unknown("check-lost", what, observed, _WHY, look, go_on)
    tell = Fix(when="it happens again", do="Report it with the text of `modelgate -v check`", who=US)
    return unknown("check-lost", what, f"{check} was lost: {lost.detail}{at}", _WHY, tell, go_on)


def fault(error: Exception, what: str, saw: str) -> Finding:
    """Something of ours raised `error` in the gate itself; `saw` says in what."""
    tell = Fix(when="it happens again", do="Report it with the text of `modelgate -v check`", who=US)
    return unknown("check-lost", what, f"{saw}: {type(error).__name__}: {error}", _WHY, tell)


_WHY = "Nothing is known about this requirement, and what is not known is not taken for good."


def identity_denied(detail: str, place: Place) -> Finding:
    """The gate cannot become the runtime identity, so it could neither check as it nor start the server as it."""
    uid_gid = f"{place.uid}:{place.gid}"
    fixes = per_platform(
        place,
        f"Start the container as {uid_gid} (then leave run_as out), or give it SETUID and SETGID",
        {
            "kubernetes": f"securityContext:\n  runAsUser: {place.uid}\n  runAsGroup: {place.gid}",
            "compose": f'services:\n  model:\n    user: "{uid_gid}"',
            "docker": f"docker run --user {uid_gid} ...",
            "shell": f"setpriv --reuid {place.uid} --regid {place.gid} --clear-groups modelgate -- ...",
        },
        DEPLOYER,
    )
    why = "The checks must be made as the identity that the server will have, or they prove nothing."
    return fail("identity-denied", place.who, detail, why, *fixes)


def timed_out(seconds: float, waiting: list[Unfinished], *, stops: bool = True) -> Finding:
    """The gate's own upper bound has passed; the finding names what it was still waiting for.

    stops: False when all of that is `level: warn`, which never stops the gate.
    """
    names = ", ".join(u.subject + (f" ({u.last})" if u.last else "") for u in waiting[:5])
    more = f" and {len(waiting) - 5} more" if len(waiting) > 5 else ""
    fix = Fix(
        when="these need longer", do="Raise `timeout` in the manifest, --timeout or MODELGATE_TIMEOUT", who=DEPLOYER
    )
    return (fail if stops else warn)(
        "gate-timeout",
        "timeout",
        f"the gate was not through after {show_seconds(seconds)}; not finished: {names or 'nothing'}{more}",
        "The upper bound of the whole gate has passed. What is listed had neither held nor failed.",
        fix,
        timeout=seconds,
        unfinished=[u.check for u in waiting],
    )


def sort(findings: list[Finding]) -> list[Finding]:
    """What to fix first stands first; the rest in the order of the checks."""
    return ordered(findings)
