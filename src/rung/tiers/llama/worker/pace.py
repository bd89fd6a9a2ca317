"""How long steps of each size take, learned from the steps themselves, and how many answers should share one.

A larger step isn't always faster per token. llama.cpp changes its kernels with the number of tokens: a model whose step
of seven takes 156 ms takes 236 ms for eight.
"""

from __future__ import annotations

from math import inf

_FORGET = 512
"""Steps after which everything is measured again. The machine may have become busier or quieter."""

_NEW = 0.2
"""Weight of a new measurement against the earlier ones."""

_BETTER = 0.95
"""A smaller step is chosen only if it takes less than this share of the full step's time per token."""


class Pace:
    """Seconds that steps of each size took. The size is the number of tokens. The logits of all of them are wanted."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._steps = 0

    def record(self, count: int, seconds: float) -> None:
        """A step of `count` tokens took `seconds`."""
        self._steps += 1
        if self._steps % _FORGET == 0:
            self._seconds.clear()
        before = self._seconds.get(count, seconds)
        self._seconds[count] = before + _NEW * (seconds - before)

    def seconds(self, count: int, *, each: float = 0.0) -> float:
        """How long a step takes. Between two sizes that were seen, it is interpolated.

        Args:
            count: number of its tokens.
            each: seconds that a token takes beyond the largest size that was seen.
        """
        below = max((size for size in self._seconds if size <= count), default=0)
        above = min((size for size in self._seconds if size >= count), default=0)
        least = self._seconds.get(below, 0.0)
        if not above:
            return least + each * (count - below)
        if above == below:
            return least
        return least + (self._seconds[above] - least) * (count - below) / (above - below)

    def known(self, count: int) -> bool:
        """Whether a step of this size was seen."""
        return count in self._seconds

    def least(self, count: int) -> float:
        """How long a step takes at least: as long as a smaller one that was seen."""
        return max((seconds for size, seconds in self._seconds.items() if size <= count), default=0.0)

    def bound(self, count: int) -> float:
        """How long a step takes at most: as long as its tokens would in the smallest steps that were seen, and as long
        as a larger step. It is infinite if neither is known.

        That a size between them was faster proves nothing: at some sizes llama.cpp changes to slower kernels.

        Args:
            count: number of its tokens.
        """
        if count in self._seconds:
            return self._seconds[count]
        smallest = min(self._seconds, default=count)
        by_each = self._seconds[smallest] * count / smallest if smallest < count else inf
        return min([by_each, *(seconds for size, seconds in self._seconds.items() if size > count)])

    def most(self, count: int) -> int:
        """How many of `count` answers the next step should carry: at least half, so that nobody waits for two steps.

        A size that was never seen is tried once.
        """
        if count < 2:
            return count
        sizes = range(count, max(1, (count - 1) // 2), -1)
        for size in sizes:
            if size not in self._seconds:
                return size
        best = min(sizes, key=lambda size: self._seconds[size] / size)
        whole = self._seconds[count] / count
        return best if self._seconds[best] / best < _BETTER * whole else count
