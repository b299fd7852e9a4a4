"""A FUSE file system that takes every request and answers none: `deaf_fuse.py MOUNTPOINT`, until it is ended.

Speaks the protocol itself (no libfuse): INIT is answered, whatever comes after is read and kept waiting. A process
that has asked is then in state D and SIGKILL does not end it. Ending this program aborts the connection, which does.
"""

import ctypes
import os
import struct
import sys

INIT = 26
IN_HEADER = struct.Struct("<IIQQIIII")  # length opcode unique node uid gid pid padding
OUT_HEADER = struct.Struct("<IiQ")  # length error unique
# major minor max_readahead flags max_background congestion_threshold max_write time_gran, then zeros
INIT_OUT = struct.Struct("<IIIIHHII36x")
MINOR = 31


def mount(fd: int, where: str) -> None:
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"deaf", os.fsencode(where), b"fuse.deaf", 0, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), where)


def main() -> None:
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount(fd, sys.argv[1])
    while True:
        request = os.read(fd, 1 << 20)
        _, opcode, unique, *_ = IN_HEADER.unpack_from(request)
        if opcode == INIT:
            body = INIT_OUT.pack(7, MINOR, 65536, 0, 12, 9, 65536, 1)
            os.write(fd, OUT_HEADER.pack(OUT_HEADER.size + len(body), 0, unique) + body)
            print("ready", flush=True)


main()
