"""A gate that has done its worst to itself and then hands over. Run as `python -I handover_driver.py JSON`.

JSON: {command, env_set, run_as, no_new_privs, dirt: [...]}. When the hand-over fails it prints the finding's code and
text and leaves with the code's exit.
"""

import json
import os
import signal
import sys
import time

from modelgate import exits
from modelgate.host import Host
from modelgate.identity import current, resolve
from modelgate.isolate import Isolate
from modelgate.start.handover import exec_server
from modelgate.start.inherited import capture


def handlers() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
        if not inherited.ignored(number):
            signal.signal(number, lambda n, _frame: os._exit(128 + n))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK)
    del read_fd
    signal.set_wakeup_fd(write_fd)


def files() -> None:
    for _ in range(5):
        os.set_inheritable(os.open("/dev/null", os.O_RDONLY), True)
    os.dup2(1, 500, inheritable=True)


def timers() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    signal.setitimer(signal.ITIMER_PROF, 0.3)


def mask() -> None:
    os.umask(0o777)


def child() -> None:
    """A job's child with a grandchild that outlives it, in one session."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["left-behind", spec["mark"]])
        os._exit(0)
    isolate.sessions.add(pid)
    while b"left-behind" not in _session(pid):
        time.sleep(0.01)


def _session(pid: int) -> bytes:
    found = b""
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.getsid(int(name)) == pid:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    found += file.read()
        except OSError:
            continue
    return found


def ready() -> None:
    os.write(1, b"ready\n")


def spin() -> None:
    time.sleep(spec["spin"])


def long() -> None:
    spec["env_set"] = {"BIG": "x" * (200 << 10)}


inherited = capture()
spec = json.loads(sys.argv[1])
isolate = Isolate(Host(), current())
for name in spec.get("dirt", ()):
    globals()[name]()
finding = exec_server(
    spec["command"],
    inherited,
    identity=resolve(spec.get("run_as")),
    isolate=isolate,
    env_set=spec.get("env_set"),
    no_new_privs=spec.get("no_new_privs", False),
)
sys.stdout.write(f"{finding.code}\n{finding.observed}\n{finding.fixes[0].snippet}\n")
sys.exit(exits.OF_CODE[finding.code])
