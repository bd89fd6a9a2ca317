"""Amounts of memory and disk as people read them."""

from __future__ import annotations


def readable(size: int) -> str:
    """A number of bytes in decimal units, as disks and downloads are sold: `98 MB`, `1.1 GB`.

    Args:
        size: in bytes.
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
