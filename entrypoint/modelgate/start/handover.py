"""The end of the gate in exec mode: this process becomes the server, and nothing of the gate is left in it.

What the server gets: the environment as it came plus what the manifest sets; the runtime identity, for good; fds 0-2 as
they came and none above (socket activation does not pass through a gate); no timer; SIGPIPE and SIGXFSZ at their
default, every other ignored signal and the mask as they came; umask and current directory as they came. What the gate
never touches needs no restoring: limits, nice, oom_score_adj, the terminal.

A signal that comes while this runs is not lost. TERM, INT, QUIT and HUP are blocked first, and end the process with
128+n just before the exec. From the moment they are unblocked the default action ends the process. PID 1 has no default
action, so there a handler stays until the kernel replaces the program; what remains is the moment between the last
Python instruction and the system call (microseconds), and then the time until the server has handlers of its own.
"""

import errno
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from modelgate import burial
from modelgate.finding import Finding
from modelgate.host import PROC
from modelgate.identity import Identity, become, current
from modelgate.isolate import Isolate
from modelgate.start import search
from modelgate.start.inherited import Inherited
from modelgate.verdict import identity_denied

if TYPE_CHECKING:
    import ctypes

PR_SET_NO_NEW_PRIVS = 38


def exec_server(
    command: Sequence[str],
    inherited: Inherited,
    *,
    identity: Identity,
    isolate: Isolate,
    env_set: Mapping[str, str] | None = None,
    no_new_privs: bool = False,
) -> Finding:
    """Become the server. Comes back only when that failed, with the finding; the identity may be taken by then.

    env_set  joins the inherited environment; where both have a name, this one counts
    isolate  whose children must be gone before
    """
    libc = _libc() if no_new_privs else None  # before the identity is taken: it need not be able to read our files
    environ = {**inherited.environ, **{os.fsencode(k): os.fsencode(v) for k, v in (env_set or {}).items()}}
    argv = [os.fsencode(word) for word in command]
    _flush()
    before = current()
    signal.pthread_sigmask(signal.SIG_BLOCK, inherited.ending)
    end_leftovers(isolate)
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    _let_go_of_files(inherited)
    _dispositions(inherited)
    if inherited.umask is not None:
        os.umask(inherited.umask)
    try:
        become(identity)
        _for_good(before, identity)
        if libc is not None:
            _no_new_privs(libc)
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, inherited.mask)
        return identity_denied(error.strerror or str(error), isolate.host.place)
    for number in signal.sigpending() & (inherited.ending - inherited.mask):
        os._exit(128 + number)
    signal.pthread_sigmask(signal.SIG_SETMASK, inherited.mask)
    refusal = search.execute(argv, environ)
    return search.refused(refusal, command, environ.get(b"PATH", search.DEFAULT_PATH))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # gone, closed, or never there
            pass


def _for_good(before: Identity, identity: Identity) -> None:
    """Raise when the identity is not the one asked for, or when root could be had back."""
    if before.uid != 0 or identity.uid == 0:
        return
    ids, groups = (os.getresuid(), os.getresgid()), tuple(sorted(os.getgroups()))
    if ids != ((identity.uid,) * 3, (identity.gid,) * 3) or groups != identity.groups:
        raise OSError(errno.EPERM, f"asked for {identity.text}, but the kernel says {ids}, groups {groups}")
    try:
        os.setuid(0)
    except OSError:
        return
    raise OSError(errno.EPERM, f"became {identity.text}, but uid 0 could be had back: CAP_SETUID was kept")


def _libc() -> "ctypes.CDLL":
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _no_new_privs(libc: "ctypes.CDLL") -> None:
    import ctypes

    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no_new_privs could not be set: {os.strerror(number)}")


def _dispositions(inherited: Inherited) -> None:
    """Python's handlers gone. exec resets a caught signal to its default, not to `ignored`: that is ours to do."""
    signal.set_wakeup_fd(-1)
    first = os.getpid() == 1
    for number in signal.valid_signals():
        if first and number in inherited.ending:
            signal.signal(number, lambda n, _frame: os._exit(128 + n))
            continue
        ignore = inherited.ignored(number)
        wanted = signal.SIG_IGN if ignore else signal.SIG_DFL
        if signal.getsignal(number) not in (wanted, None):
            signal.signal(number, wanted)


def _let_go_of_files(inherited: Inherited) -> None:
    """No fd above 2 goes through the exec. Marked, not closed: a launch that fails can still be told."""
    try:
        numbers = [int(name) for name in os.listdir(PROC + "/self/fd")]
    except OSError:
        os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), 1 << 20))
        numbers = []
    for fd in [*numbers, *inherited.closed]:
        if fd > 2 or fd in inherited.closed:
            try:
                os.set_inheritable(fd, False)
            except OSError:
                pass  # the one that listed them


def end_leftovers(isolate: Isolate, patience: float = 1.0) -> set[int]:
    """End and bury what is left in the sessions of the gate's own jobs. The pids that would not go (state D).

    Children from before (`sh -c 'helper & exec modelgate …'`) are in other sessions and are not touched; nor is what
    came from outside this PID namespace (an exec: its parent is 0).
    """
    isolate.kill_all()
    left: set[int] = set()
    deadline = time.monotonic() + patience
    while isolate.sessions:
        table = [p for p in burial.processes() if p.session in isolate.sessions and p.parent]
        left = {p.pid for p in table if p.state not in "ZX"} - isolate.stuck.keys()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        for pid in isolate.sessions.union(p.pid for p in table):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass  # not ours to bury
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.002)
    return left
