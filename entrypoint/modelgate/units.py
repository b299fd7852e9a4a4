"""Durations and sizes as people write them. Version ranges join when a kind needs them."""

import re
from typing import Any, ClassVar

# [0-9] and not \d: int() and float() also read the digits of other scripts.
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]+)(?:\.([0-9]+))?\s?([kKMGTP]i?B?|B)?")
_STEP = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_LONGEST_TEXT = 40  # characters; the patterns are not meant for a text of a megabyte
_LONGEST = 10 * 365 * 86400
_LARGEST = 2**63 - 1


class Duration(float):
    """Seconds. Written `500ms`, `30s`, `5m`, `1h`, `1h30m`, or a bare 0."""

    __slots__ = ()
    SCHEMA: ClassVar[dict[str, Any]] = {
        "anyOf": [{"type": "string", "pattern": r"^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$"}, {"const": 0}],
        "examples": ["500ms", "30s", "5m", "1h"],
    }

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Raise ValueError with a message for a person when `value` is no duration."""
        if (isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0) or value == "0":
            return cls(0.0)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            raise ValueError(f"a duration needs a unit: {value}s, {value}m or {value}h?")
        if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
            parts = _DURATION.findall(value)
            if parts and "".join(n + u for n, u in parts) == value:
                total = sum(float(n) * _SECONDS[u] for n, u in parts)
                if total <= _LONGEST:
                    return cls(total)
                raise ValueError(f"{value} is longer than ten years")
        raise ValueError(f"expected a duration like 500ms, 30s, 5m or 1h, got {_shown(value)}")

    @property
    def text(self) -> str:
        """As the manifest takes it: `1h30m`, `5m`, `250ms`."""
        if float(self) != int(self):
            return f"{float(self) * 1000:.3f}".rstrip("0").rstrip(".") + "ms"
        hours, rest = divmod(int(self), 3600)
        minutes, seconds = divmod(rest, 60)
        return "".join(f"{n}{u}" for n, u in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n) or "0s"


class Size(int):
    """Bytes. Written `64MiB`, `40Gi`, `80GB`, or a plain number of bytes."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": ["string", "integer"],
        "pattern": r"^[0-9]+(\.[0-9]+)? ?([kKMGTP]i?B?|B)?$",
        "minimum": 0,
        "examples": ["64MiB", "40GiB", "40Gi", "80GB"],
    }

    @classmethod
    def parse(cls, value: object) -> "Size":
        """Raise ValueError with a message for a person when `value` is no size."""
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 0:
                raise ValueError(f"a size cannot be negative: {value}")
            return cls._bounded(value, value)
        match = _SIZE.fullmatch(value) if isinstance(value, str) and len(value) <= _LONGEST_TEXT else None
        if match is None:
            raise ValueError(f"expected a size like 64MiB, 40GiB, 40Gi or 80GB, got {_shown(value)}")
        whole, fraction, unit = match[1], match[2] or "", (match[3] or "").upper()
        factor = (1024 if "I" in unit else 1000) ** _STEP[unit.rstrip("B").rstrip("I")]
        # In whole numbers: a float would lose the last bytes of what is exact.
        return cls._bounded(int(whole + fraction) * factor // 10 ** len(fraction), value)

    @classmethod
    def _bounded(cls, count: int, value: object) -> "Size":
        if count > _LARGEST:
            raise ValueError(f"{_shown(value)} is more than any machine has (8 EiB)")
        return cls(count)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


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


def plain(value: object) -> object:
    """As enc_hook: a Duration or Size as the number it is."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value)
    raise NotImplementedError(f"no plain form of {type(value).__name__}")


def revive(wanted: Any, value: Any) -> Any:
    """As dec_hook, the way back from `plain`: a number or text in a type of our own."""
    if issubclass(wanted, (float, int, str)):
        return wanted(value)
    raise NotImplementedError(f"cannot revive a {wanted.__name__}")
