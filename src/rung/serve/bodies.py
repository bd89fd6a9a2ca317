"""The request bodies of OpenAI's chat API, as far as the server uses them. Unknown fields are accepted.

The server's OpenAPI description is made from the same models, so it always matches what is accepted.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rung.serve.asking import MOST_ANSWERS, RungBody
from rung.serve.errors import ApiError
from rung.types.request import Effort

M = TypeVar("M", bound=BaseModel)

_SHOWN = 200
"""Most characters of an error message. Pydantic's messages quote no values, but field names may be a client's."""

Stops = str | list[Annotated[str, Field(min_length=1)]]
Cap = Annotated[int, Field(ge=1, le=10_000_000)]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class ImageUrl(_Open):
    """A picture, included in the body."""

    url: str


class ContentPart(_Open):
    """A part of a message."""

    type: str
    text: str | None = None
    image_url: ImageUrl | str | None = None
    refusal: str | None = None


class CalledFunction(_Open):
    """The function that a call names."""

    name: str
    arguments: str = ""


class Called(_Open):
    """A call that the assistant made."""

    id: str
    type: str = "function"
    function: CalledFunction | None = None


class Turn(_Open):
    """A message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[Called] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class Function(_Open):
    """A function that may be called."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,128}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(_Open):
    """A tool. Only functions are supported, and other kinds are skipped."""

    type: str
    function: Function | None = None


class NamedFunction(_Open):
    """The function that has to be called."""

    name: str


class NamedTool(_Open):
    """The tool that has to be called."""

    type: str
    function: NamedFunction | None = None


class JsonSchemaFormat(_Open):
    """The schema of an answer."""

    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(_Open):
    """What the answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StreamOptions(_Open):
    """What a stream contains besides the answer."""

    include_usage: bool | None = None


class Sampled(_Open):
    """Fields that chat completions and completions share."""

    model: Annotated[str, Field(max_length=300)]
    max_tokens: Cap | None = None
    temperature: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    min_p: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | None = None
    stop: Stops | None = None
    n: Annotated[int, Field(ge=1, le=MOST_ANSWERS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    x_rung: RungBody | None = None


class ChatBody(Sampled):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[list[Turn], Field(min_length=1)]
    max_completion_tokens: Cap | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[ToolBody] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class CompletionBody(Sampled):
    """The body of `POST /v1/completions`."""

    prompt: str | list[str]
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None


def read(model: type[M], value: Any) -> M:
    """Validate a body.

    Args:
        model: its model.
        value: its JSON.

    Raises:
        ApiError: the body doesn't fit the model. The error names the field, and quotes no value.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # after a union's field, pydantic lists the name of one of its types
        steps = (str(step) for step in first["loc"])
        where = ".".join(step for step in steps if step != "str" and not step.startswith(("list[", "function-")))
        message = f"{where or 'the body'}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        raise ApiError(400, message[:_SHOWN], code=first["type"], param=where[:_SHOWN] or None) from None
