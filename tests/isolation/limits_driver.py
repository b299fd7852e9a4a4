"""Jobs at a limit of processes, as a user who is not root: `limits_driver.py UID NPROC JOBS`, or `… UID cgroup JOBS`
inside a cgroup with a limit. Prints the outcomes as one JSON list: an answer's number, or how it was lost."""

import json
import os
import resource
import sys
import time

from isolation_kit import Facts, Spec, isolate, job

from modelgate.host import Host
from modelgate.isolate import Seen


def nap(spec: Spec, _host: Host) -> Facts:
    time.sleep(0.1)
    return Facts(n=spec.n)


def main() -> None:
    uid, limit, jobs = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if limit != "cgroup":
        resource.setrlimit(resource.RLIMIT_NPROC, (int(limit), int(limit)))
    outcomes = isolate().run([job(nap, Spec(n=n)) for n in range(jobs)])
    print(json.dumps([o.facts.n if isinstance(o, Seen) else [o.how, o.detail] for o in outcomes]))


main()
