"""Where the file of a model is. A path is found without pydantic, which only the tables of catalogues need."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rung.errors import ModelNotFound
from rung.files import full

if TYPE_CHECKING:
    from rung.store.layout import Store


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that is on this machine.

    Args:
        name: a catalogue name, `hf:owner/repo/file.gguf@commit`, or the stem of a file of your own.
        path: where the file is.
        size: size of the file, in bytes.
        sha256: hash that its bytes must have; `None` for a file of your own.
        licence: SPDX identifier; `None` if nobody said.
        context: context that the model was trained for, in tokens; `None` if nobody said.
    """

    name: str
    path: Path
    size: int
    sha256: str | None = None
    licence: str | None = None
    context: int | None = None


def is_path(model: str) -> bool:
    """Whether a text is the path of a model, not its name."""
    if model.startswith(("hf:", "huggingface.co/", "hf.co/")) or "://" in model:
        return False
    return model.endswith(".gguf") or "/" in model or os.sep in model


def resolve(model: str, *, store: Store | None = None) -> ModelFile:
    """The file of a model. Nothing is fetched or hashed.

        file = resolve("mine")
        file.path.suffix  # .gguf

    Args:
        model: a catalogue name, a name of your own, the path of a file, or `hf:owner/repo/file.gguf@commit`.
        store: the store to look in; by default the user's.

    Raises:
        ModelNotFound: no such model, or its file is not on this machine. The error says which command fetches it.
        ChecksumMismatch: the file in the store has the wrong size, or a file that is used in its place was written to
            since it was found.
        StoreError: an `hf:` name has another form.
    """
    if is_path(model):
        return at_path(full(model, "the model file"))
    # with the tables of catalogues, and so with pydantic
    from rung.store.files import stored
    from rung.store.layout import user_store

    return stored(model, store or user_store())


def at_path(path: Path) -> ModelFile:
    """The model of a file.

    Args:
        path: the file.

    Raises:
        ModelNotFound: there is no such file.
    """
    if not path.is_file():
        raise ModelNotFound(f"no model file at {path}", hint="check the path, or name a model of `rung models list`")
    return ModelFile(path.stem, path.absolute(), path.stat().st_size)
