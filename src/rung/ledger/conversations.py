"""A recorded conversation as messages, to continue from."""

from __future__ import annotations

import json
from typing import Any

from rung.errors import ConfigError
from rung.ledger.records import RequestRecord
from rung.types import Message, Text, ToolCall


def conversation(record: RequestRecord) -> tuple[Message, ...]:
    """The turns of a recorded request, and the accepted answer as the model wrote it.

        [it] = requests(file)
        conversation(it)[-1].text  # It rains.

    Args:
        record: the request.

    Raises:
        ConfigError: no answer was accepted, the ledger doesn't keep prompt and answer, or a turn can't be restored from
            what it keeps.
    """
    last = next((a for a in record.attempts if a.verdict == "accept"), None)
    if last is None:
        raise ConfigError(
            f"the request {record.id} has no accepted answer to continue from",
            hint="name another one of `rung ledger list`",
        )
    turns = asked(record)
    if last.text is None:
        raise _not_kept(record)
    return (*turns, Message("assistant", last.text))


def asked(record: RequestRecord) -> tuple[Message, ...]:
    """The turns of a recorded request.

        [it] = requests(file)
        asked(it)[-1].text  # How is the weather?

    Args:
        record: the request.

    Raises:
        ConfigError: the ledger doesn't keep its prompt, or a turn can't be restored from what it keeps.
    """
    if record.messages is None:
        raise _not_kept(record)
    return tuple(_turn(message, record.id) for message in json.loads(record.messages))


def _not_kept(record: RequestRecord) -> ConfigError:
    return ConfigError(
        f"prompt and answer of the request {record.id} are not in the ledger",
        hint="set content = true under [ledger] in rung.toml; from then on they are kept",
    )


def _turn(message: dict[str, Any], request: str) -> Message:
    content = message["content"]
    if not isinstance(content, str):
        if any(part["type"] != "text" for part in content):
            raise ConfigError(f"the request {request} has a picture, which the ledger doesn't keep", hint="ask anew")
        content = tuple(Text(part["text"]) for part in content)
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls", ())
    )
    return Message(message["role"], content, tool_calls=calls, tool_call_id=message.get("tool_call_id"))
