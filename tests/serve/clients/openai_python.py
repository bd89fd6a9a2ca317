"""The official Python client: streaming, parse, tools, errors, cancel."""

import asyncio
import json
import os
import urllib.request

import openai
import pydantic
from openai import AsyncOpenAI, OpenAI

MODEL = os.environ.get("RUNG_TEST_MODEL", "rung")
client = OpenAI(max_retries=0)
talk = [{"role": "user", "content": "Is water wet? Say yes or no."}]


class Person(pydantic.BaseModel):
    name: str
    age: int


def weather(city: str) -> str:
    """The weather."""
    return city


tools = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "maxLength": 20}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]

whole = client.chat.completions.create(model=MODEL, messages=talk, max_completion_tokens=40)
assert whole.choices[0].message.content, whole
assert whole.usage.total_tokens > 0
assert whole.x_rung["attempts"], whole
raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=talk, max_completion_tokens=40)
assert raw.headers["x-rung-attempts"]

chunks = list(
    client.chat.completions.create(
        model=MODEL,
        messages=talk,
        stream=True,
        max_completion_tokens=40,
        stream_options={"include_usage": True},
    )
)
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).strip()
assert chunks[-1].usage.completion_tokens > 0

parsed = client.chat.completions.parse(
    model=MODEL, messages=[{"role": "user", "content": "Ada is 36 years old."}], response_format=Person
)
assert isinstance(parsed.choices[0].message.parsed, Person)

with client.chat.completions.stream(
    model=MODEL, messages=[{"role": "user", "content": "Ada is 36 years old."}], response_format=Person
) as stream:
    for _ in stream:
        pass
    assert isinstance(stream.get_final_completion().choices[0].message.parsed, Person)

ask = [{"role": "user", "content": "What is the weather in Bonn?"}]
choice = {"type": "function", "function": {"name": "weather"}}
called = client.chat.completions.create(model=MODEL, messages=ask, tools=tools, tool_choice=choice)
call = called.choices[0].message.tool_calls[0]
assert called.choices[0].finish_reason == "tool_calls"
assert set(json.loads(call.function.arguments)) == {"city"}
streamed = client.chat.completions.create(model=MODEL, messages=ask, tools=tools, tool_choice=choice, stream=True)
pieces = [d for c in streamed if c.choices for d in c.choices[0].delta.tool_calls or ()]
assert json.loads("".join(p.function.arguments or "" for p in pieces))
again = client.chat.completions.create(
    model=MODEL,
    messages=[
        *ask,
        called.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "It rains."},
    ],
    max_completion_tokens=40,
)
assert again.choices[0].message.content

assert client.completions.create(model=MODEL, prompt="Is water wet?", max_tokens=30).choices[0].text.strip()
assert "rung" in [model.id for model in client.models.list()]
assert client.models.retrieve("rung").owned_by == "rung"

for wrong, kind in (
    (lambda: client.chat.completions.create(model="gpt-4o", messages=talk), openai.NotFoundError),
    (lambda: OpenAI(api_key="wrong").models.list(), openai.AuthenticationError),
    (lambda: client.chat.completions.create(model=MODEL, messages=[]), openai.BadRequestError),
    (lambda: client.embeddings.create(model=MODEL, input="x"), openai.NotFoundError),
):
    try:
        wrong()
    except kind:
        pass
    else:
        raise AssertionError(kind)


async def cancels() -> None:
    """A client that gives up leaves nothing running."""
    slow = [{"role": "user", "content": "Slowly: is water wet?"}]
    task = asyncio.create_task(AsyncOpenAI(max_retries=0).chat.completions.create(model=MODEL, messages=slow, n=8))
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


asyncio.run(cancels())
figures = urllib.request.Request(  # the client has no method for it
    os.environ["OPENAI_BASE_URL"].removesuffix("/v1") + "/metrics",
    headers={"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
)
with urllib.request.urlopen(figures) as answer:
    assert b"rung_requests_total" in answer.read()
print("all right")
