"""GGUF files made by hand, right ones and wrong ones."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

U32, I32, F32, STRING, ARRAY, U64 = 4, 5, 6, 8, 9, 10


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def number(value: int) -> bytes:
    return struct.pack("<II", U32, value)


def string(value: str | bytes) -> bytes:
    return struct.pack("<I", STRING) + text(value)


def numbers(values: list[int]) -> bytes:
    return struct.pack("<IIQ", ARRAY, U32, len(values)) + struct.pack(f"<{len(values)}I", *values)


def strings(values: list[str]) -> bytes:
    return struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


def nested(depth: int) -> bytes:
    return struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * depth + struct.pack("<IQ", U32, 0)


def keys() -> dict[str, bytes]:
    """Those of a small language model with two layers."""
    return {
        "general.architecture": string("llama"),
        "general.name": string("Tiny"),
        "general.license": string("apache-2.0"),
        "llama.block_count": number(2),
        "llama.embedding_length": number(64),
        "llama.feed_forward_length": number(128),
        "llama.attention.head_count": number(4),
        "llama.attention.head_count_kv": numbers([2, 1]),
        "llama.context_length": number(2048),
        "llama.rope.freq_base": struct.pack("<If", F32, 10_000.0),
        "tokenizer.ggml.tokens": strings([f"t{i}" for i in range(40)]),
        "tokenizer.chat_template": string("{{ messages }}"),
    }


@dataclass
class Weights:
    """A tensor as a file tells of it."""

    name: str | bytes = "blk.0.attn_q.weight"
    shape: tuple[int, ...] = (64, 64)
    type: int = 0
    offset: int = 0


@dataclass
class File:
    """A GGUF file. Every count and length may be replaced by a wrong one."""

    keys: dict[str, bytes] = field(default_factory=keys)
    tensors: list[Weights] = field(
        default_factory=lambda: [Weights(), Weights("token_embd.weight", (64, 40), 2, 64 * 64 * 4)]
    )
    magic: bytes = b"GGUF"
    version: int = 3
    key_count: int | None = None
    tensor_count: int | None = None
    alignment: int = 32
    room: int = 64 * 64 * 4 + 64 * 40 // 32 * 18

    def header(self) -> bytes:
        head = self.magic + struct.pack(
            "<IQQ",
            self.version,
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.keys) if self.key_count is None else self.key_count,
        )
        pairs = b"".join(text(key) + value for key, value in self.keys.items())
        tensors = b"".join(
            text(t.name) + struct.pack(f"<I{len(t.shape)}QIQ", len(t.shape), *t.shape, t.type, t.offset)
            for t in self.tensors
        )
        return head + pairs + tensors

    def data(self) -> bytes:
        header = self.header()
        return header + bytes(-len(header) % self.alignment + self.room)


_HUGE = (2**16, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def mutated(rng: random.Random) -> bytes:
    """A file with one to three things wrong, or none by chance."""
    file = File()
    for _ in range(rng.randint(0, 2)):
        _harm(file, rng)
    data = bytearray(file.data())
    end = len(file.header())
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        at = rng.randrange(end)
        kind = rng.randrange(4)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at : at + 8] = struct.pack("<Q", rng.choice(_HUGE))
        elif kind == 2:
            data[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 8, 9, 13, 2**32 - 1)))
        else:
            del data[at : at + rng.randint(1, 16)]
    if rng.random() < 0.25:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def _harm(file: File, rng: random.Random) -> None:
    match rng.randrange(8):
        case 0:
            file.key_count = rng.choice((0, len(file.keys) + 1, *_HUGE))
        case 1:
            file.tensor_count = rng.choice((0, len(file.tensors) + 1, *_HUGE))
        case 2:
            file.tensors[1].offset = rng.randrange(0, 2**14, 32)
        case 3:
            rng.choice(file.tensors).shape = tuple(rng.choice((0, 1, 64, *_HUGE)) for _ in range(rng.randint(0, 6)))
        case 4:
            file.keys[rng.choice(list(file.keys))] = rng.choice((string(b"\xff\xfe\xc0"), number(0), nested(1)))
        case 5:
            file.keys["nested"] = nested(rng.choice((1, 2, 100, 20_000)))
        case 6:
            rng.choice(file.tensors).name = rng.choice((b"\xc3(", "n" * 64, "token_embd.weight", ""))
        case 7:
            count = rng.choice((0, 3, *_HUGE))
            file.keys[rng.choice(list(file.keys))] = struct.pack("<IIQ", ARRAY, rng.choice((0, 4, 8, 9)), count)
