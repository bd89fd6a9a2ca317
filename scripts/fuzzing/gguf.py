"""Headers of model files."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any, ClassVar

from fuzzing import strange
from fuzzing.cases import Broken, Case

# The files that the store's own tests are made of.
sys.path.append(str(Path(__file__).parents[2] / "tests" / "store"))

from gguf_files import ARRAY, File, Weights, mutated, nested, number, numbers, string, strings

_COUNTS = (0, 1, 2, 3, 255, 2**16, 2**31 - 1, 2**32 - 1)
_KEYS = (
    "general.architecture", "general.name", "general.license", "general.alignment", "general.type", "split.count",
    "adapter.type", "llama.block_count", "llama.embedding_length", "llama.feed_forward_length",
    "llama.attention.head_count", "llama.attention.head_count_kv", "llama.attention.key_length",
    "llama.attention.value_length", "llama.attention.sliding_window", "llama.context_length", "llama.vocab_size",
    "llama.expert_used_count", "llama.expert_feed_forward_length", "tokenizer.ggml.tokens", "tokenizer.chat_template",
)  # fmt: skip
_PIECES = (*(key.encode() for key in _KEYS), b"GGUF", (2**63).to_bytes(8, "little"), (2**63 - 1).to_bytes(8, "little"))


class Gguf:
    """Reads headers, and works out of them what a tier would."""

    name: ClassVar[str] = "gguf"

    def make(self, dice: random.Random) -> Case:
        """A file of a small model with something wrong, or one with strange but well-formed contents."""
        if dice.random() < 0.4:
            return Case(self.name, {}, mutated(dice))
        file = File()
        for _ in range(dice.choice((0, 1, 1, 2, 4))):
            key: Any = dice.choice((*_KEYS, *(word.encode("utf-8", "surrogatepass") for word in strange.WORDS)))
            file.keys[key] = _value(dice)
        if dice.random() < 0.3:
            file.tensors = [_tensor(dice) for _ in range(dice.choice((0, 1, 2, 5, 200)))]
        file.alignment = dice.choice((32, 32, 32, 1, 64))
        data = file.data()
        if dice.random() < 0.4:
            data = strange.mutated_bytes(dice, data[: len(file.header()) + 2000], _PIECES)
        # cut anywhere in the header, each byte in its turn
        return Case(self.name, {}, data[: dice.randrange(len(file.header()) + 1)] if dice.random() < 0.2 else data)

    def prepare(self, folder: Path) -> None:
        """Choose a place for the file."""
        from rung.tiers.llama.headroom import FreeMemory

        self._path = folder / "model.gguf"
        self._memory = FreeMemory(8 << 30)

    def run(self, case: Case) -> bool:
        """Read a file as the store does, and what fits into memory as the tier does."""
        from rung.store.architectures import read_usable
        from rung.store.naming import slug
        from rung.tiers.llama.fit import plan

        self._path.write_bytes(case.whole)
        header = read_usable(self._path)
        if not header.quantization or header.weights > header.file_size or header.parameters < 1:
            raise Broken("a header that says something impossible")
        for text in (header.architecture, header.name, header.licence):
            (text or "").encode()
        slug(header.name or "")
        plan(header, context=None, slots=None, memory=self._memory)
        return True


def _value(dice: random.Random) -> bytes:
    match dice.randrange(9):
        case 0 | 1:
            return number(dice.choice(_COUNTS))
        case 2:
            return numbers([dice.choice(_COUNTS) for _ in range(dice.choice((0, 1, 2, 3, 5000)))])
        case 3:
            words = (*strange.WORDS, "llama", "qwen2", "bert", "clip", "mmproj", "adapter")
            return string(dice.choice(words).encode("utf-8", "surrogatepass"))
        case 4:
            return string(b"x" * dice.choice((0, 64, 1000, 300_000)))
        case 5:
            return strings(["t"] * dice.choice((0, 1, 2000)))
        case 6:
            return nested(dice.choice((0, 1, 30, 3000)))
        case 7:
            kind, content = dice.randrange(14), dice.randbytes(8)
            return kind.to_bytes(4, "little") + content
        case _:
            kind, count = dice.randrange(14), dice.choice((*_COUNTS, 2**40, 2**63 - 1, 2**63, 2**64 - 1))
            return b"".join((ARRAY.to_bytes(4, "little"), kind.to_bytes(4, "little"), count.to_bytes(8, "little")))


def _tensor(dice: random.Random) -> Weights:
    shape = tuple(dice.choice((0, 1, 32, 64, 256, 2**31, 2**63)) for _ in range(dice.choice((0, 1, 2, 2, 4, 5))))
    name = dice.choice(
        ("token_embd.weight", f"blk.{dice.randrange(300)}.attn_q.weight", dice.choice(strange.WORDS)[:70])
    )
    offset = dice.choice((0, 0, 32, 64, 1, 2**14, 2**63))
    return Weights(
        name.encode("utf-8", "surrogatepass"), shape, dice.choice((0, 1, 2, 8, 12, 39, 77, 2**32 - 1)), offset
    )
