"""Exporting the ledger: as plain objects, and as chats to fine-tune a smaller tier with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rung.ledger.records import AttemptRecord, RequestRecord


def as_object(record: RequestRecord) -> dict[str, Any]:
    """A request as an object for JSON.

        [it] = requests(file)
        as_object(it)["task"]  # weather

    It includes prompt, answers and label if they were kept.
    """
    whole = _plain(record, {"attempts", "messages", "at", "toss", "shadow", "label"})
    found = {"id": whole.pop("id"), "at": _instant(record.at), **whole}
    if record.messages is not None:
        found["messages"] = json.loads(record.messages)
    found["attempts"] = [_attempt(a) for a in record.attempts]
    shadow = record.shadow
    if shadow is not None:
        found["shadow"] = {
            "against": shadow.against,
            "agrees": shadow.agrees,
            "reason": shadow.reason,
            "attempts": [_attempt(a) for a in shadow.attempts],
        }
    label = record.label
    if label is not None:
        found["label"] = {"at": _instant(label.at)}
        if label.expected is not None:
            found["label"]["expected"] = json.loads(label.expected)
    return found


def chats(records: Iterable[RequestRecord]) -> Iterator[dict[str, Any]]:
    """Conversations to fine-tune with: a prompt that a tier failed, with the accepted answer of a higher tier.

        for chat in chats(requests(file)):
            print(json.dumps(chat))

    The conversation is the caller's own. It leaves out what the ladder added (instructions for the answer's shape, and
    feedback). Requests without content, or with a picture, are left out.
    """
    for record in records:
        last = next((a for a in record.attempts if a.verdict == "accept"), None)
        if last is None or last.text is None or record.messages is None:
            continue
        in_vain = any(a.tier != last.tier and a.constraint is not None for a in record.attempts)
        messages = json.loads(record.messages)
        if in_vain and all(_is_text(m) for m in messages):
            yield {"messages": [*map(_flat, messages), {"role": "assistant", "content": last.text}]}


def _attempt(a: AttemptRecord) -> dict[str, Any]:
    found = _plain(a, {"issues", "text", "features", "weighing"})
    found["features"] = None if a.features is None else json.loads(a.features)
    found["issues"] = [{"code": code, "path": path} for code, path in a.issues]
    if a.text is not None:
        found["text"] = a.text
    return found


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


def _plain(record: RequestRecord | AttemptRecord, without: set[str]) -> dict[str, Any]:
    found = {}
    for f in fields(record):
        if f.name in without:
            continue
        value = getattr(record, f.name)
        name = f"{f.name}_usd" if f.name in ("cost", "bound") else f.name
        found[name] = float(value) if isinstance(value, Decimal) else value
    return found


def _is_text(message: dict[str, Any]) -> bool:
    content = message["content"]
    return isinstance(content, str) or all(part["type"] == "text" for part in content)


def _flat(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    return message if isinstance(content, str) else {**message, "content": "".join(p["text"] for p in content)}
