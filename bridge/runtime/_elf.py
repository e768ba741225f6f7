"""The little that we need of ELF: who loads a program, and its bytes without debug information."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian: x86_64 and aarch64
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTIONS_AT = 0x28  # e_shoff
_SECTION_COUNT_AT = 0x3C  # e_shnum, then e_shstrndx
_INTERPRETER = 3  # PT_INTERP


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


def is_elf(data: bytes) -> bool:
    """True when the bytes begin like a 64-bit little-endian ELF file."""
    return data.startswith(_MAGIC)


def interpreter(data: bytes) -> str:
    """Path of the dynamic loader that the program asks for; "" for a static program or no ELF."""
    for segment in _segments(data):
        if segment.kind == _INTERPRETER:
            return data[segment.offset : segment.end].rstrip(b"\0").decode()
    return ""


def strip(data: bytes) -> bytes:
    """The file without what is never loaded: debug information, symbols of the linker, sections.

    A loader reads segments only, so the result runs as before. Bytes that are not ELF come back
    as they are. The same input always gives the same output.
    """
    if not is_elf(data):
        return data
    header = _HEADER.unpack_from(data)
    table_end = header[4] + header[8] * header[9]
    end = max((s.end for s in _segments(data)), default=len(data))
    kept = bytearray(data[: max(end, table_end)])
    struct.pack_into("<Q", kept, _SECTIONS_AT, 0)
    struct.pack_into("<HH", kept, _SECTION_COUNT_AT, 0, 0)
    return bytes(kept)


def _segments(data: bytes) -> Iterator[_Segment]:
    if not is_elf(data):
        return
    header = _HEADER.unpack_from(data)
    offset, size, count = header[4], header[8], header[9]
    for index in range(count):
        kind, _, start, _, _, length, _, _ = _SEGMENT.unpack_from(data, offset + index * size)
        yield _Segment(kind, start, length)
