"""From features to a score, chosen on fit rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from rung.errors import ConfigError
from rung.learn.arrays import Bools, Floats, Groups, Ints, truths_of, units_of
from rung.learn.extra import library
from rung.learn.metrics import auroc
from rung.types import Threshold

MOST_FEATURES = 6
"""Most features of a score. The features of one answer are much alike, and more of them fit noise."""

ROWS_PER_FEATURE = 10
"""Rows of the rarer class that each feature needs. With fewer, weights are mostly noise (Peduzzi et al. 1996)."""

FEWEST_ROWS = 50
"""Fewest fit rows for a fit: a third of the 150 rows that a calibration needs for that."""

_GAIN = 0.01
"""Cross-validated AUROC that several features must gain over the default one. Less is noise at a few hundred rows.
Besides, one feature is easier to explain, and holds better when prompts change.
"""

_CHANCE = 0.5
"""AUROC of a score that tells nothing. It is no gain to beat a feature that tells less than that."""

_ALIKE = 0.98
"""Correlation above which two features count as one."""

_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Fitted:
    """A score: how to compute it from features, and what the fit rows show about it.

    Args:
        weights: weight of each feature. One feature with the weight 1 is that feature itself.
        bias: added to the sum.
        curve: pairs of a score and the probability that such an answer agrees, for display only.
        auroc: of the score on the fit rows, cross-validated if several features were fitted; `None` if the rows are all
            of one class.
        rows: number of fit rows with a valid answer.
        agreeing: number of those that agree.
    """

    weights: Mapping[str, float]
    bias: float
    curve: tuple[tuple[float, float], ...] = field(repr=False)
    auroc: float | None
    rows: int
    agreeing: int

    def scores(self, features: Mapping[str, ArrayLike]) -> Floats:
        """The score of each row; minus infinity if a feature is NaN, as it is for answers that failed validation.

        Args:
            features: columns by name.

        Raises:
            ConfigError: a feature of the score is missing.
        """
        total: Floats | float = self.bias
        for name, weight in self.weights.items():
            if name not in features:
                raise ConfigError(f"the feature {name} is missing", hint="calibrate anew")
            total = total + weight * np.asarray(features[name], dtype=np.float64)
        found = np.asarray(total, dtype=np.float64)
        return np.where(np.isnan(found), -np.inf, found)

    def threshold(self, above: float, origin: str) -> Threshold:
        """The threshold that a ladder uses.

        Args:
            above: answers with a greater score are accepted.
            origin: where the figure comes from, in the words that the attempt shows.
        """
        return Threshold(above, dict(self.weights), self.bias, origin, curve=self.curve)


def fit(
    features: Mapping[str, ArrayLike],
    agrees: ArrayLike,
    *,
    default: str,
    groups: Groups | None = None,
    form: str | None = None,
) -> Fitted:
    """Fit the score that best tells which answers agree: the default feature, or several features if that pays.

        fitted = fit({"sum": sums, "mean": means}, agrees, default="sum")
        fitted.scores(certify_features)

    Several features go through a ridge logistic regression. It uses at most six, with at least ten rows of the rarer
    class for each, and only if that beats the default feature in cross-validation over groups.

    Args:
        features: columns by name. NaN in the default one marks a row whose answer failed validation. Other features
            that aren't finite in every valid row are left out.
        agrees: whether each answer agrees with the next tier's, or is right if that is known.
        default: the feature to use unless several are better.
        groups: label of each row's group.
        form: `one` or `several` forces the choice; by default it is made on these rows.

    Raises:
        ConfigError: a column is malformed, the default feature is missing, or the extra `eval` is missing.
    """
    if default not in features:
        raise ConfigError(f"the feature {default} is missing", hint=f"there are: {', '.join(sorted(features))}")
    if form not in (None, "one", "several"):
        raise ConfigError(f"{form} is not a form of score", hint="give one, several or nothing")
    target = truths_of("agrees", agrees)
    columns = {name: _feature(name, values, len(target)) for name, values in features.items()}
    valid = ~np.isnan(columns[default])
    good = target[valid]
    units = units_of(groups, len(target))[valid]
    usable = {name: column[valid] for name, column in columns.items() if np.isfinite(column[valid]).all()}
    one = columns[default][valid]
    alone = auroc(one, good) if len(good) and not np.isposinf(one).any() else None
    single = Fitted({default: 1.0}, 0.0, _curve(one, good), alone, len(good), int(good.sum()))
    if form == "one" or default not in usable or len(good) < FEWEST_ROWS or _room(good) < 2:
        return single
    crossed = _crossed(usable, good, units, default)
    if crossed is None or (form is None and crossed < max(alone or 0.0, _CHANCE) + _GAIN):
        return single
    weights, bias = _ridge(usable, good, default)
    score = sum((weight * usable[name] for name, weight in weights.items()), np.full(len(good), bias))
    return Fitted(weights, bias, _curve(score, good), crossed, len(good), int(good.sum()))


def _feature(name: str, values: ArrayLike, rows: int) -> Floats:
    column = np.asarray(values, dtype=np.float64)
    if column.shape != (rows,):
        raise ConfigError(f"the feature {name} has the shape {column.shape}, but {rows:,} rows are expected")
    return column


def _room(good: Bools) -> int:
    """How many features the rows can support."""
    return min(MOST_FEATURES, int(min(good.sum(), (~good).sum())) // ROWS_PER_FEATURE)


def _ridge(columns: Mapping[str, Floats], good: Bools, default: str) -> tuple[dict[str, float], float]:
    """Weights and bias of a ridge logistic regression on the most telling features, including the default one."""

    def telling(name: str) -> float:
        return abs((auroc(columns[name], good) or 0.5) - 0.5)

    chosen: list[str] = []
    scaled: list[Floats] = []
    for name in [default, *sorted(columns.keys() - {default}, key=lambda name: (-telling(name), name))]:
        width = columns[name].std()
        if len(chosen) == max(1, _room(good)) or width <= 0:
            continue
        column = (columns[name] - columns[name].mean()) / width
        if all(abs(float((column * other).mean())) < _ALIKE for other in scaled):
            chosen.append(name)
            scaled.append(column)
    if not chosen:
        return {default: 0.0}, 0.0
    # for features of unit width, scikit-learn's default strength shrinks little once there are ten rows for each
    model = library("sklearn.linear_model").LogisticRegression(C=1.0, solver="newton-cholesky")
    model.fit(np.column_stack(scaled), good)
    weights = {
        name: float(weight) / float(columns[name].std()) for name, weight in zip(chosen, model.coef_[0], strict=True)
    }
    bias = float(model.intercept_[0]) - sum(weight * float(columns[name].mean()) for name, weight in weights.items())
    return weights, bias


def _crossed(columns: Mapping[str, Floats], good: Bools, units: Ints, default: str) -> float | None:
    """AUROC of several features on rows that took no part in choosing and weighing them; `None` if there are too few
    groups.
    """
    score = np.zeros(len(good))
    several = len(np.unique(units))
    if several < _FOLDS:
        return None
    splitters = library("sklearn.model_selection")
    if several == len(units):  # the splitter for groups would look at one row after the other, and splits no better
        parts = splitters.StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(score, good)
    else:
        parts = splitters.StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0).split(score, good, units)
    for train, test in parts:
        if len(np.unique(good[train])) < 2:
            return None
        weights, bias = _ridge({name: column[train] for name, column in columns.items()}, good[train], default)
        score[test] = bias + sum(weight * columns[name][test] for name, weight in weights.items())
    return auroc(score, good)


def _curve(score: Floats, good: Bools) -> tuple[tuple[float, float], ...]:
    """Isotonic regression of "agrees" on the score.

    One agreeing answer is added at the lowest score and one that differs at the highest, so that no probability is
    shown as 0 or 1.
    """
    there = np.isfinite(score)
    if there.sum() < FEWEST_ROWS:
        return ()
    score, good = score[there], good[there]
    model = library("sklearn.isotonic").IsotonicRegression(y_min=0.0, y_max=1.0)
    model.fit(np.append(score, [score.min(), score.max()]), np.append(good, [True, False]).astype(np.float64))
    pairs = zip(model.X_thresholds_, model.y_thresholds_, strict=True)
    return tuple((float(at), float(probability)) for at, probability in pairs)
