"""`modelgate explain PATH [--run-as …]`: who may do what on this path, and which component decides."""

import sys

from modelgate import exits, explain_path, publish, verdict
from modelgate.isolate import Job, Lost
from modelgate.kind import Shape, kind
from modelgate.options import Options
from modelgate.run import Run
from modelgate.start.inherited import Inherited


def explain(path: str, options: Options, inherited: Inherited) -> int:
    """Print the walk as the runtime identity meets it. Exit code as the finding's: 0 when it can be read."""
    options.command = "check"
    options.verbosity = options.verbosity or -1  # the answer is what was asked for, not how it was come by
    run = Run(options, inherited)
    if run.read_manifest() is None:
        return run.publish()
    job = Job(
        kind=kind("explain", explain_path, shape=Shape.IMPLIED, silence=10.0),
        specs=(explain_path.Spec(path=path),),
        checks=("explain",),
        lines=(None,),
    )
    code = exits.SOFTWARE
    for finding in run.report.findings:  # run_as could not be honoured
        sys.stderr.write(f"modelgate: {finding.observed}. {finding.why}\n")
    for outcome in run.isolate.run([job]):
        findings = verdict.judge(outcome, run.place)
        code = exits.decide(findings)
        if isinstance(outcome, Lost):
            text = "\n".join(f"{f.code}: {f.observed}" for f in findings) + "\n"
        else:
            text = explain_path.render(outcome.facts, findings, run.place)
        publish.write_stdout(text.encode("utf-8", "backslashreplace"))
    return code
