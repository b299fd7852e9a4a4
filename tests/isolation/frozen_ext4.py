"""An ext4 on a loop device, frozen: `frozen_ext4.py IMAGE MOUNTPOINT`, until its standard input ends.

A process that wants to make a file there is in state D until the thaw. Run it in a mount namespace of its own.
"""

import fcntl
import os
import subprocess
import sys

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


def main() -> None:
    image, where = sys.argv[1:]
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, where], check=True)  # the loop device goes with the mount
    top = os.open(where, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(top, FIFREEZE, 0)
        try:
            print("ready", flush=True)
            sys.stdin.read()
        finally:
            fcntl.ioctl(top, FITHAW, 0)
    finally:
        os.close(top)
        subprocess.run(["umount", "-l", where], check=True)


main()
