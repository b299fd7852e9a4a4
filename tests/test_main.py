"""The door: isolation from the server's environment, faults of its own, `probe` before anything heavy."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[1]
PROGRAM = os.path.join(os.path.dirname(sys.executable), "modelgate")
PATH = {"PATH": "/usr/bin:/bin"}
GATE = ["--no-implied", "-q", "--"]


def start(*argv: str, **popen: Any) -> "subprocess.CompletedProcess[bytes]":
    options = {"env": PATH, "stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60, **popen}
    options["env"] = {"MODELGATE_STATE_DIR": "/nonexistent/none", **options["env"]}
    return subprocess.run(argv, check=False, **options)


def entries(environ: bytes) -> list[bytes]:
    return [e for e in environ.split(b"\0") if e and not e.startswith(b"MODELGATE_")]


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A PYTHONPATH whose modules end every interpreter that imports one; its sitecustomize leaves a trace."""
    folder = tmp_path / "evil"
    folder.mkdir()
    for name in ("json", "yaml", "msgspec", "structlog", "re", "socket", "argparse", "enum"):
        (folder / f"{name}.py").write_text(f"import os; os.write(2, b'evil {name}'); os._exit(99)\n")
    (folder / "sitecustomize.py").write_text(
        f"import sys\nopen({str(tmp_path / 'trace')!r}, 'a').write(f'isolated={{sys.flags.isolated}}\\n')\n"
    )
    return folder


def test_pythonpath_decides_nothing_of_the_gate_and_reaches_the_server(evil: Path, tmp_path: Path) -> None:
    env = {**PATH, "PYTHONPATH": str(evil), "PYTHONSTARTUP": "x", "PYTHONINSPECT": "1"}

    done = start(PROGRAM, *GATE, "cat", "/proc/self/environ", env=env)

    assert done.returncode == 0, done.stderr
    expected = [f"PATH={PATH['PATH']}", f"PYTHONPATH={evil}", "PYTHONSTARTUP=x", "PYTHONINSPECT=1"]
    assert entries(done.stdout) == [e.encode() for e in expected]
    trace = (tmp_path / "trace").read_text() if (tmp_path / "trace").exists() else ""
    assert "isolated=1" not in trace, "the gate itself loaded the server's sitecustomize"


def test_modules_of_the_current_directory_are_not_imported(evil: Path) -> None:
    """`python -m modelgate` puts the current directory first."""
    done = start(sys.executable, "-m", "modelgate", *GATE, "echo", "server", cwd=evil)

    assert (done.returncode, done.stdout) == (0, b"server\n"), done.stderr


def test_a_pythonhome_that_would_stop_python_reaches_the_server_alone() -> None:
    """Behind a first line with -I, as the image and `modelgate install` write it."""
    env = {**PATH, "PYTHONHOME": "/nonexistent"}
    done = start(sys.executable, "-I", "-m", "modelgate", *GATE, "cat", "/proc/self/environ", env=env)

    assert done.returncode == 0, done.stderr
    assert b"PYTHONHOME=/nonexistent" in done.stdout


@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_the_servers_environment_is_what_the_container_has(variables: dict[str, str]) -> None:
    """Started again or not: no LC_CTYPE, nothing of ours, the same order."""
    env = {**PATH, "Z": "1", **variables, "A": "2"}
    done = start(PROGRAM, *GATE, "cat", "/proc/self/environ", env=env)

    assert done.returncode == 0, done.stderr
    assert entries(done.stdout) == [f"{k}={v}".encode() for k, v in env.items()]


def test_it_starts_again_once_and_keeps_its_pid() -> None:
    argv = [PROGRAM, *GATE, "sh", "-c", "echo $$; cat /proc/$$/status"]
    env = {**PATH, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as process:
        text, _ = process.communicate(timeout=60)

    assert text.splitlines()[0] == str(process.pid)
    assert f"PPid:\t{os.getpid()}\n" in text


def test_labels_of_official_images_cost_no_second_start() -> None:
    """PYTHON_VERSION and its like are read by no interpreter. Seen in the command line of the gate."""
    argv = [PROGRAM, "-m", "/dev/stdin", "--", "true"]
    seen = {}
    for name in ("PYTHON_VERSION", "PYTHONUNBUFFERED"):
        with subprocess.Popen(
            argv, env={**PATH, name: "1"}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            seen[name] = _command_line_once_it_reads(process)
            process.kill()

    assert b"-I" not in seen["PYTHON_VERSION"]
    assert b"-I" in seen["PYTHONUNBUFFERED"]


def _command_line_once_it_reads(process: "subprocess.Popen[bytes]") -> list[bytes]:
    """Of a gate that waits for its manifest on stdin."""
    import time

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        if "msgspec" in maps:  # imports are under way: the last start it is
            return Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        time.sleep(0.005)
    raise AssertionError("it never got so far")


def test_found_through_pythonpath_alone_it_finds_itself_again(tmp_path: Path) -> None:
    """pip install --target DIR, PYTHONPATH=DIR: -I would not find it."""
    import modelgate

    (tmp_path / "modelgate").symlink_to(os.path.dirname(modelgate.__file__))
    done = start(sys.executable, "-m", "modelgate", "--version", env={**PATH, "PYTHONPATH": str(tmp_path)})

    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split()[-1] == modelgate.__version__


def test_a_fault_of_its_own_is_70_and_one_line() -> None:
    """A broken installation: the traceback only with -v."""
    code = "import sys; sys.modules['msgspec'] = None; from modelgate.__main__ import main; sys.exit(main())"

    plain = start(sys.executable, "-I", "-c", code, "--", "true")
    verbose = start(sys.executable, "-I", "-c", code, "-v", "--", "true")

    assert (plain.returncode, plain.stdout, plain.stderr.count(b"\n")) == (70, b"", 1)
    assert plain.stderr.startswith(b"modelgate: a fault of its own: ")
    assert verbose.returncode == 70
    assert b"Traceback" in verbose.stderr


def test_wrong_usage_is_64_without_a_traceback() -> None:
    done = start(PROGRAM, "--no-such-option")

    assert done.returncode == 64
    assert b"Traceback" not in done.stderr


def test_a_venv_copied_to_another_python_says_so_instead_of_a_traceback() -> None:
    """-S hides what is installed, as a python3 of another version does."""
    done = start(sys.executable, "-I", "-S", str(REPO / "entrypoint/bin/modelgate"), "--", "true")

    assert (done.returncode, done.stdout) == (78, b"")
    assert done.stderr.startswith(b"modelgate: it was not installed for this Python (")
    assert b"BASE_IMAGE" in done.stderr


def test_probe_stands_first_and_ignores_the_servers_modules(evil: Path) -> None:
    done = start(PROGRAM, "probe", "live", env={**PATH, "PYTHONPATH": str(evil)}, cwd=evil)

    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(b"not live: ")


def test_probe_leaves_without_a_prompt() -> None:
    """PYTHONINSPECT=1 in the server's environment would leave Python waiting for input."""
    done = start(PROGRAM, "probe", "live", env={**PATH, "PYTHONINSPECT": "1"})

    assert done.returncode == 1
