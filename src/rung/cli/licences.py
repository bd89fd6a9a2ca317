"""Licences that need acceptance: asked of the person at the terminal, or accepted on the command line."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rung.cli.output import Output
from rung.console import ask, is_terminal
from rung.visible import line

if TYPE_CHECKING:
    from rung.store import Store, WantedModel


def see_to(models: Sequence[WantedModel], store: Store, *, accepted: Collection[str], output: Output) -> None:
    """Have every licence that needs acceptance accepted, before anything is fetched.

    Args:
        models: the models to fetch.
        store: keeps what was accepted.
        accepted: licences that the command line accepts.
        output: where to ask.

    Raises:
        LicenceNotAccepted: one isn't accepted, or there is nobody to ask.
        ConfigError: the command line accepts a licence that none of the models has.
    """
    from rung.errors import ConfigError
    from rung.spelling import nearest
    from rung.store.files import in_store
    from rung.store.licences import accept, asks, demand

    theirs = {model.licence for model in models if model.licence}
    for licence in accepted:
        if licence not in theirs:
            raise ConfigError(f"none of these models has the licence {licence!r}", hint=nearest(licence, theirs))
    for model in models:
        here = in_store(model, store) is not None
        if here or not asks(model, store):
            continue
        if model.licence in accepted or _agreed(model, output):
            accept(model, store=store)
        demand(model, store)


def _agreed(model: WantedModel, output: Output) -> bool:
    if output.json or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        return False
    says = f"{line(model.name)} has the licence {line(model.licence or '')}. Its text: {line(model.licence_text)}"
    ask(f"{says}\nDo you accept it? [y]es, [n]o: ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
