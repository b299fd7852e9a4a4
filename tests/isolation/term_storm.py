"""Ends a launcher that forks in a loop, again and again, at random moments: `term_storm.py ROUNDS SEED`.

This process is a subreaper, so whatever a launcher leaves behind becomes its child and is seen. Signals go to the
launcher's process group: a child that has not made its own session yet gets them too. Prints one JSON object.
"""

import ctypes
import json
import os
import random
import signal
import sys
import time
from types import FrameType

from isolation_kit import Facts, Spec, isolate, job, sleeper

from modelgate.host import Host
from modelgate.isolate import ENDING, Isolate

PR_SET_CHILD_SUBREAPER = 36


def soon(spec: Spec, _host: Host) -> Facts:
    time.sleep(spec.n / 1000)
    return Facts()


def launcher(isolated: Isolate, heard: int, ready: int) -> None:
    os.setpgid(0, 0)

    def handle(number: int, _frame: FrameType | None) -> None:
        os.write(heard, f"{os.getpid()}\n".encode())
        isolated.kill_all()
        os._exit(128 + number)

    for number in ENDING:
        signal.signal(number, handle)
    os.write(ready, b"x")
    jobs = [job(sleeper), *(job(soon, Spec(n=n % 3)) for n in range(8))]
    while True:
        isolated.hurry(60)
        outcomes = isolated.run(jobs, cap=3)
        for _ in range(8):
            next(outcomes)
        outcomes.close()


def survivors() -> int:
    """How many of what the launcher left still live after a second."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
        except ChildProcessError:
            return 0
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return len(file.read().split())


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    dice, codes, left, strange = random.Random(sys.argv[2]), [], 0, 0
    isolated = isolate()
    for _ in range(int(sys.argv[1])):
        heard, tell = os.pipe()
        ready, go = os.pipe()
        if (pid := os.fork()) == 0:
            try:
                launcher(isolated, tell, go)
            finally:
                os._exit(1)
        os.close(tell)
        os.close(go)
        os.read(ready, 1)
        time.sleep(dice.random() * 0.02)
        number = dice.choice(sorted(ENDING))
        os.killpg(pid, number)
        _, status = os.waitpid(pid, 0)
        codes.append(os.waitstatus_to_exitcode(status) - number)
        left += survivors()
        with open(heard) as file:
            strange += sum(int(line) != pid for line in file)
        os.close(ready)
    print(
        json.dumps({"ended": len(codes), "codes": sorted(set(codes)), "survivors": left, "handled by a child": strange})
    )


main()
