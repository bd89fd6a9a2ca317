"""The settings of a local tier, and the chat template file that one of them may name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rung import checking, files, threads
from rung.allowed import Converted, Flag, Integer
from rung.errors import ConfigError, TierTimeout, TierUnavailable
from rung.limits import Cancel, Deadline, MinP, TopP

_MOST_CONTEXT = 2**24
"""Tokens of a context: sixteen times as many as the longest that any model was trained for."""

_MOST_THREADS = 1024
"""Threads: more than any machine has cores that could decode together."""

_MOST_SLOTS = 64
"""Calls decoded together. A worker's memory is divided among them, and a CPU gains nothing beyond a few."""

_MOST_LAYERS = 1025
"""Layers on a GPU: one more than a GGUF file may have, for the output layer."""

_MOST_PREFIX_MIB = 2**20
"""MiB for prompt prefixes: a tebibyte, which fits into every byte count."""

_LONGEST_TEMPLATE = 1 << 20
"""Bytes of a file with a chat template. Those of real models have up to ten thousand."""


def model_setting(what: str, value: object) -> str | Path:
    """Check that a value is the name of a model or the path of its file.

    Args:
        what: name of the setting, for the error.
        value: the setting's value.

    Raises:
        ConfigError: it is neither.
    """
    if not isinstance(value, (str, Path)) or not str(value):
        raise ConfigError(f"{what} must be the name of a model or the path of a file")
    return value


def unicode_text(what: str, value: object) -> str:
    """Check that a value is a text that can be written as UTF-8.

    Args:
        what: name of the setting, for the error.
        value: the setting's value.

    Raises:
        ConfigError: it is of another type, or can't be written as UTF-8.
    """
    text = checking.text(what, value)
    if not is_unicode(text):
        raise ConfigError(f"{what} is not valid Unicode")
    return text


@dataclass(frozen=True, slots=True)
class LlamaSettings:
    """The settings of a local tier: what `rung.llama` takes, and the keys of a `[[tier]]` of the kind `llama`.

    The worker's interpreter isn't among them: an untrusted file must not name a program.

    Args:
        model: a catalogue name, the path of a GGUF file, or `hf:owner/repo/file.gguf@revision`.
        context: tokens that prompt and answer may take together, rounded up to a multiple of 256, and never more than
            the model was trained for. By default it begins with 4,096 and grows with what calls need, as far as the
            model and free memory allow.
        threads: number of threads that decode. By default it is one per physical core that no other program keeps busy,
            checked again twice a second.
        top_p: share of the probability mass that is kept, if the call sets none.
        min_p: least probability relative to the likeliest token's, if the call sets none.
        chat_template: Jinja, or the path of a file with it, instead of the GGUF file's own template.
        slots: number of calls that are decoded together. By default it follows from memory, up to 8.
        gpu_layers: number of the model's layers that go to a GPU; 0 keeps the model on the CPU. By default it is as
            many as fit, if the build of llama-cpp-python supports a GPU.
        thinking: whether a model may think aloud if it can be told not to. A thought isn't part of the answer, and no
            schema applies to it.
        prefix_mib: disk space for the evaluated beginnings of prompts that messages mark as reusable, in the user's
            cache folder; 0 keeps none.
    """

    model: Annotated[str | Path, Converted(model_setting)]
    context: Annotated[int, Integer(1, _MOST_CONTEXT, "tokens")] | None = None
    threads: Annotated[int, Integer(1, _MOST_THREADS)] | None = None
    top_p: Annotated[float, TopP] | None = None
    min_p: Annotated[float, MinP] | None = None
    chat_template: Annotated[str, Converted(unicode_text)] | None = None
    slots: Annotated[int, Integer(1, _MOST_SLOTS)] | None = None
    gpu_layers: Annotated[int, Integer(0, _MOST_LAYERS)] | None = None
    thinking: Flag = False
    prefix_mib: Annotated[int, Integer(0, _MOST_PREFIX_MIB, "MiB")] = 0


def read_template(given: str, deadline: Deadline, cancel: Cancel) -> str:
    """Read the chat template that a setting gives.

    Args:
        given: Jinja, or the path of a file with it.
        deadline: when to stop waiting for the file.
        cancel: ends the wait at once.

    Raises:
        TierUnavailable: the file can't be read, is too large, or is not a regular one.
        TierTimeout: the deadline passed.
        Cancelled: the flag was set.
    """
    if "{" in given:
        return given
    hint = "see chat_template: Jinja, or the path of a file with it"

    def read() -> str:
        path = files.full(given, "the chat template")
        return files.read_bounded(path, _LONGEST_TEMPLATE, "the chat template").decode("utf-8")

    try:
        # Reading from a file system that doesn't respond would block this thread.
        return threads.run(read, deadline, cancel)
    except ConfigError as error:
        raise TierUnavailable(error.message, hint=error.hint or hint) from None
    except UnicodeDecodeError:
        raise TierUnavailable(f"the chat template {given} can't be read: it is not UTF-8", hint=hint) from None
    except threads.Abandoned:
        raise TierTimeout(f"the chat template {given} wasn't read before the deadline", billed="no") from None


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8. Half of a surrogate pair can't be."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
