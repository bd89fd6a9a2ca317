"""Control tokens of a chat template in plain text: which of them leaked, and which the text is about.

An answer may rightly contain such tokens: code, HTML with `<s>`, an explanation of ChatML. So only patterns count that
such texts never show: a closing token without an opening one at the end of the answer, the whole answer inside one
turn, or the start of another turn.
"""

from __future__ import annotations

import re

_PAIRS = {
    "<|im_start|>": "<|im_end|>",
    "<start_of_turn>": "<end_of_turn>",
    "<|start_header_id|>": "<|eot_id|>",
    "[INST]": "[/INST]",
    "<<SYS>>": "<</SYS>>",
    "<s>": "</s>",
}
_ENDS = frozenset(_PAIRS.values())
_TOKEN = re.compile(
    r"<\|[A-Za-z_][\w▁ -]{0,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|<｜[^｜\n]{1,40}｜>|</?s>"
)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_ROLE = re.compile(r"\s*(?:system|user|assistant|model|tool)\b")


def leaked(text: str, prompt: str) -> str | None:
    """The first control token that isn't part of what an answer says.

    Args:
        text: the answer.
        prompt: what was asked. Tokens that occur in it may occur in the answer.
    """
    bare = _CODE.sub(lambda found: " " * len(found[0]), text).strip()
    prompted = {match[0] for match in _TOKEN.finditer(prompt)}
    found = [match for match in _TOKEN.finditer(bare) if match[0] not in prompted]
    if not found:
        return None
    first, last = found[0], found[-1]
    if not _TOKEN.sub("", bare).strip():
        return first[0]  # the answer is nothing but tokens
    if first.start() == 0 and first[0] in _PAIRS and _encloses(bare, first[0]):
        return first[0]
    if last.end() == len(bare) and not _is_closed(bare, last) and _is_glued(bare, last.start()):
        return last[0]
    return next((match[0] for match in found if _begins_a_turn(bare, match)), None)


def _begins_a_turn(bare: str, match: re.Match[str]) -> bool:
    """Whether a token begins another speaker's turn after text that was outside of any turn."""
    closing, at = _PAIRS.get(match[0]), match.start()
    if closing is None or not at or match[0] == "<s>" or not _ROLE.match(bare, match.end()):
        return False
    return bare.count(closing, 0, at) != bare.count(match[0], 0, at) or closing not in bare


def _encloses(bare: str, opening: str) -> bool:
    """Whether a text that begins with a token is one turn as a whole, or a turn that is never closed."""
    closing = _PAIRS[opening]
    if opening == "<s>":
        return closing not in bare or (bare.startswith("<s> ") and bare.endswith(closing))
    return bare.count(opening) == 1 and (closing not in bare or bare.endswith(closing))


def _is_closed(bare: str, last: re.Match[str]) -> bool:
    """Whether the closing token has an opening one before it."""
    opening = next((opening for opening, closing in _PAIRS.items() if closing == last[0]), None)
    return opening is not None and 0 < bare.count(last[0]) <= bare.count(opening)


def _is_glued(bare: str, at: int) -> bool:
    """Whether a token follows the text without being one of its words. `It ends with </s>` names a token."""
    before = bare[:at]
    return not before.endswith(" ") or before.rstrip()[-1:] in ".!?:;)]}\"'。"
