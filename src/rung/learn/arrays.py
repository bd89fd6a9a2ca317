"""The columns behind this package's numbers: read once, as floats of one length, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rung.errors import ConfigError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

Groups = Sequence[Any] | NDArray[Any]
"""One label per row. Rows with the same label belong together and aren't independent."""


def scores_of(values: ArrayLike, rows: int | None = None) -> Floats:
    """One score per row. A row that failed validation has the score minus infinity, so it is never accepted.

    Raises:
        ConfigError: there is no row, a score is NaN or plus infinity, or the columns differ in length.
    """
    found = _column("scores", values, rows)
    if np.isnan(found).any() or np.isposinf(found).any():
        raise ConfigError("a score is NaN or infinite", hint="give a row without a score the score -inf")
    return found


def shares_of(name: str, values: ArrayLike, rows: int | None = None) -> Floats:
    """One number from 0 to 1 per row: right or not, lost or not, or something in between.

    Raises:
        ConfigError: there is no row, a value is out of range, or the columns differ in length.
    """
    found = _column(name, values, rows)
    if not ((found >= 0) & (found <= 1)).all():
        raise ConfigError(f"{name} has a value outside 0 to 1")
    return found


def truths_of(name: str, values: ArrayLike, rows: int | None = None) -> Bools:
    """One truth value per row.

    Raises:
        ConfigError: there is no row, a value is neither 0 nor 1, or the columns differ in length.
    """
    found = _column(name, values, rows)
    if not ((found == 0.0) | (found == 1.0)).all():
        raise ConfigError(f"{name} has a value that is neither true nor false")
    return found.astype(np.bool_)


def units_of(groups: Groups | None, rows: int) -> Ints:
    """The number of each row's group, counted from 0 in order of appearance. Without groups each row has its own.

    Raises:
        ConfigError: the columns differ in length.
    """
    if groups is None:
        return np.arange(rows)
    if len(groups) != rows:
        raise ConfigError(f"groups has {len(groups):,} rows, but {rows:,} are expected")
    numbers: dict[Any, int] = {}
    labels = groups.tolist() if isinstance(groups, np.ndarray) else groups
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp)


def _column(name: str, values: ArrayLike, rows: int | None) -> Floats:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} has a value that is not a number") from error
    if found.ndim != 1 or (rows is not None and len(found) != rows):
        expected = "one dimension" if rows is None else f"{rows:,} rows"
        raise ConfigError(f"{name} has the shape {found.shape}, but {expected} are expected")
    if not len(found):
        raise ConfigError(f"{name} has no rows", hint="give at least one row")
    return found
