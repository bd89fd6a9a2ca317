"""llama-cpp-python's own `Llama`, as its documentation uses it."""

from __future__ import annotations

import json
import os
from typing import Any

from llama_cpp import Llama, LlamaGrammar

from engine_bench.memory import memory_of
from engine_bench.timing import Clock, Timing


class HighLevel:
    """A `Llama`.

    Args:
        model: path of the GGUF file.
        context: in tokens.
        threads: for decoding.
        gpu_layers: layers of the model that go to a GPU.
        logprobs: whether it shall say how sure it is of each token, as ours always does.
    """

    def __init__(self, model: str, context: int, threads: int, gpu_layers: int = 0, logprobs: bool = False) -> None:
        self._logprobs = logprobs
        self._llama = Llama(
            model,
            n_ctx=context,
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=gpu_layers,
            logits_all=logprobs,
            verbose=False,
        )

    def answer(self, messages: Any, max_tokens: int, schema: Any = None) -> Timing:
        """One answer, greedy; by the grammar of the schema where there is one."""
        clock = Clock()
        grammar = None if schema is None else LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
        chunks = self._llama.create_chat_completion(
            messages,
            temperature=0.0,
            max_tokens=max_tokens,
            grammar=grammar,
            stream=True,
            logprobs=self._logprobs,
            top_logprobs=2 if self._logprobs else None,
        )
        for chunk in chunks:
            text = chunk["choices"][0]["delta"].get("content")
            if text:
                clock.piece(text)
        return clock.stop()

    def memory(self) -> dict[str, int]:
        """Of this process, in bytes."""
        return memory_of(os.getpid())

    def close(self) -> None:
        """Free the model."""
        self._llama.close()
