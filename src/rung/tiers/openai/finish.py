"""Why an answer ended: translating the endpoint's word into ours."""

from __future__ import annotations

import re
from typing import Literal

from rung.hiding import looks_like_key
from rung.types import Finish

Ending = Finish | Literal["broken"]
"""`broken` means that the endpoint itself gave the answer up."""

_EXACT: dict[str, Finish] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "function_call"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "refusal"), "refusal"),
}
# Parts of words that endpoints are known to use, in the order in which they decide: `ERROR_TOXIC` is a refusal,
# `ERROR_LIMIT` a limit, and `incomplete` isn't a completion.
_PARTS: tuple[tuple[Ending, re.Pattern[str]], ...] = (
    (
        "refusal",
        re.compile(
            "filter|safety|refus|sensitive|block|prohibit|policy|guardrail|toxic|recitation|spii|moderat|censor"
        ),
    ),
    ("length", re.compile("length|limit|max|truncat|incomplete|context|window|cut")),
    (
        "broken",
        re.compile("error|abort|cancel|fail|time.?out|timed|interrupt|resource|malform|disconnect|killed|crash"),
    ),
)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,39}", re.ASCII)


def ending(word: object) -> Ending | None:
    """What a finish reason means; `None` for one that nobody knows, or that isn't text.

    Args:
        word: the endpoint's word.
    """
    if not isinstance(word, str):
        return None
    plain = word.strip().lower().replace("-", "_")
    if plain in _EXACT:
        return _EXACT[plain]
    if plain.startswith(("stop", "eos", "end", "complete", "finish", "done")):
        return "stop"
    return next((ending for ending, part in _PARTS if part.search(plain)), None)


def is_usual(word: object) -> bool:
    """Whether the word needs no remark."""
    return isinstance(word, str) and word in _EXACT


def shown(word: object) -> str:
    """The word as a message may repeat it: nothing but what looks like the name of a reason, since an endpoint may put
    anything there.
    """
    if isinstance(word, str) and _WORD.fullmatch(word) and not looks_like_key(word):
        return repr(word)
    return "one that isn't a single word" if isinstance(word, str) else "one that isn't text"
