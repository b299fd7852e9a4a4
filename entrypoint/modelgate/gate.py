"""THE PAGE. From the command line to the running server, in the order in which it happens.

    manifest -> jobs by stage -> LOOK -> PROVE -> WARM -> AGREE -> publish -> start, or exit with the true cause

A later stage starts only if no finding of an earlier one stops the gate, so a wrong fsGroup is told in seconds and
not after the waits. Everything that touches the machine happens in children (isolate); what is here only decides.
"""

from modelgate import computed, ending
from modelgate.isolate import Lost
from modelgate.kind import Stage
from modelgate.options import Options
from modelgate.plan import plan
from modelgate.run import Run
from modelgate.start.inherited import Inherited


def gate(options: Options, inherited: Inherited) -> int:
    """Exit code of the gate. Does not return when the server was started."""
    run = Run(options, inherited)  # from here on TERM, INT, QUIT and HUP end it at once with 128+n
    try:
        return page(run)
    except Exception as error:
        ending.fault(run, error)
        raise


def page(run: Run) -> int:
    """Manifest, stages, verdict, start."""
    manifest = run.read_manifest()
    if manifest is not None:
        jobs = plan(manifest, run.options, run.command)
        for stage in Stage:
            if jobs[stage] and (not run.stopped or run.options.command == "facts"):
                with run.stage(stage, jobs[stage]):
                    look(run, stage)
    exit_code = run.publish()
    if exit_code or run.options.command != "run":
        return exit_code
    return run.start()


def look(run: Run, stage: Stage) -> None:
    """One stage: fork -> observe -> Facts or Lost -> judge -> Findings."""
    for outcome in run.outcomes(stage):
        if isinstance(outcome, Lost) and outcome.how in ("cancelled", "timeout"):
            run.unfinished(outcome)
            continue
        for finding in computed.judge(outcome, run.place):
            run.add(finding)
        if stage is Stage.PROVE and run.stopped and run.options.command == "run":
            run.isolate.hurry(5)  # the others may still tell what they know; `check` lets all finish
    run.close_stage()
