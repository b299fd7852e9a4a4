"""A small, real embedding server: the model server of the demo. numpy, safetensors, tokenizers; no torch, no GPU.

    python serve.py [MODEL_DIR]      MODEL_DIR, HOST (0.0.0.0) and PORT (8000) also come from the environment

POST /embed   {"inputs": "text" or ["text", ...]}  ->  {"embeddings": [[...], ...]}   L2-normalised
GET  /health  503 until the model is loaded, then 200

It ends with 0 on SIGTERM and SIGINT, and with 1 when the model cannot be loaded.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from bert import Bert

MOST_TEXTS = 256
MOST_BYTES = 1 << 20


class Server(ThreadingHTTPServer):
    """Answers from the first moment on; `model` is None until it is loaded."""

    daemon_threads = True
    model: Bert | None = None
    failed = False

    def load(self, folder: str) -> None:
        """In a thread, so that /health can say 503 meanwhile."""
        try:
            start = time.monotonic()
            self.model = Bert(folder)
            self.model.embed(["warm"])
            say(f"model {folder} loaded in {time.monotonic() - start:.2f} s")
        except Exception as error:  # noqa: BLE001 - whatever it is, the server is of no use without its model
            say(f"cannot load the model {folder}: {type(error).__name__}: {error}")
            self.failed = True
            self.shutdown()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path != "/health":
            self.answer(404, {"error": "there are GET /health and POST /embed"})
        elif self.server.model is None:
            self.answer(503, {"status": "loading"})
        else:
            self.answer(200, {"status": "ok"})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            self.close_connection = True  # its body is not read
            self.answer(413 if length.isdigit() else 411, {"error": f"a body of at most {MOST_BYTES} bytes, please"})
            return
        body = self.rfile.read(int(length))
        if self.path != "/embed":
            self.answer(404, {"error": "there are GET /health and POST /embed"})
        elif self.server.model is None:
            self.answer(503, {"error": "the model is still loading"})
        elif (texts := wanted(body)) is None:
            self.answer(400, {"error": f'expected {{"inputs": "text"}} or a list of 1 to {MOST_TEXTS} texts'})
        else:
            vectors = self.server.model.embed(texts)
            self.answer(200, {"embeddings": np.round(vectors.astype(float), 7).tolist()})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        if not self.path.startswith("/health"):  # a probe asks every few seconds
            say(format % args)


def wanted(body: bytes) -> list[str] | None:
    """The texts of a request, or None when it is no such request."""
    try:
        inputs = json.loads(body)["inputs"]
    except (ValueError, KeyError, TypeError):
        return None
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_TEXTS:
        return None
    return texts if all(isinstance(text, str) for text in texts) else None


def say(text: str) -> None:
    sys.stdout.write(f"serve.py: {text}\n")
    sys.stdout.flush()


def main() -> int:
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MODEL_DIR", "/models/minilm")
    address = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8000"))  # noqa: S104 - a container's
    server = Server(address, Handler)
    # shutdown() waits for serve_forever() to return, so it must not run in the thread that serves: this one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    say(f"pid {os.getpid()} listens on {address[0]}:{address[1]}")
    threading.Thread(target=server.load, args=(folder,), daemon=True).start()
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    say("ended")
    return 1 if server.failed else 0


if __name__ == "__main__":
    sys.exit(main())
