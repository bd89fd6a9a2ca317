"""Where a user's ledger lies."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

VARIABLE = "RUNG_LEDGER"
OFF = "off"


def user_ledger() -> Path:
    """The file that `RUNG_LEDGER` names, else one among the user's data."""
    chosen = os.environ.get(VARIABLE)
    if chosen and chosen != OFF:
        return Path(chosen).expanduser().absolute()
    return user_data_path("rung", appauthor=False) / "ledger.sqlite3"
