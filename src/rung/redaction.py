"""Masking private values before a prompt leaves the machine, and putting them back into the answer."""

from __future__ import annotations

import itertools
import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from rung.types import Image, Message, Text

__all__ = [
    "redact",
]

_KINDS = ("EMAIL", "CARD", "IBAN", "KEY")
_TAG_LETTERS = "XYZQJKVW"

_EMAIL = re.compile(
    r"(?<![\w%+-])[\w%+-][\w.%+'-]{0,254}+@"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,126}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})",
    re.IGNORECASE,
)
_GROUPS = re.compile(r"(?<![\w.,])\d+(?:[ \u00a0-]\d+)*(?!\w)")
_GROUP = re.compile(r"\d+")
_CARD_DIGITS, _CARD_GROUPS = range(13, 20), 5
_IBAN = re.compile(r"(?<![^\W_])[A-Z]{2}\d{2}(?=[ \u00a0-]?[A-Z0-9])", re.IGNORECASE | re.ASCII)
_PART = re.compile(r"[A-Za-z0-9]+")
_IBAN_LENGTH = range(15, 35)
_IBAN_DIGITS = str.maketrans({letter: str(value) for value, letter in enumerate(string.ascii_uppercase, 10)})
_KEYS = tuple(
    re.compile(pattern)
    for pattern in (
        # keys with a prefix that their issuer gives them so that scanners can find them
        r"\b(?:sk|pk|rk)[-_][\w-]{16,}",
        r"\b(?:gh[oprsu]_|github_pat_|glpat-|hf_|npm_|pypi-|xox[a-z]-|ya29\.|SG\.)[\w.-]{15,}\w",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bAIza[\w-]{35}",
        # from the start of a run of letters only, since a search from each "eyJ" in it would be quadratic
        r"(?<![\w-])(?=[\w-]++\.[\w-]{8})[\w-]*?\b(eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)",
        # keys that are recognised by the words before them
        r"(?i:\b(?:bearer|basic)\s+)([\w.~+/-]{15,}[\w/+]=*)",
        r"(?i:(?:key|token|secret)[\"']?\s*[:=]\s*[\"']?)((?=[\w.~+/-]{0,80}\d)(?=[\w.~+/-]{0,80}[A-Za-z])[\w.~+/-]{11,}[\w/+]=*)",
        r"(?i)(?<![\w-])[0-9a-f]{32,}(?![\w-])",
    )
)
_ESCAPES = re.compile(r"\\[bfnrt]")
_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
_LEAST_BITS = 4.4
"""Bits per character from which a long mix of letters and digits counts as random. Words and paths have fewer."""


def redact(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], Callable[[str], str]]:
    """Mask e-mail addresses, card numbers, IBANs and what looks like an API key. The answer gets the real values back.

        masked, restore = rung.redact((rung.Message("user", "Write to jo@example.org"),))
        masked[0].text  # Write to [EMAIL_1]
        restore("I wrote to [EMAIL_1].")  # I wrote to jo@example.org.

    Each value becomes a placeholder like `[EMAIL_1]`, the same one everywhere in a request. If the messages contain
    such a text already, the placeholders are named so that nothing in the messages can be mistaken for one.

    A card number is recognised by its check digit (ISO/IEC 7812-1, Luhn), an IBAN by its own (ISO 13616, mod 97), a key
    by its issuer's prefix, by a word like "token:" before it, or by being long and random.

    It misses names, postal addresses, phone numbers, dates, account numbers other than IBANs, passwords, and short keys
    without a known prefix; anything in a picture; values that are split over lines, spelt out ("bob at example dot
    com"), percent-encoded or otherwise encoded; addresses with quotes or spaces before the `@`; and the names of a
    schema's fields. And it hides a value, not what the text around it says about the person.

    Args:
        messages: everything that would be sent, including instructions and feedback.

    Returns:
        The masked messages, and a function that puts the real values back into an answer.
    """
    vault = _Vault(_unused_tag(messages))
    return tuple(_masked(message, vault) for message in messages), vault.restore


def _masked(message: Message, vault: _Vault) -> Message:
    content: str | tuple[Text | Image, ...]
    if isinstance(message.content, str):
        content = vault.mask(message.content)
    else:
        content = tuple(Text(vault.mask(part.text)) if isinstance(part, Text) else part for part in message.content)
    calls = tuple(replace(call, arguments=vault.mask(call.arguments)) for call in message.tool_calls)
    return replace(message, content=content, tool_calls=calls)


