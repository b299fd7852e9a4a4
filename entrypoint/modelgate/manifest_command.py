"""`modelgate manifest lint FILE | schema | show`."""

import sys

import msgspec

from modelgate import exits, publish
from modelgate.checks import KINDS
from modelgate.manifest import json_schema
from modelgate.options import Options, UsageError
from modelgate.run import Run
from modelgate.start.inherited import Inherited

USAGE = "manifest takes one of: lint FILE, schema, show"


def main(options: Options, inherited: Inherited) -> int:
    """Exit code: 0, or 78 for a manifest that is no good."""
    verb, *rest = options.arguments or [""]
    if verb == "schema" and not rest:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(json_schema(KINDS)), indent=2) + b"\n")
        return exits.PASSED
    if verb == "lint" and len(rest) == 1:
        options.manifest = rest[0]
        return _lint(options, inherited)
    if verb == "show" and not rest:
        return _show(options, inherited)
    raise UsageError(USAGE)


def _lint(options: Options, inherited: Inherited) -> int:
    """Every error of the manifest, and nothing of the machine."""
    options.command = "check"
    options.verbosity = options.verbosity or -1  # the answer is what was asked for, not how it was come by
    run = Run(options, inherited)
    run.read_manifest()
    if not run.stopped and options.format == "text":
        sys.stdout.write(f"{options.manifest}: good\n")
        return exits.PASSED
    return run.publish()


def _show(options: Options, inherited: Inherited) -> int:
    """The manifest as it is understood: variables expanded, defaults filled in, secrets hidden."""
    options.command = "check"
    options.verbosity = options.verbosity or -1  # the answer is what was asked for, not how it was come by
    run = Run(options, inherited)
    manifest = run.read_manifest()
    if manifest is None:
        return run.publish()
    import yaml

    shown = run.scrubber.data(manifest.shown())
    publish.write_stdout(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True).encode())
    return exits.PASSED
