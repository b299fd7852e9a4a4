"""What modelgate costs, as ratios to something everybody has, measured side by side in one run.

    make bench                        prints a Markdown table
    make bench ARGS=--write-readme    and puts it into README.md, between its two markers
    make bench ARGS="--rounds 50 --size 4096"

Machines are noisy: the rounds are interleaved, medians are compared, and nothing here fails because it was slow.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from waits import ready_to_exec

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- bench: written by `make bench ARGS=--write-readme` -->\n", "<!-- /bench -->\n"
FIVE = """\
version: 1
files:
  - {path: /etc/passwd, type: file}
  - {path: /usr, type: directory, access: rx}
env: {require: [PATH]}
disk: [{path: /tmp, free: 1KiB}]
devices: [{path: /dev/null, access: rw}]
"""


class Row(NamedTuple):
    """One line of the table; a budget is the largest ratio that is still fine, None where it is for information."""

    what: str
    seconds: float
    against: str = ""
    base: float | None = None
    budget: float | None = None
    note: str = ""

    def markdown(self) -> str:
        ratio = f"{self.seconds / self.base:.2f}x" if self.base else "-"
        budget = self.note
        if self.budget is not None and self.base:
            verdict = "within" if self.seconds / self.base <= self.budget else "**over**"
            budget = f"{self.budget:.2f}x, {verdict}{'; ' if self.note else ''}{self.note}"
        against = f"{self.against}: {show(self.base)}" if self.base else self.against or "-"
        return f"| {self.what} | {show(self.seconds)} | {against} | {ratio} | {budget or '-'} |"


def show(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def timed(words: list[str], env: dict[str, str] | None = None) -> float:
    """Seconds from fork to wait. A command that fails ends the benchmark: its time means nothing."""
    begin = time.perf_counter()
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=env)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{words}: exit code {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return seconds


def medians(rounds: int, commands: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Each command once in every round, so that a slow minute of the machine hits all of them."""
    for run in commands.values():
        run()  # page cache, .pyc files
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, run in commands.items():
            seconds[name].append(run())
    return {name: statistics.median(values) for name, values in seconds.items()}


def launcher(folder: Path) -> str:
    """`modelgate` as the image has it: docker/Dockerfile writes the same four lines."""
    path = folder / "modelgate"
    lines = (f"#!{sys.executable} -I", "import sys", "from modelgate.__main__ import main", "sys.exit(main())")
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return str(path)


def starts(gate: str, folder: Path, rounds: int) -> list[Row]:
    """The start with five checks, the probe, and what other inits take to start the same `true`."""
    manifest = folder / "five.yaml"
    manifest.write_text(FIVE)
    state = ["--state-dir", str(folder / "state")]
    pip_launcher = str(Path(sys.executable).with_name("modelgate"))
    commands: dict[str, list[str]] = {
        "python": [sys.executable, "-c", "pass"],
        "gate": [gate, *state, "-m", str(manifest), "--", "true"],
        "pip": [pip_launcher, *state, "-m", str(manifest), "--", "true"],
        "probe": [gate, "probe", "live", "--state-dir", str(folder / "served")],
        "true": ["true"],
    }
    inits = {"tini": ["tini", "-s", "--"], "dumb-init": ["dumb-init"], "catatonit": ["catatonit", "--"]}
    commands |= {name: [*words, "true"] for name, words in inits.items() if shutil.which(name)}
    server = subprocess.Popen(
        [gate, "--state-dir", str(folder / "served"), "--", "sleep", "3600"],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean(),
    )  # fmt: skip
    try:
        while subprocess.run(commands["probe"], capture_output=True, check=False).returncode and server.poll() is None:
            time.sleep(0.05)
        took = medians(rounds, {name: lambda w=words: timed(w, clean()) for name, words in commands.items()})  # type: ignore[misc]
    finally:
        server.terminate()
        server.wait()
    python, true = ("`python3 -c pass`", took["python"]), ("`true`", took["true"])
    rows = [
        Row("`modelgate -- true`, 5 checks", took["gate"], *python, budget=14, note="aim 7x"),
        Row("the same by pip's launcher", took["pip"], *python),
        Row("`modelgate probe live`", took["probe"], *python, budget=2),
    ]
    return rows + [Row(f"peer: `{name} true`", took[name], *true) for name in inits if name in took]


def digests(gate: str, folder: Path, rounds: int, mebibytes: int) -> list[Row]:
    """Four files of the page cache, their sha256 in the manifest; against openssl, one file after the other."""
    if not shutil.which("openssl"):
        return []
    files = []
    block = os.urandom(1 << 20)
    for number in range(4):
        path = folder / f"weights-{number}.bin"
        with path.open("wb") as file:
            for _ in range(mebibytes // 4):
                file.write(block)
        files.append(str(path))
    said = subprocess.run(["openssl", "dgst", "-sha256", "-r", *files], capture_output=True, text=True, check=True)
    entries = [f'  - {{path: {line.split()[1].lstrip("*")}, sha256: "{line.split()[0]}"}}\n'
               for line in said.stdout.splitlines()]  # fmt: skip
    manifest = folder / "digests.yaml"
    manifest.write_text("version: 1\nfiles:\n" + "".join(entries))
    words = [gate, "--state-dir", str(folder / "state"), "-m", str(manifest), "--", "true"]
    took = medians(
        rounds,
        {
            "gate": lambda: timed(words, clean()),
            "openssl": lambda: timed(["openssl", "dgst", "-sha256", *files]),
        },
    )
    cores = len(os.sched_getaffinity(0))
    what = f"sha256 of 4 hot files, {mebibytes} MiB"
    return [Row(what, took["gate"], "`openssl dgst -sha256`", took["openssl"], 1.1 / cores, f"{cores} cores")]


def clean() -> dict[str, str]:
    """The environment without what would steer the gate or make its interpreter start twice."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MODELGATE_", "PYTHON"))}


def table(rows: list[Row]) -> str:
    head = "| what | measured | against | ratio | budget |\n|---|---|---|---|---|\n"
    about = f"\n{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}.\n"
    return head + "".join(row.markdown() + "\n" for row in rows) + about


def write(text: str, path: Path = README) -> None:
    """Put the table between the markers. ValueError when they are not there."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no line {BEGIN.strip()} … {END.strip()}")
    path.write_text(before + begin + text + end + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--size", type=int, default=1024, help="MiB to hash (default 1024)")
    parser.add_argument("--write-readme", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="modelgate-bench-"))
    try:
        gate = launcher(folder)
        rows = starts(gate, folder, options.rounds)
        few = max(1, options.rounds // 5)
        rows += [Row(*row) for row in ready_to_exec(gate, folder, few, clean())]
        rows += digests(gate, folder, few, options.size)
    finally:
        shutil.rmtree(folder)
    sys.stdout.write(table(rows))
    if options.write_readme:
        write(table(rows))


if __name__ == "__main__":
    main()
