"""Build what `modelgate install` moves in: an interpreter that can be moved, with modelgate and what it needs."""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable

from msgspec import Struct

from modelgate.host import PROC
from modelgate.install import RefusedError
from modelgate.relocate import look_in

PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
# Parts of the standard library that the gate and its dependencies never import: two thirds of it.
UNUSED = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data", "site-packages",
     "dist-packages", "distutils", "venv", "sqlite3", "curses", "dbm"}
)  # fmt: skip
EXTRAS = frozenset({"grpc"})  # taken along when they are installed
# Of the C library, which is the image's: it and its loader must be of one build.
LIBC = frozenset({"libc", "libm", "libmvec", "libdl", "libpthread", "librt", "libutil", "libresolv", "libanl"})
IMPORTS = "ssl, hashlib, ctypes, zlib, _socket, msgspec, yaml, psutil, structlog, tenacity"


class Made(Struct, frozen=True):
    """What came of it. `libc` and the `needs` (libssl) are the image's to have."""

    size: int
    python: str
    machine: str
    libc: str
    needs: tuple[str, ...]


def build(new: str, target: str) -> Made:
    """Everything below `new`, which will be moved to `target`. RefusedError when this interpreter cannot be moved."""
    home = os.path.join(new, "python")
    for folder in ("", "bin", "lib"):
        os.mkdir(os.path.join(home, folder), 0o755)
    program = os.path.join(home, "bin", PYTHON)
    _copy(os.path.realpath(sys.executable), program)
    _tree(sysconfig.get_path("stdlib"), os.path.join(home, "lib", PYTHON), UNUSED)
    loaded = _loaded(sys.executable, f"import {IMPORTS}")
    shared = [p for p in loaded if os.path.basename(p).startswith("libpython")]
    carries = look_in(program, "$ORIGIN/../lib")
    inside = tuple(os.path.join(os.path.realpath(p), "") for p in (sys.prefix, sys.base_prefix))
    others = [p for p in loaded if p not in shared and not _of_libc(p) and not ("python" in p and p.startswith(inside))]
    needs = tuple(sorted({os.path.basename(p).partition(".so")[0] for p in others}))
    if carries:
        shared += others
    for path in shared:
        look_in(_library(path, os.path.join(home, "lib")), "$ORIGIN")
    modules = os.path.join(home, "lib", PYTHON, "lib-dynload")
    for name in os.listdir(modules) if os.path.isdir(modules) else ():
        look_in(os.path.join(modules, name), "$ORIGIN/../..")
    _packages(_site(program, home))
    _compile(new)
    _launcher(new, target)
    _try(program, home)
    return Made(_size(new), PYTHON, os.uname().machine, _libc(new), () if carries else needs)


def _copy(source: str, target: str) -> None:
    """Content and time stamp; readable by everybody whatever the umask, executable where it was."""
    shutil.copyfile(source, target)
    seen = os.stat(source)
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    os.chmod(target, 0o755 if seen.st_mode & stat.S_IXUSR else 0o644)


def _tree(source: str, target: str, leave: Iterable[str] = ()) -> None:
    """Byte code goes along: it is known by its source's time stamp, which is kept."""
    cache = os.path.basename(source) == "__pycache__"
    os.mkdir(target, 0o755)
    os.chmod(target, 0o755)  # noqa: S103 - for every uid
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.name in leave or entry.name.startswith(f"config-{PYTHON[6:]}") or entry.name.endswith(".a"):
                continue
            if cache and not entry.name.endswith(f".{sys.implementation.cache_tag}.pyc"):
                continue
            if entry.is_dir():
                _tree(entry.path, os.path.join(target, entry.name), leave)
            elif entry.is_file():
                _copy(entry.path, os.path.join(target, entry.name))


