"""Headers of model files: what is right is read, what is wrong is refused in a sentence, at no cost."""

from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc

import pytest
from gguf_files import ARRAY, STRING, File, Weights, keys, mutated, nested, number, numbers, string

from helpers.thorough import times
from rung.errors import MalformedModel, StoreError
from rung.store.gguf import Tensor, read_header
from rung.store.gguf_format import TENSOR_TYPES

ROUNDS = times(10_000)


@pytest.fixture
def header(tmp_path):
    """Reads the header of a file of these bytes."""

    def read(data: bytes):
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return read_header(path)

    return read


def test_a_header_says_what_the_model_is_and_what_it_takes(header):
    found = header(File().data())
    assert (found.architecture, found.name, found.licence) == ("llama", "Tiny", "apache-2.0")
    assert (found.layers, found.embedding_length, found.feed_forward_length) == (2, 64, 128)
    assert (found.kv_heads, found.key_length, found.value_length) == ((2, 1), 16, 16)
    assert (found.context_length, found.vocabulary, found.sliding_window) == (2048, 40, None)
    assert found.chat_template
    assert found.tensors == (
        Tensor("blk.0.attn_q.weight", "f32", (64, 64), 16384),
        Tensor("token_embd.weight", "q4_0", (64, 40), 1440),
    )
    assert (found.weights, found.quantization) == (17824, "f32")


def test_the_header_of_version_2_is_read_too(header):
    assert header(File(version=2).data()).layers == 2


def test_a_model_with_experts_is_as_wide_as_those_that_one_token_uses(header):
    more = {"llama.expert_used_count": number(4), "llama.expert_feed_forward_length": number(96)}
    assert header(File(keys={**keys(), **more}).data()).feed_forward_length == 384


def test_a_type_that_is_newer_than_the_table_takes_what_lies_before_the_next_tensor(header):
    file = File()
    file.tensors[0].type = 77
    assert header(file.data()).tensors[0] == Tensor("blk.0.attn_q.weight", "type 77", (64, 64), 16384)


def with_key(key: str, value: bytes) -> File:
    return File(keys={**keys(), key: value})


def with_tensors(*tensors: Weights) -> File:
    return File(tensors=list(tensors))


