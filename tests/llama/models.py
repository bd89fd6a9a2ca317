"""Headers of models that are nowhere."""

from __future__ import annotations

from rung.store.gguf import Header, Tensor

MIB, GIB = 1 << 20, 1 << 30

BIG = Header(
    architecture="llama",
    name=None,
    licence=None,
    file_size=4 * GIB,
    layers=32,
    embedding_length=4096,
    feed_forward_length=14336,
    kv_heads=(8,) * 32,
    key_length=128,
    value_length=128,
    context_length=131_072,
    sliding_window=None,
    vocabulary=128_256,
    chat_template="{{ messages }}",
    tensors=(Tensor("blk.0.x", "q4_K", (1,), 3 * GIB), Tensor("token_embd.weight", "q4_K", (1,), GIB)),
)
