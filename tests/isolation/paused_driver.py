"""A launcher whose child is silent for 1 s of the 2 s it may be. Prints the child's pid, then what came of it."""

import os

from isolation_kit import isolate, job, nap

from modelgate.host import Host
from modelgate.isolate import Job


def told(_job: Job, words: dict[str, int]) -> None:
    print(words["pid"], flush=True)


def main() -> None:
    def observe(spec: object, host: Host) -> object:
        host.tell(pid=os.getpid())
        return nap(1)(spec, host)

    for outcome in isolate(told=told).run([job(observe, silence=2.0)]):
        print(type(outcome).__name__)


main()
