"""What a token's probability needs of a whole vocabulary: the largest numbers and the sum of all exponentials."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rung.tiers.llama.binding import llama

Floats = NDArray[np.float32]


class Addressed:
    """An array and where it lies, which numpy takes a microsecond to tell.

    Args:
        array: contiguous.
    """

    __slots__ = ("address", "array")

    def __init__(self, array: Floats) -> None:
        self.array = array
        self.address: int = array.ctypes.data


Fill = Callable[[Addressed, Addressed, int, int, float], float]
"""Fills the beginning of the first array with the exponentials of a part of the second one, each less a number, and
returns their sum. The part is given by its start and its length."""

CHUNK = 32_768
"""Numbers that are worked on at once: 128 KiB, and as much of results, stay in a core's cache, where a whole
vocabulary's don't."""

_CLOSE = 1e-5
"""Most by which llama.cpp's exponentials may be off, relatively. Its polynomials are exact to about 2e-7."""


def _with_numpy(into: Addressed, numbers: Addressed, start: int, count: int, less: float) -> float:
    out = into.array[:count]
    np.subtract(numbers.array[start : start + count], np.float32(less), out=out)
    np.exp(out, out=out)
    return float(out.sum())


def _fused() -> Fill | None:
    """llama.cpp's own loop, which makes one pass where numpy makes three: 95 us against 300 for 152,000 numbers on a
    processor with AVX2, about the same as numpy's with AVX-512.

    It isn't part of llama.cpp's interface, so it is used only where it exists and says what numpy says.
    """
    try:
        native: Any = llama._lib.ggml_vec_soft_max_f32
    except AttributeError:
        return None
    native.restype = ctypes.c_double
    native.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_float]

    def fill(into: Addressed, numbers: Addressed, start: int, count: int, less: float) -> float:
        return float(native(count, into.address, numbers.address + _BYTES * start, less))

    # 21 numbers make it leave its vector loop, too
    numbers = Addressed(np.linspace(-30, 0, 23, dtype=np.float32))
    ours, theirs = (Addressed(np.zeros(21, np.float32)) for _ in range(2))
    sums = _with_numpy(ours, numbers, 2, 21, 1.0), fill(theirs, numbers, 2, 21, 1.0)
    same = np.allclose(ours.array, theirs.array, rtol=_CLOSE, atol=0) and math.isclose(*sums, rel_tol=_CLOSE)
    return fill if same else None


_BYTES = np.dtype(np.float32).itemsize
_FILL = _fused() or _with_numpy
_scratch = threading.local()


def _scratch_of(size: int) -> Addressed:
    room: Addressed | None = getattr(_scratch, "room", None)
    if room is None or len(room.array) < size:
        room = _scratch.room = Addressed(np.empty(size, np.float32))
    return room


def scratch(size: int) -> Floats:
    """An array of this thread's own, with anything in it, until the thread asks for the next one. New memory for a
    whole vocabulary would cost as much as a pass over it.

    Args:
        size: of the array.
    """
    return _scratch_of(size).array[:size]


def exponentials(numbers: Floats, less: float) -> None:
    """Replace numbers by `exp(number - less)`.

    Args:
        numbers: contiguous.
        less: at least the largest of them, or some may overflow.
    """
    for at in range(0, len(numbers), CHUNK):
        part = Addressed(numbers[at : at + CHUNK])
        _FILL(part, part, 0, len(part.array), less)


def mass(numbers: Floats, less: float) -> float:
    """The sum of `exp(number - less)`, without a copy of the numbers.

    Args:
        numbers: contiguous.
        less: at least the largest of them.
    """
    whole, size = Addressed(numbers), len(numbers)
    room = _scratch_of(min(size, CHUNK))
    return sum(_FILL(room, whole, at, min(CHUNK, size - at), less) for at in range(0, size, CHUNK))


class LogitsSurvey(NamedTuple):
    """What a row of logits looks like.

    Args:
        first: index of the largest; the first of them, if several are.
        second: index of the largest but for that one.
        top: the largest.
        mass: the sum over all of `exp(number - top)`; not a number where all are `-inf`.
    """

    first: int
    second: int
    top: float
    mass: float

    def rival(self, index: int) -> int:
        """Index of the largest but for one.

        Args:
            index: the one.
        """
        return self.second if index == self.first else self.first


def survey(numbers: Floats) -> LogitsSurvey:
    """Look at each number once, while it is in the core's cache.

    The sum is that of M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax" (2018), algorithm 3,
    with chunks in place of single numbers: what was summed up so far shrinks when a larger number comes.

    Args:
        numbers: contiguous, two or more. They are as they were afterwards.
    """
    whole, size = Addressed(numbers), len(numbers)
    room = _scratch_of(min(size, CHUNK))
    top, total, leaders = -math.inf, 0.0, []
    for at in range(0, size, CHUNK):
        part = numbers[at : at + CHUNK]
        index = int(part.argmax())
        high = part.item(index)
        leaders.append((high, -at - index))
        if high > top:
            total *= math.exp(top - high)
            top = high
        elif high == -math.inf:
            continue
        total += _FILL(room, whole, at, len(part), top)
    best = max(leaders)
    first = -best[1]
    leaders.remove(best)
    start = first // CHUNK * CHUNK
    part = numbers[start : start + CHUNK]
    held = part[first - start]
    part[first - start] = -np.inf
    index = int(part.argmax())
    leaders.append((part.item(index), -start - index))
    part[first - start] = held
    return LogitsSurvey(first, -max(leaders)[1], top, total if top > -math.inf else math.nan)
