"""Where a user's ledger lies."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from rung.files import full

VARIABLE = "RUNG_LEDGER"
OFF = "off"


def user_ledger() -> Path:
    """The file that `RUNG_LEDGER` names, else one among the user's data.

    Raises:
        ConfigError: what it names can't be a file.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen and chosen != OFF:
        return full(chosen, VARIABLE).absolute()
    return user_data_path("rung", appauthor=False) / "ledger.sqlite3"
