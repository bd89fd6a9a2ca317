"""Figures of an evaluation: what accuracy costs, how honest the confidence is, and what accepting risks.

They are drawn for the width of a phone and without colour: shape, dash and label tell things apart.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from rung.errors import ConfigError
from rung.learn.extra import library
from rung.learn.intervals import Estimate, share
from rung.learn.results import LADDER
from rung.learn.summary import Summary, TierSummary

_WIDTH, _HEIGHT = 3.6, 3.0
"""Inches of one figure: at 100 points an inch, the 360 points of a phone's width."""
_DPI = 220
_MARKS = ("o", "s", "^", "D", "v", "P")
_DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)))
_SHADES = ("#1b4965", "#b05c00", "#3f7d20", "#7b2d8b", "#4f4f4f", "#a4133c")
_PAPER = "#ffffff"
_SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "svg.hashsalt": "rung",
    "svg.fonttype": "path",
}

Panel = Callable[[Any, Summary], None]


def demand() -> None:
    """Check that figures can be drawn here.

    Raises:
        ConfigError: matplotlib isn't installed.
    """
    library("matplotlib.figure")


def svgs(summary: Summary) -> list[tuple[str, str]]:
    """Each figure's title and its SVG, for a page.

    Args:
        summary: of the evaluation.

    Raises:
        ConfigError: matplotlib isn't installed.
    """
    found = []
    for title, panel in _panels(summary):
        buffer = io.StringIO()
        _drawn([(title, panel)], summary).savefig(buffer, format="svg", metadata={"Date": None})
        text = buffer.getvalue()
        found.append((title, text[text.index("<svg") :]))
    return found


def picture(summary: Summary) -> bytes:
    """All figures, one below the other, as a PNG.

    Args:
        summary: of the evaluation.

    Raises:
        ConfigError: matplotlib isn't installed, or there is nothing to draw.
    """
    buffer = io.BytesIO()
    panels = _panels(summary)
    if not panels:
        raise ConfigError("there is nothing to draw: no answer was graded", hint="give rows with an expected answer")
    _drawn(panels, summary).savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def axes(summary: Summary) -> list[Any]:
    """The matplotlib axes of all figures, to be changed or put beside others.

    Args:
        summary: of the evaluation.
    """
    return list(_drawn(_panels(summary), summary).axes)


def _panels(summary: Summary) -> list[tuple[str, Panel]]:
    """The figures for which there is something to draw."""
    known = "right" if summary.measure == "right" else "agreeing"
    told = [t for t in (*summary.tiers, summary.ladder) if t.right is not None]
    found: list[tuple[str, Panel]] = []
    if told:
        found.append((f"What more {known} answers cost", _by_time))
        if any(t.cost for t in told):
            found.append(("The same in money", _by_money))
    if any(t.reliability is not None for t in summary.tiers):
        found.append(("Is the confidence honest?", _reliability))
    if any(t.risk is not None for t in summary.tiers):
        found.append(("What accepting more risks", _risk))
    return found


def _drawn(panels: list[tuple[str, Panel]], summary: Summary) -> Any:
    matplotlib, figure = library("matplotlib"), library("matplotlib.figure")
    # only for this figure, because the process may be somebody's notebook
    with matplotlib.rc_context(_SETTINGS):
        whole = figure.Figure((_WIDTH, _HEIGHT * len(panels)), facecolor=_PAPER, layout="constrained")
        axes = np.atleast_1d(whole.subplots(len(panels), 1))
        for (title, panel), axis in zip(panels, axes, strict=True):
            axis.set_title(title, loc="left", fontweight="bold")
            panel(axis, summary)
        return whole


def _by_time(axis: Any, summary: Summary) -> None:
    _cost(axis, summary, lambda tier: tier.seconds, "seconds of the tiers' time, per row")


def _by_money(axis: Any, summary: Summary) -> None:
    _cost(axis, summary, _dollars, "US dollars, per 1,000 rows")


def _dollars(tier: TierSummary) -> float:
    return 1000 * float(tier.cost or 0) / max(1, tier.rows)


