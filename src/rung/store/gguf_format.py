"""Reading a GGUF header bit by bit: numbers, texts and arrays, each within the file's size and our bounds."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_MOST_BYTES = 48 << 20
_MOST_STRINGS = 1 << 20
_LONGEST_KEPT_ARRAY = 4096
_CHUNK = 1 << 16
"""Bytes that are read at once. Each thread's allocator keeps the largest block that it ever gave, so a header of
megabytes is not held as a whole."""

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_INTEGERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 7: "<B", 10: "<Q", 11: "<q"}
_SCALARS = {kind: struct.Struct(code) for kind, code in {**_INTEGERS, 6: "<f", 12: "<d"}.items()}
_STRING, _ARRAY = 8, 9

TENSOR_TYPES = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    9: ("q8_1", 32, 36),
    10: ("q2_K", 256, 84),
    11: ("q3_K", 256, 110),
    12: ("q4_K", 256, 144),
    13: ("q5_K", 256, 176),
    14: ("q6_K", 256, 210),
    15: ("q8_K", 256, 292),
    16: ("iq2_xxs", 256, 66),
    17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18),
    21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1),
    25: ("i16", 1, 2),
    26: ("i32", 1, 4),
    27: ("i64", 1, 8),
    28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56),
    30: ("bf16", 1, 2),
    34: ("tq1_0", 256, 54),
    35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17),
    40: ("nvfp4", 64, 36),
    41: ("q1_0", 128, 18),
    42: ("q2_0", 64, 18),
}
"""By ggml's number of the type: its name, elements per block, bytes per block."""


@dataclass(frozen=True, slots=True)
class Length:
    """An array that was skipped.

    Args:
        count: number of its items.
        longest: bytes of its longest string; 0 for an array of numbers.
    """

    count: int
    longest: int = 0


Value = str | int | tuple[int, ...] | Length | None
"""A value of the file's table; `None` for a floating-point number, because none is needed."""


class Fault(Exception):
    """What is wrong with the file, in a clause. It quotes only numbers and printable names."""


class HeaderReader:
    """Reads a file from its beginning, no further than needed, and keeps no more of it than the value being read.

    Args:
        file: the file, at its beginning.
        size: size of the whole file, in bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self.at = 0
        self._file = file
        self._buffer = b""
        self._base = 0  # where in the file the buffer begins
        self._strings = 0

    def u32(self) -> int:
        """A number of four bytes."""
        return self._scalar(_U32)

    def u64(self) -> int:
        """A number of eight bytes."""
        return self._scalar(_U64)

    def count(self, what: str, most: int, least_bytes: int) -> int:
        """The number of things that follow.

        Args:
            what: what they are, for the fault.
            most: largest number that is allowed.
            least_bytes: bytes that each of them takes at least.
        """
        count = self.u64()
        if count > most:
            raise Fault(f"it claims {count:,} {what}, more than the {most:,} that are allowed")
        if count * least_bytes > self.size - self.at:
            raise Fault(f"it claims {count:,} {what}, more than the file has room for")
        return count

    def text(self, what: str, longest: int | None = None) -> str:
        """A text, which follows its length.

        Args:
            what: what it is, for the fault.
            longest: largest allowed length in bytes; by default that of the file.
        """
        length = self.u64()
        if longest is not None and length > longest:
            raise Fault(f"{what} of {length:,} bytes is too long")
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise Fault(f"{what} is not UTF-8") from None

    def value(self, key: str) -> Value:
        """A value, which follows its type."""
        kind = self.u32()
        if kind == _STRING:
            return self.text(f"the value of {key!r}")
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _SCALARS:
            raise Fault(f"{key!r} has the unknown type {kind}")
        number = self._scalar(_SCALARS[kind])
        return number if kind in _INTEGERS else None

    def _array(self, key: str) -> Value:
        kind = self.u32()
        if kind == _STRING:
            count = self.count(f"strings in {key!r}", _MOST_STRINGS - self._strings, 8)
            self._strings += count
            return Length(count, self._skip_strings(count))
        if kind not in _SCALARS:
            raise Fault(f"{key!r} is an array of the type {kind}, which no array can have")
        code = _SCALARS[kind]
        count = self.count(f"numbers in {key!r}", _MOST_BYTES, code.size)
        if kind not in _INTEGERS or count > _LONGEST_KEPT_ARRAY:
            self._skip(count * code.size)
            return Length(count)
        return tuple(number for (number,) in code.iter_unpack(self._take(count * code.size)))

    def _skip_strings(self, count: int) -> int:
        # A vocabulary has some hundred thousand strings. Nothing is built for them, and no function is called for each.
        unpack, longest = _U64.unpack_from, 0
        buffer, at = self._buffer, self.at - self._base
        last = len(buffer) - 8
        for _ in range(count):
            if at > last:
                self._skip(self._base + at - self.at)
                self._fill(self.at + 8)
                buffer, at = self._buffer, self.at - self._base
                last = len(buffer) - 8
            length = unpack(buffer, at)[0]
            if length > longest:
                longest = length
            at += 8 + length
        self._skip(self._base + at - self.at)
        return longest

    def _scalar(self, code: struct.Struct) -> int:
        number: int = code.unpack(self._take(code.size))[0]
        return number

    def _take(self, count: int) -> bytes:
        self._fill(self.at + count)
        start = self.at - self._base
        self.at += count
        return self._buffer[start : start + count]

    def _skip(self, count: int) -> None:
        end = self.at + count
        self._check(end)
        while self.at < end:
            self._fill(min(end, self.at + _CHUNK))
            self.at = min(end, self._base + len(self._buffer))

    def _fill(self, end: int) -> None:
        """Have the bytes from here to `end`, and forget those before."""
        if end <= self._base + len(self._buffer):
            return
        self._check(end)
        kept = self._buffer[self.at - self._base :]
        wanted = min(max(end, self.at + len(kept) + _CHUNK), _MOST_BYTES) - self.at - len(kept)
        self._buffer, self._base = kept + self._file.read(wanted), self.at
        if end > self._base + len(self._buffer):
            raise Fault("it became shorter while it was read")

    def _check(self, end: int) -> None:
        if end > self.size:
            raise Fault(f"it ends after {self.size:,} bytes, in the middle of its header")
        if end > _MOST_BYTES:
            raise Fault(f"its header takes more than {_MOST_BYTES >> 20} MiB")
