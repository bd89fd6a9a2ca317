"""Putting rows that ask nearly the same into one group. On both sides of a split they would vouch for each other.

Two rows count as nearly the same if at least four in five of the three-word sequences that either has are in both
(Jaccard's index of the shingles; Broder 1997, "On the resemblance and containment of documents"). Case and punctuation
don't count, nor does what many rows of the set share, such as a template's own words. Candidates are found by MinHash
with bands (Leskovec et al., "Mining of Massive Datasets", section 3.4), in time linear in the rows. Then each is
compared exactly with one row of its band. Two short questions that differ in one word are not nearly the same: with
eight words each, they share three of nine sequences.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from rung.learn.data import normal
from rung.learn.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORDS = 3
_ALIKE = 0.8
_BANDS, _IN_BAND = 24, 4
"""A pair that is just similar enough becomes a candidate with probability 1 - (1 - 0.8^4)^24, above 0.999999."""
_COMMON_SHARE, _COMMON_LEAST = 3, 20
"""A sequence belongs to the set and not to a row if more than one in three rows has it, and more than twenty rows."""
_SEED = 20261126


def grouped(rows: Iterable[Row]) -> list[Row]:
    """The rows, each with its final group. Rows that are nearly the same share one.

    Groups that the user named are joined if rows of theirs are nearly the same. A joined group has the alphabetically
    first of its names, so that the name doesn't depend on the order of the rows.

    Args:
        rows: of one set. All of them are in memory.
    """
    every = list(rows)
    if not every:
        return []
    shingles = _shingles(every)
    parent = {row.group: row.group for row in every}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    first: dict[tuple[int, bytes], int] = {}
    for at, signature in enumerate(_signatures(shingles)):
        if not len(shingles[at]):
            continue
        for band in range(_BANDS):
            key = (band, signature[band * _IN_BAND : (band + 1) * _IN_BAND].tobytes())
            other = first.setdefault(key, at)
            a, b = root(every[other].group), root(every[at].group)
            if a != b and _are_alike(shingles[other], shingles[at]):
                parent[max(a, b)] = min(a, b)
    return [row if root(row.group) == row.group else replace(row, group=root(row.group)) for row in every]


def _shingles(rows: list[Row]) -> list[NDArray[np.uint32]]:
    """The word sequences that each row has alone, or shares with few others, as sorted hashes."""
    import numpy as np

    hashed = [_hashes(row) for row in rows]
    counts = Counter(number for numbers in hashed for number in numbers)
    most = max(_COMMON_LEAST, len(rows) // _COMMON_SHARE)
    return [np.array(sorted(n for n in numbers if counts[n] <= most), dtype=np.uint32) for numbers in hashed]


def _hashes(row: Row) -> set[int]:
    words = normal("\n".join(message.text for message in row.messages)).split()
    if len(words) < _WORDS:
        return {zlib.crc32(" ".join(words).encode())} if words else set()
    return {zlib.crc32(" ".join(words[i : i + _WORDS]).encode()) for i in range(len(words) - _WORDS + 1)}


def _signatures(shingles: list[NDArray[np.uint32]]) -> Iterable[NDArray[np.uint64]]:
    """For each hash function, its minimum over a row's sequences (multiply-shift: Dietzfelbinger et al. 1997)."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    size = _BANDS * _IN_BAND
    factors = random.integers(1, 2**63, size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = random.integers(0, 2**63, size, dtype=np.uint64)
    nothing = np.zeros(size, np.uint64)
    for numbers in shingles:
        if not len(numbers):
            yield nothing
            continue
        yield ((numbers[:, None].astype(np.uint64) * factors + offsets) >> np.uint64(32)).min(axis=0)


def _are_alike(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> bool:
    import numpy as np

    both = len(np.intersect1d(a, b, assume_unique=True))
    return both >= _ALIKE * (len(a) + len(b) - both)
