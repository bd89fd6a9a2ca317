"""Licences that have to be accepted before a file is fetched. What was accepted is kept in the store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from rung.errors import ConfigError, LicenceNotAccepted
from rung.settings import SettingsTable, read
from rung.store.entries import FREE
from rung.store.files import WantedModel
from rung.store.layout import Store, read_record, user_store, writing
from rung.writing import write_whole


class Acceptance(SettingsTable):
    """What somebody agreed to.

    Args:
        licence: SPDX identifier.
        text: address at which the text was to be read.
        at: time of the acceptance, in UTC.
    """

    licence: str
    text: str
    at: datetime


def asks(model: WantedModel, store: Store) -> bool:
    """Whether the licence of a model has still to be accepted."""
    return bool(model.licence) and model.licence not in FREE and _recorded(model, store) is None


def accept(model: WantedModel, *, store: Store | None = None) -> None:
    """Remember that the licence of a model was accepted. It holds for every model with the same licence.

        [gemma] = [it.model for it in models() if it.model.name == "gemma-3-1b"]
        accept(gemma)

    Raises:
        StoreError: the store can't be written.
    """
    store = store or user_store()
    if asks(model, store):
        accepted = Acceptance(licence=model.licence or "", text=model.licence_text, at=datetime.now(UTC))
        with writing(store.root):
            write_whole(_path(model, store), accepted.model_dump_json().encode())


def licence_text(model: WantedModel) -> str | None:
    """The text of a model's licence, where it comes with this package; `None` leaves `model.licence_text`, its address.

        [small] = [it.model for it in models() if it.model.name == "smollm2-135m"]
        licence_text(small).split()[:2]  # ['Apache', 'License']

    It comes with licences whose text is the same for everybody. Others hold names, or terms that change.
    """
    return apache().read_text(encoding="utf-8") if model.licence == "Apache-2.0" else None


def apache() -> Path:
    """The file with the text of Apache-2.0, which is the licence of this project and of most models."""
    packed = Path(__file__).with_name("texts") / "LICENSE"
    # In a source checkout it is the project's own.
    return packed if packed.is_file() else Path(__file__).parents[3] / "LICENSE"


def demand(model: WantedModel, store: Store) -> None:
    """Refuse to fetch a model whose licence asks for acceptance and was not accepted.

    Raises:
        LicenceNotAccepted: it was not accepted.
    """
    if asks(model, store):
        raise LicenceNotAccepted(
            f"{model.name!r} has the licence {model.licence}, which asks for acceptance",
            hint=f"read {model.licence_text}, then run `{model.command} --accept-licence {model.licence}`",
        )


def _recorded(model: WantedModel, store: Store) -> Acceptance | None:
    path = _path(model, store)
    try:
        found = read(Acceptance, read_record(path), str(path))
    except (ValueError, TypeError, ConfigError):
        return None
    # Another text is another licence, whatever its name.
    return found if (found.licence, found.text) == (model.licence, model.licence_text) else None


def _path(model: WantedModel, store: Store) -> Path:
    return store.root / "licences" / f"{quote(model.licence or '', safe='')}.json"
