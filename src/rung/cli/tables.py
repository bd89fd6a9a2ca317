"""Aligned columns, for a terminal and as readable in a file."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rung.visible import line

UNKNOWN = "-"


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """A table.

    Args:
        heads: heads of the columns.
        rows: the cells of each row.
        words: number of columns from the left that contain words. The others contain numbers, aligned to the right.
    """
    # made visible before the widths are measured: escapes take room, and a line break would forge a row
    heads, rows = [line(head) for head in heads], [[line(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in (heads, *rows)) for n in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n < words else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    )


def money(amount: Decimal | None) -> str:
    """US dollars, to a hundredth of a cent if that loses nothing."""
    if amount is None:
        return "unknown"
    return f"${amount:f}" if amount % Decimal("0.01") else f"${amount:.2f}"
