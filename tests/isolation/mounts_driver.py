"""Mounts over mounts below DIR, in a mount namespace of its own; compares what we say with what stat sees."""

import json
import os
import subprocess
import sys

from modelgate.host import Host


def mount(where: str, name: str) -> None:
    os.makedirs(where, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", name, where], check=True)


def kernel(path: str) -> str:
    """The mount that stat's device belongs to: each tmpfs has a device of its own."""
    device = os.stat(path).st_dev
    with open("/proc/self/mountinfo") as file:
        rows = [line.split(" ") for line in file]
    number = f"{os.major(device)}:{os.minor(device)}"
    return next(row[row.index("-") + 2] for row in rows if row[2] == number)


def main() -> None:
    top = sys.argv[1]
    rows = []

    def compare(*paths: str) -> None:
        for path in paths:
            ours = Host().mount_of(path)
            rows.append({"path": path, "ours": ours.source if ours else None, "kernel": kernel(path)})

    mount(f"{top}/a", "one")
    mount(f"{top}/a/b", "two")
    compare(f"{top}/a", f"{top}/a/b")
    mount(f"{top}/a", "three")  # hides two
    os.makedirs(f"{top}/a/b")
    compare(f"{top}/a", f"{top}/a/b")
    mount(f"{top}/a/b", "four")
    mount(f"{top}/a/b", "five")
    mount(f"{top}/a/b c#\\d", "six")
    compare(f"{top}/a", f"{top}/a/b", f"{top}/a/b c#\\d")
    subprocess.run(["umount", f"{top}/a/b"], check=True)
    compare(f"{top}/a/b")
    print(json.dumps(rows))


main()
