"""Making a task's folder, with a `task.toml` for the user to edit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rung.errors import ConfigError
from rung.learn.tasks import FILE, TaskFolder, demand_name, open_task
from rung.writing import write_whole

SCHEMA = "schema.json"
_CHECK_OF = {"schema": "json", "type": "json", "choices": "choice", "regex": "exact"}
"""The check of a new task, by its kind of contract."""
_HEAD = """\
# A task of rung (docs/tasks.md): `rung ask --task {name}` uses it, `rung task show {name}` looks at it.
# A word in braces is a field of the prompt. `check` says whether an answer is right where the right one is known.
"""


def make_task(folder: Path, values: Mapping[str, Any], *, schema: Mapping[str, Any] | None = None) -> TaskFolder:
    """Make a task's folder, whole or not at all, except for a schema file that nothing refers to.

    Args:
        folder: of the task. It must not exist as a task.
        values: of `task.toml`. If there is no check, the one that fits the contract is added.
        schema: of the answer. It becomes a file of its own.

    Raises:
        ConfigError: the name isn't valid, the task exists, a value is wrong, or the folder can't be written.
    """
    demand_name(folder.name)
    path = folder / FILE
    if path.exists():
        raise ConfigError(f"{path} is there already", hint="change it, or name another task")
    said = {key: value for key, value in values.items() if value not in (None, "", ())}
    if schema is not None:
        said["schema"] = SCHEMA
    kind = next((kind for kind in _CHECK_OF if kind in said), None)
    if kind is not None:
        said.setdefault("check", _CHECK_OF[kind])
    text = _HEAD.format(name=folder.name) + "".join(f"{key} = {_toml(value)}\n" for key, value in said.items())
    try:
        if schema is not None:
            content = json.dumps(schema, indent=1, ensure_ascii=False).encode() + b"\n"
            write_whole(folder / SCHEMA, content, private=False)
        write_whole(path, text.encode(), private=False)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {(error.strerror or str(error)).lower()}") from None
    try:
        return open_task(folder, trusted=True)
    except ConfigError:
        path.unlink()
        raise


def _toml(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # JSON strings, numbers and booleans are valid TOML, except for DEL in a string
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
