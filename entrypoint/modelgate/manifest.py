"""The manifest: assembled from the kinds, so that a new kind is one line elsewhere and nothing here.

A good manifest takes the short way: YAML to plain data, variables, one msgspec.convert. Only what that refuses is
walked by schema_errors, which finds everything that is wrong and not the first thing alone.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from modelgate import identity
from modelgate.finding import Finding
from modelgate.host import Place
from modelgate.kind import Kind, Shape
from modelgate.start.spec import SUPERVISE_ONLY, LaunchSpec
from modelgate.units import Duration, Size


class Timeout(Duration):
    """A duration above 0."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Timeout":
        """Raise ValueError with a message for a person."""
        seconds = Duration.parse(value)
        if not seconds:
            raise ValueError("0 would end the gate at once; leave `timeout` out for no upper bound")
        return cls(seconds)


class RunAs(str):
    """`UID[:GID[,GID…]]`. `1000` may stand without quotes: there is only one thing it can mean."""

    __slots__ = ()
    SCHEMA = {  # noqa: RUF012 - as in units
        "type": ["string", "integer"],
        "pattern": "^[0-9]+(:[0-9]+(,[0-9]+)*)?$",
        "minimum": 0,
        "examples": ["1001", "1001:1002", "1001:1002,44"],
    }

    @classmethod
    def parse(cls, value: object) -> "RunAs":
        """Raise ValueError with a message for a person."""
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError('expected UID[:GID[,GID…]] in numbers and in quotes, such as "1001:1002"')
        identity.parse(str(value))
        return cls(value)


class Manifest(Struct, kw_only=True):
    """A manifest that is good: every value in its type, every default filled in.

    timeout   seconds, or None for no upper bound
    sections  what stands under the key of each kind
    lines     1-based line of each value by its path, ("files", 0, "mode")
    secrets   values that came from variables and must not be shown
    """

    path: str | None = None
    timeout: float | None = None
    run_as: str | None = None
    no_new_privs: bool = False
    cache: str | None = None
    launch: LaunchSpec = field(default_factory=LaunchSpec)
    sections: dict[str, Any] = field(default_factory=dict)
    env_set: dict[str, str] = field(default_factory=dict)
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()

    def entries(self, kind: Kind) -> list[tuple[str, int | None, Any]]:
        """The specs of one kind with their check and line: ("files[0]", 12, spec)."""
        section = self.sections.get(kind.key)
        if section is None:
            return []
        if kind.shape is Shape.ONE:
            return [(kind.key, self.lines.get((kind.key,)), section)]
        return [(f"{kind.key}[{n}]", self.lines.get((kind.key, n)), spec) for n, spec in enumerate(section)]

    def shown(self) -> dict[str, Any]:
        """Plain data of the manifest as it is understood, as YAML would take it again. Secrets are still in it."""
        timeout = None if self.timeout is None else Duration(self.timeout)
        head = {name: getattr(self, name) for name in ("run_as", "no_new_privs", "cache")}
        everything = {"version": 1, "timeout": timeout, **head, **self.sections, "launch": self.launch}
        shown: dict[str, Any] = _without_empty(msgspec.to_builtins(everything, enc_hook=_as_written, str_keys=True))
        if self.launch.mode == "exec":  # what needs a supervisor would be refused
            for key in SUPERVISE_ONLY:
                shown["launch"].pop(key, None)
        return shown


def empty(path: str | None = None) -> Manifest:
    """What holds where there is no manifest: only what the command line implies."""
    return Manifest(path=path)


def load(
    text: bytes, path: str, environ: Mapping[str, str], kinds: Sequence[Kind], place: Place | None = None
) -> Manifest | list[Finding]:
    """The manifest in `text`, or a finding for each thing that is wrong with it. Never raises.

    `path` is only what the findings call the file. `environ` fills `${VAR}`; `place` chooses whose syntax their fixes
    are written in. Every finding's code is manifest-invalid or manifest-unsupported.
    """
    # PyYAML takes 20 ms to import: a gate without a manifest does not pay for it.
    from modelgate import expand, not_built, yaml_lines

    document = yaml_lines.parse(text)
    secrets: frozenset[str] = frozenset()
    if document.data is not None:
        secrets = expand.expand(document, environ, place or Place())
        not_built.refuse(document, kinds)
        _write_out(document, kinds)
    if document.data is not None and not document.issues:
        try:
            return _good(document.data, document, path, kinds, secrets)
        except Exception:  # noqa: BLE001, S110 - a Spec may raise what it likes; the walk below says what and where
            pass
    from modelgate import manifest_findings, schema_errors

    repaired = schema_errors.collect(document, file_type(kinds))
    if not document.issues:
        try:
            return _good(repaired, document, path, kinds, secrets)
        except Exception as error:  # noqa: BLE001 - the two ways disagree: msgspec has the last word
            manifest_findings.unexplained(document, error)
    return manifest_findings.findings(document, path, secrets)


