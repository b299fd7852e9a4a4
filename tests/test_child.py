"""What a child is: its own session, /dev/null and one pipe, no handler of the parent's, bounded memory."""

import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from isolation_kit import Facts, Spec, job, lost, only, run

from modelgate.child import unbound_memory
from modelgate.host import Host
from modelgate.identity import Identity

pytestmark = pytest.mark.usefixtures("no_leaks")
HERE = Path(__file__).parent


def _status(field: str) -> str:
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith(field + ":"))


def _signals(field: str) -> set[int]:
    bits = int(_status(field), 16)
    return {n + 1 for n in range(64) if bits >> n & 1}


def test_a_session_and_a_group_of_its_own() -> None:
    answer = only(run(job(lambda _s, _h: Facts(numbers=(os.getpid(), os.getsid(0), os.getpgid(0)))))).facts

    pid, session, group = answer.numbers
    assert pid == session == group != os.getpid()


def test_dev_null_and_one_pipe_and_nothing_else(tmp_path: Path) -> None:
    kept = [os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)]
    high = fcntl.fcntl(kept[0], fcntl.F_DUPFD, 900)
    for fd in (*kept, high):
        os.set_inheritable(fd, True)

    def observe(_spec: Spec, _host: Host) -> Facts:
        names = {int(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) < 4}
        more = [fd for fd in range(4, 1024) if _is_open(fd)]
        return Facts(text=" ".join(names[fd] for fd in sorted(names)), numbers=tuple(more))

    try:
        answer = only(run(job(observe))).facts
    finally:
        for fd in (*kept, high):
            os.close(fd)

    assert answer.text.startswith("/dev/null /dev/null /dev/null pipe:")
    assert answer.numbers == ()


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_closed_standard_descriptors_are_no_trouble() -> None:
    """A runtime may start us without 0-2: the pipe then gets one of their numbers first."""
    code = (
        "from isolation_kit import *\n"
        "import os\n"
        "for fd in (0, 2): os.close(fd)\n"
        "os.write(1, b'%d' % only(run(job(lambda s, h: Facts(n=5)))).facts.n)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE / "isolation", capture_output=True, check=False)

    assert done.stdout == b"5"


def test_no_handler_of_the_parent_and_its_mask() -> None:
    def observe(_spec: Spec, _host: Host) -> Facts:
        numbers = [n for n in range(1, 32) if callable(signal.getsignal(n))]
        return Facts(numbers=tuple(numbers), text=",".join(map(str, sorted(_signals("SigBlk")))))

    before = {n: signal.signal(n, lambda *_: None) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGWINCH)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        answer = only(run(job(observe))).facts
        after = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)

    assert answer.numbers == ()
    assert answer.text == str(int(signal.SIGUSR2))
    assert after == mask | {signal.SIGUSR2}


def test_a_closed_connection_is_an_error_of_write_and_no_death() -> None:
    def observe(_spec: Spec, _host: Host) -> Facts:
        ours, theirs = socket.socketpair()
        theirs.close()
        try:
            ours.send(b"x")
        except BrokenPipeError:
            return Facts(n=errno.EPIPE)
        return Facts()

    assert only(run(job(observe))).facts.n == errno.EPIPE


def test_memory_is_bounded_for_itself_and_not_for_what_it_execs() -> None:
    def observe(_spec: Spec, _host: Host) -> Facts:
        ours = resource.getrlimit(resource.RLIMIT_DATA)[0]
        script = "import resource; print(resource.getrlimit(resource.RLIMIT_DATA)[0])"
        argv = [sys.executable, "-I", "-c", script]
        theirs = subprocess.run(argv, preexec_fn=unbound_memory, capture_output=True, check=True)
        return Facts(numbers=(ours, int(theirs.stdout), resource.getrlimit(resource.RLIMIT_CORE)[0]))

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    assert only(run(job(observe, memory=300 << 20))).facts.numbers[:2] == (300 << 20, hard)


def test_files_mapped_for_reading_are_not_counted(tmp_path: Path) -> None:
    """140 GB of weights are mapped, not owned."""
    path = tmp_path / "weights"
    with open(path, "wb") as file:
        file.truncate(1 << 30)

    def observe(_spec: Spec, _host: Host) -> Facts:
        with open(path, "rb") as weights, mmap.mmap(weights.fileno(), 0, prot=mmap.PROT_READ) as view:
            return Facts(n=len(view))

    assert only(run(job(observe, memory=200 << 20))).facts.n == 1 << 30


@pytest.mark.root
def test_imports_come_first_and_the_identity_last() -> None:
    seen: list[int] = []

    def prepare(specs: tuple[Spec, ...]) -> None:
        seen.extend((len(specs), os.geteuid()))

    def observe(_spec: Spec, _host: Host) -> Facts:
        return Facts(numbers=(*seen, *os.getresuid(), *os.getresgid(), *os.getgroups()))

    answer = only(run(job(observe, prepare=prepare), identity=Identity(1001, 1002, (44, 1002)))).facts

    assert answer.numbers == (1, 0, 1001, 1001, 1001, 1002, 1002, 1002, 44, 1002)
    assert os.getresuid() == (0, 0, 0)


@pytest.mark.root
def test_nothing_is_opened_with_rights_that_were_given_up(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(0o600)
    os.chown(path, 0, 0)
    tmp_path.chmod(0o755)

    outcome = lost(run(job(lambda _s, _h: path.read_text()), identity=Identity(1001, 1002)))

    assert "PermissionError" in outcome.detail


@pytest.mark.root
@pytest.mark.parametrize("missing", ["setuid", "setgid"])
def test_an_identity_that_cannot_be_taken_is_told_by_the_capability_that_is_missing(missing: str) -> None:
    code = (
        "from isolation_kit import *\n"
        "o = lost(run(job(lambda s, h: Facts()), identity=Identity(1001, 1002)))\n"
        "print(o.how); print(o.detail)"
    )
    argv = ["setpriv", f"--bounding-set=-{missing}", sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=HERE / "isolation", capture_output=True, text=True, check=False)

    told = f"cannot become 1001:1002: Operation not permitted (CAP_{missing.upper()} is missing)"
    assert done.stdout.splitlines() == ["identity", told], done.stderr
