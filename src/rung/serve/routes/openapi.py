"""`GET /openapi.json`: the server's OpenAPI description, made from the models that read and write bodies."""

from __future__ import annotations

import functools
from typing import Any

from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response as ResponsesAnswer
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rung import __version__
from rung.serve.bodies import ChatBody, CompletionBody
from rung.serve.responses_bodies import ResponsesBody
from rung.serve.routes.page import FILES, ConsentBody
from rung.serve.routes.work import parts_of


class ErrorDetails(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The body of every error."""

    model_config = ConfigDict(extra="allow")

    error: ErrorDetails


class ModelBody(BaseModel):
    """One model."""

    id: str
    object: str
    created: int
    owned_by: str
    x_rung: dict[str, Any]


class ModelList(BaseModel):
    """All models."""

    object: str
    data: list[ModelBody]


class DeletedBody(BaseModel):
    """A response that was deleted."""

    id: str
    object: str
    deleted: bool


class StatusBody(BaseModel):
    """Whether the server accepts requests, or took an answer."""

    status: str


async def description(request: Request) -> Response:
    """Send the description."""
    return JSONResponse(described(tuple(model.id for model in parts_of(request).host.models())))


@functools.lru_cache(maxsize=4)
def described(names_of_models: tuple[str, ...]) -> dict[str, Any]:
    """The OpenAPI description of a server.

    Args:
        names_of_models: names of the models that it serves.
    """
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (ChatBody, "validation"),
        (CompletionBody, "validation"),
        (ResponsesBody, "validation"),
        (ChatCompletion, "serialization"),
        (Completion, "serialization"),
        (ResponsesAnswer, "serialization"),
        (ErrorBody, "serialization"),
        (ModelBody, "serialization"),
        (ModelList, "serialization"),
        (DeletedBody, "serialization"),
        (ConsentBody, "validation"),
        (StatusBody, "serialization"),
    ]
    names, found = models_json_schema(models, ref_template="#/components/schemas/{model}")
    schema = {model: names[model, mode] for model, mode in models}
    for body in (ChatBody, CompletionBody, ResponsesBody):
        found["$defs"][body.__name__]["properties"]["model"] = {"type": "string", "enum": list(names_of_models)}

    def operation(name: str, answer: Any, body: Any = None, **more: Any) -> dict[str, Any]:
        told: dict[str, Any] = {
            "operationId": name,
            "responses": {
                "200": {"description": "The answer.", "content": answer},
                "default": {"description": "An error.", "content": _json(schema[ErrorBody])},
            },
            **more,
        }
        return told if body is None else {**told, "requestBody": {"required": True, "content": _json(schema[body])}}

    sent = {"type": "object", "properties": {"event": {"type": "string"}, "data": {"type": "string"}}}
    stream: dict[str, Any] = {"text/event-stream": {"schema": sent}}
    named, of_id = (
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in ("name", "id")
    )
    chat = operation("chat", {**_json(schema[ChatCompletion]), **stream}, ChatBody)
    complete = operation("complete", {**_json(schema[Completion]), **stream}, CompletionBody)
    respond = operation("respond", {**_json(schema[ResponsesAnswer]), **stream}, ResponsesBody)
    return {
        "openapi": "3.1.0",
        "info": {"title": "rung serve", "version": __version__},
        "components": {
            "schemas": found["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
        "paths": {
            "/v1/chat/completions": {"post": chat},
            "/v1/completions": {"post": complete},
            "/v1/responses": {"post": respond},
            "/v1/responses/{id}": {
                "get": operation("response", _json(schema[ResponsesAnswer]), parameters=[of_id]),
                "delete": operation("forget", _json(schema[DeletedBody]), parameters=[of_id]),
            },
            "/v1/models": {"get": operation("models", _json(schema[ModelList]))},
            "/v1/models/{name}": {"get": operation("model", _json(schema[ModelBody]), parameters=[named])},
            "/health": {"get": operation("health", _json(schema[StatusBody]), security=[])},
            "/metrics": {"get": operation("metrics", _text("text/plain"))},
            "/events": {"get": operation("events", stream)},
            **{path: {"get": operation(name, _text(media), security=[])} for path, (name, media) in FILES.items()},
            "/page/state": {"get": operation("page_state", stream)},
            "/page/consent": {"post": operation("page_consent", _json(schema[StatusBody]), ConsentBody)},
        },
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _text(media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string"}}}
