"""Whether a kit is what its manifest says, without installing it or running anything of it."""

from __future__ import annotations

from pathlib import Path

from rung.bundle.install import (
    Manifest,
    Refused,
    damaged_installer,
    damaged_members,
    damaged_parts,
    read_manifest,
    visible,
)


def verify(folder: Path) -> tuple[Manifest | None, list[str]]:
    """Hash everything in a kit.

    Args:
        folder: of the kit.

    Returns:
        Its manifest, `None` where that can't be read; and what is wrong, a clause each, which can't steer a terminal.
    """
    try:
        manifest = read_manifest(folder)
    except Refused as refused:
        return None, [str(refused)]
    try:
        wrong = damaged_parts(folder, manifest) + damaged_installer(folder, manifest)
        # for parts that are whole and were packed wrong
        wrong = wrong or damaged_members(folder, manifest)[0]
    except OSError as error:
        wrong = [f"{error.filename or folder}: {error.strerror or error}"]
    return manifest, [visible(text) for text in wrong]
