"""A vocabulary's words, kept on disk: asking llama.cpp for 152,000 of them takes half a second, and reading them
back a twentieth of that.

A file holds a digest of all that follows, three numbers, the tokens that end an answer, the length of each word, and
the words. It is named by everything that it depends on, so that deleting it is always safe.
"""

from __future__ import annotations

import hashlib
import itertools
from array import array
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rung.writing import write_whole

_SUFFIX = ".words"
_DIGEST = 32
_WIDTH = array("I").itemsize
_MOST_FILES = 16
"""Vocabularies that are kept, each of one to three MiB. Models of one family share theirs only if all that their files
say of themselves is the same."""


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
        self._path = folder / (hashlib.blake2b(key, digest_size=_DIGEST).hexdigest() + _SUFFIX)

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
        try:
            content = self._path.read_bytes()
        except OSError:
            return None
        body = memoryview(content)[_DIGEST:]
        if hashlib.blake2b(body, digest_size=_DIGEST).digest() != content[:_DIGEST] or len(body) < 3 * _WIDTH:
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
        """Keep them, and delete the files that were written first if there are many."""
        body = _body(words)
        with suppress(OSError):
            write_whole(self._path, hashlib.blake2b(body, digest_size=_DIGEST).digest() + body)
            files = sorted(self._path.parent.glob("*" + _SUFFIX), key=lambda file: file.stat().st_mtime)
            for file in files[:-_MOST_FILES]:
                file.unlink(missing_ok=True)


def _body(words: Words) -> bytes:
    ends = array("I", sorted(words.ends))
    lengths = array("I", map(len, words.spelled))
    head = array("I", (_WIDTH, len(ends), len(lengths)))
    return b"".join((head.tobytes(), ends.tobytes(), lengths.tobytes(), *words.spelled))