WRONG = {
    "another format": (File(magic=b"PK\3\4"), "not a GGUF file"),
    "version 1": (File(version=1), "version 1"),
    "big-endian": (File(version=3 << 24), "big-endian"),
    "more keys than bytes": (File(key_count=2**63), "keys"),
    "more tensors than bytes": (File(tensor_count=2**32), "tensors"),
    "no tensors": (with_tensors(), "no tensors"),
    "an array in an array": (with_key("x", nested(1)), "no array can have"),
    "a thousand arrays in one another": (with_key("x", nested(1000)), "no array can have"),
    "an array larger than the file": (with_key("x", struct.pack("<IIQ", ARRAY, 4, 2**40)), "more than the 50,331,648"),
    "more strings than bytes": (with_key("x", struct.pack("<IIQ", ARRAY, STRING, 2**40)), "more than"),
    "a string longer than the file": (with_key("x", struct.pack("<IQ", STRING, 2**62)), "in the middle of its header"),
    "an unknown type of value": (with_key("x", struct.pack("<I", 13)), "unknown type 13"),
    "a name that is not UTF-8": (with_key("general.name", string(b"\xff\xfe")), "not UTF-8"),
    "a name that is a number": (with_key("general.name", number(1)), "not a text"),
    "no architecture": (with_key("general.architecture", number(1)), "architecture"),
    "no layers": (with_key("llama.block_count", number(0)), "not a language model"),
    "too many layers": (with_key("llama.block_count", number(2**32 - 1)), "1,024"),
    "layers that are text": (with_key("llama.block_count", string("two")), "not a number"),
    "heads for other layers": (with_key("llama.attention.head_count_kv", numbers([1] * 3)), "heads for 3"),
    "an odd alignment": (with_key("general.alignment", number(48)), "power of two"),
    "an alignment of zero": (with_key("general.alignment", number(0)), "power of two"),
    "tensors that overlap": (with_tensors(Weights(), Weights("b", offset=32)), "beyond the next tensor"),
    "a tensor beyond the end": (with_tensors(Weights(offset=2**20)), "beyond the file's end"),
    "a tensor at an odd place": (with_tensors(Weights(offset=1)), "not a multiple of 32"),
    "a tensor of no axes": (with_tensors(Weights(shape=())), "0 axes"),
    "a tensor of many axes": (with_tensors(Weights(shape=(1,) * 9)), "9 axes"),
    "a tensor with nothing in it": (with_tensors(Weights(shape=(64, 0))), "is empty"),
    "a tensor with more elements than a machine has": (with_tensors(Weights(shape=(2**63, 2**63))), "beyond"),
    "half a block": (with_tensors(Weights(shape=(16, 2), type=2)), "whole number of blocks"),
    "two tensors of one name": (with_tensors(Weights(), Weights(offset=2**14)), "twice"),
    "a name for a tensor that is too long": (with_tensors(Weights("n" * 64)), "too long"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_refused_in_a_sentence_that_names_the_file(header, wrong):
    file, says = wrong
    with pytest.raises(MalformedModel, match=r"model\.gguf can't be loaded: ") as caught:
        header(file.data())
    assert says in caught.value.message
    assert caught.value.hint


def test_a_key_that_stands_there_twice_is_refused(header):
    data = File(keys={"a": number(1), **keys()}).data()
    with pytest.raises(MalformedModel, match="twice"):
        header(data.replace(b"\1\0\0\0\0\0\0\0a", b"\x0c\0\0\0\0\0\0\0general.name", 1))


def test_a_file_that_can_not_be_read_is_told_as_such(tmp_path):
    with pytest.raises(StoreError, match="can't be read"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(StoreError):
        read_header(tmp_path)


def refused_or_read(path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        read_header(path)
    except MalformedModel:
        return False
    return True


@pytest.mark.slow
def test_a_harmed_header_is_refused_or_read_and_never_anything_else(tmp_path):
    """Each in a second of the processor, which is ten times what the slowest takes, and a few megabytes."""
    rng = random.Random(20261123)
    path = tmp_path / "model.gguf"
    read, slowest = 0, 0.0
    for _ in range(ROUNDS):
        data = mutated(rng)
        began = time.process_time()
        read += refused_or_read(path, data)
        slowest = max(slowest, time.process_time() - began)
    assert ROUNDS * 0.02 < read < ROUNDS * 0.5
    assert slowest < 1
    tracemalloc.start()
    try:
        for _ in range(300):
            refused_or_read(path, mutated(rng))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        pytest.param(struct.pack("<IIQ", ARRAY, STRING, 1 << 20), id="a million empty strings"),
        pytest.param(struct.pack("<IIQ", ARRAY, 0, 1 << 30), id="an array of a gigabyte"),
        pytest.param(struct.pack("<IQ", STRING, 1 << 30), id="a string of a gigabyte"),
    ],
)
def test_a_huge_file_of_nothing_costs_little(tmp_path, request, key):
    """The file is there in full, as holes: only a bound of ours ends the reading."""
    path = tmp_path / "holes.gguf"
    file = File(keys={"x": key}, tensors=[])
    path.write_bytes(file.header())
    os.truncate(path, 4 << 30)
    if "strings" not in request.node.name:  # tracing a million steps takes seconds; what they read is bounded as here
        tracemalloc.start()
        try:
            with pytest.raises(MalformedModel):
                read_header(path)
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()
    began = time.process_time()
    with pytest.raises(MalformedModel):
        read_header(path)
    # Some 60 ms on an ordinary core for the million strings; a gigabyte of them would take a minute.
    assert time.process_time() - began < 3


@pytest.mark.weights
@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"])
def test_a_real_header_is_read_and_its_harmed_copies_are_refused_or_read(weights, tmp_path, name):
    real = weights(name)
    found = read_header(real)
    assert found.chat_template
    assert found.vocabulary in (49_152, 151_936)
    assert found.file_size == real.stat().st_size
    assert found.file_size - found.weights < 10 << 20
    with real.open("rb") as file:
        front = file.read(found.file_size - found.weights)
    rng = random.Random(name)
    path = tmp_path / "harmed.gguf"
    for _ in range(20):
        data = bytearray(front)
        for _ in range(rng.randint(1, 4)):
            # Near the front and the back: between lies the vocabulary, in which a letter more or less is no fault.
            at = rng.choice((rng.randrange(4096), len(data) - 1 - rng.randrange(20_000), rng.randrange(len(data))))
            data[at : at + 8] = rng.randbytes(rng.choice((1, 8)))
        path.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
        if rng.random() < 0.7:
            os.truncate(path, found.file_size)
        try:
            read_header(path)
        except MalformedModel:
            continue


@pytest.mark.weights
def test_the_table_of_types_is_that_of_the_library():
    import ctypes

    from llama_cpp import _ggml

    ggml = _ggml.libggml
    ggml.ggml_type_name.restype, ggml.ggml_type_size.restype = ctypes.c_char_p, ctypes.c_size_t
    ggml.ggml_blck_size.restype = ctypes.c_int64
    theirs = {
        number: (ggml.ggml_type_name(number).decode(), ggml.ggml_blck_size(number), ggml.ggml_type_size(number))
        for number in TENSOR_TYPES
    }
    assert theirs == TENSOR_TYPES
