"""Whether prompts or answers have changed since a certificate was made. Plain Python: a ladder in use may load it.

Both detectors are gamblers who bet against "nothing has changed". If that is true they rarely become rich: ever to
reach a fortune of 20, however long they play, has at most the probability 1/20 (Ville's inequality). A change may begin
at any row, so the money is spread over all of them: 1 / (k (k + 1)) of it waits for row k. Otherwise a gambler would be
ruined by the time the change comes (e-detectors: Shin, Ramdas and Rinaldo 2023, arXiv 2203.03532).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from random import Random

from rung.checking import real

VOID = 20.0
"""Fortune at which a certificate is void, or a warning is due. Chance reaches it in at most one of 20 uses, ever."""

_WEALTH = 1e300
"""Most that a gambler keeps: far above any use, and a sum of a few is still finite."""

_RATES = (1.5, 2.0, 3.0, 5.0, 8.0)
"""Multiples of the limit that the detector of losses is prepared for. Each gets a fifth of its money."""

_TILTS = (-1.9, -1.3, -0.7, 0.7, 1.3, 1.9)
"""How much the detector of scores bets on high or low ranks; the most is 2."""

_SURELY = 1.2816
"""Standard deviations above the mean of a normal distribution below which nine tenths of it are."""


class _Fortune:
    """What several gamblers own together. A share of each one's money waits for every later row."""

    __slots__ = ("_owned", "best", "rows")

    def __init__(self, gamblers: int) -> None:
        self._owned = [0.0] * gamblers
        self.rows = 0
        self.best = 1.0

    @property
    def value(self) -> float:
        """What they own now, including the money that still waits; 1 at the start."""
        return sum(self._owned) / len(self._owned) + 1 / (self.rows + 1)

    def bet(self, factors: Iterable[float]) -> None:
        """Bet on one more row: each gambler's money grows by its factor."""
        self.rows += 1
        joins = 1 / (self.rows * (self.rows + 1))
        self._owned = [(own + joins) * by for own, by in zip(self._owned, factors, strict=True)]
        value = self.value
        self.best = max(self.best, value)
        if value > _WEALTH:
            self._owned = [min(own, _WEALTH) for own in self._owned]


class LossDrift:
    """An e-process on shadow losses: has the loss risen above the promised limit?

        drift = LossDrift(0.03)
        drift.add(False)
        drift.void

    Add every request that was drawn for a shadow, in time order. A request that was sent up has no loss. A request
    whose shadow was dropped has one. The draw doesn't look at the answer, so these requests are a fair sample of all,
    whatever the probability of the draw.

    Args:
        limit: the promised share of requests that are lost.

    Raises:
        ConfigError: the limit isn't between 0 and 1.
    """

    def __init__(self, limit: float) -> None:
        self.limit = real("limit", limit, 0, 1, above=True, below=True)
        kept, lost = ([1 + stake * (loss - self.limit) for stake in _stakes(self.limit)] for loss in (0, 1))
        self._kept, self._lost = kept, lost
        self._fortune = _Fortune(len(kept))

    def add(self, lost: bool) -> None:
        """Add a request that was drawn for a shadow."""
        self._fortune.bet(self._lost if lost else self._kept)

    @property
    def rows(self) -> int:
        """Number of requests that were added."""
        return self._fortune.rows

    @property
    def evidence(self) -> float:
        """How strongly the losses contradict the limit: 1 is not at all, at 20 the certificate is void."""
        return self._fortune.best

    @property
    def void(self) -> bool:
        """Whether the certificate no longer holds. It stays void: only a new calibration helps."""
        return self.evidence >= VOID


def loss_delay(limit: float, rate: float, after: int = 0) -> int | None:
    """Rows after which a rise of the loss is found in nine of ten cases.

        loss_delay(0.05, 0.15, after=500)

    Let g and s be mean and standard deviation of what a row adds to the logarithm of a gambler's fortune. The money
    that waited for row k has to grow by 20 k (k + 1) m, for m gamblers. So n is the least number of rows with
    n g - 1.28 s sqrt(n) >= log(20 k (k + 1) m). That is conservative: half of the rises are found in about a quarter
    of it. Rows are requests that were drawn for a shadow: at a share of 5%, each stands for twenty requests.

    Args:
        limit: the promised loss.
        rate: the loss after the change.
        after: rows before the change.

    Returns:
        The rows; `None` if the rate doesn't exceed the limit enough to be found.

    Raises:
        ConfigError: a number is out of range.
    """
    real("limit", limit, 0, 1, above=True, below=True)
    real("rate", rate, 0, 1)
    outcomes = ((rate, 1.0), (1 - rate, 0.0))
    growths = [
        _moments([(chance, math.log(1 + stake * (lost - limit))) for chance, lost in outcomes if chance > 0])
        for stake in _stakes(limit)
    ]
    return _delay(growths, after)


