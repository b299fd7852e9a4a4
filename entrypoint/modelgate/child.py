"""The child's side of isolate: imports first, identity last, then look, answer and leave. Never returns."""

import gc
import os
import resource
import signal
import struct
import time
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from modelgate.identity import Identity, become

if TYPE_CHECKING:
    from modelgate.host import Host
    from modelgate.isolate import Job

# A frame: body length, index of the spec, what the body is; then the body (JSON, or text for an error).
HEADER = struct.Struct("<IIc")
TELL, FACTS, ERROR = b"T", b"F", b"E"


def main(job: "Job", host: "Host", identity: Identity, fd: int, mask: set[int | signal.Signals]) -> NoReturn:
    """Body of the forked child. `mask` is the signal mask to restore."""
    code = 70
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _close_all_but(fd)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _bound_memory(job.kind.memory)
        host.tell = lambda **words: _send(fd, 0, TELL, _ENCODE(words))
        module = job.kind.module
        prepare = getattr(module, "prepare", None)
        if prepare is not None:  # imports that only root may be able to read
            prepare(job.specs)
        gc.disable()
        become(identity)
        if job.kind.together:
            module.observe_all(job.specs, host, lambda index, facts: _send(fd, index, FACTS, _ENCODE(facts)))
        else:
            for index, spec in enumerate(job.specs):
                _send(fd, index, FACTS, _ENCODE(_look(job, module, spec, host)))
        code = 0
    except MemoryError:
        _send(fd, 0, ERROR, f"it needed more than {job.kind.memory >> 20} MiB of memory".encode())
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent must hear of it
        where = ""
        trace = error.__traceback__
        while trace is not None:
            where = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
            trace = trace.tb_next
        _send(fd, 0, ERROR, f"{type(error).__name__}: {error}{where}".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _look(job: "Job", module: Any, spec: Any, host: "Host") -> Any:
    """observe once; with `wait:` again until the judgement holds. judge is pure, so it may run here too."""
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


def _enc_hook(value: Any) -> Any:
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value)
    raise NotImplementedError(f"cannot send a {type(value).__name__}")


_ENCODE = msgspec.json.Encoder(enc_hook=_enc_hook).encode


def _send(fd: int, index: int, what: bytes, body: bytes) -> None:
    view = memoryview(HEADER.pack(len(body), index, what) + body)
    while view:
        view = view[os.write(fd, view) :]


def _close_all_but(fd: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    if fd == 3:
        os.closerange(4, 65536)
        return
    os.closerange(3, fd)
    os.closerange(fd + 1, 65536)


def _bound_memory(limit: int) -> None:
    # RLIMIT_DATA counts private writable memory only: mapping 140 GB of weights for reading stays free.
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    except (OSError, ValueError):
        pass
