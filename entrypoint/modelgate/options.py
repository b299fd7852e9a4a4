"""The command line and MODELGATE_* as one Options value. Wrong usage is UsageError (exit 64)."""

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from msgspec import Struct, field

from modelgate import __version__, identity
from modelgate.units import Duration

# What Kubernetes injects when a Service is called modelgate: not addressed to us.
_SERVICE_LINK = re.compile(r"MODELGATE_(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP|SCTP).*)?)")
_ELSEWHERE = frozenset({"MODELGATE_TERMINATION_LOG", "MODELGATE_ISOLATED"})

EPILOG = """\
commands:
  modelgate [OPTIONS] -- COMMAND [ARG...]   run the gate, then the server (same as: modelgate run ...)
  modelgate check [OPTIONS] [-- COMMAND...] all that run does, without the start
  modelgate probe [startup|ready|live]      for HEALTHCHECK and exec probes: 0 yes, 1 no
  modelgate explain PATH | CODE             who may do what on this path; the page of a finding
  modelgate manifest lint FILE | schema | show
  modelgate install DIR                     copy modelgate into DIR, for an unchanged image
  modelgate facts | judge FILE              dump every observation; judge recorded ones
"""


class UsageError(Exception):
    """The command line or a MODELGATE_* variable is wrong; the text is for a person."""


class Options(Struct, kw_only=True):
    """What was asked for. None: not said, so the manifest or the default decides."""

    command: str = "run"
    arguments: list[str] = field(default_factory=list)
    server: list[str] = field(default_factory=list)
    manifest: str | None = None
    timeout: float | None = None
    model: list[str] = field(default_factory=list)
    wait_for: list[str] = field(default_factory=list)
    mode: str | None = None
    run_as: str | None = None
    report: str | None = None
    format: str = "text"
    log_format: str = "auto"
    state_dir: str | None = None
    cache: str | None = None
    reverify: bool = False
    implied: bool = True
    read_only: bool = False
    verbosity: int = 0
    supervise_only: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


COMMANDS = ("run", "check", "probe", "explain", "manifest", "install", "facts", "judge")


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Everything behind the first `--` is the server's command. UsageError; --help and --version print and leave."""
    words = list(argv)
    server: list[str] = []
    dashes = "--" in words
    if dashes:
        at = words.index("--")
        words, server = words[:at], words[at + 1 :]
    command = "run"
    for index, word in enumerate(words):
        if word in COMMANDS:  # options may stand before the command
            if index and words[index - 1] in _TAKES_VALUE:
                continue
            command = words.pop(index)
            break
        if not word.startswith("-") and not (index and words[index - 1] in _TAKES_VALUE):
            break
    parsed = vars(_parser(command).parse_args(words))
    given = {k: v for k, v in parsed.items() if v is not None}
    options = Options(command=command, server=server)
    _environment(options, environ, given)
    for key, value in given.items():
        if key in ("forward", "signal", "grace", "drain"):
            options.supervise_only.append(f"--{key}")
        elif key == "timeout":
            options.timeout = _duration("--timeout", value)
        elif key in ("quiet", "verbose"):
            options.verbosity += value if key == "verbose" else -value
        else:
            setattr(options, key, value)
    _validate(options)
    if command == "run" and not server:
        hint = f": put `--` before it, `modelgate -- {options.arguments[0]} ...`" if options.arguments else ""
        raise UsageError(f"no server command{hint}" if hint else "no server command: modelgate [OPTIONS] -- COMMAND")
    if command == "run" and options.arguments:
        raise UsageError(f"unexpected {options.arguments[0]!r} before `--`")
    return options


def _validate(options: Options) -> None:
    if options.supervise_only and options.mode != "supervise":
        raise UsageError(f"{options.supervise_only[0]} needs --mode supervise")
    if options.report is not None and options.report == options.manifest:
        raise UsageError("--report would write over the manifest")
    try:
        if options.run_as is not None:
            identity.parse(options.run_as)
        if options.wait_for:
            from modelgate.checks.wait_for import from_url

            for url in options.wait_for:
                from_url(url)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _duration(name: str, text: str) -> float:
    try:
        seconds = float(Duration.parse(text))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    if not seconds:
        raise UsageError(f"{name}: 0 would end the gate at once; leave it out for no upper bound")
    return seconds


