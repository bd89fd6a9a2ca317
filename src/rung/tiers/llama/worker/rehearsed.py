"""Which builds of llama.cpp have taken a first step with which file on this machine, and lived.

A broken build crashes in the first step, so a worker takes one before it is told anything. It reads all the weights,
which takes about as long as everything else of a load, and need not be done at every start.
"""

from __future__ import annotations

from pathlib import Path

from rung.tiers.llama.worker.kept import KeptFile

_SUFFIX = ".rehearsed"


class Rehearsal:
    """The first step of one build with one file.

    Args:
        folder: where it is remembered; `None` remembers nothing. It is made if it is missing.
        key: everything that the step depends on.
    """

    def __init__(self, folder: Path | None, key: bytes) -> None:
        self._file = None if folder is None else KeptFile(folder, _SUFFIX, key)

    @property
    def done(self) -> bool:
        """Whether it went well on this machine before."""
        return self._file is not None and self._file.read() is not None

    def passed(self) -> None:
        """It went well."""
        if self._file is not None:
            self._file.write(b"")