def _cost(axis: Any, summary: Summary, of: Callable[[TierSummary], float], label: str) -> None:
    """Accuracy against cost: tiers, ladder, random mixing, and every threshold."""
    first, last = summary.tiers[0], summary.tiers[-1]
    if len(summary.tiers) == 2 and summary.pairs:
        curve = summary.pairs[0].curve
        cost = of(first) + curve.shares * of(last)
        axis.plot(cost, 100 * curve.accuracy, color="#777777", linewidth=1, label="any threshold, in hindsight")
    # compared with the next tier, the last one agrees with itself
    ends = [1.0 if summary.measure == "agrees" and t is last else _value(t) for t in (first, last)]
    if len(summary.tiers) > 1 and None not in ends:
        heights = [100 * (end or 0) for end in ends]
        axis.plot([of(first), of(last)], heights, ":", color="#777777", label="random mixing")
    for place, tier in enumerate(summary.tiers):
        _point(axis, of(tier), tier.right, _MARKS[place % len(_MARKS)], _SHADES[place % len(_SHADES)], tier.tier)
    if len(summary.tiers) > 1:
        # a ring, so that a tier with the same figures as the ladder shows inside it
        _point(axis, of(summary.ladder), summary.ladder.right, "o", "#000000", LADDER, size=13, fillstyle="none")
        if summary.measure == "agrees":
            axis.plot([of(last)], [100], "x", color="#000000", label=f"{last.tier} (agrees with itself)")
    axis.set_xlabel(label)
    axis.set_ylabel(_measure(summary, "answers"))
    axis.margins(x=0.08, y=0.12)
    axis.set_xlim(left=0)
    axis.legend(loc="best", framealpha=0.9)


def _value(tier: TierSummary) -> float | None:
    return None if tier.right is None else tier.right.value


def _point(
    axis: Any,
    seconds: float,
    right: Estimate | None,
    mark: str,
    shade: str,
    name: str,
    size: float = 6,
    fillstyle: str = "full",
) -> None:
    if right is None or right.value is None:
        return
    value = 100 * right.value
    ends = None
    if right.low is not None and right.high is not None:
        ends = [[value - 100 * right.low], [100 * right.high - value]]
    axis.errorbar(
        [seconds],
        [value],
        yerr=ends,
        fmt=mark,
        color=shade,
        markersize=size,
        fillstyle=fillstyle,
        capsize=3,
        elinewidth=1,
        label=name,
    )


def _reliability(axis: Any, summary: Summary) -> None:
    axis.plot([0, 100], [0, 100], color="#999999", linewidth=1, label="honest")
    for place, tier in enumerate(summary.tiers):
        points = tier.reliability
        if points is None:
            continue
        came = 100 * points.came
        ends = np.array([_ends(rows * share_, rows) for rows, share_ in zip(points.rows, points.came, strict=True)]).T
        axis.errorbar(
            100 * points.said,
            came,
            yerr=[came - ends[0], ends[1] - came],
            fmt=_MARKS[place % len(_MARKS)],
            linestyle=_DASHES[place % len(_DASHES)],
            color=_SHADES[place % len(_SHADES)],
            markersize=4,
            capsize=2,
            elinewidth=0.8,
            label=tier.tier,
        )
    axis.set_xlabel("confidence that was given, in %")
    axis.set_ylabel(_measure(summary, "of those"))
    axis.set_xlim(-3, 103)
    axis.set_ylim(-3, 103)
    axis.legend(loc="best", framealpha=0.9)


def _ends(hits: float, rows: float) -> tuple[float, float]:
    """The interval of a bin, in percent."""
    right = round(hits)
    found = share([True] * right + [False] * (round(rows) - right))
    return 100 * (found.low or 0.0), 100 * (1.0 if found.high is None else found.high)


def _risk(axis: Any, summary: Summary) -> None:
    for place, tier in enumerate(summary.tiers):
        if tier.risk is None:
            continue
        shade = _SHADES[place % len(_SHADES)]
        coverage, risk = 100 * tier.risk.coverage, 100 * tier.risk.risk
        dash = _DASHES[place % len(_DASHES)]
        axis.plot(coverage, risk, linestyle=dash, color=shade, label=tier.tier)
        low, high = _band(tier)
        axis.fill_between(coverage, low, high, color=shade, alpha=0.12, linewidth=0)
        for end in (low, high):  # without colour, the edges tell overlapping bands apart
            axis.plot(coverage, end, linestyle=dash, color=shade, linewidth=0.5)
    wrong = "wrong" if summary.measure == "right" else "differing"
    axis.set_xlabel("accepted answers, in % of the rows, the surest first")
    axis.set_ylabel(f"{wrong} among them, in %")
    axis.set_xlim(0, 103)
    axis.set_ylim(bottom=0)
    axis.legend(loc="best", framealpha=0.9)


def _band(tier: TierSummary) -> tuple[Any, Any]:
    """The interval around each point of the risk, each for itself."""
    assert tier.risk is not None
    assert tier.right is not None
    ends = [
        _ends(risk * coverage * tier.right.rows, coverage * tier.right.rows)
        for risk, coverage in zip(tier.risk.risk, tier.risk.coverage, strict=True)
    ]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def _measure(summary: Summary, what: str) -> str:
    return f"{what} right, in %" if summary.measure == "right" else f"{what} as the next tier says, in %"
