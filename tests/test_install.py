"""`modelgate install DIR`: what lies there afterwards runs without the Python it came from."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelgate.install import MARKER
from modelgate.relocate import look_in


def install(directory: object, **popen: Any) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-I", "-m", "modelgate", "install", str(directory)]
    options = {"capture_output": True, "text": True, "timeout": 110, **popen}
    return subprocess.run(argv, check=False, **options)


@pytest.fixture(scope="module")
def installed() -> Iterator[tuple[Path, str]]:
    """Made once, under a umask that would hide it, and what was said about it."""
    with tempfile.TemporaryDirectory() as base:  # not pytest's: that one is its user's alone
        os.chmod(base, 0o755)
        done = install(f"{base}/modelgate", preexec_fn=lambda: os.umask(0o077))
        assert done.returncode == 0, done.stderr
        yield Path(base, "modelgate"), done.stdout


def test_it_runs_with_an_empty_environment_as_another_uid(installed: tuple[Path, str]) -> None:
    folder, _ = installed
    other: dict[str, Any] = {"user": 12345, "group": 12345, "extra_groups": []} if os.geteuid() == 0 else {}
    argv = [str(folder / "bin/modelgate"), "--no-implied", "-q", "--", "id", "-u"]
    done = subprocess.run(argv, env={}, cwd="/", capture_output=True, text=True, check=False, **other)

    assert (done.returncode, done.stdout) == (0, "12345\n" if other else f"{os.geteuid()}\n"), done.stderr


def test_nothing_of_it_comes_from_the_python_that_made_it(installed: tuple[Path, str]) -> None:
    folder, _ = installed
    program = next((folder / "python/bin").iterdir())
    code = (
        "import sys, modelgate, msgspec, yaml, ssl, psutil, structlog, tenacity, rich, ctypes\n"
        "print(*[m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)], sep='\\n')\n"
        "print(*[l.split()[-1] for l in open('/proc/self/maps') if 'libpython' in l] or [sys.executable], sep='\\n')\n"
    )
    done = subprocess.run([program, "-I", "-c", code], env={}, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.startswith(f"{folder}/python/")] == []


def test_every_uid_may_read_it_and_no_byte_code_is_missing(installed: tuple[Path, str]) -> None:
    folder, _ = installed
    hidden, uncompiled = [], []
    for base, folders, files in os.walk(folder):
        for path in (os.path.join(base, name) for name in folders + files):
            mode = os.stat(path).st_mode
            if not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH) or mode & stat.S_IWOTH:
                hidden.append(path)
        cached = set(os.listdir(os.path.join(base, "__pycache__"))) if "__pycache__" in folders else set()
        tag = sys.implementation.cache_tag
        uncompiled += [f for f in files if f.endswith(".py") and f"{f[:-3]}.{tag}.pyc" not in cached]

    assert hidden == []
    # A file that is no Python 3 (a template) cannot be compiled.
    assert len(uncompiled) < 5, uncompiled


def test_it_says_what_the_image_must_have(installed: tuple[Path, str]) -> None:
    folder, said = installed

    assert f"start with: {folder}/bin/modelgate -- COMMAND" in said
    assert f"images for {os.uname().machine} with " in said


@pytest.mark.root
def test_it_runs_in_an_image_without_python(installed: tuple[Path, str], tmp_path: Path) -> None:
    """A root directory with a C library, its loader and nothing else."""
    folder, said = installed
    if " that have " in said:
        pytest.skip("this interpreter cannot carry its libraries along (a distribution's): " + said.splitlines()[-1])
    jail = tmp_path / "jail"
    (jail / "proc").mkdir(parents=True)
    listing = subprocess.run(["ldd", "/bin/true"], capture_output=True, text=True, check=True).stdout
    for path in [w for line in listing.splitlines() for w in line.split() if w.startswith("/")]:
        for name in (path, os.path.join(os.path.dirname(path), "libm.so.6")):
            if os.path.exists(name):
                os.makedirs(f"{jail}{os.path.dirname(name)}", exist_ok=True)
                shutil.copy(name, f"{jail}{name}")
    for name in ("libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"):
        for where in ("/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64"):
            if os.path.exists(f"{where}/{name}"):
                os.makedirs(f"{jail}{where}", exist_ok=True)
                shutil.copy(f"{where}/{name}", f"{jail}{where}/{name}")
    os.makedirs(f"{jail}{folder.parent}")
    shutil.copytree(folder, f"{jail}{folder}", symlinks=True)
    program = next((folder / "python/bin").iterdir())
    line = (
        'mount -t proc proc "$1/proc" && exec chroot --userspec=12345:12345 "$1" "$2" -I -c '
        '"import ssl, hashlib, ctypes, zlib, psutil, msgspec, yaml, modelgate; print(modelgate.__version__)"'
    )
    argv = ["unshare", "--mount", "sh", "-c", line, "sh", str(jail), str(program)]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_again_replaces_what_is_there_and_leaves_nothing_behind(installed: tuple[Path, str]) -> None:
    folder, _ = installed
    (folder / "python/stray").write_text("of another version")
    (folder / ".new-1").mkdir()
    (folder / "lost+found").mkdir()

    done = install(folder)

    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(folder)) == [MARKER, "bin", "lost+found", "python"]
    assert not (folder / "python/stray").exists()


def test_a_directory_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "data").write_text("precious")

    done = install(tmp_path)

    assert done.returncode == 64
    assert f"{tmp_path} holds what is not modelgate's (data)" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["bin", "data"]


@pytest.mark.parametrize("directory", ["/", "", "/usr", "/etc/", "/tmp/with space", "/tmp/" + "x" * 200])
def test_no_place_for_it_is_64(directory: str) -> None:
    done = install(directory)

    assert done.returncode == 64
    assert done.stderr.startswith("modelgate install: ")
    assert "Traceback" not in done.stderr


def test_a_link_and_a_file_are_64(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    assert "is no directory" in install(tmp_path / "file").stderr
    assert "is a link to" in install(tmp_path / "link").stderr
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_that_cannot_be_written_is_told_with_its_errno() -> None:
    done = install("/proc/modelgate")

    assert done.returncode in (66, 77)
    assert "/proc/modelgate: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_elf_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("#!/bin/sh\n")

    assert look_in(str(path), "$ORIGIN") is False
    assert path.read_text() == "#!/bin/sh\n"
