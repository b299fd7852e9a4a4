"""What a kind of check is: the shape every module in checks/ has, and what the plan needs to know of it.

A module has a `Spec` (what the manifest may ask), `Facts` (what was seen), `observe(spec, host)` (runs in a child as
the runtime identity; may hang, crash or be killed) and `judge(spec, facts, place)` (pure: no I/O, no clock).
"""

import enum
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from modelgate.finding import Finding
from modelgate.host import Host, Place


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every entry of a list in the manifest may carry. Every Spec extends this.

    level     `warn`: a failure is told but never stops the gate
    optional  absence is fine; what is there must hold
    """

    level: Annotated[Literal["fail", "warn"], Meta(description="warn: a failure is told but never stops the gate")] = (
        "fail"
    )
    optional: Annotated[bool, Meta(description="true: absence is fine; what is there must hold")] = False


class Stage(str, enum.Enum):
    """In the order of the run. A later stage starts only if no finding of the earlier one stops."""

    LOOK = "look"
    PROVE = "prove"
    WARM = "warm"
    AGREE = "agree"


class Shape(str, enum.Enum):
    """How a kind stands in the manifest: a list of entries, one mapping, or nowhere (implied only)."""

    LIST = "list"
    ONE = "one"
    IMPLIED = "implied"


class Module(Protocol):
    """What mypy holds every check module to."""

    Spec: type[Any]
    Facts: type[Any]

    @property
    def observe(self) -> Callable[[Any, Host], Any]: ...
    @property
    def judge(self) -> Callable[[Any, Any, Place], list[Finding]]: ...


Done = Callable[[int, Any], None]


class Together(Protocol):
    """A module whose entries share one child: calls done(index, facts) as each entry is decided."""

    @property
    def observe_all(self) -> Callable[[Sequence[Any], Host, Done], None]: ...


class Kind(Struct, frozen=True, kw_only=True):
    """One kind of check. `key` is its manifest key, report heading and file name."""

    key: str
    module: Any  # a Module; a Protocol cannot be a msgspec field type
    shape: Shape = Shape.LIST
    stage: Stage = Stage.LOOK
    silence: float = 10.0  # seconds without a word after which its child counts as hung
    memory: int = 1 << 30  # bytes of private memory its child may take
    together: bool = False  # module.observe_all instead of observe


def kind(key: str, module: Module, **rest: Any) -> Kind:
    """A Kind whose module mypy has checked against the Protocol."""
    return Kind(key=key, module=module, **rest)
