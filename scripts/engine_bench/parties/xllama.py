"""xllamacpp from PyPI: llama.cpp's own server, asked without HTTP. Its interpreter needs nothing of rung."""

from __future__ import annotations

from typing import Any

import xllamacpp

from engine_bench.timing import Clock, Timing


class XLlama:
    """A server.

    Args:
        model: path of the GGUF file.
        context: in tokens.
        threads: for decoding.
    """

    def __init__(self, model: str, context: int, threads: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = model
        params.n_ctx = context
        params.n_parallel = 1
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

    def close(self) -> None:
        """The process ends anyway."""
