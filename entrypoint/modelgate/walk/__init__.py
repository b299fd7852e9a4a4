"""A path as this process meets it: every component, what it is, what it lets this identity do, and who decides.

`walk(path, host)` looks and never judges; `refusal` turns what was seen into findings.
"""

from modelgate.walk.names import raw, shown
from modelgate.walk.steps import Step, Walk
from modelgate.walk.walker import Walker, walk

__all__ = ["Step", "Walk", "Walker", "raw", "shown", "walk"]
