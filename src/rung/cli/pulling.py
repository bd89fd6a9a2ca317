"""A progress bar for `rung models pull`, on a terminal and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rung.cli.output import Output
from rung.store import Phase, PullProgress
from rung.visible import line, plain

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class Pulling:
    """Shows the progress of pulls.

    Args:
        output: where to show it. Names of sources, and failures, are shown even if it is not a terminal.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bars: Bars | None = _bars() if output.talks else None
        self._tasks: dict[str, TaskID] = {}
        self._named: tuple[str, str] | None = None
        self._last: tuple[str, Phase, str] | None = None

    def show(self, progress: PullProgress) -> None:
        """Follow a pull."""
        if progress.phase == "source_failed":
            self._say(f"{progress.source}: {progress.detail}")
        elif progress.phase == "fetching" and (progress.model, progress.source) != self._named:
            self._named = (progress.model, progress.source)
            self._say(f"{progress.model}: fetching from {progress.source}")
        elif self._bars is not None:
            self._draw(self._bars, progress)

    def _say(self, text: str) -> None:
        if self._bars is None:
            self._output.say(text)
        else:
            self._bars.console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    def _draw(self, bars: Bars, progress: PullProgress) -> None:
        step = (progress.model, progress.phase, progress.source)
        task = self._tasks.get(progress.model)
        if task is None:
            task = self._tasks[progress.model] = bars.add_task(
                "", total=progress.total, what="", model=line(progress.model)
            )
        elif step != self._last:
            bars.reset(task)
        self._last = step
        what = {"waiting": "waiting for another pull", "checking": "checking sha256"}.get(
            progress.phase, progress.phase
        )
        bars.update(task, completed=progress.done, total=progress.total, what=what)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.fields[model]}", markup=False),
        TextColumn("{task.fields[what]}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
