"""The child's side of isolate: imports first, identity last, then look, answer and leave. Never returns."""

import fcntl
import os
import resource
import signal
import time
from typing import TYPE_CHECKING, Any, NoReturn

from modelgate import frames
from modelgate.burial import ANSWERED, COMPANY
from modelgate.exits import SOFTWARE
from modelgate.host import PROC
from modelgate.identity import Denied, Identity, become

if TYPE_CHECKING:
    from modelgate.host import Host
    from modelgate.running import Job

TEXT_LIMIT = 4096


def main(job: "Job", host: "Host", identity: Identity, fd: int, mask: set[int | signal.Signals]) -> NoReturn:
    """Body of the forked child. `mask` is the signal mask to restore."""
    code = SOFTWARE
    try:
        os.setsid()
        _own_signals(mask)
        fd = _own_fds(fd)
        _bound_memory(job.kind.memory)
        host.tell = lambda **words: _send(fd, frames.pack_words(words))
        prepare = getattr(job.kind.module, "prepare", None)
        if prepare is not None:  # imports that only root may be able to read
            prepare(job.specs)
        become(identity)
        _answer(job, host, fd)
        code = COMPANY if _has_children() else ANSWERED
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent must hear of it
        unbound_memory()  # there may be none left to say it with
        what = frames.DENIED if isinstance(error, Denied) else frames.ERROR
        _send(fd, frames.pack(what, 0, _text(error, job)))
    finally:
        os._exit(code)


def unbound_memory() -> None:
    """Back to the limit that was inherited. Also for what a check execs (`preexec_fn`): it is none of our memory."""
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_CORE):
        try:
            _, hard = resource.getrlimit(kind)
            resource.setrlimit(kind, (hard, hard))
        except (OSError, ValueError):
            pass


def _answer(job: "Job", host: "Host", fd: int) -> None:
    def done(index: int, facts: Any) -> None:
        _send(fd, frames.pack_facts(index, facts))

    module = job.kind.module
    if job.kind.together:
        module.observe_all(job.specs, host, done)
        return
    for index, spec in enumerate(job.specs):
        done(index, _look(job, module, spec, host))


def _look(job: "Job", module: Any, spec: Any, host: "Host") -> Any:
    """Observe once; with `wait:` again until the judgement holds. judge is pure, so it may run here too."""
    facts = module.observe(spec, host)
    deadline = time.monotonic() + job.wait
    pause = 0.1
    while job.wait and any(f.stops for f in module.judge(spec, facts, host.place)):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        host.tell(doing="waiting until it holds", left=round(left, 1))
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, 1.0)
        facts = module.observe(spec, host)
    return facts


def _text(error: BaseException, job: "Job") -> bytes:
    """`FileNotFoundError: [Errno 2] … (files.py:12)`: what was raised, and where."""
    if isinstance(error, MemoryError):
        return f"it needed more than {job.kind.memory >> 20} MiB of memory".encode()
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__
        words = "no text can be had of it"
    if isinstance(error, Denied):
        text = words
    else:
        where, trace = "", error.__traceback__
        while trace is not None:
            where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
            trace = trace.tb_next
        text = f"{type(error).__name__}: {words[:TEXT_LIMIT]}{where}"
    return text.encode("utf-8", "backslashreplace")


def _send(fd: int, frame: bytes) -> None:
    view = memoryview(frame)
    while view:
        view = view[os.write(fd, view) :]


def _own_signals(mask: set[int | signal.Signals]) -> None:
    """No handler of the parent runs here. SIGPIPE and SIGXFSZ stay ignored, so that they are errors of write()."""
    for number in range(1, 32):  # the launcher handles no real-time signal, and asking for those is slow
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _own_fds(fd: int) -> int:
    """The null device as 0, 1 and 2, the pipe as 3, and nothing else."""
    if fd < 3:  # the starter had closed some of 0-2
        fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    if fd != 3:
        os.dup2(fd, 3, inheritable=False)
    try:
        others = [int(name) for name in os.listdir(PROC + "/self/fd")]
    except OSError:
        os.closerange(4, 65536)
        return 3
    for number in others:
        if number > 3:
            try:
                os.close(number)
            except OSError:  # the one that listdir had open
                pass
    return 3


def _bound_memory(limit: int) -> None:
    # RLIMIT_DATA counts private writable memory only: mapping 140 GB of weights for reading stays free.
    # The soft limit alone: it can be lifted again to say that it was reached. A core file of 1 byte is none, not even
    # where the node pipes them to a collector, which ignores 0.
    for kind, soft in ((resource.RLIMIT_DATA, limit), (resource.RLIMIT_CORE, 1)):
        try:
            _, hard = resource.getrlimit(kind)
            resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
        except (OSError, ValueError):
            pass


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
