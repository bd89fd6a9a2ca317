"""The tokens of a model: what they spell, and what a text is made of. It only reads, so any thread may ask."""

from __future__ import annotations

import ctypes
from typing import Any

from rung.tiers.llama.binding import llama
from rung.tiers.llama.worker.faults import DecodeError
from rung.tiers.llama.worker.words import Words, WordsFile


class Vocabulary:
    """The tokens of a model.

    Args:
        pointer: llama.cpp's pointer to it.
        kept: where its words are kept on disk; `None` keeps none.
    """

    def __init__(self, pointer: Any, kept: WordsFile | None = None) -> None:
        self.pointer = pointer
        self.size: int = llama.llama_vocab_n_tokens(pointer)
        self.bos: int = llama.llama_vocab_bos(pointer)
        self.eos: int = llama.llama_vocab_eos(pointer)
        self.adds_bos: bool = llama.llama_vocab_get_add_bos(pointer)
        self._pieces: dict[int, bytes] = {}
        self._kept = kept
        ends = None if kept is None else kept.ends(self.size)
        self.ends = self._ends() if ends is None else ends

    def _ends(self) -> frozenset[int]:
        """The tokens that end an answer. It takes a question about each token."""
        return frozenset(t for t in range(self.size) if llama.llama_vocab_is_eog(self.pointer, t))

    def words(self) -> tuple[bytes, ...]:
        """What llguidance is told of each token. Nobody needs them afterwards, so they aren't held."""
        words = None if self._kept is None else self._kept.read(self.size)
        if words is None:
            words = Words(tuple(map(self._word, range(self.size))), self.ends)
            if self._kept is not None:
                self._kept.write(words)
        return words.spelled

    def _word(self, token: int) -> bytes:
        word = self._piece(token, special=True)
        # 0xff never occurs in UTF-8: llguidance's mark of a token that no text can spell.
        return b"\xff" + word if token in self.ends or self.is_control(token) else word

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """The tokens of a text, with no beginning-of-text token added.

        Args:
            text: any text.
            special: whether the spelling of a control token means that token.
        """
        data = text.encode()
        room = len(data) + 8
        tokens = (llama.llama_token * room)()
        count = llama.llama_tokenize(self.pointer, data, len(data), tokens, room, False, special)
        if count < 0:
            raise DecodeError(f"llama_tokenize wants room for {-count} tokens where {room} bytes went in")
        return list(tokens[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of a token; none for a control token unless `special`."""
        if special:
            return self._piece(token, special=True)
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._piece(token, special=False)
        return known

    def _piece(self, token: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = llama.llama_token_to_piece(self.pointer, token, buffer, room, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            room = -length

    def is_control(self, token: int) -> bool:
        """Whether a token is one that no text should be able to spell."""
        return bool(llama.llama_vocab_is_control(self.pointer, token))
