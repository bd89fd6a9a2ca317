"""Testing the local tiers: each model file is hashed, loaded, and asked for one token."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rung.errors import StoreError, TierError
from rung.limits import Cancel, Deadline
from rung.sizes import readable
from rung.store import ModelFile, resolve, verify
from rung.store.layout import sha256_of
from rung.types import Call, Message

if TYPE_CHECKING:
    from rung.tier import Tier

_LONGEST_LOAD = 600.0


@dataclass(frozen=True, slots=True)
class TierTrial:
    """The result for one local tier. The seconds of a step that wasn't reached are `None`.

    Args:
        tier: the tier's name.
        model: as its table names it.
        path: the model file; `None` if there is none.
        bytes: size of the file.
        sha256: hash of the file's bytes.
        pinned: whether that is what the catalogue or the hub pinned. Nobody pins a file of your own.
        hash_seconds: seconds that hashing took.
        load_seconds: seconds until the model was loaded, including the start of its worker.
        token_seconds: seconds from then to the first token.
        notes: what the tier said besides its answer, as clauses.
        problem: what stood in the way, in a clause.
        hint: the command or setting that helps.
    """

    tier: str
    model: str
    path: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    pinned: bool = False
    hash_seconds: float | None = None
    load_seconds: float | None = None
    token_seconds: float | None = None
    notes: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""

    @property
    def answered(self) -> bool:
        """Whether a token came."""
        return self.token_seconds is not None


def tried(tier: Tier, model: str, *, loads: bool, report: Callable[[str], None], cancel: Cancel) -> TierTrial:
    """Try a tier, and end its worker afterwards, so that only one model at a time takes memory.

        trial = tried(rung.llama("smollm2-135m"), "smollm2-135m", loads=True, report=print, cancel=Cancel())
        print(trial.answered, trial.load_seconds, trial.problem)

    Args:
        tier: a local tier.
        model: as its table names it.
        loads: whether to load the model; otherwise its file is only hashed.
        report: told what is being done.
        cancel: ends the trial.

    Raises:
        Cancelled: `cancel` was set.
    """
    trial = TierTrial(tier.name, model)
    try:
        file = resolve(model)
        report(f"{tier.name}: hashing {readable(file.size)} …")
        trial = _hashed(trial, file, cancel)
        if loads:
            report(f"{tier.name}: loading {readable(file.size)} …")
            trial = _loaded(trial, tier, cancel)
    except (StoreError, TierError) as error:
        return replace(trial, problem=error.message, hint=error.hint)
    except OSError as error:
        return replace(trial, problem=f"the file of {model!r} can't be read: {error.strerror or error}")
    finally:
        tier.close()
    return trial


def _hashed(trial: TierTrial, file: ModelFile, cancel: Cancel) -> TierTrial:
    began = time.monotonic()
    sha256 = file.sha256
    if sha256 is None:
        sha256 = sha256_of(file.path, cancel=cancel, report=lambda _: None)
    else:
        verify(trial.model, cancel=cancel)
    return replace(
        trial,
        path=str(file.path),
        bytes=file.size,
        sha256=sha256,
        pinned=file.sha256 is not None,
        hash_seconds=time.monotonic() - began,
    )


def _loaded(trial: TierTrial, tier: Tier, cancel: Cancel) -> TierTrial:
    call = Call((Message("user", "Hello"),), max_tokens=1, deadline=Deadline.after(_LONGEST_LOAD), cancel=cancel)
    began = time.monotonic()
    deltas = list(tier.stream(call))
    load = sum(delta.load_seconds for delta in deltas)
    notes = tuple(note for delta in deltas for note in delta.notes)
    return replace(trial, load_seconds=load, token_seconds=time.monotonic() - began - load, notes=notes)
