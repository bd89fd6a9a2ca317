"""The exponentials of a whole vocabulary, which are the larger part of what a token's probability costs."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable
from typing import Any

import llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Fill = Callable[[Floats, Floats, float], float]
"""Fills the first array with the exponentials of the second one, each less a number, and returns their sum."""

_CHUNK = 32_768
"""Numbers that are worked on at once: 128 KiB of results stay in a core's cache, where a whole vocabulary's don't."""

_CLOSE = 1e-5
"""Most by which llama.cpp's exponentials may be off, relatively. Its polynomials are exact to about 2e-7."""


def _with_numpy(into: Floats, numbers: Floats, less: float) -> float:
    np.subtract(numbers, np.float32(less), out=into)
    np.exp(into, out=into)
    return float(into.sum())


def _fused() -> Fill | None:
    """llama.cpp's own loop, which makes one pass where numpy makes three: 95 us against 300 for 152,000 numbers on a
    processor with AVX2, about the same as numpy's with AVX-512.

    It isn't part of llama.cpp's interface, so it is used only where it exists and says what numpy says.
    """
    try:
        native: Any = llama.llama_cpp._lib.ggml_vec_soft_max_f32
    except AttributeError:
        return None
    native.restype = ctypes.c_double
    native.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_float]

    def fill(into: Floats, numbers: Floats, less: float) -> float:
        return float(native(len(into), into.ctypes.data, numbers.ctypes.data, less))

    # 21 numbers make it leave its vector loop, too
    numbers = np.linspace(-30, 0, 21, dtype=np.float32)
    ours, theirs = np.empty_like(numbers), np.zeros_like(numbers)
    sums = _with_numpy(ours, numbers, 1.0), fill(theirs, numbers, 1.0)
    same = np.allclose(ours, theirs, rtol=_CLOSE, atol=0) and math.isclose(*sums, rel_tol=_CLOSE)
    return fill if same else None


_FILL = _fused() or _with_numpy
_scratch = threading.local()


def scratch(size: int) -> Floats:
    """An array of this thread's own, with anything in it, until the thread asks for the next one. New memory for a
    whole vocabulary would cost as much as a pass over it.

    Args:
        size: of the array.
    """
    room: Floats | None = getattr(_scratch, "room", None)
    if room is None or len(room) < size:
        room = _scratch.room = np.empty(size, np.float32)
    return room[:size]


def exponentials(into: Floats, numbers: Floats, less: float) -> float:
    """Fill an array with `exp(number - less)`, and return the sum.

    Args:
        into: where they go; may be `numbers` itself. It must be contiguous.
        numbers: as many, contiguous.
        less: at least the largest of them, or the sum may overflow.
    """
    return sum(_FILL(into[at : at + _CHUNK], numbers[at : at + _CHUNK], less) for at in range(0, len(numbers), _CHUNK))


def mass(numbers: Floats, less: float) -> float:
    """The sum of `exp(number - less)`, without a copy of the numbers.

    Args:
        numbers: contiguous.
        less: at least the largest of them.
    """
    room = scratch(min(len(numbers), _CHUNK))
    total = 0.0
    for at in range(0, len(numbers), _CHUNK):
        part = numbers[at : at + _CHUNK]
        total += _FILL(room[: len(part)], part, less)
    return total
