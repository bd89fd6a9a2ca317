"""Which option a short answer means, ignoring case, quotes and full stops."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from rung.contract.extraction import undecorated

_LONGEST_OPTION = 4000
"""Characters of a text that is compared with the options in forms other than its own. No option is longer."""
_BULLET = re.compile(r"\A\s*(?:[-*•]|\(?\w\))\s+")
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


def meant(forms: Sequence[str], options: Sequence[str]) -> str | None:
    """The one option that an answer names, exactly or as people write it; `None` if it names none or several.

    Args:
        forms: the answer as it is, and without decoration around it.
        options: the allowed ones.
    """
    for form in forms:
        if form in options:
            return form
    for option_form, answer_form in ((undecorated, undecorated), (_folded, _folded), (_folded, _unpunctuated)):
        named: dict[str, set[str]] = {}
        for option in options:
            named.setdefault(option_form(option), set()).add(option)
        found = set().union(*(named.get(answer_form(form), ()) for form in forms if len(form) <= _LONGEST_OPTION))
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def truth_of(text: str) -> bool | None:
    """The truth value that a word stands for; `None` for any other word."""
    word = meant((text,), tuple(_TRUTHS))
    return None if word is None else _TRUTHS[word]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", undecorated(text)).casefold()


def _unpunctuated(text: str) -> str:
    """The text without a bullet in front and without brackets around it. Signs stay: -5 is not 5."""
    return _BULLET.sub("", _folded(text)).strip("()[]{}:;,.!?… ")
