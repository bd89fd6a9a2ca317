"""A page on which a person marks answers as right or wrong. It saves rows for `rung calibrate`."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from rung.batch.intake import again
from rung.batch.manifest import JobManifest
from rung.batch.questions import Questions
from rung.batch.review_page import PAGE
from rung.batch.sources import RowSource
from rung.errors import ConfigError
from rung.writing import write_whole

_LONGEST = 20_000
"""Characters of a prompt that the page shows: more than a person reads to judge an answer."""


def write_page(
    path: Path, manifest: JobManifest, source: RowSource, questions: Questions, most: int, task: str | None
) -> int:
    """Write the page. Returns how many answers are on it.

    A hash of the question decides which answers are drawn, so the sample represents all accepted answers.

    Args:
        path: of the page.
        manifest: of the job.
        source: the input.
        questions: makes the question of a row.
        most: the most answers to show.
        task: the task that `rung calibrate` will use the marks for; `None` if the job has none.

    Raises:
        ConfigError: no answer was accepted yet, or the page can't be written.
    """
    found = manifest.sample(most, accepted=True)
    shown = []
    for it in sorted(found, key=lambda it: int(it["position"])):
        row = again(source, questions, it["place"], it["line"])
        if row is not None:
            shown.append(_shown(it["line"], row[1].messages, row[1].schema, json.loads(it["answer"])))
    if not shown:
        raise ConfigError("there is no accepted answer to review", hint="let the job find some first")
    data = json.dumps(shown, ensure_ascii=True).replace("<", "\\u003c")
    command = f"rung calibrate LABELS.jsonl --task {task or 'TASK'} --record FILE"
    page = PAGE.replace("@COMMAND@", html.escape(command)).replace("@DATA@", data)
    try:
        write_whole(path, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {(error.strerror or str(error)).lower()}") from None
    return len(shown)


def _shown(line: int, messages: Any, schema: Any, answer: dict[str, Any]) -> dict[str, Any]:
    value = answer["value"]
    reasons = [
        f"{attempt['tier']}: {attempt['verdict']} ({attempt['reason']})"
        + "".join(f"; {issue}" for issue in attempt.get("issues", []))
        for attempt in answer["attempts"]
    ]
    label: dict[str, Any] = {"messages": [{"role": turn.role, "content": turn.text} for turn in messages]}
    if schema is not None:
        label["schema"] = schema
    return {
        "line": line,
        "prompt": "\n\n".join(turn.text if turn.role == "user" else f"[{turn.role}] {turn.text}" for turn in messages)[
            :_LONGEST
        ],
        "answer": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2),
        "text": isinstance(value, str),
        "value": value,
        "tier": answer["tier"],
        "confidence": answer["confidence"],
        "checked": answer["checked_by"],
        "reasons": reasons,
        "label": label,
    }
