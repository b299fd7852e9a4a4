"""The command line: each command is one short function."""

import os
import sys
from collections.abc import Callable

from modelgate import exits
from modelgate.options import Options, UsageError, parse
from modelgate.start.inherited import Inherited


def main(argv: list[str], inherited: Inherited) -> int:
    """Exit code. Returns only when no server was started."""
    environ = inherited.text_environ()
    try:
        options = parse(argv, environ)
        return _COMMANDS[options.command](options, inherited)
    except UsageError as error:
        from modelgate.scrub import Scrubber, visible

        said = visible(Scrubber(environ).text(str(error)))  # it repeats what was typed
        sys.stderr.write(f"modelgate: {said}\n`modelgate --help` shows how it is used.\n")
        if "--" in argv:  # somebody meant to start a server
            from modelgate import publish

            publish.usage(f"modelgate: {said}\n", environ)
        return exits.USAGE


def _gate(options: Options, inherited: Inherited) -> int:
    from modelgate.gate import gate

    return gate(options, inherited)


def _explain(options: Options, inherited: Inherited) -> int:
    if len(options.arguments) != 1:
        raise UsageError("explain takes one PATH or one CODE")
    word = options.arguments[0]
    from modelgate import pages

    page = pages.page(word)
    if page is not None:
        return _print(page)
    if "/" not in word and word != "." and not os.path.lexists(word):
        near = pages.near(word)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"{word!r} is neither a finding code nor a path{hint}")
    from modelgate.explain import explain

    return explain(word, options, inherited)


def _manifest(options: Options, inherited: Inherited) -> int:
    from modelgate import manifest_command

    return manifest_command.main(options, inherited)


def _install(options: Options, _inherited: Inherited) -> int:
    if len(options.arguments) != 1:
        raise UsageError("install takes one DIR")
    from modelgate.install import install

    return install(options.arguments[0])


def _judge(options: Options, _inherited: Inherited) -> int:
    if len(options.arguments) != 1:
        raise UsageError("judge takes one FILE")
    from modelgate.record import judge

    return judge(options)


def _probe(_options: Options, _inherited: Inherited) -> int:
    raise UsageError("probe stands first: modelgate probe [startup|ready|live]")


def _print(text: str) -> int:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    return exits.PASSED


_COMMANDS: dict[str, Callable[[Options, Inherited], int]] = {
    "run": _gate,
    "check": _gate,
    "facts": _gate,
    "probe": _probe,
    "explain": _explain,
    "manifest": _manifest,
    "install": _install,
    "judge": _judge,
}