class ScoreDrift:
    """A conformal martingale on scores: do new scores look like those that the certificate was made with?

    It only warns, because scores may change while answers stay as good. Each score is ranked among all before it, ties
    at random. While nothing changes, ranks are uniform and independent (Vovk et al. 2005, "Algorithmic Learning in a
    Random World", theorem 8.2). The bets are on ranks that are too high or too low.

    Args:
        scores: of the rows that the certificate was made with.
        seed: for ranking ties at random.
    """

    def __init__(self, scores: Iterable[float], seed: int = 0) -> None:
        self._seen = sorted(scores)
        self._random = Random(seed)
        self._fortune = _Fortune(len(_TILTS))

    def add(self, score: float) -> None:
        """Add a score, in time order."""
        low, high = bisect_left(self._seen, score), bisect_right(self._seen, score)
        rank = (low + self._random.random() * (high - low + 1)) / (len(self._seen) + 1)
        self._fortune.bet(1 + tilt * (rank - 0.5) for tilt in _TILTS)
        insort(self._seen, score)

    @property
    def rows(self) -> int:
        """Number of scores that were added."""
        return self._fortune.rows

    @property
    def evidence(self) -> float:
        """How strongly the scores speak for a change: 1 is not at all, at 20 a warning is due."""
        return self._fortune.best

    @property
    def warns(self) -> bool:
        """Whether scores have changed."""
        return self.evidence >= VOID


def score_delay(seen: int, higher: float, after: int = 0) -> int | None:
    """Rows after which a shift of the scores is found in nine of ten cases, if new scores are normal as before.

    New scores join those that they are ranked among, so a shift is harder to see the longer it lasts.

    Args:
        seen: scores that the certificate was made with.
        higher: probability that a new score is above an old one; 0.5 means no change.
        after: rows before the change.

    Returns:
        The rows; `None` if the shift is too small to be found before the new scores have become the usual ones.

    Raises:
        ConfigError: a number is out of range.
    """
    from statistics import NormalDist

    chance = real("higher", higher, 0, 1, above=True, below=True)
    normal = NormalDist()
    shift = math.sqrt(2) * normal.inv_cdf(chance)
    points = [normal.inv_cdf((step + 0.5) / _STEPS) + shift for step in range(_STEPS)]
    above = [normal.cdf(point) for point in points]
    own = [(step + 0.5) / _STEPS for step in range(_STEPS)]
    old = seen + after
    totals = [(0.0, 0.0)] * len(_TILTS)
    wanted = _wanted(after, len(_TILTS))
    rows = 0
    while rows < 20 * old + 1000:
        # the mixture changes slowly, so it is computed once for a fiftieth of the rows that it is made of
        step = max(1, (old + rows) // 50)
        part = rows / (old + rows) if old + rows else 1.0
        ranks = [(1 - part) * before + part * new for before, new in zip(above, own, strict=True)]
        totals = [
            (mean + step * moment[0], variance + step * moment[1])
            for (mean, variance), moment in zip(
                totals,
                (_moments([(1 / _STEPS, math.log(1 + tilt * (rank - 0.5))) for rank in ranks]) for tilt in _TILTS),
                strict=True,
            )
        ]
        rows += step
        if any(mean - _SURELY * math.sqrt(variance) >= wanted for mean, variance in totals):
            return rows
    return None


_STEPS = 200
"""Points of a distribution at which `score_delay` looks."""


def _stakes(limit: float) -> list[float]:
    """The best stake against a limit, for each multiple of it that the loss may have risen to (Kelly 1956)."""
    rates = [min(limit * times, (1 + limit) / 2) for times in _RATES]
    return [(rate - limit) / (limit * (1 - limit)) for rate in rates]


def _moments(outcomes: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean and variance of what happens with these chances."""
    mean = sum(chance * value for chance, value in outcomes)
    return mean, sum(chance * (value - mean) ** 2 for chance, value in outcomes)


def _wanted(after: int, gamblers: int) -> float:
    """Logarithm of what the money that waited for a row has to grow by."""
    return math.log(VOID * gamblers * (after + 1) * (after + 2))


def _delay(growths: list[tuple[float, float]], after: int) -> int | None:
    wanted = _wanted(after, len(growths))
    found = []
    for mean, variance in growths:
        if mean > 0:
            spread = _SURELY * math.sqrt(variance)
            found.append(((spread + math.sqrt(spread**2 + 4 * mean * wanted)) / (2 * mean)) ** 2)
    return math.ceil(min(found)) if found else None
