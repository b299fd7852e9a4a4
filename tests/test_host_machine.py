"""Small facts of the machine: cores under a quota, the layers of an overlay."""

import os
from pathlib import Path

import pytest

from modelgate.host import Host, cpus

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, CORES),
        ({"cpu.max": "max 100000\n"}, CORES),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "100000000 100000\n"}, CORES),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, CORES),
        ({"cpu.max": "nonsense\n"}, CORES),
    ],
)
def test_cores_are_what_the_quota_leaves(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    for name, text in files.items():
        path = tmp_path / "fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert cpus(str(tmp_path)) == expected


def test_the_layers_of_an_overlay_are_left_out_of_its_options(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    line = "30 21 0:40 / / rw - overlay overlay rw,lowerdir=/var/lib/a:/var/lib/b,upperdir=/u,workdir=/w,xino=off\n"
    (tmp_path / "self/mountinfo").write_text(line)

    (mount,) = Host(environ={}, proc=str(tmp_path)).mounts()

    assert mount.options == ("rw", "xino=off")
