"""Let a program or library that was moved find its libraries beside itself: one entry of its ELF header, in place."""

import struct

_LOAD, _DYNAMIC = 1, 2
_END, _STRINGS, _RPATH, _RUNPATH = 0, 5, 15, 29


def look_in(path: str, where: str) -> bool:
    """Make `where` ("$ORIGIN/../lib") the first place in which its libraries are looked for.

    False, and nothing is changed, when the file has no entry for that: it cannot be given one without moving the rest.
    The entry becomes a DT_RPATH, which holds for what the libraries themselves need as well (DT_RUNPATH does not).
    """
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        entry = _entry(data)
        if entry is None:
            return False
        row, text = entry
        end = data.index(0, text)
        if end - text < len(where):
            return False
        data[text:end] = where.encode().ljust(end - text, b"\0")
        struct.pack_into("<Q", data, row, _RPATH)
        file.seek(0)
        file.write(data)
    return True


def _entry(data: bytearray) -> tuple[int, int] | None:
    """Offsets of the entry in the dynamic section, and of its text. 64-bit little-endian files only."""
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    (table,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    dynamic = next((s for s in segments if s[0] == _DYNAMIC), None)
    if dynamic is None:
        return None
    found: dict[int, tuple[int, int]] = {}
    for offset in range(dynamic[2], dynamic[2] + dynamic[5], 16):
        tag, value = struct.unpack_from("<QQ", data, offset)
        if tag == _END:
            break
        found[tag] = (offset, value)
    entry = found.get(_RUNPATH) or found.get(_RPATH)
    if entry is None or _STRINGS not in found:
        return None
    address = found[_STRINGS][1]
    segment = next((s for s in segments if s[0] == _LOAD and s[3] <= address < s[3] + s[5]), None)
    return None if segment is None else (entry[0], address - segment[3] + segment[2] + entry[1])
