"""Where tasks are: in `tasks/` beside the configuration in force, the project's before the user's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rung.config.document import Document
from rung.config.places import Places, is_there
from rung.config.trusting import recorded
from rung.errors import ConfigError
from rung.learn.tasks import FILE, TaskFolder, demand_name, is_name, open_task
from rung.spelling import nearest
from rung.types import Task

FOLDER = "tasks"


@dataclass(frozen=True, slots=True)
class TaskPlaces:
    """The folders that are searched for tasks, in order, each with whether everything in it is trusted.

    A named configuration has only the tasks beside it. Otherwise those beside the project file come first. Each of
    them is trusted like that file, by the path and sha256 of its `task.toml`. Then come the user's own, which are
    trusted.

    Args:
        folders: folders that may contain tasks. They need not exist.
        places: where the record of what is trusted is.
    """

    folders: tuple[tuple[Path, bool], ...]
    places: Places

    def find(self, name: str) -> TaskFolder | None:
        """The task of this name; `None` if there is none.

        Raises:
            ConfigError: its files are wrong.
        """
        if not is_name(name):
            return None
        for folder, trusted in self.folders:
            if is_there(folder / name / FILE):
                return self._open(folder / name, trusted)
        return None

    def task(self, name: str) -> Task | None:
        """The task of this name in the form that a ladder takes.

        Raises:
            ConfigError, ContractError: its files are wrong, or it asks for something that only a trusted task gets.
        """
        found = self.find(name)
        return None if found is None else found.task()

    def demand(self, name: str) -> TaskFolder:
        """The task of this name.

        Raises:
            ConfigError: there is none, or its files are wrong.
        """
        found = self.find(name)
        if found is None:
            known = self.names()
            listed = nearest(name, known) if known else f"make it with `rung task new {name}`" if is_name(name) else ""
            raise ConfigError(f"there is no task {name[:80]!r}", hint=listed or "see `rung task list`")
        return found

    def names(self) -> tuple[str, ...]:
        """The names of all tasks, each once."""
        return tuple(sorted({path.name for path, _ in self._all()}))

    def every(self) -> Iterator[TaskFolder | ConfigError]:
        """Every task by name. If the files of one are wrong, its error comes instead."""
        for name in self.names():
            try:
                yield self.demand(name)
            except ConfigError as error:
                yield error

    def new(self, name: str) -> Path:
        """Where a new task goes: beside the configuration in force, or into the user's folder if there is none.

        Raises:
            ConfigError: the name isn't valid for a task.
        """
        demand_name(name)
        return self.folders[0][0] / name

    def _all(self) -> Iterator[tuple[Path, bool]]:
        for folder, trusted in self.folders:
            if folder.is_dir():
                for path in folder.iterdir():
                    if is_name(path.name) and is_there(path / FILE):
                        yield path, trusted

    def _open(self, folder: Path, trusted: bool) -> TaskFolder:
        return open_task(folder, trusted=trusted, recorded=recorded(folder / FILE, self.places))


def task_places(files: tuple[Document, ...], places: Places) -> TaskPlaces:
    """The task folders of a configuration.

    Args:
        files: those that were read, highest precedence first.
        places: this user's.
    """
    named = [file for file in files if file.origin.source == "named file"]
    if named:
        return TaskPlaces(((named[0].path.parent / FOLDER, True),), places)
    projects = [file for file in files if file.origin.source == "project file"]
    found = [(file.path.parent / FOLDER, False) for file in projects]
    return TaskPlaces((*found, (places.user.parent / FOLDER, True)), places)
