"""Whether a loopback endpoint passes a model on, according to itself: Ollama's cloud models, under any name.

For each of its models Ollama says whether another machine runs it (https://docs.ollama.com/api/tags, /api/show:
`remote_host`, `remote_model`). A copy of a cloud model (`ollama cp`) can have any name.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import httpx2
from openai import APIStatusError, AsyncOpenAI, OpenAIError, RequestOptions

from rung.tiers.openai.endpoint import Endpoint
from rung.tiers.openai.exchange import EXCHANGE, Exchange

Told = Literal["here", "elsewhere", "nothing"]
"""Where the model runs, according to the endpoint; `nothing` if it didn't answer at all."""

_PATIENCE = 1.0
"""Most seconds for the endpoint's answer, which it has at hand. This bounds what a hanging endpoint costs a call."""
_LONGEST = 4 * 1024 * 1024
"""Longest list of models that is read, in bytes: some ten thousand models."""
_ALONE: RequestOptions = {"headers": {"connection": "close"}}
"""Gives a question a connection of its own.

Some servers close a connection after each answer without saying so. The prompt that came next on the same connection
would be lost, where it may be sent only once.
"""


async def ask(client: AsyncOpenAI, endpoint: Endpoint, model: str, seconds: float) -> Told:
    """Ask an endpoint where it runs a model. Sends neither prompt nor key.

    Args:
        client: connects to the endpoint and to nothing else.
        endpoint: an endpoint on this machine.
        model: the endpoint's name for the model.
        seconds: the most that this may take.
    """
    root = endpoint.url.removesuffix("/v1")
    # an exchange of its own, because nothing of the call is on its way
    token = EXCHANGE.set(Exchange(None))
    try:
        async with asyncio.timeout(min(seconds, _PATIENCE)):
            models = (await _json(client, f"{root}/api/tags")).get("models")
            if not isinstance(models, list):
                return "here"
            entry = next((m for m in models if isinstance(m, dict) and _names(m, model)), None)
            if entry is None:
                entry = await _json(client, f"{root}/api/show", {"model": model})
            return "elsewhere" if entry.get("remote_host") or entry.get("remote_model") else "here"
    except (OpenAIError, httpx2.HTTPError, OSError, ValueError, RecursionError):
        return "nothing"
    finally:
        EXCHANGE.reset(token)


async def _json(client: AsyncOpenAI, url: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """The object that the endpoint answers with; empty if it answers with anything else."""
    try:
        if body is None:
            response = await client.get(url, cast_to=httpx2.Response, options=_ALONE)
        else:
            response = await client.post(url, cast_to=httpx2.Response, body=body, options=_ALONE)
    except APIStatusError:
        return {}
    is_json = "json" in response.headers.get("content-type", "") and len(response.content) <= _LONGEST
    found = json.loads(response.content) if is_json else None
    return found if isinstance(found, dict) else {}


def _names(entry: dict[str, Any], model: str) -> bool:
    return _whole(model) in {_whole(str(entry.get(key))) for key in ("name", "model")}


def _whole(name: str) -> str:
    """A name completed as Ollama completes it."""
    name = name.lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
