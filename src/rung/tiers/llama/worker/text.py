"""Turning the bytes of tokens into text: whole characters only, and nothing of a stop string."""

from __future__ import annotations

import codecs
from collections import deque
from dataclasses import dataclass, replace

from rung.types import Token


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text that is certain, with the tokens behind it, whose texts join to it."""

    text: str = ""
    tokens: tuple[Token, ...] = ()

    def __add__(self, other: TextPiece) -> TextPiece:
        return TextPiece(self.text + other.text, self.tokens + other.tokens)


class Assembler:
    """Joins the bytes of one answer's tokens.

    A character that is spread over several tokens belongs to the last of them. Text that could be the beginning of a
    stop string is held back until that is decided.

    Args:
        stop: strings that end the answer and aren't part of it.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._stop = tuple(s for s in stop if s)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held: deque[Token] = deque()
        self._text = ""
        self.stopped = False

    def push(self, piece: bytes, token: Token) -> TextPiece:
        """What is certain after one more token. `stopped` tells whether a stop string is complete.

        Args:
            piece: the token's bytes.
            token: everything else about the token. Its text isn't looked at.
        """
        text = self._decoder.decode(piece)
        if not self._stop:
            return TextPiece(text, (replace(token, text=text),))
        self._held.append(replace(token, text=text))
        self._text += text
        ends = [at for at in (self._text.find(s) for s in self._stop) if at >= 0]
        if ends:
            self.stopped = True
            return self._cut(min(ends))
        return self._release(len(self._text) - self._possible())

    def finish(self) -> TextPiece:
        """The text that was held back, at the end of the answer. Half a character is dropped."""
        return self._release(len(self._text))

    def _possible(self) -> int:
        """Length of the longest end of the text with which a stop string could begin."""
        longest = max((len(s) for s in self._stop), default=1) - 1
        for length in range(min(longest, len(self._text)), 0, -1):
            end = self._text[-length:]
            if any(s.startswith(end) for s in self._stop):
                return length
        return 0

    def _release(self, certain: int) -> TextPiece:
        """The tokens that lie completely within the first `certain` characters."""
        out, length = [], 0
        while self._held and length + len(self._held[0].text) <= certain:
            token = self._held.popleft()
            out.append(token)
            length += len(token.text)
        text, self._text = self._text[:length], self._text[length:]
        return TextPiece(text, tuple(out))

    def _cut(self, end: int) -> TextPiece:
        """The first `end` characters. A token that crosses the edge keeps what comes before it."""
        piece = self._release(end)
        rest = self._text[: end - len(piece.text)]
        edge = (replace(self._held[0], text=rest),) if rest else ()
        self._held.clear()
        self._text = ""
        return piece + TextPiece(rest, edge)
