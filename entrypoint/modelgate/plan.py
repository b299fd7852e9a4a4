"""Manifest and command line to jobs by stage."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from modelgate.checks import KINDS, caches, files, launch, wait_for
from modelgate.host import cpus
from modelgate.isolate import Job
from modelgate.kind import Kind, Shape, Stage
from modelgate.manifest import Manifest
from modelgate.options import Options

Row = tuple[str, int | None, Any]  # check, line, spec


def plan(manifest: Manifest, options: Options, command: list[str]) -> dict[Stage, list[Job]]:
    """Every job of the run. Nothing is looked at here."""
    jobs: dict[Stage, list[Job]] = {stage: [] for stage in Stage}
    for kind in KINDS:
        rows = _rows(kind, manifest, options)
        if kind.together:
            if rows:
                jobs[kind.stage].append(_job(kind, rows))
            continue
        for row in rows:
            wait = float(getattr(row[2], "wait", 0.0))
            # What may still be arriving is looked at beside the other waits, so that a wrong path is told in seconds.
            stage = Stage.PROVE if wait and kind.stage is Stage.LOOK else kind.stage
            jobs[stage].append(_job(kind, [row], wait=wait))
    jobs[Stage.PROVE] += _digests(manifest)
    if command and options.implied:
        row = ("command", None, launch.Spec(command=tuple(command)))
        jobs[Stage.LOOK].append(_job(_BY_KEY["launch"], [row], implied_by="the command"))
        row = ("caches", None, _caches(manifest, command))
        jobs[Stage.LOOK].append(_job(_BY_KEY["caches"], [row], implied_by="the environment"))
    if options.read_only:
        jobs = {stage: [_read_only(job) for job in found] for stage, found in jobs.items()}
    return jobs


_BY_KEY: Mapping[str, Kind] = {kind.key: kind for kind in KINDS}


def _rows(kind: Kind, manifest: Manifest, options: Options) -> list[Row]:
    rows: list[Row] = [] if kind.shape is Shape.IMPLIED else list(manifest.entries(kind))
    if kind.key == "wait_for":
        rows += [(f"--wait-for[{n}]", None, wait_for.from_url(url)) for n, url in enumerate(options.wait_for)]
    return rows


def _job(kind: Kind, rows: list[Row], *, wait: float = 0.0, implied_by: str | None = None) -> Job:
    checks, lines, specs = zip(*rows, strict=True)
    return Job(kind=kind, specs=specs, checks=checks, lines=lines, implied_by=implied_by, wait=wait)


def _caches(manifest: Manifest, command: list[str]) -> caches.Spec:
    """HOME and caches. What `files` asks to be writable is told there, and not a second time."""
    profile = manifest.launch.profiles[0] if manifest.launch.profiles else None
    writable = [spec.path for _, _, spec in manifest.entries(_BY_KEY["files"]) if spec.create or "w" in spec.access]
    given = {**manifest.env_set, **(dict(profile.env) if profile else {})}
    return caches.Spec(command=tuple(command), given=tuple(given), covered=tuple(writable))


def _digests(manifest: Manifest) -> list[Job]:
    """As many hashing children as there are cores, the files dealt out among them."""
    rows: list[Row] = []
    for check, line, spec in manifest.entries(_BY_KEY["files"]):
        digest = files.digest_spec(spec)
        if digest is not None:
            rows.append((f"{check}.sha256", line, digest))
    workers = cpus()
    return [_job(_BY_KEY["digests"], rows[n::workers]) for n in range(workers) if rows[n::workers]]


def _read_only(job: Job) -> Job:
    specs = tuple(replace(s, create=False) if getattr(s, "create", False) else s for s in job.specs)
    return replace(job, specs=specs)
