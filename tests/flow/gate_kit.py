"""The gate as a real process: what the `gate` fixture hands to a test."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

BIN = Path(sys.executable).parent


class Result(NamedTuple):
    """What a run of modelgate left behind."""

    rc: int
    out: str
    err: str

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The JSON lines of stderr; other lines are left out."""
        lines = [line for line in self.err.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    @property
    def codes(self) -> list[str]:
        """The codes of the logged findings, `ok` left out, in the order they were told."""
        return [line["code"] for line in self.logs if line.get("result") not in (None, "ok")]

    @property
    def report(self) -> Any:
        """stdout as JSON: of `check --format json`."""
        return json.loads(self.out)


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would steer the gate or its interpreter."""
    # LC_CTYPE: where no locale is set, this very interpreter has added it.
    drop = ("MODELGATE_", "PYTHON", "COV_", "PYTEST_", "LC_CTYPE")
    return {k: v for k, v in os.environ.items() if not k.startswith(drop)} | dict(extra or {})


class Gate:
    """The installed `modelgate`, run as a user runs it: a process of its own, nothing imported."""

    program = str(BIN / "modelgate")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._count = 0
        self._running: list[subprocess.Popen[str]] = []

    def write(self, manifest: str) -> str:
        """A new manifest file in the test's own folder; its path."""
        self._count += 1
        path = self.folder / f"manifest-{self._count}.yaml"
        path.write_text(manifest)
        return str(path)

    def environ(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """With a state directory of its own: tests at the same time must not read each other's."""
        return clean_env({"MODELGATE_STATE_DIR": str(self.state), **(env or {})})

    def argv(self, args: Sequence[str], manifest: str | None = None) -> list[str]:
        """`-m FILE` stands where every command takes it: after a command word, before anything else."""
        words = list(args)
        if manifest is None:
            return [self.program, *words]
        at = 1 if words and words[0] in ("run", "check", "explain", "facts") else 0
        return [self.program, *words[:at], "-m", self.write(manifest), *words[at:]]

    def __call__(
        self,
        *args: str,
        manifest: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        **popen: Any,
    ) -> Result:
        """Run to the end. TimeoutExpired when it does not end in `timeout` seconds."""
        done = subprocess.run(
            self.argv(args, manifest),
            env=self.environ(env),
            stdin=popen.pop("stdin", subprocess.DEVNULL),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **popen,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(
        self, *args: str, manifest: str | None = None, env: Mapping[str, str] | None = None, **popen: Any
    ) -> "subprocess.Popen[str]":
        """Start and come back at once, for signals and probes. Killed after the test if still alive."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
        process: subprocess.Popen[str] = subprocess.Popen(
            self.argv(args, manifest), env=self.environ(env), text=True, **options
        )
        self._running.append(process)
        return process

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()
