"""The kinds of checks: one module each, one line each, in the order of the report."""

from modelgate.checks import caches, devices, digests, disk, env, files, host, launch, ports, wait_for
from modelgate.kind import Kind, Shape, Stage, kind

KINDS: tuple[Kind, ...] = (
    kind("files", files),
    kind("digests", digests, shape=Shape.IMPLIED, stage=Stage.PROVE, silence=120),
    kind("devices", devices, silence=30),
    kind("env", env, shape=Shape.ONE),
    kind("host", host, shape=Shape.ONE),
    kind("disk", disk),
    kind("ports", ports),
    kind("launch", launch, shape=Shape.IMPLIED),
    kind("caches", caches, shape=Shape.IMPLIED),
    kind("wait_for", wait_for, stage=Stage.PROVE, silence=120, together=True),
)
