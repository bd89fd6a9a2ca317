"""Which texts of a small table are most like another one: BM25 over words and the beginnings and ends of words.

Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.4. Pieces of words find
other forms of a word without a language's rules. It is plain Python, so that answering a prompt needs no further
libraries.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

_K1, _B = 1.2, 0.75
"""How soon repetitions of a word stop counting, and how much longer texts are discounted: the paper's usual values."""
_PIECE = 4
"""Characters of a piece of a word."""
_LONGEST = 4_000
"""Characters of a text that are read, so that a long document doesn't delay the request."""
_WORD = re.compile(r"\w+")


class SimilarTexts:
    """A table of texts, to find those most like another text.

        SimilarTexts(["send money", "lost card"]).nearest("my card is lost", 1)  # [1]

    Args:
        texts: of the table.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._holding: dict[str, list[tuple[int, float]]] = {}
        counted = [Counter(_pieces(text)) for text in texts]
        self._size = len(counted)
        lengths = [sum(pieces.values()) for pieces in counted]
        mean = sum(lengths) / len(lengths) if sum(lengths) else 1.0
        for place, pieces in enumerate(counted):
            room = _K1 * (1 - _B + _B * lengths[place] / mean)
            for piece, times in pieces.items():
                weight = times * (_K1 + 1) / (times + room)
                self._holding.setdefault(piece, []).append((place, weight))

    def nearest(self, text: str, count: int, without: Collection[int] = ()) -> list[int]:
        """Indices of the texts that are most like this one, most similar first. Among equals the earlier comes first.

        Args:
            text: the text to compare with.
            count: the most indices to return.
            without: indices to leave out.
        """
        weights: list[list[float]] = [[] for _ in range(self._size)]
        for piece in set(_pieces(text)):
            holding = self._holding.get(piece, ())
            rarity = math.log(1 + (self._size - len(holding) + 0.5) / (len(holding) + 0.5))
            for place, weight in holding:
                weights[place].append(rarity * weight)
        # The order of a set is another one in each process. Exact sums don't depend on it, so equals stay equal.
        scores = [math.fsum(some) for some in weights]
        places = (place for place in range(self._size) if place not in without)
        return sorted(places, key=lambda place: -scores[place])[:count]


def _pieces(text: str) -> Iterator[str]:
    for word in _WORD.findall(text[:_LONGEST].casefold()):
        yield word
        if len(word) > _PIECE:
            yield f"{word[:_PIECE]}-"
            yield f"-{word[-_PIECE:]}"
