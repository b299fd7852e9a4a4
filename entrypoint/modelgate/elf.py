"""Machine code as the kernel judges it before it runs: the machine, a whole header, the loader that it names."""

import errno
import os
import struct
from typing import Literal

from msgspec import Struct

_MACHINES = {
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
# What a kernel runs without help. A machine that is not listed is not judged; nor is a 32-bit name, because a 64-bit
# kernel may hide behind it (setarch).
_RUNS = {"x86_64": (62, 3), "aarch64": (183, 40), "ppc64le": (21,), "s390x": (22,), "riscv64": (243,)}
_PT_INTERP = 3


class Elf(Struct, frozen=True):
    """What a file is. `loader` is empty for a static program and where there is a problem.

    cut            not a whole program: a header or table is missing, or it is an object file
    foreign        for another machine, and the kernel was seen to have no handler for that
    maybe-foreign  for another machine, and whether there is a handler could not be seen
    """

    machine: str = ""
    problem: Literal["", "cut", "foreign", "maybe-foreign"] = ""
    errno: str = ""
    loader: str = ""


def read(head: bytes, fd: int, kernel: str | None = None) -> Elf:
    """`head` is the start of the file, 64 bytes at least where it has them; `kernel` as os.uname().machine. OSError."""
    wide, order = head[4:5] == b"\x02", ">" if head[5:6] == b"\x02" else "<"
    layout = struct.Struct(order + ("HHIQQQIHHH" if wide else "HHIIIIIHHH"))
    end = 16 + layout.size
    if len(head) < end:
        return Elf("", "cut", "ENOEXEC")
    kind, number, _, _, offset, _, _, _, size, count = layout.unpack_from(head, 16)
    machine = _MACHINES.get(number, f"machine {number}")
    runs = _RUNS.get(kernel or os.uname().machine)
    if runs is not None and number not in runs:
        said = handler_says(head[:end])
        return Elf(machine, ("foreign" if said == "ENOEXEC" else "maybe-foreign") if said else "", said)
    table = os.pread(fd, size * count, offset)
    row = struct.Struct(order + ("IIQQQQQQ" if wide else "IIIIIIII"))
    if kind not in (2, 3) or not count or size != row.size or len(table) < size * count:
        return Elf(machine, "cut", "ENOEXEC")
    for at in range(0, len(table), size):
        fields = row.unpack_from(table, at)
        if fields[0] == _PT_INTERP:
            where, length = (fields[2], fields[5]) if wide else (fields[1], fields[4])
            loader = os.pread(fd, min(length, 4096), where).rstrip(b"\0")
            return Elf(machine, loader=os.fsdecode(loader)) if loader else Elf(machine, "cut", "ENOEXEC")
    return Elf(machine)


def handler_says(header: bytes) -> str:
    """Ask the kernel whether it has a handler (binfmt_misc: emulation) for a header like this one: "" when it has.

    A container does not see what is registered on its node. So a file of a header and nothing else, that can do
    nothing, is given to execve: without a handler that is ENOEXEC. Anything but that says nothing.
    """
    try:
        fd = _memory_file()
    except OSError as error:
        return _errno(error)
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        os.write(fd, header.ljust(128, b"\0"))
        pid = os.fork()
        if pid == 0:
            try:
                os.execve(fd, ["modelgate"], {})  # noqa: S606
            except OSError as error:
                os.write(write_fd, _errno(error).encode())
            finally:
                os._exit(0)
        os.close(write_fd)
        write_fd = -1
        said = os.read(read_fd, 64).decode()
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
    except OSError as error:
        return _errno(error)
    else:
        return said
    finally:
        for open_fd in (fd, read_fd, write_fd):
            if open_fd >= 0:
                os.close(open_fd)


def _memory_file() -> int:
    # Without close-on-exec: a handler opens the file by the name of its descriptor. MFD_EXEC is known from 6.3 on.
    try:
        return os.memfd_create("modelgate", 0x10)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create("modelgate", 0)


def _errno(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))