def _good(data: Any, document: Any, path: str, kinds: Sequence[Kind], secrets: frozenset[str]) -> Manifest:
    read = msgspec.convert(data, file_type(kinds), dec_hook=parse_custom, str_keys=True)
    sections = {k.key: getattr(read, k.key) for k in kinds if k.shape is not Shape.IMPLIED}
    settings = {}
    for kind in kinds:
        to_env = getattr(kind.module, "settings", None)
        if to_env is not None and sections.get(kind.key) is not None:
            settings.update(to_env(sections[kind.key]))
    return Manifest(
        path=path,
        timeout=None if read.timeout is None else float(read.timeout),
        run_as=None if read.run_as is None else str(read.run_as),
        no_new_privs=read.no_new_privs,
        cache=read.cache,
        launch=read.launch,
        sections=sections,
        env_set=settings,
        lines=document.lines,
        secrets=secrets,
    )


def file_type(kinds: Sequence[Kind]) -> type[Any]:
    """The struct of a whole manifest file: the keys that are always there, and one for each kind."""
    fields: list[tuple[str, Any, Any]] = [
        ("version", Annotated[Literal[1], Meta(description="The version of the manifest's format: 1")], 1),
        ("timeout", Annotated[Timeout | None, Meta(description="Upper bound of the whole gate; default none")], None),
        ("run_as", Annotated[RunAs | None, Meta(description=_RUN_AS)], None),
        ("no_new_privs", Annotated[bool, Meta(description="Start the server with no_new_privs set")], False),
        ("cache", Annotated[Annotated[str, Meta(min_length=1)] | None, Meta(description=_CACHE)], None),
    ]
    for kind in kinds:
        about = Meta(description=describe(kind))
        spec: Any = kind.module.Spec
        if kind.shape is Shape.LIST:
            fields.append((kind.key, Annotated[list[spec], about], field(default_factory=list)))
        elif kind.shape is Shape.ONE:
            fields.append((kind.key, Annotated[spec | None, about], None))
    launch = Annotated[LaunchSpec, Meta(description="How the server is started")]
    fields.append(("launch", launch, field(default_factory=LaunchSpec)))
    return msgspec.defstruct("Manifest", fields, kw_only=True, frozen=True, forbid_unknown_fields=True)


_RUN_AS = "UID[:GID[,GID…]] that the checks are made as; a gate started as root starts the server as it"
_CACHE = "Persistent directory for stamps and repaired files; default none"


def describe(kind: Kind) -> str:
    """The title sentence of the kind's module."""
    return str(getattr(kind.module, "__doc__", None) or kind.key).strip().split("\n\n")[0].replace("\n", " ")


def parse_custom(wanted: type[Any], value: object) -> Any:
    """The dec_hook of msgspec: a type of our own knows how people write it."""
    return wanted.parse(value)


def json_schema(kinds: Sequence[Kind]) -> dict[str, Any]:
    """JSON Schema (2020-12) of the manifest, for editors: `# yaml-language-server: $schema=FILE`."""
    from modelgate import schema_json

    return schema_json.build(file_type(kinds), kinds)


def _write_out(document: Any, kinds: Sequence[Kind]) -> None:
    """`ports: [8000]` is short for `ports: [{port: 8000}]`: where a kind names the key that a bare value stands for."""
    for kind in kinds:
        name = getattr(kind.module, "SHORTHAND", None)
        entries = document.data.get(kind.key)
        if name is None or not isinstance(entries, list):
            continue
        for n, entry in enumerate(entries):
            at = (kind.key, n)
            if isinstance(entry, (dict, list)) or entry is None or at in document.broken:
                continue
            entries[n] = {name: entry}
            document.moved(at, (*at, name))


def _as_written(value: object) -> Any:
    if isinstance(value, Duration):
        return value.text
    if isinstance(value, Size):
        return int(value)
    return str(value)


def _without_empty(value: Any) -> Any:
    """What is not asked for is left out: a null or an empty list would be refused, or say less than nothing."""
    if isinstance(value, dict):
        cleaned = {k: _without_empty(v) for k, v in value.items()}
        return {k: v for k, v in cleaned.items() if v is not None and v not in ([], {}, ())}
    if isinstance(value, (list, tuple)):
        return [_without_empty(v) for v in value]
    return value
