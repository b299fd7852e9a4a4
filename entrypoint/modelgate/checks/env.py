"""The server's environment: what must be set, what must not be, and what the manifest sets itself.

## What is looked at
The names of the variables that the server will get: the container's environment with `env.set` applied. `require`
wants a variable that is set and not empty, `forbid` one that is not set. Values are never recorded and never shown.

## Why it matters
A missing HF_HOME fills the wrong disk after minutes, an inherited LD_PRELOAD changes every program in the container,
and neither is named by the error that follows.

## How to fix
Set or remove the variable where the container is described. The fix is written for the platform you are on; what looks
like a secret is fixed with a reference to one.

## Limits
What a variable says is not judged. A shell script between the gate and the server may still change everything.
An empty variable counts as missing for `require`; for `forbid` it is told and does not stop, because on Kubernetes an
empty value is the only way to take a variable of the image away.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from modelgate.finding import IMAGE, Finding, Fix, fail, ok, warn
from modelgate.host import Host, Place
from modelgate.kind import Entry
from modelgate.remedies import env as remedies

Name = Annotated[str, Meta(pattern="^[^=\x00]+$", description="Name of an environment variable")]
Value = Annotated[str, Meta(pattern="^[^\x00]*$")] | int | bool
State = Literal["set", "empty", "absent"]


class Spec(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the manifest may ask of the environment."""

    require: Annotated[tuple[Name, ...], Meta(description="Variables that must be set and not empty")] = ()
    forbid: Annotated[tuple[Name, ...], Meta(description="Variables that must not be set")] = ()
    set: Annotated[
        dict[Name, Value],
        Meta(description="Variables given to the server; a number or true/false is taken as text, quote anything else"),
    ] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        return "environment"


class Facts(Struct, frozen=True):
    """State of every variable asked about, as the server will get it; names in use that resemble a missing one."""

    states: dict[str, State]
    near: dict[str, tuple[str, ...]] = field(default_factory=dict)


def settings(spec: Spec) -> dict[str, str]:
    """`env.set` as text, ready for the server: true becomes `true`, 8 becomes `8`."""
    return {name: _text(value) for name, value in spec.set.items()}


def prepare(_specs: Sequence[Spec]) -> None:
    """The runtime identity may not be able to read Python's own library (a venv below /root)."""
    import difflib  # noqa: F401


def observe(spec: Spec, host: Host) -> Facts:
    """Names only; no value leaves this function."""
    environ = {**host.environ, **settings(spec)}
    asked = dict.fromkeys((*spec.require, *spec.forbid, *spec.set))
    states: dict[str, State] = {name: _state(environ, name) for name in asked}
    missing = [name for name in spec.require if states[name] == "absent"]
    return Facts(states, {name: near for name in missing if (near := _near(name, environ))})


def judge(spec: Spec, facts: Facts, place: Place) -> list[Finding]:
    """One finding for each variable, so that all problems are told at once."""
    return [_judge(name, spec, facts, place) for name in dict.fromkeys((*spec.require, *spec.forbid, *spec.set))]


def _judge(name: str, spec: Spec, facts: Facts, place: Place) -> Finding:
    if name in spec.forbid and (name in spec.set or name in spec.require):
        return _conflict(name, "set" if name in spec.set else "require")
    state = facts.states.get(name, "absent")
    if name in spec.forbid:
        return _forbidden(name, state, place)
    if name not in spec.require:
        return ok(name, "set by env.set for the server", variable=name)
    if state == "set":
        return ok(name, "set", variable=name)
    if spec.optional and state == "absent":
        return ok(name, "not set, and optional", variable=name)
    return _missing(name, state, spec, facts.near.get(name, ()), place)


def _missing(name: str, state: State, spec: Spec, near: tuple[str, ...], place: Place) -> Finding:
    if name in spec.set:
        fix = Fix(when="the manifest is to set it", do=f"Give {name} a value in env.set", who=IMAGE)
        observed, why = f"{name} is set, but empty", "env.require asks for it, and env.set itself makes it empty."
        return fail("env-missing", name, observed, why, fix, variable=name, state=state)
    observed = f"{name} is set, but empty" if state == "empty" else f"{name} is not set"
    if near:
        observed += f"; {' and '.join(near)} {'is' if len(near) == 1 else 'are'} set: perhaps a slip in the name"
    why = "The manifest says that the server needs it (env.require)."
    return fail(
        "env-missing", name, observed, why, *remedies.supply(place, name), variable=name, state=state, near=list(near)
    )


def _forbidden(name: str, state: State, place: Place) -> Finding:
    if state == "absent":
        return ok(name, "not set", variable=name)
    fixes = remedies.remove(place, name)
    if state == "empty":
        why = "env.forbid wants it gone. Most programs take an empty variable for an unset one; that is a guess."
        return warn("env-forbidden", name, f"{name} is set, but empty", why, *fixes, variable=name, state=state)
    why = "The manifest says that the server must not have it (env.forbid)."
    return fail("env-forbidden", name, f"{name} is set", why, *fixes, variable=name, state=state)


def _conflict(name: str, other: str) -> Finding:
    drop = Fix(when=f"the server must not have {name}", do=f"Remove {name} from env.{other}", who=IMAGE)
    keep = Fix(when=f"the server needs {name}", do=f"Remove {name} from env.forbid", who=IMAGE)
    observed = f"{name} stands in env.forbid and in env.{other}"
    return fail("env-conflict", name, observed, "Both cannot hold.", drop, keep, variable=name)


def _state(environ: Mapping[str, str], name: str) -> State:
    value = environ.get(name)
    return "absent" if value is None else "set" if value else "empty"


def _near(name: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    from difflib import get_close_matches

    # A name that is no text at all could not be sent to the parent, and is nobody's slip of the pen.
    names = [n for n in environ if n != name and n.isprintable() and environ[n]]
    return tuple(get_close_matches(name, names, n=2, cutoff=0.8))


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