def _unused_tag(messages: tuple[Message, ...]) -> str:
    """Letters that make placeholders different from everything in the messages."""
    texts = [m.text for m in messages] + [call.arguments for m in messages for call in m.tool_calls]
    whole = "\n".join(texts).upper().replace("\\", "")
    used = set(re.findall(rf"(?:{'|'.join(_KINDS)})([{_TAG_LETTERS}]*)_", whole))
    for length in itertools.count():
        for letters in itertools.product(_TAG_LETTERS, repeat=length):
            tag = "".join(letters)
            if tag not in used:
                return tag
    raise AssertionError("there is no end of letters")


@dataclass(slots=True)
class _Vault:
    """The values of one request and their placeholders.

    Args:
        tag: letters that are part of each placeholder.
    """

    tag: str
    _names: dict[str, str] = field(default_factory=dict, repr=False)
    _values: dict[str, str] = field(default_factory=dict, repr=False)
    _counts: Counter[str] = field(default_factory=Counter, repr=False)

    def mask(self, text: str) -> str:
        parts, at = [], 0
        # in JSON text, the n of an escaped line break is not a letter of the next word
        for begin, end, kind in _spans(_ESCAPES.sub("  ", text)):
            parts += [text[at:begin], f"[{self._name(text[begin:end], kind)}]"]
            at = end
        return "".join((*parts, text[at:]))

    def restore(self, text: str) -> str:
        """The text with the real values. Models drop the brackets, change the case, or escape the underscore
        (Markdown).
        """
        name = rf"(?:{'|'.join(_KINDS)}){self.tag}\\?_\d+"
        return re.sub(rf"\[({name})\]|(?<![^\W_])({name})(?!\w)", self._real, text, flags=re.IGNORECASE)

    def _name(self, value: str, kind: str) -> str:
        name = self._names.get(value)
        if name is None:
            self._counts[kind] += 1
            name = self._names[value] = f"{kind}{self.tag}_{self._counts[kind]}"
            self._values[name] = value
        return name

    def _real(self, found: re.Match[str]) -> str:
        name = (found[1] or found[2]).upper().replace("\\", "")
        return self._values.get(name, found[0])


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    """What to mask: begin, end and kind, in order. Overlapping finds are merged."""
    begin = end = -1
    kind = ""
    for found in sorted(_finds(text), key=lambda f: (f[0], -f[1])):
        if found[0] < end:
            end = max(end, found[1])
            continue
        if kind:
            yield begin, end, kind
        begin, end, kind = found
    if kind:
        yield begin, end, kind


def _finds(text: str) -> Iterator[tuple[int, int, str]]:
    yield from ((*m.span(), "EMAIL") for m in _EMAIL.finditer(text))
    for match in _IBAN.finditer(text):
        end = _iban_end(text, match.start())
        if end:
            yield match.start(), end, "IBAN"
    for match in _GROUPS.finditer(text):
        yield from ((match.start() + begin, match.start() + end, "CARD") for begin, end in _cards(match[0]))
    for pattern in _KEYS:
        yield from ((*m.span(m.lastindex or 0), "KEY") for m in pattern.finditer(text))
    yield from ((*m.span(), "KEY") for m in _RANDOM.finditer(text) if _is_random(m[0]))


def _iban_end(text: str, begin: int) -> int:
    """Where the IBAN that begins there ends; 0 if none does. Words that follow it may look like a part of it."""
    length, digits, at, end = 0, "", begin, 0
    for part in _PART.finditer(text, begin):
        length += len(part[0])
        if text[at : part.start()] not in ("", " ", "\u00a0", "-") or length > _IBAN_LENGTH[-1]:
            break
        digits, at = digits + part[0].upper().translate(_IBAN_DIGITS), part.end()
        # the two letters of the country become four digits, and move to the end together with the check digits
        if length in _IBAN_LENGTH and int(digits[6:] + digits[:6]) % 97 == 1:
            end = at
    return end


def _cards(text: str) -> Iterator[tuple[int, int]]:
    """The card numbers among consecutive groups of digits. A date or a count may stand beside one.

    From every group the longest number that fits is taken, so that no card number is hidden by one that fits by chance.
    """
    groups = [m.span() for m in _GROUP.finditer(text)]
    for first, (begin, _) in enumerate(groups):
        digits, found = "", 0
        for group in groups[first : first + _CARD_GROUPS]:
            digits += text[slice(*group)]
            if len(digits) > _CARD_DIGITS[-1]:
                break
            if len(digits) in _CARD_DIGITS and _luhn(digits):
                found = group[1]
        if found:
            yield begin, found


def _luhn(digits: str) -> bool:
    doubled = (int(d) * (1 + n % 2) for n, d in enumerate(reversed(digits)))
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _is_random(text: str) -> bool:
    mixed = any(c.isdigit() for c in text) and any(c.islower() for c in text) and any(c.isupper() for c in text)
    return mixed and _bits(text) >= _LEAST_BITS


def _bits(text: str) -> float:
    """Shannon entropy of the characters, in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
