"""`modelgate explain PATH [--run-as …]`: who may do what on this path, and which component decides."""

import sys

from modelgate import computed, exits, explain_path, publish
from modelgate.finding import Report
from modelgate.isolate import Job, Lost
from modelgate.kind import Shape, kind
from modelgate.options import Options
from modelgate.report import event_of, to_text
from modelgate.run import Run
from modelgate.scrub import visible
from modelgate.start.inherited import Inherited
from modelgate.walk import Walk


def explain(path: str, options: Options, inherited: Inherited) -> int:
    """Print the walk as the runtime identity meets it. Exit code as the finding's: 0 when it can be read."""
    options.command = "check"
    options.verbosity = options.verbosity or -1  # the answer is what was asked for, not how it was come by
    run = Run(options, inherited)
    run.read_manifest()  # for its run_as; one that is no good is told, and the path explained all the same
    job = Job(
        kind=kind("explain", explain_path, shape=Shape.IMPLIED, silence=10.0),
        specs=(explain_path.Spec(path=path),),
        checks=("explain",),
        lines=(None,),
    )
    code = exits.SOFTWARE
    for finding in run.scrubber.data(run.report).findings:
        sys.stderr.write(visible(f"modelgate: {event_of(finding, run.report.manifest)}. {finding.why}") + "\n")
    for outcome in run.isolate.run([job]):
        findings = computed.judge(outcome, run.place)
        code = exits.decide(findings)
        if isinstance(outcome, Lost):
            text = to_text(Report(verdict="fail", exit_code=code, findings=findings))
        else:
            who = computed.wanted(run.place)
            seen = computed.as_wanted(outcome.facts, job.specs[0], who) if who is not None else None
            text = explain_path.render(seen if isinstance(seen, Walk) else outcome.facts, findings, run.place)
        publish.write_stdout(text.encode("utf-8", "backslashreplace"))
    return code
