"""Durations and sizes as people write them. Version ranges join when a kind needs them."""

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]i?B?|B)?")
_STEP = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


class Duration(float):
    """Seconds. Written `500ms`, `30s`, `5m`, `1h`, `1h30m`, or a bare 0."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Raise ValueError with a message for a person when `value` is no duration."""
        if value == 0 and not isinstance(value, bool):
            return cls(0.0)
        if isinstance(value, str) and value == "0":
            return cls(0.0)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            raise ValueError(f"a duration needs a unit: {value}s, {value}m or {value}h?")
        if isinstance(value, str):
            parts = _DURATION.findall(value)
            if parts and "".join(n + u for n, u in parts) == value:
                total = sum(float(n) * _SECONDS[u] for n, u in parts)
                if total <= 10 * 365 * 86400:
                    return cls(total)
                raise ValueError(f"{value} is longer than ten years")
        raise ValueError(f"expected a duration like 500ms, 30s, 5m or 1h, got {value!r}")


class Size(int):
    """Bytes. Written `64MiB`, `40Gi`, `80GB`, or a plain number of bytes."""

    @classmethod
    def parse(cls, value: object) -> "Size":
        """Raise ValueError with a message for a person when `value` is no size."""
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 0:
                raise ValueError(f"a size cannot be negative: {value}")
            return cls(value)
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"expected a size like 64MiB, 40GiB, 40Gi or 80GB, got {value!r}")
        unit = match[2] or ""
        base = 1024 if "i" in unit else 1000
        return cls(int(float(match[1]) * base ** _STEP[unit.rstrip("B").rstrip("i")]))


def show_bytes(count: float) -> str:
    """For people: 4.2 GiB, 512 B."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def show_seconds(seconds: float) -> str:
    """For people: 350 ms, 12.5 s, 5 m, 1 h 10 m."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    minutes = round(seconds / 60)
    if minutes < 60:
        rest = round(seconds % 60)
        return f"{int(seconds // 60)} m {rest} s" if rest not in (0, 60) else f"{minutes} m"
    return f"{minutes // 60} h {minutes % 60} m" if minutes % 60 else f"{minutes // 60} h"
