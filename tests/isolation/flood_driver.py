"""Children that write for ever: words, halves of frames, garbage. Prints how much PID 1 grew, in KiB."""

import os
import resource
import struct
import time

from isolation_kit import Facts, Spec, isolate, job

from modelgate import frames
from modelgate.host import Host


def talk(_spec: Spec, host: Host) -> Facts:
    while True:
        host.tell(doing="x" * 60_000)


def trickle(_spec: Spec, _host: Host) -> Facts:
    os.write(3, struct.pack("<IIc", frames.FACTS_LIMIT, 0, frames.FACTS))
    while True:
        os.write(3, b"[" * 60_000)


def garbage(_spec: Spec, _host: Host) -> Facts:
    while True:
        os.write(3, b"\0" * 60_000)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    isolated = isolate()
    before = peak()
    outcomes = list(isolated.run([job(talk), job(trickle), job(garbage)] * 2, until=time.monotonic() + 2))
    print(len(outcomes), peak() - before)


main()
