"""The project files that the user trusts, by absolute path and sha256. A file that changed is untrusted again."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rung.config.document import Document
from rung.config.places import Places, is_there
from rung.errors import ConfigError
from rung.files import read_bounded
from rung.parsing import parse_json
from rung.writing import write_whole

_WHAT = "the record of trusted files"
_MOST = 16 << 20
"""Bytes of the record, enough for a hundred thousand files."""


def recorded(path: Path, places: Places) -> str | None:
    """The sha256 of the content of `path` that the user trusts; `None` if there is none, or the record is broken."""
    try:
        return _read(places.trusted).get(os.path.realpath(path))
    except ConfigError:
        return None


def trust(document: Document, places: Places) -> None:
    """Trust a configuration from now on, with the content that was read. Raises what `trust_file` raises."""
    trust_file(document.path, document.sha256, places)


def trust_file(path: Path, sha256: str, places: Places) -> None:
    """Trust a file from now on, with this content.

    Args:
        path: of the file.
        sha256: of its content, in hexadecimal.
        places: where the record lies.

    Raises:
        ConfigError: the record can't be read or written. A record that can't be read is not overwritten: it may be
            another file, or contain what the user trusted before.
    """
    record = {**_read(places.trusted), os.path.realpath(path): sha256}
    try:
        write_whole(places.trusted, json.dumps(record, indent=2).encode())
    except OSError as error:
        raise ConfigError(
            f"{places.trusted} can't be written: {(error.strerror or str(error)).lower()}",
            hint="or name the file with --config, which trusts it for one command",
        ) from None


def _read(path: Path) -> dict[str, str]:
    """The record; empty if there is none yet.

    Raises:
        ConfigError: it can't be read, or is not such a record.
    """
    if not is_there(path):
        return {}
    hint = "move it away, and trust your files again"
    try:
        record = parse_json(read_bounded(path, _MOST, _WHAT), f"{_WHAT} {path}")
    except ConfigError as error:
        raise ConfigError(error.message, hint=hint) from None
    if not isinstance(record, dict) or not all(isinstance(value, str) for value in record.values()):
        raise ConfigError(f"{_WHAT} {path} is invalid: it must be an object of paths and checksums", hint=hint)
    return record
