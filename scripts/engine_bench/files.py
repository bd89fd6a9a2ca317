"""The files of the models that a benchmark is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

from rung.errors import StoreError
from rung.store import resolve


def file_of(model: str) -> Path:
    """The file of a model. Without one the program ends, and says what helps.

    Args:
        model: anything that names a model of the store.
    """
    try:
        return resolve(model).path
    except StoreError as error:
        sys.exit(str(error))


def files_of(models: str) -> dict[str, Path]:
    """The files of several models, looked up before anything is measured.

    Args:
        models: their names, split at commas.
    """
    return {model: file_of(model) for model in models.split(",")}
