"""The results of a tuning, in sentences and a table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rung.learn.axes import DEFAULT, described
from rung.learn.halving import asked_in
from rung.learn.intervals import Estimate
from rung.learn.tuned import Bought, TriedForm, TunedTier

_SHOWN = 8
"""Forms that the table shows. `--json` has them all."""
_ON_OTHERS = "It was chosen on these rows, so expect somewhat less on others: `rung eval` or `rung calibrate` tells."


def bought(found: Bought) -> str:
    """What the budget of a tier allows, in a sentence before it is spent."""
    begin = f"{found.tier}: about {found.pace:.2g} s an answer, so {found.seconds / 60:.3g} min buy "
    if not found.plan:
        return f"{begin}too few answers to compare two forms: give more --minutes"
    rounds = [f"{each.forms} forms on {each.rows:,} rows" for each in found.plan[:1]]
    rounds += [f"the best {each.forms} on {each.rows:,}" for each in found.plan[1:]]
    return f"{begin}{asked_in(found.plan):,} answers: {', then '.join(rounds)} of {found.rows:,} fit rows"


def sentences(found: TunedTier) -> list[str]:
    """The result for a tier."""
    said = []
    best = found.best
    against = "expected answers" if found.by_labels else f"what {found.against} says"
    if found.chosen == DEFAULT:
        said.append(_nothing(found, against))
    elif best is not None:
        said.append(gained(found, best, against))
        said.append(_ON_OTHERS if found.fresh is None else on_fresh_rows(found.fresh))
    if found.useless:
        said.append(
            f"{found.tier} doesn't pay in any form: asking it first takes longer than its right answers save, however "
            "well its score tells them from the wrong ones. Take it out of rung.toml, or try a larger model."
        )
    if not found.finished:
        said.append("The time was over before all was tried, so this is the best so far. The same command goes on.")
    return said


def on_fresh_rows(fresh: TriedForm) -> str:
    """What the chosen form gained on rows that took no part, in one sentence.

    Args:
        fresh: the result on them.
    """
    return f"On {fresh.rows:,} rows that took no part in the choice it has {_instead(fresh)}{_time(fresh)}."


def gained(found: TunedTier, best: TriedForm, against: str) -> str:
    """What the chosen form gained, in one sentence.

    Args:
        found: the result for the tier.
        best: the result of the chosen form.
        against: what answers were compared with.
    """
    return (
        f"{found.tier} gets on better in this form: {described(best.form)}. On {best.rows:,} fit rows it has "
        f"{_instead(best)}, held against {against}{_time(best)}."
    )


def _nothing(found: TunedTier, against: str) -> str:
    others = [tried for tried in found.tried if tried.form != DEFAULT]
    if not others:
        return f"{found.tier}: no other form than rung's own was tried."
    best = others[0]
    return (
        f"{found.tier}: nothing beats rung's own form by more than chance, cost counted, held against {against}. The "
        f"best other one: {described(best.form)}, {_points(best.gain)} on {best.rows:,} rows{_time(best)}."
    )


def table(found: TunedTier) -> list[tuple[str, ...]]:
    """The forms that were tried, the best of those that got furthest first, with rung's own."""
    shown = found.tried[:_SHOWN]
    own = [tried for tried in found.tried if tried.form == DEFAULT and tried not in shown]
    return [
        (
            described(tried.form),
            f"{tried.rows:,}",
            f"{_percent(tried.right.value)} ({_range(tried.right)})",
            "" if tried.form == DEFAULT else _short(tried.gain),
            f"{tried.seconds:.2g}",
            _failed(tried),
        )
        for tried in (*shown, *own)
    ]


HEAD = ("form", "rows", "right", "against rung's own", "seconds", "no answer")


def contrasts(found: TunedTier) -> list[str]:
    """The effect of each choice."""
    return [
        f"{each.what}: {_short(each.gain)} points, {each.pairs} {'pair' if each.pairs == 1 else 'pairs'} of forms"
        for each in sorted(found.contrasts, key=lambda c: -(c.gain.value or 0.0))
    ]


def as_object(found: TunedTier) -> dict[str, Any]:
    """Everything, as a JSON value."""
    return {
        **asdict(found),
        "chosen_in_words": described(found.chosen),
        "changed": found.chosen != DEFAULT,
        "useless": found.useless,
        "sentences": sentences(found),
    }


def _failed(tried: TriedForm) -> str:
    return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(tried.failed.items()))


def _instead(tried: TriedForm) -> str:
    before = (tried.right.value or 0.0) - (tried.gain.value or 0.0)
    return f"{_percent(tried.right.value)} right instead of {_percent(before)}, {_points(tried.gain)}"


def _time(tried: TriedForm) -> str:
    return "" if tried.slower is None else f", {tried.slower:.2g} times the time"


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{round(100 * value)}%"


def _points(gain: Estimate) -> str:
    return f"{_short(gain)} points"


def _short(gain: Estimate) -> str:
    between = "" if gain.low is None or gain.high is None else f" ({_signed(gain.low)} to {_signed(gain.high)})"
    return f"{_signed(gain.value or 0.0)}{between}"


def _signed(share: float) -> str:
    points = round(100 * share)
    return f"{points:+d}" if points else "0"


def _range(share: Estimate) -> str:
    return "?" if share.low is None or share.high is None else f"{100 * share.low:.0f} to {100 * share.high:.0f}"
