"""The least that can decode: `llama_decode` in a loop, the likeliest token, nothing else. No part of rung."""

from __future__ import annotations

import ctypes

import llama_cpp as llama
import numpy as np

from engine_bench.timing import Clock, Timing


class Bare:
    """A model and a context.

    Args:
        model: path of the GGUF file.
        context: in tokens.
        threads: for decoding.
        gpu_layers: layers of the model that go to a GPU.
    """

    def __init__(self, model: str, context: int, threads: int, gpu_layers: int = 0) -> None:
        # ctypes frees a callback that nobody holds.
        self._log = llama.llama_log_callback(lambda level, text, data: None)
        llama.llama_log_set(self._log, ctypes.c_void_p(0))
        where = llama.llama_model_default_params()
        where.n_gpu_layers = gpu_layers
        self._model = llama.llama_model_load_from_file(model.encode(), where)
        self._vocabulary = llama.llama_model_get_vocab(self._model)
        self._size = llama.llama_vocab_n_tokens(self._vocabulary)
        params = llama.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = 512
        params.n_threads = params.n_threads_batch = threads
        self._context = llama.llama_init_from_model(self._model, params)
        self._batch = params.n_batch

    def answer(self, tokens: list[int], max_tokens: int) -> Timing:
        """One answer, greedy.

        Args:
            tokens: of the prompt.
            max_tokens: cap on the answer.
        """
        clock = Clock()
        llama.llama_memory_clear(llama.llama_get_memory(self._context), True)
        for start in range(0, len(tokens), self._batch):
            self._decode(tokens[start : start + self._batch])
        one = (llama.llama_token * 1)()
        buffer = ctypes.create_string_buffer(256)
        for left in reversed(range(max_tokens)):
            logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(self._context, -1), (self._size,))
            token = one[0] = int(logits.argmax())
            if llama.llama_vocab_is_eog(self._vocabulary, token):
                break
            length = llama.llama_token_to_piece(self._vocabulary, token, buffer, 256, 0, False)
            # Half a character is lost here: the comparison of texts, not that of speeds, would notice.
            clock.piece(buffer.raw[:length].decode("utf-8", "ignore"))
            if left:
                llama.llama_decode(self._context, llama.llama_batch_get_one(one, 1))
        return clock.stop()

    def _decode(self, tokens: list[int]) -> None:
        array = (llama.llama_token * len(tokens))(*tokens)
        llama.llama_decode(self._context, llama.llama_batch_get_one(array, len(tokens)))

    def close(self) -> None:
        """The process ends anyway."""
