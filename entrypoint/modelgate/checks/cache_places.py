"""Where a server keeps its files, by the variables of its environment. No file is looked at here."""

import os
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

# What a command of the Python world looks like: only there Triton, Inductor and the hub's library are likely.
_PYTHON = (  # compiled in the child that needs it, not at the start of the gate
    r"(python|pypy)[0-9.]*|vllm|sglang|lmdeploy|ray|torchrun|accelerate|uvicorn|gunicorn|hypercorn|trtllm-\w+"
    r"|text-generation-(launcher|server)|hf|huggingface-cli|.+\.py"
)
_HUB_ID = r"[A-Za-z0-9][\w.-]*/[\w.-]*[A-Za-z0-9_]"
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})
HUB = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME")
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
USER = ("LOGNAME", "USER", "LNAME", "USERNAME")  # in the order in which Python's getpass asks


class Room(Struct, frozen=True):
    """A directory that somebody will want to write into.

    variable    what moves it elsewhere
    by          the variable that decides now; "" when none does and the place is built in
    below       where below the variable's directory it lies ("hub" below HF_HOME)
    """

    variable: str
    path: str
    by: str
    of: str
    below: str = ""


def words_of(command: Sequence[str]) -> list[str]:
    """The command as words: the text of `sh -c TEXT` is taken apart too."""
    return [word for text in command[:40] for word in re.split(r"[\s;&|'\"]+", text) if word]


def is_python(command: Sequence[str]) -> bool:
    """A guess from the words of the command; nothing is read."""
    return any(re.fullmatch(_PYTHON, os.path.basename(word)) for word in words_of(command))


def hub_folders(command: Sequence[str]) -> list[str]:
    """Names that what is named in the command would have in the hub's cache."""
    names = [word.partition("@")[0] for word in words_of(command)]
    return ["models--" + name.replace("/", "--") for name in names if re.fullmatch(_HUB_ID, name)]


def offline(environ: Mapping[str, str]) -> str:
    """The variable that keeps the hub's library from downloading; "" when none does."""
    return next((name for name in OFFLINE if environ.get(name, "").upper() in _TRUE), "")


def temporary(environ: Mapping[str, str]) -> list[str]:
    """Where temporary files go: the first that can be used is."""
    named = [environ[name] for name in ("TMPDIR", "TEMP", "TMP") if environ.get(name)]
    try:
        here = [os.getcwd()]
    except OSError:
        here = []
    return [*named, "/tmp", "/var/tmp", *here]  # noqa: S108 - looked at, not used


def hub(environ: Mapping[str, str], home: str) -> Room:
    """The cache of the Hugging Face hub, by the precedence of its library."""
    for name in HUB:
        value = environ.get(name)
        if value:
            path, below = expand(value, environ, home), "hub" if name == "HF_HOME" else ""
            return Room(name, os.path.join(path, below) if below else path, name, "Hugging Face", below)
    xdg = environ.get("XDG_CACHE_HOME")
    top = expand(xdg, environ, home) if xdg else os.path.join(home, ".cache")
    path = os.path.join(top, "huggingface/hub")
    return Room("HF_HOME", path, "XDG_CACHE_HOME" if xdg else "HOME", "Hugging Face", "hub")


def rooms(
    environ: Mapping[str, str], home: str, command: Sequence[str], *, user: str, tmp: str, gpu: bool
) -> list[Room]:
    """What this command is likely to write into, the hub's cache left out. `tmp`: a directory for temporary files."""
    named = {os.path.basename(word) for word in words_of(command)}

    def room(variable: str, default: str, of: str, by: str = "HOME") -> Room:
        value = environ.get(variable)
        return Room(variable, expand(value, environ, home), variable, of) if value else Room(variable, default, by, of)

    found = [room("XDG_CACHE_HOME", os.path.join(home, ".cache"), "caches of libraries")]
    if "ollama" in named:
        found.append(Room("HOME", os.path.join(home, ".ollama"), "HOME", "Ollama"))
    if gpu:
        found.append(room("CUDA_CACHE_PATH", os.path.join(home, ".nv/ComputeCache"), "CUDA"))
    if environ.get("TMPDIR"):
        found.append(room("TMPDIR", "", "temporary files"))
    if not is_python(command):
        return found
    base = environ.get("TRITON_HOME")
    top = expand(base, environ, home) if base else home
    triton = os.path.join(top, ".triton/cache")
    found.append(room("TRITON_CACHE_DIR", triton, "Triton", "TRITON_HOME" if base else "HOME"))
    if user and tmp:
        own = "torchinductor_" + re.sub(r'[\\/:*?"<>|]', "_", user)
        found.append(room("TORCHINDUCTOR_CACHE_DIR", os.path.join(tmp, own), "TorchInductor", ""))
    names = {"TORCHINDUCTOR_CACHE_DIR": "TorchInductor", "NUMBA_CACHE_DIR": "Numba", "TORCH_HOME": "torch.hub"}
    names |= {"VLLM_CACHE_ROOT": "vLLM"} if "vllm" in named or any("vllm." in w for w in named) else {}
    seen = {r.variable for r in found}
    found += [room(name, "", of) for name, of in names.items() if environ.get(name) and name not in seen]
    return found


def expand(value: str, environ: Mapping[str, str], home: str) -> str:
    """`~` and `$NAME` as most of these libraries take them."""
    if value == "~" or value.startswith("~/"):
        value = home.rstrip("/") + value[1:]
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda m: environ.get(m[1] or m[2], m[0]), value)
