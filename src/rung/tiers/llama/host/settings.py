"""What a person can set for a local tier, and the file that a setting may name."""

from __future__ import annotations

from pydantic import Field

from rung import files, threads
from rung.errors import ConfigError, TierTimeout, TierUnavailable
from rung.limits import Cancel, Deadline
from rung.settings import SettingsTable

MOST_SLOTS = 64
MOST_LAYERS = 1025

_LONGEST_TEMPLATE = 1 << 20
"""Bytes of a file with a chat template. Those of models have up to ten thousand."""


class LlamaSettings(SettingsTable):
    """The keys of a `[[tier]]` table of the kind `llama`.

    The worker's interpreter is none of them: a file that nobody trusts must not name a program.
    """

    model: str
    context: int | None = Field(None, ge=1)
    threads: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, lt=1)
    chat_template: str | None = None
    slots: int | None = Field(None, ge=1, le=MOST_SLOTS)
    gpu_layers: int | None = Field(None, ge=0, le=MOST_LAYERS)
    thinking: bool = False
    prefix_mib: int = Field(0, ge=0, le=2**20)


def read_template(given: str, deadline: Deadline, cancel: Cancel) -> str:
    """The chat template that a setting means.

    Args:
        given: Jinja, or the path of a file that holds it.
        deadline: when to stop waiting for the file.
        cancel: ends the wait at once.

    Raises:
        TierUnavailable: the file can't be read, is too large, or is not a regular one.
        TierTimeout: the deadline passed.
        Cancelled: the flag was set.
    """
    if "{" in given:
        return given
    hint = "see chat_template: Jinja, or the path of a file that holds it"

    def read() -> str:
        path = files.full(given, "the chat template")
        return files.read_bounded(path, _LONGEST_TEMPLATE, "the chat template").decode("utf-8")

    try:
        # A file system that doesn't answer holds up whoever asks it.
        return threads.run(read, deadline, cancel)
    except ConfigError as error:
        raise TierUnavailable(error.message, hint=error.hint or hint) from None
    except UnicodeDecodeError:
        raise TierUnavailable(f"the chat template {given} can't be read: it is not UTF-8", hint=hint) from None
    except threads.Abandoned:
        raise TierTimeout(f"the chat template {given} wasn't read before the deadline", billed="no") from None


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: half of a surrogate pair can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
