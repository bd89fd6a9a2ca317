"""xllamacpp from PyPI: llama.cpp's own server, asked without HTTP. Its interpreter needs nothing of rung."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import xllamacpp

from engine_bench.timing import Clock, Timing


class XLlama:
    """A server.

    Args:
        model: path of the GGUF file.
        context: in tokens.
        threads: for decoding.
        slots: answers at once, which share the context.
    """

    def __init__(self, model: str, context: int, threads: int, slots: int = 1) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = model
        params.n_ctx = context
        params.n_parallel = slots
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        self._server = xllamacpp.Server(params)

    def about(self) -> str:
        """Version, and the instructions that the wheel was built for."""
        return f"{xllamacpp._version.version}; {xllamacpp.get_system_info()}"

    def answer(self, messages: Any, max_tokens: int, schema: Any = None) -> Timing:
        """One answer, greedy."""
        request: dict[str, Any] = {
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "stream": True,
        }
        if schema is not None:
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        clock = Clock()
        problems: list[Any] = []

        def hear(chunk: Any) -> None:
            if "error" in chunk:
                problems.append(chunk["error"])
            for choice in chunk.get("choices", ()):
                text = choice["delta"].get("content")
                if text:
                    clock.piece(text)

        self._server.handle_chat_completions(request, hear)
        if problems:
            raise RuntimeError(str(problems[0])[:200])
        return clock.stop()

    def rows(self, conversations: Any, max_tokens: int, clients: int) -> dict[str, Any]:
        """Every conversation answered by some clients at once: seconds in all, and characters."""
        began = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            done = list(pool.map(lambda messages: self.answer(messages, max_tokens), conversations))
        return {"seconds": time.perf_counter() - began, "characters": sum(len(timing.text) for timing in done)}

    def close(self) -> None:
        """The process ends anyway."""
