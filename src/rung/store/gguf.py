"""Reading the header of a GGUF file: what the model is and how large, without its weights and without trusting the
file.

It reads versions 2 and 3 of the format (ggml, docs/gguf.md), little-endian. Nested arrays are refused, as by llama.cpp.
Every count and length is checked against the file's size and a bound of ours before anything is built from it, so that
a broken or hostile file costs neither memory nor time.
"""

from __future__ import annotations

import math
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rung.errors import MalformedModel, StoreError
from rung.store.gguf_format import TENSOR_TYPES, Fault, HeaderReader, Length, Value

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32

_MOST_KEYS = 10_000
_MOST_TENSORS = 10_000
_MOST_LAYERS = 1024
_LONGEST_NAME = 63
_LONGEST_KEY = 255

_SPELLED_OUT = frozenset({"gpt2", "llama"})
"""Kinds of tokenizers whose tokens spell out a text, byte for byte."""

_PROJECTOR = "it is a projector (mmproj), which lets a model see, and not a model by itself"
_ADAPTER = "it is an adapter (LoRA), which changes a model, and not a model by itself"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array of weights.

    Args:
        name: name in the file.
        type: ggml's name of the element type, or `type N` for a type that is newer than our table.
        shape: number of elements along each axis, the fastest axis first.
        bytes: size in the file. For a type that is newer than our table, the distance to the next tensor.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about itself.

    Args:
        architecture: llama.cpp's name for the kind of network.
        name: name of the model; `None` if the file has none.
        licence: as the file states it, most often an SPDX identifier.
        file_size: size of the whole file, in bytes.
        layers: number of blocks.
        embedding_length: width of the residual stream.
        feed_forward_length: width of the feed-forward layer that a token passes, its experts added up; 0 if the file
            doesn't say.
        kv_heads: number of heads of keys and values in each layer; 0 for a layer without attention.
        key_length: elements of one head's key.
        value_length: elements of one head's value.
        context_length: context that the model was trained for, in tokens; `None` if the file doesn't say.
        sliding_window: how many tokens windowed layers look back; `None` if there are no such layers.
        vocabulary: number of tokens.
        chat_template: Jinja template; `None` if the file has none.
        tensors: tensors in the file's order.
        longest_token: most bytes of text that one token can stand for; `None` if the file can't tell.
    """

    architecture: str
    name: str | None
    licence: str | None
    file_size: int
    layers: int
    embedding_length: int
    feed_forward_length: int
    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int
    context_length: int | None
    sliding_window: int | None
    vocabulary: int
    chat_template: str | None = field(repr=False)
    tensors: tuple[Tensor, ...]
    longest_token: int | None = None

    @property
    def weights(self) -> int:
        """Bytes of all tensors."""
        return sum(t.bytes for t in self.tensors)

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(math.prod(t.shape) for t in self.tensors)

    @property
    def quantization(self) -> str:
        """The element type that takes most of the weights' bytes."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors:
            sizes[tensor.type] += tensor.bytes
        return sizes.most_common(1)[0][0]


def read_header(path: Path) -> Header:
    """The header of a file. Reads no weights, and at most the first 48 MiB.

    Raises:
        MalformedModel: it is not a GGUF file, is cut off, or contradicts itself.
        StoreError: the file can't be read.
    """
    try:
        # Checked before the file is opened, because opening a pipe waits for a writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError.of_file(path, "is not an ordinary file", hint="name a GGUF file")
        with path.open("rb") as file:
            return _header(HeaderReader(file, os.fstat(file.fileno()).st_size))
    except OSError as error:
        raise StoreError.of_file(
            path, f"can't be read: {error.strerror}", hint="see the file's path and permissions"
        ) from None
    except Fault as fault:
        raise MalformedModel.of_file(
            path, f"can't be loaded: {fault}", hint="get the file again, from where it came or with `rung models pull`"
        ) from None


@dataclass(frozen=True, slots=True)
class _Table:
    """The keys and values of the file."""

    values: dict[str, Value]
    architecture: str

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is None or isinstance(value, str):
            return value
        raise Fault(f"{key!r} is not a text")

    def number(self, name: str, most: int) -> int | None:
        """A number that the architecture has under a name. If there is one per layer, the largest."""
        each = self.each(name, most)
        return None if each is None else max(each, default=0)

    def each(self, name: str, most: int) -> tuple[int, ...] | None:
        """The same for each layer. If the file has only one number, it holds for all layers."""
        key = f"{self.architecture}.{name}"
        value = self.values.get(key)
        if key not in self.values:
            return None
        numbers = (value,) if isinstance(value, int) else value
        if not isinstance(numbers, tuple) or not all(0 <= n <= most for n in numbers):
            raise Fault(f"{key!r} is not a number from 0 to {most:,}")
        return numbers

    def demand(self, name: str, most: int) -> int:
        number = self.number(name, most)
        if not number:
            raise Fault(f"it has no {self.architecture}.{name}, so it is not a language model")
        return number


def _header(reader: HeaderReader) -> Header:
    if not reader.size:
        raise Fault("it is empty (0 bytes)")
    if reader.size < 24:
        raise Fault("it is too short for a GGUF file")
    if reader.u32().to_bytes(4, "little") != _MAGIC:
        raise Fault("it is not a GGUF file")
    version = reader.u32()
    if version not in _VERSIONS:
        big = version.to_bytes(4, "little") == _VERSIONS[-1].to_bytes(4, "big")
        raise Fault("it is big-endian" if big else f"it is GGUF version {version:,}, and 2 and 3 are known")
    tensor_count = reader.count("tensors", _MOST_TENSORS, 24)
    key_count = reader.count("keys", _MOST_KEYS, 13)
    values: dict[str, Value] = {}
    for _ in range(key_count):
        key = reader.text("a key", _LONGEST_KEY)
        if key in values:
            raise Fault(f"it has the key {key!r} twice")
        values[key] = reader.value(key)
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not 0 < len(architecture) <= _LONGEST_NAME:
        raise Fault("it names no architecture")
    _demand_whole(values, architecture)
    table = _Table(values, architecture)
    tensors = _tensors(reader, tensor_count, _alignment(values))
    return _described(table, reader.size, tensors)