def _environment(options: Options, environ: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Fill in what the command line did not say."""
    plain = {
        "MANIFEST": "manifest", "MODE": "mode", "RUN_AS": "run_as", "REPORT": "report", "LOG_FORMAT": "log_format",
        "STATE_DIR": "state_dir", "CACHE": "cache", "FORMAT": "format",
    }  # fmt: skip
    choices = {"mode": ("exec", "supervise"), "log_format": ("auto", "json", "console"), "format": FORMATS}
    flags = {"REVERIFY": ("reverify", True), "NO_IMPLIED": ("implied", False)}
    for name, value in environ.items():
        if not name.startswith("MODELGATE_") or name in _ELSEWHERE:
            continue
        key = name.removeprefix("MODELGATE_")
        if key in plain and value:
            attribute = plain[key]
            if attribute in choices and value not in choices[attribute]:
                raise UsageError(f"{name}={value}: choose from {', '.join(choices[attribute])}")
            if attribute not in given:
                setattr(options, attribute, value)
        elif key == "TIMEOUT" and value:
            if "timeout" not in given:
                options.timeout = _duration(name, value)
        elif key in ("WAIT_FOR", "MODEL"):
            if key.lower() not in given:
                setattr(options, key.lower(), value.split())
        elif key in flags:
            if value.lower() not in ("", "0", "false", "no"):
                setattr(options, *flags[key])
        elif key in ("VERBOSE", "QUIET") and value.isdecimal():
            options.verbosity += int(value) if key == "VERBOSE" else -int(value)
        elif key in ("FORWARD", "SIGNAL", "GRACE", "DRAIN"):
            options.supervise_only.append(name)
        elif not _SERVICE_LINK.fullmatch(name):
            options.warnings.append(f"{name} is set but is no option of modelgate")


FORMATS = ("text", "json", "junit")
_TAKES_VALUE = frozenset(
    {
        "-m", "--manifest", "--timeout", "--model", "--wait-for", "--mode", "--run-as", "--report", "--format",
        "--log-format", "--state-dir", "--cache", "--forward", "--signal", "--grace", "--drain",
    }
)  # fmt: skip


def _parser(command: str) -> argparse.ArgumentParser:
    usage = "modelgate [OPTIONS] -- COMMAND [ARG...]" if command == "run" else f"modelgate {command} [OPTIONS]"
    parser = _Parser(
        prog="modelgate",
        usage=usage,
        description="The gate in front of a model server: starts a server that can work, or exits with the reason.",
        epilog=EPILOG if command == "run" else None,
        # A width of its own: asking the terminal imports shutil, 4 ms that only --help would need.
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=100),
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"modelgate {__version__}")
    add("-m", "--manifest", metavar="FILE", help="default: /etc/modelgate/manifest.yaml, ./modelgate.yaml")
    add("--timeout", metavar="DURATION", help="upper wall-clock bound of the whole gate (default: none)")
    add("--model", action="append", metavar="PATH", help="a model directory or file to look at")
    add("--wait-for", action="append", metavar="URL", help="http(s)://, tcp://host:port, dns:NAME, unix:///path")
    add("--mode", choices=("exec", "supervise"))
    add("--run-as", metavar="UID[:GID[,GID...]]", help="check as this identity, and start the server as it")
    add("--report", metavar="FILE", help="write the JSON report here, whatever the verdict")
    add("--format", choices=FORMATS, help="what `check` prints on standard output (default: text)")
    add("--log-format", choices=("auto", "json", "console"))
    add("--state-dir", metavar="DIR", help="where `modelgate probe` finds the state")
    add("--cache", metavar="DIR", help="persistent directory for stamps and repaired files")
    add("--reverify", action="store_true", default=None, help="do not trust stamps of an earlier start")
    add("--no-implied", dest="implied", action="store_false", default=None, help="check only what the manifest names")
    add("-q", "--quiet", action="count", help="warnings and failures only")
    add("-v", "--verbose", action="count", help="every check that held, and tracebacks")
    add("--forward", choices=("child", "group"), help="(supervise) who gets the signals")
    add("--signal", action="append", metavar="FROM:TO", help="(supervise) rewrite or drop a signal")
    add("--grace", metavar="DURATION", help="(supervise) from TERM to KILL")
    add("--drain", metavar="DURATION", help="(supervise) unready before TERM")
    if command == "check":
        add("--read-only", action="store_true", default=None, help="only look: create and mend nothing")
    if command in ("run", "explain", "manifest", "install", "judge"):
        add("arguments", nargs="*", help=argparse.SUPPRESS)
    return parser
