"""Machine code: real programs with a few bytes changed, against what the kernel does with them."""

import errno
import functools
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from launch_kit import SH, execute, look, write

from modelgate import elf
from modelgate.finding import Level


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., str]:
    """`make("serve.sh", "#!/bin/sh")`: a file of that content and mode."""
    return functools.partial(write, tmp_path)


def patched(offset: int, data: bytes) -> bytes:
    """A real program with some bytes changed."""
    code = bytearray(Path(SH).resolve().read_bytes())
    code[offset : offset + len(data)] = data
    return bytes(code)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="changes bytes of a program for x86_64")
class TestMachineCode:
    """Real programs with a few bytes changed."""

    def test_a_program_of_another_libc_names_its_loader(self, make: Callable[..., str]) -> None:
        """musl in a glibc image: the kernel says ENOENT of a file that is there."""
        code = Path(SH).resolve().read_bytes()
        loader = b"/lib64/ld-linux-x86-64.so.2\0"
        assert loader in code
        program = make("serve", code.replace(loader, b"/lib/ld-musl-x86_64.so.1\0".ljust(len(loader), b"\0")))

        found = look(program)

        assert execute(program) == errno.ENOENT
        assert found.code == "launch-not-found"
        assert found.observed == f"{program} is loaded by /lib/ld-musl-x86_64.so.1, which is not there: ENOENT"
        assert "musl (Alpine)" in found.fixes[0].do

    def test_another_machine_is_named_as_far_as_the_kernel_says_so(self, make: Callable[..., str]) -> None:
        """Where emulation is registered (binfmt_misc) the same file passes."""
        program = make("serve", patched(18, struct.pack("<H", 183)))

        found = look(program)

        if execute(program) == errno.ENOEXEC:
            assert (found.code, found.level) == ("launch-not-executable", Level.FAIL)
            assert "is a program for aarch64, this machine is x86_64, and its kernel has no handler" in found.observed
            assert "--platform linux/amd64" in found.fixes[0].snippet
        else:
            assert found.code == "ok"

    @pytest.mark.usefixtures("no_leaks")
    def test_asking_for_a_handler_leaves_nothing_behind(self) -> None:
        """A header of our own machine and no program behind it is refused too: the question itself works."""
        assert elf.handler_says(Path(SH).resolve().read_bytes()[:64]) == "ENOEXEC"

    def test_a_handler_that_is_there_is_believed(self) -> None:
        """A script's header stands for it: execve takes it, so what is asked of the kernel can be answered with yes."""
        assert elf.handler_says(b"#!/bin/sh\n") == ""

    def test_a_program_cut_short_is_named(self, make: Callable[..., str]) -> None:
        program = make("serve", Path(SH).resolve().read_bytes()[:100])

        found = look(program)

        assert execute(program) == errno.ENOEXEC
        assert found.code == "launch-not-executable"
        assert "cut short" in found.observed

    def test_an_object_file_is_no_program(self, make: Callable[..., str]) -> None:
        program = make("serve.o", patched(16, struct.pack("<H", 1)))

        assert execute(program) == errno.ENOEXEC
        assert look(program).code == "launch-not-executable"

    def test_a_32_bit_program_is_not_judged_by_its_machine(self, tmp_path: Path) -> None:
        header = struct.pack(
            "<4sBBB9sHHIIIIIHHHHHH", b"\x7fELF", 1, 1, 1, b"", 2, 3, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0
        )
        (tmp_path / "i386").write_bytes(header + struct.pack("<8I", 1, 0, 0, 0, 0, 0, 5, 4096))
        fd = os.open(tmp_path / "i386", os.O_RDONLY)
        try:
            found = elf.read(os.pread(fd, 256, 0), fd, "x86_64")
        finally:
            os.close(fd)

        assert found == elf.Elf("i386")
