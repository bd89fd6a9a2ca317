"""Which builds of llama.cpp have taken a first step with which file on this machine, and lived.

A broken build crashes in the first step, so a worker takes one before it is told anything. It reads all the weights,
which takes about as long as everything else of a load, and need not be done at every start.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from rung.writing import write_whole

_SUFFIX = ".rehearsed"


class Rehearsal:
    """The first step of one build with one file.

    Args:
        folder: where it is remembered; `None` remembers nothing. It is made if it is missing.
        key: everything that the step depends on.
    """

    def __init__(self, folder: Path | None, key: bytes) -> None:
        self._path = None if folder is None else folder / (hashlib.blake2b(key, digest_size=16).hexdigest() + _SUFFIX)

    @property
    def done(self) -> bool:
        """Whether it went well on this machine before."""
        return self._path is not None and self._path.is_file()

    def passed(self) -> None:
        """It went well."""
        if self._path is not None:
            with suppress(OSError):
                write_whole(self._path, b"")
