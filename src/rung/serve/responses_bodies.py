"""The body of `POST /v1/responses`, as far as the server uses it. Unknown fields are accepted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rung.serve.asking import RungBody
from rung.serve.bodies import Cap, ContentPart
from rung.types.request import Effort


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class InputItem(_Open):
    """A part of the conversation: a message, a function call, its result, or reasoning.

    Args:
        type: of the item. A message may omit it.
        role: of a message.
        content: of a message or of reasoning.
        call_id: of a call, or of the call that a result belongs to.
        name: of the function that is called.
        arguments: of the call, as JSON.
        output: result of the call.
    """

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[ContentPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[ContentPart] | None = None


class TextFormat(_Open):
    """What the answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextConfig(_Open):
    """The format of the answer."""

    format: TextFormat | None = None


class ResponsesTool(_Open):
    """A tool. Only functions are supported, and other kinds are skipped."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class AllowedTool(_Open):
    """A tool that may be called."""

    name: str | None = None


class ToolChoice(_Open):
    """The tool that has to be called, or the tools that may be called."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[AllowedTool] | None = None


class ReasoningConfig(_Open):
    """How much reasoning is wanted."""

    effort: Effort | None = None


class ResponsesBody(_Open):
    """The body of `POST /v1/responses`."""

    model: Annotated[str, Field(max_length=300)]
    input: str | Annotated[list[InputItem], Field(min_length=1)]
    instructions: str | None = None
    previous_response_id: Annotated[str, Field(max_length=200)] | None = None
    store: bool | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    max_output_tokens: Cap | None = None
    text: TextConfig | None = None
    tools: list[ResponsesTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningConfig | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None
    x_rung: RungBody | None = None