def _demand_whole(values: dict[str, Value], architecture: str) -> None:
    """Refuse a file that is a part of a model, or an addition to one."""
    kind = values.get("general.type")
    if kind == "adapter" or "adapter.type" in values:
        raise Fault(_ADAPTER)
    if kind == "mmproj" or architecture == "clip":
        raise Fault(_PROJECTOR)
    parts = values.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise Fault(f"it is one of {parts:,} parts of a model")


def _alignment(values: dict[str, Value]) -> int:
    alignment = values.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 16 or alignment & (alignment - 1):
        raise Fault("its alignment is not a power of two up to 65,536")
    return alignment


def _tensors(reader: HeaderReader, count: int, alignment: int) -> tuple[Tensor, ...]:
    if not count:
        raise Fault("it has no tensors")
    found: dict[str, tuple[int, tuple[int, ...], int]] = {}
    for _ in range(count):
        name = reader.text("a tensor's name", _LONGEST_NAME)
        if name in found:
            raise Fault(f"it has the tensor {name!r} twice")
        axes = reader.u32()
        if not 1 <= axes <= 4:
            raise Fault(f"the tensor {name!r} has {axes:,} axes")
        shape = tuple(reader.u64() for _ in range(axes))
        kind, offset = reader.u32(), reader.u64()
        if offset % alignment:
            raise Fault(f"the tensor {name!r} lies at {offset:,}, which is not a multiple of {alignment}")
        found[name] = (kind, shape, offset)
    room = reader.size - -(-reader.at // alignment) * alignment
    sizes = _sizes(found, room)
    return tuple(
        Tensor(name, TENSOR_TYPES[kind][0] if kind in TENSOR_TYPES else f"type {kind}", shape, sizes[name])
        for name, (kind, shape, _) in found.items()
    )


def _sizes(found: dict[str, tuple[int, tuple[int, ...], int]], room: int) -> dict[str, int]:
    """The bytes of each tensor. All tensors must lie within the file, and none may overlap another."""
    sizes = {}
    end = room
    for name, (kind, shape, offset) in sorted(found.items(), key=lambda item: item[1][2], reverse=True):
        elements = 1
        for axis in shape:
            elements *= axis
        if not elements:
            raise Fault(f"the tensor {name!r} is empty")
        # For a type that is newer than our table only the position is known.
        _, block, size = TENSOR_TYPES.get(kind, ("", 1, 0))
        if shape[0] % block:
            raise Fault(f"the rows of the tensor {name!r} are not a whole number of blocks")
        sizes[name] = elements // block * size if size else max(0, end - offset)
        if offset + sizes[name] > end:
            beyond = f"the file's end ({room:,} bytes of weights)" if end == room else "the next tensor's start"
            raise Fault(f"the tensor {name!r} reaches beyond {beyond}")
        end = offset
    return sizes


def _described(table: _Table, file_size: int, tensors: tuple[Tensor, ...]) -> Header:
    layers = table.demand("block_count", _MOST_LAYERS)
    width = table.demand("embedding_length", 1 << 24)
    heads = table.number("attention.head_count", 1 << 16) or 0
    kv_heads = table.each("attention.head_count_kv", 1 << 16) or (heads,)
    if len(kv_heads) not in (1, layers):
        raise Fault(f"it has {layers:,} layers, and heads for {len(kv_heads):,}")
    length = width // heads if heads else 0
    tokens = table.values.get("tokenizer.ggml.tokens")
    named = tokens.count if isinstance(tokens, Length) else 0
    dense = table.number("feed_forward_length", 1 << 28) or 0
    experts = table.number("expert_used_count", 1 << 10) or 0
    key_length = table.number("attention.key_length", 1 << 20)
    value_length = table.number("attention.value_length", 1 << 20)
    return Header(
        architecture=table.architecture,
        name=table.text("general.name"),
        licence=table.text("general.license"),
        file_size=file_size,
        layers=layers,
        embedding_length=width,
        feed_forward_length=max(dense, experts * (table.number("expert_feed_forward_length", 1 << 28) or dense)),
        kv_heads=kv_heads if len(kv_heads) == layers else kv_heads * layers,
        key_length=length if key_length is None else key_length,
        value_length=length if value_length is None else value_length,
        context_length=table.number("context_length", 1 << 32) or None,
        sliding_window=table.number("attention.sliding_window", 1 << 32) or None,
        vocabulary=table.number("vocab_size", 1 << 28) or named,
        chat_template=table.text("tokenizer.chat_template"),
        tensors=tensors,
        longest_token=_longest_token(table),
    )


def _longest_token(table: _Table) -> int | None:
    """Most bytes of text that one token can stand for. In the vocabularies that count here, that is the length of its
    own spelling.

    Other vocabularies drop characters, or have one token for any number of unknown characters.
    """
    tokens = table.values.get("tokenizer.ggml.tokens")
    if table.values.get("tokenizer.ggml.model") not in _SPELLED_OUT or not isinstance(tokens, Length):
        return None
    return tokens.longest or None
