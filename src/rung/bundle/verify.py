"""Whether a kit is what its manifest says, without installing it."""

from __future__ import annotations

from pathlib import Path

from rung.bundle.install import Manifest, Refused, archive, damaged_parts, read_manifest, sha256_of


def verify(folder: Path) -> tuple[Manifest | None, list[str]]:
    """Hash everything in a kit.

    Args:
        folder: of the kit.

    Returns:
        Its manifest, `None` where that can't be read; and what is wrong, a clause each.
    """
    try:
        manifest = read_manifest(folder)
    except Refused as refused:
        return None, [str(refused)]
    wrong = damaged_parts(folder, manifest)
    try:
        with (folder / "install.py").open("rb") as file:
            if sha256_of(file) != manifest.installer:
                wrong.append("install.py is damaged: its sha256 is not the one in the manifest")
    except OSError:
        wrong.append("install.py is missing")
    return manifest, wrong or _damaged_members(folder, manifest)


def _damaged_members(folder: Path, manifest: Manifest) -> list[str]:
    """For parts that are whole and were packed wrong."""
    try:
        with archive(folder, manifest) as members:
            return [f"{file.path} is damaged" for file, source in members if sha256_of(source) != file.sha256]
    except Refused as refused:
        return [str(refused)]
