"""How late a server starts after its dependency has become ready."""

import shutil
import socket
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

CAP = 0.5  # seconds, the `max` of the backoff below
MANIFEST = """\
version: 1
wait_for:
  - tcp: "127.0.0.1:{port}"
    backoff: {{initial: 100ms, max: 500ms}}
"""
SERVER = ["date", "+%s.%N"]


def ready_to_exec(gate: str, folder: Path, rounds: int, env: dict[str, str]) -> list[tuple[Any, ...]]:
    """Rows of the table: the worst round of the gate (its budget is about the worst), and peers' where installed."""
    manifest = folder / "wait.yaml"
    seen: dict[str, list[float]] = {}
    for number in range(rounds):
        port = free_port()
        manifest.write_text(MANIFEST.format(port=port))
        commands = {"gate": [gate, "--state-dir", str(folder / "state"), "-m", str(manifest), "--", *SERVER]}
        if shutil.which("wait-for-it"):
            commands["wait-for-it"] = ["wait-for-it", "-q", "-t", "30", f"127.0.0.1:{port}", "--", *SERVER]
        for name, words in commands.items():
            # Not always at the same point of the wait.
            late = one(words, port, 1.0 + number * 0.17, env)
            seen.setdefault(name, []).append(late)
    what, cap = "dependency ready -> server exec'd, worst", "backoff cap"
    rows: list[tuple[Any, ...]] = [(what, max(seen["gate"]), cap, CAP, (CAP + 0.1) / CAP, "cap + 100 ms")]
    if "wait-for-it" in seen:
        worst, median = max(seen["wait-for-it"]), statistics.median(seen["wait-for-it"])
        rows.append(("peer: the same by `wait-for-it`", worst, "", None, None, f"median {median * 1000:.0f} ms"))
    return rows


def one(words: list[str], port: int, after: float, env: dict[str, str]) -> float:
    """Seconds from the moment the port listens to the moment the server says what time it is."""
    process = subprocess.Popen(
        words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        time.sleep(after)
        with socket.socket() as dependency:
            dependency.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            dependency.bind(("127.0.0.1", port))
            dependency.listen(16)
            ready = time.time()
            out, _ = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return float(out) - ready


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
