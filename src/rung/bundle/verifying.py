"""Checking that a kit is what its manifest says. It isn't installed, and nothing in it is run."""

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
        folder: folder of the kit.

    Returns:
        Its manifest, or `None` if that can't be read; and what is wrong, in one clause each, as text that can't control
        a terminal.
    """
    try:
        manifest = read_manifest(folder)
    except Refused as refused:
        return None, [str(refused)]
    try:
        wrong = damaged_parts(folder, manifest) + damaged_installer(folder, manifest)
        # for parts that are intact but were packed wrong
        wrong = wrong or damaged_members(folder, manifest)[0]
    except OSError as error:
        wrong = [f"{error.filename or folder}: {error.strerror or error}"]
    return manifest, [visible(text) for text in wrong]