def _packages(site: str) -> None:
    """Modelgate itself, and every distribution that it requires, into one directory."""
    from importlib import metadata

    os.makedirs(site, 0o755, exist_ok=True)
    _tree(os.path.dirname(os.path.abspath(__file__)), os.path.join(site, "modelgate"))
    wanted, seen = ["modelgate"], set[str]()
    while wanted:
        name = wanted.pop()
        if (key := re.sub(r"[-_.]+", "-", name).lower()) in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if key == "modelgate":
                raise RefusedError("modelgate is not installed here (pip), so what it needs is not known") from None
            continue  # for another Python or system, or an extra that is not installed
        for requirement in distribution.requires or []:
            extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
            if extra is None or (key == "modelgate" and extra[1] in EXTRAS):
                wanted.append(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
        if key != "modelgate":
            _distribution(distribution.files or [], lambda f, d=distribution: str(d.locate_file(f)), site)  # type: ignore[misc]


def _distribution(files: Iterable[os.PathLike[str]], locate: Callable[[os.PathLike[str]], str], site: str) -> None:
    for file in files:
        path = os.fspath(file)
        if path.startswith("..") or path.endswith("/direct_url.json"):
            continue
        os.makedirs(os.path.join(site, os.path.dirname(path)), 0o755, exist_ok=True)
        if os.path.isfile(locate(file)):  # byte code is listed, and may have been removed
            _copy(locate(file), os.path.join(site, path))


def _library(path: str, folder: str) -> str:
    """The copy, with the names that others call it by: libz.so.1 for libz.so.1.3.1."""
    name = os.path.basename(path)
    _copy(path, os.path.join(folder, name))
    stem = name.partition(".so")[0] + ".so."
    for other in os.listdir(os.path.dirname(path)):
        if (
            other != name
            and other.startswith(stem)
            and os.path.realpath(os.path.join(os.path.dirname(path), other)) == path
        ):
            os.symlink(name, os.path.join(folder, other))
    return os.path.join(folder, name)


def _of_libc(path: str) -> bool:
    name = os.path.basename(path)
    return re.split(r"[.-]", name)[0] in LIBC or name.startswith(("ld-", "ld.", "libnss_"))


def _run(program: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, "-I", "-B", "-c", code], env={}, capture_output=True, text=True, check=False)


def _loaded(program: str, code: str) -> list[str]:
    """The shared libraries that are mapped after these imports."""
    done = _run(program, f"{code}\nprint(open({PROC + '/self/maps'!r}).read())")
    if done.returncode:
        raise RefusedError(f"{program} cannot import what the gate needs: {_last(done.stderr)}", 70)
    words = (line.split(None, 5) for line in done.stdout.splitlines())
    return sorted({w[5] for w in words if len(w) == 6 and re.search(r"/[^/]+\.so[^/]*$", w[5])})


def _site(program: str, home: str) -> str:
    """The directory of packages on the path of the interpreter that was moved. Distributions name it differently."""
    done = _run(program, "import site; print('\\n'.join(site.getsitepackages()))")
    for line in done.stdout.splitlines():
        if line.startswith(os.path.join(home, "")):
            return line
    raise RefusedError(
        f"this interpreter cannot be moved: {_last(done.stderr) or 'it does not look beside itself'}", 78
    )


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def _compile(new: str) -> None:
    """Byte code for what has none: the server's container may not be allowed to write it."""
    import compileall

    folder = os.path.join(new, "python", "lib", PYTHON)
    compileall.compile_dir(folder, quiet=2)
    for base, folders, files in os.walk(new):
        for name in folders:
            os.chmod(os.path.join(base, name), 0o755)  # noqa: S103 - for every uid
        if base.endswith("__pycache__"):
            for name in files:
                os.chmod(os.path.join(base, name), 0o644)


def _launcher(new: str, target: str) -> None:
    folder = os.path.join(new, "bin")
    os.mkdir(folder, 0o755)
    os.chmod(folder, 0o755)  # noqa: S103 - for every uid
    path = os.path.join(folder, "modelgate")
    with open(path, "w", encoding="utf-8") as file:
        first = f"#!{target}/python/bin/{PYTHON} -I\n"
        file.write(first + "import sys\n\nfrom modelgate.__main__ import main\n\nsys.exit(main())\n")
    os.chmod(path, 0o755)  # noqa: S103 - for every uid


def _try(program: str, home: str) -> None:
    """It must run with an empty environment, and be its own."""
    done = _run(program, f"import sys, modelgate, {IMPORTS}\nprint(sys.prefix, modelgate.__file__)")
    prefix, _, module = done.stdout.strip().partition(" ")
    if done.returncode or prefix != home or not module.startswith(home):
        raise RefusedError(f"this interpreter cannot be moved: {_last(done.stderr) or f'it runs from {prefix}'}", 78)
    stray = [p for p in _loaded(program, "import modelgate") if "libpython" in p and not p.startswith(home)]
    if stray:
        raise RefusedError(f"this interpreter cannot be moved: it still needs {stray[0]}", 78)


def _size(folder: str) -> int:
    return sum(os.lstat(os.path.join(base, name)).st_size for base, _, files in os.walk(folder) for name in files)


def _libc(folder: str) -> str:
    """The newest version of glibc that anything in it asks for; another C library by its name."""
    newest = (0, 0)
    for base, _, files in os.walk(folder):
        for name in files:
            if ".so" in name or name == PYTHON:
                with open(os.path.join(base, name), "rb") as file:
                    for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", file.read()):
                        newest = max(newest, (int(major), int(minor)))
    if newest == (0, 0):
        return "the C library of this image (musl)"
    return f"glibc {newest[0]}.{newest[1]} or newer"
