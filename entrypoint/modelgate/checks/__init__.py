"""The kinds of checks: one module each, one line each, in the order of the report."""

from modelgate.kind import Kind

KINDS: tuple[Kind, ...] = ()
