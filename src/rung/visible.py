r"""Text from elsewhere, made harmless for a terminal: what controls the terminal, or can't be seen, becomes visible.

A model, an endpoint, a file, a ledger or a configuration may contain escape sequences, characters that reverse the
direction of writing, and characters without a width, in which a second text can hide. Each is written as an escape
(`\x1b`, `\u202e`). There are three ways: `plain` for text, `line` for what must stay on one line, `ascii_` for what a
person decides by.
"""

from __future__ import annotations

import re
import unicodedata

# Besides the control characters (except newline and tab), by code point:
#   00ad          soft hyphen
#   034f          combining grapheme joiner
#   061c 200e 200f 202a-202e 2066-2069   direction marks, embeddings, overrides, isolates
#   115f 1160 3164 ffa0                  Hangul fillers
#   17b4 17b5 180b-180f                  Khmer and Mongolian characters without a width
#   200b-200d 2060-2065 206a-206f feff   characters without a width, and deprecated ones
#   2028 2029     line and paragraph separator
#   fff0-fffb     interlinear annotation, and what is not assigned beside it
#   1bca0-1bca3 1d173-1d17a              formatting of shorthand and music
#   e0000-e0fff   tags, further variation selectors, and what is not assigned beside them
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\ud800-\udfff]"
)
_ZWNJ, _ZWJ = "\u200c", "\u200d"
_VARIATIONS = "".join(map(chr, range(0xFE00, 0xFE10)))
_IDEOGRAPHS = ("\u3400-\u9fff", "\uf900-\ufaff", "\U00020000-\U0003ffff")
_VARYING = ("\u1000-\u109f", *_IDEOGRAPHS)
"""Letters that a variation selector can follow: Myanmar and Chinese."""
_IDEOGRAPHIC_VARIATIONS = ("\U000e0100-\U000e01ef",)
_EMOJI_MODIFIERS = ("\U0001f3fb-\U0001f3ff",)
_JOINING = ("\u0600-\u0dff", "\u0f00-\u109f", "\u1780-\u18af", "\ufb50-\ufdff", "\ufe70-\ufefc")
"""Scripts that need the joiners to be written correctly: Arabic and its neighbours, and those in and around India."""


def plain(text: str) -> str:
    r"""Text of any number of lines; `\r\n` is an ordinary line break.

    A joiner stays between two letters of a script that needs it (Persian, Hindi) and in an emoji. One variation
    selector stays after a character that has variants. No second text can be hidden in what is left.
    """
    text = text.replace("\r\n", "\n")
    return _HIDDEN.sub(lambda match: match[0] if _belongs(text, match.start()) else _escaped(match[0]), text)


def line(text: str) -> str:
    r"""The same for text that must stay on one line: line breaks and tabs become visible too."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def ascii_(text: str) -> str:
    """The same for what a person decides by, such as a host: no letter looks like another or runs right to left."""
    return "".join(c if " " <= c <= "~" else _escaped(c) for c in text)


def json_escaped(text: str) -> str:
    """JSON with harmless strings that still say the same."""
    return _HIDDEN.sub(lambda match: match[0] if _belongs(text, match.start()) else _json_escape(ord(match[0])), text)


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return {"\n": "\\n", "\t": "\\t"}.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _belongs(text: str, at: int) -> bool:
    """Whether a character without a width is needed by the characters around it."""
    character = text[at]
    before = text[at - 1] if at else ""
    if character in _VARIATIONS:
        seen = bool(before) and not _HIDDEN.match(before) and not before.isspace()
        return seen and (not before.isalpha() or _among(before, _VARYING))
    if _among(character, _IDEOGRAPHIC_VARIATIONS):
        return _among(before, _IDEOGRAPHS)
    if character not in (_ZWNJ, _ZWJ):
        return False
    after = text[at + 1 : at + 2]
    if _letter(before) and _letter(after):
        return True
    return character == _ZWJ and _pictured(text, at) and _picture(after)


def _letter(character: str) -> bool:
    """Whether a character is a letter, or a mark on one, of a script that needs joiners."""
    return _among(character, _JOINING) and unicodedata.category(character)[0] in "LM"


def _pictured(text: str, at: int) -> bool:
    """Whether an emoji ends just before `at`."""
    before = text[max(0, at - 3) : at].rstrip("\ufe0f")
    if _among(before[-1:], _EMOJI_MODIFIERS):
        before = before[:-1]
    return _picture(before[-1:])


def _among(character: str, ranges: tuple[str, ...]) -> bool:
    """Whether a character lies in one of some ranges, which begin and end with one. An expression would take each
    command longer to compile than it ever looks for anything."""
    return any(each[0] <= character <= each[2] for each in ranges)


def _picture(character: str) -> bool:
    return bool(character) and (
        unicodedata.category(character) == "So" or "\u2190" <= character <= "\u21ff"  # arrows are mathematical symbols
    )
