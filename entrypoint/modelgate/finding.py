"""What the gate says: Level, Fix, Finding, Report. Plain data, no I/O."""

import enum
from typing import Any

from msgspec import Struct, field


class Level(str, enum.Enum):
    """How a finding counts. `unknown`: could not look; never a pass, never blamed on the user."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


# Whose turn it is. Free text would drift; these four are the exit-code table's.
IMAGE = "image author"
DEPLOYER = "deployer"
CLUSTER = "cluster admin"
PUBLISHER = "weights publisher"
US = "modelgate"


class Fix(Struct, frozen=True, kw_only=True):
    """One honest branch of a cure: under which condition, what to do, and the text to copy."""

    when: str
    do: str
    snippet: str = ""
    who: str = DEPLOYER


class Finding(Struct, frozen=True, kw_only=True):
    """One outcome of one check.

    The judge of a kind fills code to evidence; the gate adds check, line, implied_by and seconds.
    A failing finding without a fix cannot be made.
    """

    code: str
    level: Level
    subject: str
    observed: str
    why: str = ""
    fixes: tuple[Fix, ...] = ()
    check: str = ""
    line: int | None = None
    implied_by: str | None = None
    seconds: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.level is Level.FAIL and not self.fixes:
            raise ValueError(f"finding {self.code!r} fails without a fix")
        if (self.code == "ok") is not (self.level is Level.OK):
            raise ValueError(f"finding {self.code!r} at level {self.level.value}")

    @property
    def stops(self) -> bool:
        """The gate ends here. An `unknown` that must not stop was lowered to a warn before (gate.py)."""
        return self.level in (Level.FAIL, Level.UNKNOWN)


def ok(subject: str, observed: str, **evidence: Any) -> Finding:
    """The requirement holds; `observed` says what was seen ("opened for reading as 1001:1002")."""
    return Finding(code="ok", level=Level.OK, subject=subject, observed=observed, evidence=evidence)


def fail(code: str, subject: str, observed: str, why: str, *fixes: Fix, **evidence: Any) -> Finding:
    """An observed fact that breaks the server. At least one fix."""
    return Finding(
        code=code, level=Level.FAIL, subject=subject, observed=observed, why=why, fixes=fixes, evidence=evidence
    )


def warn(code: str, subject: str, observed: str, why: str, *fixes: Fix, **evidence: Any) -> Finding:
    """Likely to hurt, or a guess (then `why` says so)."""
    return Finding(
        code=code, level=Level.WARN, subject=subject, observed=observed, why=why, fixes=fixes, evidence=evidence
    )


def unknown(code: str, subject: str, observed: str, why: str, *fixes: Fix, **evidence: Any) -> Finding:
    """Could not look."""
    return Finding(
        code=code, level=Level.UNKNOWN, subject=subject, observed=observed, why=why, fixes=fixes, evidence=evidence
    )


class StageTime(Struct, frozen=True):
    """One stage of the run: name, wall-clock start (ISO 8601, UTC), seconds."""

    name: str
    started: str
    seconds: float


class Unfinished(Struct, frozen=True):
    """A look that was cancelled because another finding had already stopped the gate; `last` is what it did last."""

    check: str
    subject: str
    last: str = ""


class Report(Struct, kw_only=True):
    """The whole run. This is the JSON of `--report` and `check --format json`, schema 1."""

    schema: int = 1
    verdict: str = "pass"
    exit_code: int = 0
    version: str = ""
    started: str = ""
    seconds: float = 0.0
    manifest: str | None = None
    identity: dict[str, Any] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)
    stages: list[StageTime] = field(default_factory=list)
