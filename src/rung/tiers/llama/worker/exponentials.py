"""What a token's probability needs of a whole vocabulary: the largest numbers and the sum of all exponentials."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rung.tiers.llama import binding

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


Fill = Callable[[Addressed, Addressed, int, float], float]
"""Fills the beginning of the first array with the exponentials of so many numbers of the second one, each less a
number, and returns their sum. A whole row goes in at once: parts of one would stay in a core's cache, but threads that
share out rows hand the interpreter to each other at every call, which takes longer."""

_CLOSE = 1e-5
"""Most by which llama.cpp's exponentials may be off, relatively. Its polynomials are exact to about 2e-7."""


def _with_numpy(into: Addressed, numbers: Addressed, count: int, less: float) -> float:
    out = into.array[:count]
    np.subtract(numbers.array[:count], np.float32(less), out=out)
    np.exp(out, out=out)
    return float(out.sum())


def _fused() -> Fill | None:
    """llama.cpp's own loop, which makes one pass where numpy makes three: 95 us against 300 for 152,000 numbers on a
    processor with AVX2, about the same as numpy's with AVX-512.

    It isn't part of llama.cpp's interface, so it is used only where it exists and says what numpy says.
    """
    try:
        native: Any = binding.processor().ggml_vec_soft_max_f32
    except AttributeError:
        return None
    native.restype = ctypes.c_double
    native.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_float]

    def fill(into: Addressed, numbers: Addressed, count: int, less: float) -> float:
        return float(native(count, into.address, numbers.address, less))

    # 21 numbers make it leave its vector loop, too
    numbers = Addressed(np.linspace(-30, 0, 21, dtype=np.float32))
    ours, theirs = (Addressed(np.zeros(21, np.float32)) for _ in range(2))
    sums = _with_numpy(ours, numbers, 21, 1.0), fill(theirs, numbers, 21, 1.0)
    same = np.allclose(ours.array, theirs.array, rtol=_CLOSE, atol=0) and math.isclose(*sums, rel_tol=_CLOSE)
    return fill if same else None


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
    whole = Addressed(numbers)
    _FILL(whole, whole, len(numbers), less)


def mass(numbers: Floats, less: float) -> float:
    """The sum of `exp(number - less)`, without a copy of the numbers.

    Args:
        numbers: contiguous.
        less: at least the largest of them.
    """
    return _FILL(_scratch_of(len(numbers)), Addressed(numbers), len(numbers), less)


class LogitsSurvey(NamedTuple):
    """What a row of logits looks like.

    Args:
        first: index of the largest; of several, any.
        second: index of the largest but for that one.
        top: the largest.
        mass: the sum over all of `exp(number - top)`; not a number where all are `-inf`.
        runner_up: the number at `second`.
    """

    first: int
    second: int
    top: float
    mass: float
    runner_up: float

    def rival(self, index: int) -> int:
        """Index of the largest but for one.

        Args:
            index: the one.
        """
        return self.second if index == self.first else self.first


def survey(numbers: Floats) -> LogitsSurvey:
    """Find the two largest, and sum up what all of them weigh.

    Args:
        numbers: contiguous, two or more. They are as they were afterwards.
    """
    first = int(numbers.argmax())
    top = numbers.item(first)
    total = mass(numbers, top) if top > -math.inf else math.nan
    numbers[first] = -np.inf
    second = int(numbers.argmax())
    numbers[first] = top
    return LogitsSurvey(first, second, top, total, numbers.item(second))
