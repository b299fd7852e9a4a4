"""Read the manifest in a child, then load it. Nothing of a file system is touched by PID 1 itself."""

from typing import TYPE_CHECKING

from modelgate import manifest_source, verdict
from modelgate.checks import KINDS
from modelgate.finding import IMAGE, Finding, Fix, Level, fail
from modelgate.isolate import Job, Lost
from modelgate.kind import Shape, kind
from modelgate.manifest import Manifest, empty, load

if TYPE_CHECKING:
    from modelgate.run import Run


def read_manifest(run: "Run") -> Manifest | list[Finding]:
    """The manifest that was named or found; an empty one when there is none; findings when it is no good."""
    spec = manifest_source.Spec(named=run.options.manifest)
    job = Job(
        kind=kind("manifest", manifest_source, shape=Shape.IMPLIED),
        specs=(spec,),
        checks=("manifest",),
        lines=(None,),
    )
    loaded: Manifest | list[Finding] = empty()
    for outcome in run.isolate.run([job]):
        judged = verdict.judge(outcome, run.place)
        for finding in judged:
            if finding.level is Level.WARN:
                run.add(finding)
        findings = [f for f in judged if f.stops]
        if findings or isinstance(outcome, Lost):
            return findings
        if outcome.facts.path is None:
            run.say_later("info", "no manifest: only what the command implies is checked", stage="manifest")
        else:
            loaded = load(outcome.facts.text, outcome.facts.path, run.environ, KINDS, run.place)
    return _refuse(run, loaded) if isinstance(loaded, Manifest) else loaded


def _refuse(run: "Run", manifest: Manifest) -> Manifest | list[Finding]:
    """What the command line asks for and this version cannot do is refused, never ignored."""
    options = run.options
    asked = [("--model", "; ".join(options.model)), ("--cache", options.cache)]
    asked += [("--mode", "supervise" if options.mode == "supervise" else None)]
    refused = [_unsupported(name, value) for name, value in asked if value]
    return refused or manifest


def _unsupported(name: str, value: str) -> Finding:
    fix = Fix(when="it was not needed", do=f"Leave {name} out", who=IMAGE)
    why = "Ignoring what was asked for would pass a server that nobody has looked at."
    return fail("manifest-unsupported", f"{name} {value}", f"{name} is not built in this version", why, fix)
