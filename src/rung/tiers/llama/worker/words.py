"""A vocabulary's words, kept on disk: asking llama.cpp for 152,000 of them takes half a second, and reading them
back a twentieth of that.

A file holds three numbers, the tokens that end an answer, the length of each word, and the words. Models of one family
share theirs only if all that their files say of themselves is the same.
"""

from __future__ import annotations

import itertools
from array import array
from dataclasses import dataclass
from pathlib import Path

from rung.tiers.llama.worker.kept import KeptFile

_SUFFIX = ".words"
_WIDTH = array("I").itemsize


@dataclass(frozen=True, slots=True)
class Words:
    """What a vocabulary says of its tokens.

    Args:
        spelled: the bytes of each token, in order, marked as llguidance wants them.
        ends: tokens that end an answer.
    """

    spelled: tuple[bytes, ...]
    ends: frozenset[int]


class WordsFile:
    """The words of one vocabulary on disk. If they can't be read or written, that costs only time.

    Args:
        folder: where such files lie. It is made if it is missing, for this user alone.
        key: everything that the words depend on.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._file = KeptFile(folder, _SUFFIX, key)

    def ends(self, size: int) -> frozenset[int] | None:
        """The tokens that end an answer; `None` if there is no such file, or it is damaged, or of another vocabulary.

        Args:
            size: number of tokens that there must be.
        """
        parts = self._parts(size)
        return None if parts is None else frozenset(parts[0])

    def read(self, size: int) -> Words | None:
        """The words; `None` as with `ends`.

        Args:
            size: number of tokens that there must be.
        """
        parts = self._parts(size)
        if parts is None:
            return None
        ends, lengths, text = parts
        edges = itertools.accumulate(lengths, initial=0)
        return Words(tuple(text[a:b] for a, b in itertools.pairwise(edges)), frozenset(ends))

    def _parts(self, size: int) -> tuple[memoryview[int], memoryview[int], bytes] | None:
        """Ends, lengths and text."""
        body = self._file.read()
        if body is None or len(body) < 3 * _WIDTH:
            return None
        stored, ending, count = body[: 3 * _WIDTH].cast("I")
        start = (3 + ending + count) * _WIDTH
        if stored != _WIDTH or count != size or len(body) < start:
            return None
        ends = body[3 * _WIDTH : (3 + ending) * _WIDTH].cast("I")
        lengths = body[(3 + ending) * _WIDTH : start].cast("I")
        if sum(lengths) != len(body) - start or any(end >= size for end in ends):
            return None
        return ends, lengths, bytes(body[start:])

    def write(self, words: Words) -> None:
        """Keep them."""
        self._file.write(_body(words))


def _body(words: Words) -> bytes:
    ends = array("I", sorted(words.ends))
    lengths = array("I", map(len, words.spelled))
    head = array("I", (_WIDTH, len(ends), len(lengths)))
    return b"".join((head.tobytes(), ends.tobytes(), lengths.tobytes(), *words.spelled))
