"""From finding codes to the exit code. The order of the rows is the rank: the first with a stopping code decides."""

from collections.abc import Iterable

from modelgate.finding import Finding

ROWS: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (78, "author of manifest or image", (
        "manifest-invalid", "manifest-missing", "manifest-unsupported", "env-missing", "env-forbidden",
        "env-conflict", "stack-package-missing", "stack-package-version", "stack-import-failed",
        "stack-arch-unsupported", "stack-model-type-unknown", "host-sysctl", "shm-small", "limit-memlock",
        "limit-nofile", "path-wrong-type", "path-link-loop", "port-address",
    )),
    (127, "image", ("launch-not-found",)),
    (126, "image", ("launch-not-executable",)),
    (77, "deployer: rights", (
        "path-blocked", "path-unreadable", "path-unwritable", "path-not-executable", "path-owner", "path-mode",
        "path-read-only", "path-lsm-denied", "path-squashed", "home-unwritable", "cache-unwritable",
        "device-denied-mode", "device-denied-cgroup", "wait-denied", "identity-denied",
        "port-denied",
    )),
    (66, "deployer: missing", (
        "path-missing", "path-dangling-link", "path-not-mounted", "weights-shard-missing", "weights-empty",
        "weights-partial-download",
    )),
    (65, "weights publisher", (
        "weights-lfs-pointer", "weights-truncated", "weights-header-invalid", "weights-index-mismatch",
        "weights-size", "weights-digest", "weights-signature", "weights-pickle-unsafe", "fetch-failed",
    )),
    (76, "fleet", ("weights-differ", "agree-differs")),
    (69, "cluster: not available", (
        "device-missing", "device-gone", "device-too-few", "gpu-unavailable", "gpu-too-few", "gpu-driver-mismatch",
        "gpu-ecc", "gpu-capability-low", "gpu-lost", "gpu-sanity", "stack-driver-too-old", "stack-cuda-unavailable",
        "wait-timeout", "wait-refused", "wait-dns", "wait-status", "wait-tls", "path-io-error", "path-hung",
        "agree-unreachable",
    )),
    (75, "nobody yet: a restart may help", (
        "gpu-memory-low", "host-memory-low", "host-swapping", "disk-full", "disk-inodes", "port-in-use",
        "agree-missing-member", "gate-timeout",
    )),
    (70, "modelgate itself", ("check-lost",)),
)  # fmt: skip

PASSED = 0
USAGE = 64
SOFTWARE = 70
CONFIG = 78
NOT_FOUND = 127
NOT_EXECUTABLE = 126

OF_CODE: dict[str, int] = {code: exit_code for exit_code, _, codes in ROWS for code in codes}
_RANK: dict[str, int] = {code: rank for rank, (_, _, codes) in enumerate(ROWS) for code in codes}


def rank(code: str) -> int:
    """Sort key: what to fix first. An unknown code is a fault of ours and ranks last."""
    return _RANK.get(code, len(ROWS))


def decide(findings: Iterable[Finding]) -> int:
    """0 when nothing stops, else the exit code of the highest-ranked stopping finding."""
    stopping = [f.code for f in findings if f.stops]
    if not stopping:
        return PASSED
    return OF_CODE.get(min(stopping, key=rank), SOFTWARE)
