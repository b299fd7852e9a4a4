"""One run of the gate: its machine, identity, log, report, state; what gate.py's page needs and does not show."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from modelgate import __version__, computed, ending, exits, identity, publish, record, verdict
from modelgate.finding import Finding, Fix, Report, StageTime, warn
from modelgate.host import Host, Place, find_place
from modelgate.isolate import Isolate, Job, Lost, Seen
from modelgate.kind import Stage
from modelgate.log import Log
from modelgate.manifest import Manifest
from modelgate.options import Options
from modelgate.scrub import Scrubber
from modelgate.sources import read_manifest
from modelgate.start.inherited import Inherited
from modelgate.state import State


class Run:
    """Everything of one run. Its attributes are plain; its methods are the verbs of the page."""

    def __init__(self, options: Options, inherited: Inherited) -> None:
        self.options, self.inherited = options, inherited
        self.began = time.monotonic()
        self.environ = inherited.text_environ()
        self.command = list(options.server)
        self.me = self.identity = identity.current()
        self.host = Host(environ=self.environ)
        self.place = Place()
        self.report = Report(version=__version__, started=_utc(), command=self.command)
        self.scrubber = Scrubber(self.environ)
        self.log = Log(
            format=options.log_format, verbosity=options.verbosity, scrubber=self.scrubber, environ=self.environ
        )
        self.log.hurried = True
        self._held: list[Callable[[], None]] = []
        self.isolate = Isolate(self.host, self.me, told=self._told, turn=self._turn)
        self.state: State | None = None
        self.manifest: Manifest | None = None
        self.env_set: dict[str, str] = {}
        self.health: str | None = None
        self.rows: list[record.Row] = []  # `modelgate facts` only
        self._printed = False
        self._jobs: list[Job] = []
        self._until: float | None = None
        self._overdue: list[str] = []  # levels of what the upper bound cut short
        ending.install(self)

    # -- before the stages ---------------------------------------------------------------------------------------

    def read_manifest(self) -> Manifest | None:
        """The manifest, ours to act on from here; None after its errors have become findings."""
        for text in self.options.warnings:
            self.say_later("warning", text)
        self.place = find_place(self.environ, self.me.uid, self.me.gid, self.me.groups)
        self.host.place = self.place
        loaded = read_manifest(self)
        if not isinstance(loaded, Manifest):
            for finding in loaded:
                self.add(finding)
            self._open_state()
            return None
        self.manifest = loaded
        self.report.manifest = loaded.path
        self.health = loaded.launch.health
        timeout = self.options.timeout if self.options.timeout is not None else loaded.timeout
        self._until = None if timeout is None else self.began + timeout
        self._become(self.options.run_as or loaded.run_as)
        profile = loaded.launch.profiles[0] if loaded.launch.profiles else None
        self.env_set = {**loaded.env_set, **(dict(profile.env) if profile else {})}
        if profile and self.command:
            self.command = self.report.command = [*self.command, *profile.args]
        self.environ = {**self.environ, **self.env_set}
        self.host.environ = self.environ
        self.scrubber = Scrubber(self.environ, loaded.secrets)
        self.log.scrubber = self.scrubber
        self._open_state()
        return None if self.stopped else loaded

    def _become(self, run_as: str | None) -> None:
        """Settle whom the checks are made as. The children take the identity; PID 1 keeps its own until the start."""
        wanted, asked = identity.resolve(run_as), None
        if not identity.can_become(wanted):
            asked = wanted if self.options.command == "check" else None
            self.add(_not_root(wanted, self.me, computed=asked is not None))
            wanted = self.me
        self.identity = self.isolate.identity = wanted
        self.place = find_place(self.environ, wanted.uid, wanted.gid, wanted.groups)
        if asked is not None:
            self.place = computed.place_for(self.place, asked)
        self.host.place = self.place
        self.report.identity = msgspec.to_builtins(wanted)
        self.report.place = {"platforms": list(self.place.platforms), "container": self.place.container}

    def _open_state(self) -> None:
        if self.options.command == "run":
            self.state = State.open(self.host, self.options.state_dir, self.identity, self.environ)
            self.state.write(phase="gate", stage="", health=self.health)

    # -- the stages ----------------------------------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        return any(f.stops for f in self.report.findings)

    def add(self, finding: Finding) -> None:
        if finding.code == "identity-denied" and any(f.code == finding.code and f.stops for f in self.report.findings):
            return  # every child says the same
        self.report.findings.append(finding)
        self.log.debug_finding(finding)

    @contextlib.contextmanager
    def stage(self, stage: Stage, jobs: list[Job]) -> Iterator[None]:
        self._jobs = jobs
        started, before = _utc(), time.monotonic()
        looks = sum(len(j.specs) for j in jobs)
        self._held.append(lambda: self.log.stage(stage.value, looks=looks))
        self._tell_state(stage=stage.value)
        yield
        self.report.stages.append(StageTime(stage.value, started, round(time.monotonic() - before, 4)))
        self.log.stage_done(stage.value, seconds=self.report.stages[-1].seconds)

    def outcomes(self, stage: Stage) -> Iterator[Seen | Lost]:
        # What waits or hashes is bounded by the plan; the cap is for the many short looks.
        cap = None if stage is Stage.LOOK else max(len(self._jobs), 1)
        for outcome in self.isolate.run(self._jobs, cap=cap, until=self._until):
            if self.options.command == "facts":
                self.rows.append(record.row(outcome))
            yield outcome

    def unfinished(self, lost: Lost) -> None:
        self.report.unfinished.append(verdict.unfinished(lost))
        if lost.how == "timeout":
            self._overdue.append(getattr(lost.job.specs[lost.index], "level", "fail"))

    def close_stage(self) -> None:
        if self._overdue and self._until is not None:
            stops = self._overdue != ["warn"] * len(self._overdue)
            self.add(verdict.timed_out(self._until - self.began, self.report.unfinished, stops=stops))
            self._overdue.clear()

    def say_later(self, level: str, event: str, **fields: Any) -> None:
        """A line for the log that need not hold up the first children: loading structlog takes as long as they do."""
        self._held.append(lambda: self.log.say(level, event, **fields))

    def _turn(self) -> None:
        """Once a turn of the isolation loop, at least four times a second."""
        self.log.hurried = time.monotonic() - self.began < 1  # later there is time: children work or dependencies wait
        while self._held:
            self._held.pop(0)()
        self.log.tick()
        if self.state is not None:
            self.state.beat()

    def _told(self, job: Job, words: dict[str, Any]) -> None:
        index = words.get("index", 0)
        index = index if isinstance(index, int) and 0 <= index < len(job.specs) else 0  # it comes from a child
        about = {"check": job.checks[index], "subject": verdict.subject(job, index)}
        if "attempt" in words:
            self.log.attempt(**{**about, **words})
        else:
            self.log.progress(**{**about, **words})
        # The path of other words is only the component they have come to.
        what = self.scrubber.text(str(words["path"] if words.keys() >= {"path", "done"} else about["subject"]))
        self._tell_state(waiting_for=what, **{k: words[k] for k in ("done", "total") if k in words})

    def _tell_state(self, **fields: Any) -> None:
        if self.state is not None:
            self.state.write(phase="gate", **fields)

    # -- the end -------------------------------------------------------------------------------------------------

    def publish(self, exit_code: int | None = None, seconds: float = 5.0) -> int:
        """The verdict before the exit: log, report file, termination message, probe state. Returns the exit code."""
        self._turn()
        report = self.report
        report.findings = verdict.sort(report.findings)
        report.exit_code = exits.decide(report.findings) if exit_code is None else exit_code
        report.verdict = "fail" if report.exit_code else "pass"
        report.seconds = round(time.monotonic() - self.began, 4)
        shown = self.scrubber.data(report)
        self._print(shown, None if exit_code is None else seconds)
        if self.options.command == "facts" and self.manifest is not None:
            return exits.PASSED  # what was seen is the answer, whatever it means
        if self.options.command != "check":
            self.log.verdict(shown)
        for error in publish.to_files(self, shown, seconds):
            self.log.say("warning", error)
        if self.state is not None and report.exit_code:
            first = next((f for f in shown.findings if f.stops), None)
            message = f"{first.subject}: {first.observed}" if first else ""
            self.state.write(phase="failed", verdict="fail", exit_code=report.exit_code, message=message)
        return report.exit_code

    def _print(self, shown: Report, patience: float | None) -> None:
        """What a command was asked to print, once: a signal may come while nobody reads what is printed."""
        if self._printed or self.options.command not in ("check", "facts"):
            return
        self._printed = True
        if self.options.command == "check":
            publish.to_stdout(shown, self.options.format, patience, verbose=self.options.verbosity > 0)
        else:
            record.dump(self.rows, self.place, self.scrubber, patience)

    def start(self) -> int:
        """Exec the server. Returns an exit code only when that failed; the finding is published then."""
        from modelgate.start.handover import exec_server

        if self.state is not None:
            self.state.write(phase="started", stage="", health=self.health)
        self.log.say("info", "starting the server", stage="start", command=self.scrubber.data(self.command))
        self.log.close()
        failed = exec_server(
            self.command,
            self.inherited,
            identity=self.identity,
            env_set=self.env_set,
            no_new_privs=self.manifest is not None and self.manifest.no_new_privs,
            isolate=self.isolate,
        )
        ending.install(self)
        self.add(failed)
        return self.publish() or exits.SOFTWARE  # never 0: no server runs


def _utc() -> str:
    now = time.time()  # datetime takes 5 ms to import
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"


def _not_root(wanted: identity.Identity, me: identity.Identity, *, computed: bool) -> Finding:
    fix = Fix(
        when="the server is to run as that identity",
        do=f"Start the container as root, or as {wanted.text} itself",
        snippet=f"docker run --user {wanted.uid}:{wanted.gid} ...",
    )
    observed = f"run_as asks for {wanted.text}, but the gate was started as {me.text} and cannot change"
    why = "Everything was checked as the identity that the server will really have."
    if computed:
        why = f"Paths were computed for {wanted.text} from mode bits and ACLs; all else was checked as {me.text}."
    return msgspec.structs.replace(warn("identity-denied", f"run_as {wanted.text}", observed, why, fix), check="run_as")
