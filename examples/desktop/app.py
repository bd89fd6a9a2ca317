"""Fields from an invoice, by small models on this computer. `python app.py --help` says how it starts."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import platformdirs
from PySide6.QtWidgets import QApplication
from shiboken6 import delete

import rung

# In a frozen app this process may be a model's worker: then it never gets past this line.
rung.freeze_support(end_with_launcher=True)

from asking import Asker
from parts import use_scheme
from window import Window


def ladder(models: list[str], consent: rung.Consent) -> rung.Ladder:
    """Local models, smallest first, and a paid one where a key is set. Nothing is sent without the dialogue's yes."""
    tiers: list[rung.Tier] = [rung.llama(model, context=2048) for model in models]
    if os.environ.get("OPENAI_API_KEY"):
        price = rung.Price(input=1.0, output=4.0)  # USD per million tokens: fill in what your endpoint charges
        tiers.append(rung.openai("gpt-5.4-mini", api_key=os.environ["OPENAI_API_KEY"], price=price))
    return rung.Ladder(*tiers, reach=rung.Zone.INTERNET, consent=consent)


def options() -> argparse.Namespace:
    """What the command line says."""
    words = argparse.ArgumentParser(description="Fields from an invoice, by models on this computer.")
    words.add_argument("file", nargs="?", type=Path, help="a text file with an invoice, to be read at once")
    words.add_argument("--once", action="store_true", help="print the fields of FILE as JSON, and end")
    words.add_argument("--home", default=platformdirs.user_data_path("rung-invoices", appauthor=False), metavar="DIR")
    words.add_argument("--model", action="append", metavar="NAME", help="a local model; repeat it, smallest first")
    words.add_argument("--scheme", choices=["light", "dark"], help="in place of the system's colour scheme")
    return words.parse_args()


def main(app: QApplication, chosen: argparse.Namespace) -> int:
    """Show the window until it is closed."""
    rung.home(chosen.home)  # models, ledger and caches of this app alone
    app.setApplicationName("Invoices")
    if chosen.scheme:
        use_scheme(app, dark=chosen.scheme == "dark")

    asker = Asker(lambda consent: ladder(chosen.model or ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"], consent))
    window = Window(asker, once=chosen.once)
    window.show()
    if chosen.file is not None:
        window.read(chosen.file.read_text(encoding="utf-8"))
    try:
        return app.exec() if window.ended is None else window.ended
    finally:
        asker.close()
        delete(window)  # before what it is connected to, in whatever order Python would let them go


if __name__ == "__main__":
    given = options()
    application = QApplication(sys.argv[:1])  # named here, because it has to outlive the window
    sys.exit(main(application, given))
