"""Whether a value occurs in a source as a person would see it, where typography makes no difference.

A source is read once for all values, in time that grows linearly with its length.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

from rung.errors import Cancelled
from rung.types import CheckContext

_LONGEST_NUMBER = 100
"""Characters of the longest number that is looked up. People don't write longer ones."""

_SAME = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u02b9\u2032\u00b4`\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u300c\u300d", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d", "-"),
        # invisible characters: soft hyphens, joiners, direction marks, byte order marks
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\ufeff\u061c"),
        **dict.fromkeys(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xFE00, 0xFE10)))),
        # points and vowel signs that are optional in Hebrew and Arabic, and the stroke that only fills a line
        **dict.fromkeys(map(chr, (*range(0x0591, 0x05BE), 0x05BF, 0x05C1, 0x05C2, 0x05C4, 0x05C5, 0x05C7))),
        **dict.fromkeys(map(chr, (*range(0x064B, 0x0660), 0x0670, 0x0640))),
        **dict.fromkeys("\u0622\u0623\u0625\u0671", "\u0627"),
        # the dotless i, which is an ordinary one in capitals
        "\u0131": "i",
    }
)
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3005-\u3007\u3040-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of scripts without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, Tai, Chinese, Japanese."""

_KOREAN = (
    "은 는 이 가 을 를 의 에 에서 에게 에게서 께 께서 한테 로 으로 로서 으로서 로써 으로써 와 과 랑 이랑 하고 도 만 "
    "까지 부터 마다 조차 마저 밖에 처럼 보다 나 이나 며 이며 고 이고 라 이라 라고 이라고 라는 이라는 인 이다 다 "
    "입니다 이었다 였다 들 님 씨 쯤"
)
_AFTER = re.compile(f"(?:{'|'.join(sorted(_KOREAN.split(), key=len, reverse=True))}){{1,3}}")
"""Korean particles, which follow a noun without a space."""
_BEFORE = re.compile(
    "[\u05d5\u05d4\u05d1\u05dc\u05de\u05e9\u05db]{1,4}"
    "|[\u0648\u0641]?[\u0628\u0643\u0644\u0633]?(?:\u0627\u0644|\u0644)?"
)
"""Hebrew and Arabic particles, which stand before a word without a space: and, the, in, to, from, that, as."""
_BEFORE_LETTERS = re.compile("[\u0590-\u06ff]")
_GAP = re.compile(rf"\W|{_UNSPACED.pattern}")
_ARTICLE, _TO_THE = "\u0627\u0644", "\u0644\u0644"
"""Arabic's article, and its form after `to`."""
_LONGEST_PARTICLE = 8

_RUN = re.compile(r"\d+(?:[.,'_ \u066b\u066c\u00b7]\d+)*(?:[eE][+-]?\d{1,3}(?!\d))?")
"""Groups of digits with one separator between any two."""
_BETWEEN = re.compile(r"[.,'_ \u066b\u066c\u00b7]")
_GROUPS = re.compile(r"\d{1,3}(?:S\d{3})+|\d{1,2}(?:S\d{2})+S\d{3}".replace("S", r"([,.'_ \u066c])"))
_DECIMAL_POINTS = ".,\u066b\u00b7"


def plainly(text: str) -> str:
    """A text in the form that comparisons use: no difference of case, white space, typography or Unicode form."""
    folded = unicodedata.normalize("NFKC", text.translate(_SAME)).casefold().replace("i\u0307", "i")
    return " ".join(unicodedata.normalize("NFKC", folded.translate(_SAME)).split())


class Source:
    """A text in which values are looked up. It is read once for all of them.

    Args:
        text: the source.
        context: of the check. Its deadline and its cancel flag end a search.
    """

    def __init__(self, text: str, context: CheckContext) -> None:
        self._context = context
        self._words = plainly(text)
        self._numbers: set[Decimal] | None = None

    def has_number(self, value: int | float | Decimal) -> bool:
        """Whether a number occurs, in any notation."""
        if isinstance(value, int) and value.bit_length() > 4 * _LONGEST_NUMBER:
            return False
        return Decimal(str(value)) in self._known_numbers()

    def has_text(self, text: str) -> bool:
        """Whether a text occurs as whole words, not as parts of longer ones."""
        words = plainly(text)
        if not words or self._has_words(words):
            return True
        if words.startswith(_ARTICLE) and self._has_words(_TO_THE + words.removeprefix(_ARTICLE)):
            return True
        number = _decimal(words)
        return number is not None and number in self._known_numbers()

    def _known_numbers(self) -> set[Decimal]:
        if self._numbers is None:
            self._numbers = set()
            for count, number in enumerate(_numbers(self._words)):
                self._numbers.add(number)
                if count % 4096 == 0:
                    self._look()
        return self._numbers

    def _has_words(self, words: str) -> bool:
        source, at = self._words, self._words.find(words)
        for look in itertools.count(1):
            if at < 0:
                return False
            if self._begins(at, words[0]) and self._ends(at + len(words), words[-1]):
                return True
            if look % 64 == 0:
                self._look()
            at = source.find(words, self._next(at, words[0]))
        raise AssertionError("unreachable")

    def _next(self, at: int, first: str) -> int:
        """Where to search next. The rest of a word holds no match, unless the script has prefixed particles."""
        if not _is_of_word(first) or _UNSPACED.match(first) or _BEFORE_LETTERS.match(first):
            return at + 1
        gap = _GAP.search(self._words, at)
        return len(self._words) if gap is None else max(gap.end(), at + 1)

    def _begins(self, at: int, first: str) -> bool:
        """Whether a word may begin at this place."""
        before = self._words[at - 1 : at]
        if not _joins(before, first):
            return True
        near = self._words[max(at - _LONGEST_PARTICLE, 0) : at]
        start = len(near)
        while start and _is_of_word(near[start - 1]):
            start -= 1
        return (start > 0 or at <= _LONGEST_PARTICLE) and _BEFORE.fullmatch(near[start:]) is not None

    def _ends(self, at: int, last: str) -> bool:
        """Whether a word may end at this place."""
        after = self._words[at : at + 1]
        if _is_mark(after):
            return False  # the mark belongs to the last letter
        if not _joins(last, after):
            return True
        far = self._words[at : at + _LONGEST_PARTICLE + 1]
        end = next((n for n, letter in enumerate(far) if not _is_of_word(letter)), len(far))
        return end <= _LONGEST_PARTICLE and _AFTER.fullmatch(far[:end]) is not None

    def _look(self) -> None:
        if self._context.cancel.is_set():
            raise Cancelled("the caller cancelled")
        if self._context.deadline.passed:
            raise ValueError("the source could not be searched before the deadline")


def _joins(before: str, after: str) -> bool:
    """Whether two adjacent letters belong to one word."""
    if not before or not after or not (_is_of_word(before) and _is_of_word(after)):
        return False
    return not (_UNSPACED.match(before) or _UNSPACED.match(after))


def _is_of_word(letter: str) -> bool:
    return letter == "_" or letter.isalnum() or _is_mark(letter)


def _is_mark(letter: str) -> bool:
    return bool(letter) and unicodedata.category(letter) in ("Mn", "Mc")


def _numbers(text: str) -> Iterator[Decimal]:
    """The numbers that a text may mean, with and without a sign before them. No dash in `2024-03-05` is a sign."""
    for run in _RUN.finditer(text):
        begin = run.start()
        sign = text[begin - 1 : begin]
        for number in _readings(run[0]):
            yield number
            if sign == "-" and not text[begin - 2 : begin - 1].isalnum():
                yield -number
        if sign == "." and not text[begin - 2 : begin - 1].isdigit() and run[0].isdigit():
            yield from filter(None, [_decimal(f"0.{run[0]}")])


def _readings(run: str) -> Iterator[Decimal]:
    """The numbers that digits with separators may mean: `1.234,50` is 1234.5, `1,234` is 1234 or 1.234, and `1,2,3` is
    a list.
    """
    found = False
    if len(run) <= _LONGEST_NUMBER:
        for form in _forms(run):
            number = _decimal(form)
            if number is not None:
                found = True
                yield number
    if " " in run or not found:
        # spaces may separate numbers, and a run that isn't one number is a list, a date or a version
        for separator in (" ", ",", ".", "'", "_", "\u00b7", "\u066b", "\u066c"):
            if separator in run:
                for part in run.split(separator):
                    yield from _readings(part)
                return


def _forms(run: str) -> Iterator[str]:
    """A run of digits as Python writes numbers: no thousands separators, and a point before the decimals."""
    if not _BETWEEN.search(run):
        yield run
        return
    if _is_grouped(run):
        yield _BETWEEN.sub("", run)
    at = max(run.rfind(point) for point in _DECIMAL_POINTS)
    whole, decimals = run[:at], run[at + 1 :]
    if at > 0 and not _BETWEEN.search(decimals):
        if not _BETWEEN.search(whole):
            yield f"{whole}.{decimals}"
        elif _is_grouped(whole) and run[at] not in whole:
            yield f"{_BETWEEN.sub('', whole)}.{decimals}"


def _is_grouped(digits: str) -> bool:
    """Whether digits are in groups of three, or as in India of two with a last one of three, all with one separator."""
    return _GROUPS.fullmatch(digits) is not None and len(set(_BETWEEN.findall(digits))) == 1


def _decimal(form: str) -> Decimal | None:
    try:
        return Decimal(form) if len(form) <= _LONGEST_NUMBER and form[-1:].isdigit() else None
    except InvalidOperation:
        return None
