"""The project files that the user trusts, by absolute path and sha256. A changed file is a stranger again."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rung.config.document import Document
from rung.config.places import Places
from rung.errors import ConfigError
from rung.files import read_bounded
from rung.parsing import parse_json

_MOST = 16 << 20
"""Bytes of the record: a hundred thousand files."""


def recorded(path: Path, places: Places) -> str | None:
    """The sha256 of the content of `path` that the user trusts; `None` where there is none."""
    return _read(places.trusted).get(os.path.realpath(path))


def trust(document: Document, places: Places) -> None:
    """Trust a file with the content that was read, from now on.

    Raises:
        ConfigError: the record can't be written.
    """
    from rung.store.layout import write_whole

    record = {**_read(places.trusted), str(document.path): document.sha256}
    try:
        write_whole(places.trusted, json.dumps(record, indent=2).encode())
    except OSError as error:
        raise ConfigError(
            f"{places.trusted} can't be written: {(error.strerror or str(error)).lower()}",
            hint="or name the file with --config, which trusts it for one command",
        ) from None


def _read(path: Path) -> dict[str, str]:
    """The record; an unreadable one trusts nothing."""
    try:
        record = parse_json(read_bounded(path, _MOST, "the record of trusted files"), str(path))
    except ConfigError:
        return {}
    return {str(key): str(value) for key, value in record.items()} if isinstance(record, dict) else {}
