"""Looks at PATH, which hangs, beside jobs that do not: `stuck_driver.py read|make|cat PATH exec|exit`.

Prints one JSON object (outcomes, what is stuck, seconds), then execs `echo exec'd`, or exits with 69.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

from isolation_kit import Facts, Spec, isolate, job

from modelgate.host import Host
from modelgate.isolate import Lost, Seen

WAYS = ("read", "make", "cat")


def look(spec: Spec, host: Host) -> Facts:
    tell = host.tell
    # The 30 s that a FUSE mount is given are too long for a test.
    host.tell = lambda **words: tell(**{k: v for k, v in words.items() if k != "silence"})
    host.tell_path("make" if spec.n else "open", spec.path)
    if spec.n == WAYS.index("cat"):
        subprocess.run(["cat", spec.path], check=False)
    else:
        os.close(os.open(spec.path, os.O_RDWR | os.O_CREAT if spec.n else os.O_RDONLY))
    return Facts()


def well(spec: Spec, _host: Host) -> Facts:
    time.sleep(0.1)
    return Facts(n=spec.n)


def row(outcome: Seen | Lost) -> dict[str, Any]:
    if isinstance(outcome, Seen):
        return {"seen": outcome.facts.n}
    return {"how": outcome.how, "detail": outcome.detail, "last": outcome.last}


def main() -> None:
    how, path, end = sys.argv[1:]
    isolated = isolate(cap=2)
    stuck = job(look, Spec(path=path, n=WAYS.index(how)), silence=1.0)
    began = time.monotonic()
    outcomes = [row(o) for o in isolated.run([stuck, *(job(well, Spec(n=n)) for n in range(4))])]
    seconds = time.monotonic() - began
    print(json.dumps({"outcomes": outcomes, "stuck": isolated.stuck, "seconds": seconds}), flush=True)
    if end == "exec":
        os.execv("/bin/echo", ["echo", "exec'd"])
    sys.exit(69)


main()
