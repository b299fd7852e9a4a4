"""The door. `probe` is answered before any heavy import; everything else goes to cli, isolated from the environment.

Why isolated: the environment belongs to the server. PYTHONPATH, PYTHONHOME, PYTHONSTARTUP, a sitecustomize.py or a
json.py in the current directory are the server's and must not decide what the gate runs, so it starts itself again
with `-I` when it finds any of them. An image saves that second start with `#!…/python3 -I` as the first line of its
`modelgate`, and only so is it safe from a PYTHONHOME that keeps Python from starting at all.
"""

import os
import sys

# Set by official Python images; no interpreter reads them.
_LABELS = frozenset(
    b"PYTHON_" + name
    for name in (b"VERSION", b"SHA256", b"PIP_VERSION", b"SETUPTOOLS_VERSION", b"GET_PIP_URL", b"GET_PIP_SHA256")
)
_MARK = "modelgate-again"
# For a modelgate that -I does not find: its directory goes last, behind the standard library.
_BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from modelgate.__main__ import main; sys.exit(main())"


def main() -> int:
    """Exit code of the whole program. 70 with one line for a fault of our own; its traceback with -v."""
    args = sys.argv[1:]
    if args[:1] == ["probe"]:
        sys.path[:] = _trusted_path()
        from modelgate.probe import main as probe

        # Straight out: PYTHONINSPECT opens no prompt, and the interpreter need not be taken apart.
        os._exit(probe(args[1:]))
    try:
        _isolate(args)
        from modelgate.start.inherited import capture

        inherited = capture()
        from modelgate import cli

        return cli.main(args, inherited)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `modelgate check | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:  # noqa: BLE001 - the last one that can say something
        return _fault(error, args)


def _fault(error: Exception, args: list[str]) -> int:
    ours = args[: args.index("--")] if "--" in args else args
    if any(word == "--verbose" or (word.startswith("-v") and not word.strip("-v")) for word in ours):
        import traceback

        traceback.print_exception(error)
    where, trace = "", error.__traceback__
    while trace is not None:
        where = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    said = " ".join(str(error).split())
    text = f"modelgate: a fault of its own: {type(error).__name__}: {said} ({where}); -v shows where it came from\n"
    try:
        os.write(2, text.encode("utf-8", "backslashreplace"))
    except OSError:
        pass
    return 70


def _root() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _current() -> str:
    try:
        return os.getcwd()
    except OSError:  # deleted
        return ""


def _trusted_path() -> list[str]:
    """sys.path without the current directory and what PYTHONPATH added; modelgate's own root stays."""
    if sys.flags.isolated:
        return sys.path
    added = {os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(":") if p} | {"", _current()}
    kept = [p for p in sys.path if p not in added]
    return kept if _root() in kept else [*kept, _root()]


def _isolate(args: list[str]) -> None:
    """Start again with -I when something of the environment could reach us. The environment goes along raw."""
    if sys.flags.isolated or not sys.executable or _MARK in sys._xoptions:  # noqa: SLF001
        return
    from modelgate.probe.proc import raw_environ

    environ = raw_environ()
    variables = any(name.startswith(b"PYTHON") and name not in _LABELS for name in environ)
    user_site = getattr(sys.modules.get("site"), "ENABLE_USER_SITE", False)
    current = sys.path[:1] in ([""], [_current()])
    if not (variables or user_site or current):
        return
    root = _root()
    start = ["-m", "modelgate"] if root.startswith(os.path.join(sys.prefix, "")) else ["-c", _BOOT, root]
    words = [sys.executable, "-I", "-X", _MARK, *start, *args]
    try:
        os.execve(sys.executable, [os.fsencode(word) for word in words], environ)  # noqa: S606 - no shell
    except OSError:
        sys.path[:] = _trusted_path()  # no second start to be had; less is better than nothing


if __name__ == "__main__":
    sys.exit(main())
