"""What a model file says of itself, kept on disk. Nobody needs the 300,000 words and pairs of words in a header, but to
get past them takes longer than all else before llama.cpp reads the file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from rung.errors import StoreError
from rung.files import fingerprint
from rung.store.gguf import Header, Tensor, read_header
from rung.tiers.llama.worker.kept import KeptFile

_SUFFIX = ".header"
_VERSION = 1
"""Raised whenever the same file would be described otherwise."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a file says of itself.

    Args:
        header: what it is, and how large.
        digest: of all that stands before its weights, vocabulary and kinds of weights included.
    """

    header: Header
    digest: bytes


def described(path: Path, folder: Path | None) -> Described:
    """What a file says of itself.

    Args:
        path: the file.
        folder: where that is kept; `None` keeps nothing. A file that was written to since then is read again.

    Raises:
        MalformedModel: it is not a GGUF file, is cut off, or contradicts itself.
        StoreError: the file can't be read.
    """
    if folder is None:
        return _read(path)
    known = fingerprint(path)
    kept = KeptFile(folder, _SUFFIX, json.dumps((_VERSION, str(path), known)).encode())
    body = kept.read()
    found = None if body is None else _parsed(bytes(body))
    if found is None:
        found = _read(path)
        # otherwise somebody is writing to it, and what was read may be the one or the other
        if fingerprint(path) == known:
            kept.write(json.dumps({"header": asdict(found.header), "digest": found.digest.hex()}).encode())
    return found


def _read(path: Path) -> Described:
    header = read_header(path)
    try:
        with path.open("rb") as file:
            about = file.read(max(0, header.file_size - header.weights))
    except OSError as error:
        raise StoreError.of_file(
            path, f"can't be read: {error.strerror}", hint="see the file's path and permissions"
        ) from None
    return Described(header, blake2b(about).digest())


def _parsed(body: bytes) -> Described | None:
    """What was kept; `None` if another development version wrote it."""
    try:
        values = json.loads(body)
        header: dict[str, Any] = values["header"]
        tensors = tuple(Tensor(**{**it, "shape": tuple(it["shape"])}) for it in header["tensors"])
        read = Header(**{**header, "kv_heads": tuple(header["kv_heads"]), "tensors": tensors})
        return Described(read, bytes.fromhex(values["digest"]))
    except (ValueError, TypeError, KeyError):
        return None
