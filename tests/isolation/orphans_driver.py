"""A subreaper that runs jobs which leave orphans, dead and alive. Prints how many answered and what is left."""

import ctypes
import os
import time

from isolation_kit import Facts, Spec, isolate, job

from modelgate.host import Host
from modelgate.isolate import Seen

PR_SET_CHILD_SUBREAPER = 36


def leave_orphans(_spec: Spec, _host: Host) -> Facts:
    for nap in (0, 0, 600):
        if (pid := os.fork()) == 0:
            if os.fork() == 0:
                time.sleep(nap)
            os._exit(0)
        os.waitpid(pid, 0)
    return Facts()


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    isolated = isolate()
    answered = sum(isinstance(o, Seen) for o in isolated.run([job(leave_orphans) for _ in range(20)]))
    children, deadline = 1, time.monotonic() + 10
    while children and time.monotonic() < deadline:
        isolated.reap()
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            children = len(file.read().split())
    print("answered", answered, "children", children)


main()
