"""A request that belongs to a task: how the task is found, its prompt made, and its contract taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rung import checking
from rung.errors import ConfigError
from rung.types import Message, Task, conversation


class Tasks:
    """The tasks of a ladder. Each is looked for once.

    Args:
        find: finds the task with a name; `None` where a name is never more than a label in the ledger.
    """

    def __init__(self, find: Callable[[str], Task | None] | None) -> None:
        if find is not None:
            checking.function("tasks", find)
        self._find = find
        self._found: dict[str, Task | None] = {}
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def find(self, name: str | None) -> Task | None:
        """The task; `None` where there is none with this name.

        Args:
            name: the task's name; `None` for a request without a task.

        Raises:
            ConfigError: the task's folder is wrong.
        """
        if name is None or self._find is None:
            return None
        checking.text("task", name)
        with self._lock:
            if name not in self._found:
                self._found[name] = self._find(name)
            return self._found[name]

    def notes(self, name: str | None) -> tuple[str, ...]:
        """A sentence that says that there is no such task, the first time that a request names it."""
        if name is None or self._find is None or self.find(name) is not None:
            return ()
        with self._lock:
            if name in self._said:
                return ()
            self._said.add(name)
        return (f"there is no task {name[:80]!r}, so the name is only the ledger's label; see `rung task list`",)


@dataclass(frozen=True, slots=True)
class Asked:
    """The messages of a request.

    Args:
        messages: the conversation.
        template: sha256 of the template that made the messages; empty where there was no template.
    """

    messages: tuple[Message, ...] = field(repr=False)
    template: str = ""


def messages_of(prompt: str | Sequence[Message] | Mapping[str, str], system: str | None, task: Task | None) -> Asked:
    """What is asked, made with the task's template where it has one.

    Args:
        prompt: a text, a conversation, or a text for each field of the template.
        system: a system turn of the request itself.
        task: the task that the request belongs to.

    Raises:
        ConfigError: the fields that were given are not those of the template, or there is no template for them.
    """
    fill = None if task is None else task.fill
    if task is None or fill is None or not isinstance(prompt, str | Mapping):
        if isinstance(prompt, Mapping):
            which = "the request has no task" if task is None else f"the task {task.name!r} has no template"
            raise ConfigError(f"a prompt of fields needs a task with a template, and {which}", hint="give a text")
        return Asked(conversation(prompt, system))
    if isinstance(prompt, str):
        if len(task.fields) != 1:
            names = ", ".join(task.fields) or "none"
            raise ConfigError(
                f"the task {task.name!r} has a template with several fields: {names}"
                if task.fields
                else f"the task {task.name!r} has a template without fields, so it takes no prompt",
                hint="give a text for each of them, by name" if task.fields else "give no text",
            )
        prompt = {task.fields[0]: prompt}
    for name, value in prompt.items():
        checking.text(f"the field {name!r}", value)
    made = tuple(fill(prompt))
    if system and made[0].role == "system":
        raise ConfigError(f"the task {task.name!r} has a system turn of its own", hint="leave out the request's")
    # a different system turn makes a different prompt from the one that was calibrated
    return Asked(conversation(made, system), "" if system else task.prompt)


def output_of(output: Any, task: Task | None) -> Any:
    """What the answer must be: as the request says, else as the task does."""
    return task.output if output is None and task is not None else output
