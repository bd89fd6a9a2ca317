"""The results of an evaluation: for a person, for a program, and as a page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from rung.cli.tables import aligned, money
from rung.learn import drawing
from rung.learn.comparing import Comparison, TierDifference
from rung.learn.intervals import Estimate
from rung.learn.results import LADDER, Results
from rung.learn.summary import ENOUGH, AgainstTop, PairSummary, Summary, TierSummary
from rung.visible import line

_UNKNOWN = "-"
_FIGURES = ("curve", "reliability", "risk")
"""Parts of a summary for the figures, left out of `--json`. The results have the same row by row."""

Texts = Mapping[int, tuple[str, str]]
"""Prompt and expected answer, by row."""


def as_object(found: Summary | Comparison) -> dict[str, Any]:
    """The object of `--json`."""
    plain = _plain(found)
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name not in _FIGURES}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value


def told(results: Results, summary: Summary, texts: Texts) -> str:
    """The report for a terminal.

    Args:
        results: row by row.
        summary: their numbers.
        texts: of the rows that are wrong, if the user asked for them.
    """
    parts = [_head(results, summary), _table(summary), "\n".join(_notes(results, summary))]
    parts += [_pair(pair, summary) for pair in summary.pairs]
    wrong = "\n".join(_surest(results, summary, texts))
    return "\n\n".join(part for part in (*parts, wrong) if part)


def _head(results: Results, summary: Summary) -> str:
    rows = _rows(results.rows)
    if summary.measure == "right":
        held = f"{results.labelled:,} of them with an expected answer, by the check {results.check}"
        held = (
            f"all with an expected answer, by the check {results.check}" if results.labelled == results.rows else held
        )
    else:
        held = "none with an expected answer: each tier is compared with the next one"
    return f"{rows}, {held}; up to {results.together} calls at once"


def _table(summary: Summary) -> str:
    heads = ("tier", _word(summary), "95% interval", "accepted", "sent up", "s/row", "tokens/row", "cost")
    tiers = [*summary.tiers, *([summary.ladder] if len(summary.tiers) > 1 else [])]
    return aligned(heads, [_row(tier) for tier in tiers], words=1)


def _word(summary: Summary) -> str:
    return "right" if summary.measure == "right" else "agrees"


def _row(tier: TierSummary) -> tuple[str, ...]:
    counted = [count for count in (tier.input_tokens, tier.output_tokens) if count is not None]
    return (
        tier.tier,
        _percent(tier.right),
        _interval(tier.right),
        _percent(tier.accepted),
        _percent(tier.sent_up),
        _seconds(tier.seconds),
        f"{sum(counted):.0f}" if len(counted) == 2 else _UNKNOWN,
        money(tier.cost),
    )


def _notes(results: Results, summary: Summary) -> Iterator[str]:
    if results.bad:
        lines = ", ".join(str(number) for number, _ in results.bad[:10])
        yield f"{_rows(len(results.bad))} can't be used (line {lines}{', …' if len(results.bad) > 10 else ''})."
    for tier in (*summary.tiers, summary.ladder):
        for reason, count in tier.not_asked.items():
            yield f"{_rows(count)} not put to {_named(tier.tier)}: {reason}."
        for reason, count in tier.ungraded.items():
            yield f"{_rows(count)} where the answer of {_named(tier.tier)} couldn't be graded: {reason}."
    if summary.against is not None:
        yield from _against(summary.against, summary)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _named(tier: str) -> str:
    return "the ladder" if tier == LADDER else tier


def _against(found: AgainstTop, summary: Summary) -> Iterator[str]:
    points = 100 * found.test.difference
    if summary.measure == "right":
        how = (
            f"{abs(points):.1f} points {'more' if points > 0 else 'less'} accurate than" if points else "as accurate as"
        )
        said = f"The ladder is {how} {found.top} alone (paired test: p = {found.test.p:.2g}, {_rows(found.test.rows)})"
    else:
        said = f"The ladder's answer differs from {found.top}'s in {abs(points):.1f}% of {_rows(found.test.rows)}"
        right = summary.ladder.right
        if right is not None and right.low is not None and right.high is not None:
            said += f" (95% interval {100 - 100 * right.high:.0f} to {100 - 100 * right.low:.0f})"
    if found.time is not None:
        said += f", in {100 * found.time:.0f}% of its time"
    yield f"{said}."
    others = []
    if found.mixing is not None:
        others.append(f"mixing at random in the same time {_has(found.mixing, summary)}")
    if found.best is not None:
        others.append(f"the best threshold that sends up as many {_has(found.best, summary)}, in hindsight")
    if others:
        text = "; ".join(others)
        yield f"{text[:1].upper()}{text[1:]}."
    answered = ", ".join(f"{name} {count:,}" for name, count in summary.ladder.answered_by.items())
    yield f"Answered by: {answered}."


def _has(share: float, summary: Summary) -> str:
    return f"has {100 * share:.1f}% right" if summary.measure == "right" else f"agrees in {100 * share:.1f}%"


def _pair(pair: PairSummary, summary: Summary) -> str:
    lines = [f"Sending up from {pair.small} to {pair.larger} by its {summary.feature}:"]
    lines.append(f"  area under the deferral curve {_figure(pair.area)}; AUROC {_figure(pair.auroc)}")
    if pair.apgr.value is None:
        lines.append(f"  {pair.larger} isn't the better one here, so sending up gains nothing")
    else:
        lines.append(
            f"  APGR {_figure(pair.apgr)} (0.5 is random); "
            f"CPT50 {_share(pair.cpt50)}, CPT80 {_share(pair.cpt80)} of the rows sent up"
        )
    if pair.enough is not None and pair.apgr.value is not None:
        what = f"of what {pair.larger} has right" if summary.measure == "right" else f"agreement with {pair.larger}"
        said = f"  {100 * ENOUGH:.0f}% {what} needs at least {100 * pair.enough:.0f}% sent up"
        lines.append(f"{said}, whatever the threshold{': it hardly pays' if pair.enough > 0.5 else ''}")
    tier = next(t for t in summary.tiers if t.tier == pair.small)
    if tier.brier is not None and tier.ece is not None:
        lines.append(f"  read as a probability: Brier {_figure(tier.brier)}, calibration error {_figure(tier.ece)}")
    return "\n".join(lines)


def _surest(results: Results, summary: Summary, texts: Texts) -> Iterator[str]:
    """The rows that a tier got wrong and was surest of."""
    word = "wrong" if summary.measure == "right" else "not as the next tier says"
    for tier in summary.tiers:
        if not tier.surest_wrong:
            continue
        rows = ", ".join(f"{row} ({score:.2f})" for row, score in tier.surest_wrong)
        yield f"Surest of {tier.tier} and {word} (row and {summary.feature}): {rows}"
        answers = {result.row: result.value for result in results.of(tier.tier)} if texts else {}
        for row, _ in tier.surest_wrong:
            if row in texts:
                prompt, expected = texts[row]
                yield f"  {row}: {line(prompt)}"
                yield f"     it says {line(str(answers.get(row)))[:300]}, expected {line(expected) or _UNKNOWN}"


def differences(found: Comparison) -> str:
    """A comparison for a terminal."""
    word = "right" if found.measure == "right" else "agrees"
    head = f"{_rows(found.rows)} that both asked"
    apart = [
        f"{count:,} in the {which} alone"
        for which, count in (("first", found.only_first), ("second", found.only_second))
        if count
    ]
    heads = ("tier", f"{word} before", "after", "difference", "95% interval", "p", "lost", "won", "s/row", "after")
    rows = [_difference(d) for d in found.tiers]
    parts = [f"{head}{'; ' if apart else ''}{', '.join(apart)}", aligned(heads, rows, words=1)]
    for d in found.tiers:
        for what, which in (("Lost", d.lost), ("Won", d.won)):
            if which:
                more = ", …" if (d.test.first_only if what == "Lost" else d.test.second_only) > len(which) else ""
                parts.append(f"{what} by {_named(d.tier)}: rows {', '.join(map(str, which))}{more}")
    return "\n\n".join(parts[:2]) + ("\n\n" + "\n".join(parts[2:]) if parts[2:] else "")


def _difference(d: TierDifference) -> tuple[str, ...]:
    low, high = d.difference.low, d.difference.high
    return (
        d.tier,
        f"{100 * d.before:.1f}%",
        f"{100 * d.after:.1f}%",
        f"{100 * d.test.difference:+.1f}",
        _UNKNOWN if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}",
        f"{d.test.p:.2g}",
        str(d.test.first_only),
        str(d.test.second_only),
        *(_seconds(s) for s in d.seconds),
    )


def _percent(found: Estimate | None) -> str:
    return _UNKNOWN if found is None or found.value is None else f"{100 * found.value:.1f}%"


def _interval(found: Estimate | None) -> str:
    if found is None or found.low is None or found.high is None:
        return _UNKNOWN
    return f"{100 * found.low:.0f} to {100 * found.high:.0f}"


def _figure(found: Estimate) -> str:
    if found.value is None:
        return "unknown"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _share(found: Estimate) -> str:
    if found.value is None:
        return "unknown"
    return f"{100 * found.value:.0f}%" + ("" if found.low is None else f" ({_interval(found)})")


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}" if seconds < 0.1 else f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}"


_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #ffffff; --rule: #c9c9c9; --soft: #595959; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #17181a; --rule: #4a4c50; --soft: #b4b4b4; } }
body { margin: 0 auto; padding: 1rem; max-width: 52rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p, li { max-width: 44rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } .soft { color: var(--soft); }
figure { margin: 1rem 0; background: #ffffff; border-radius: .4rem; padding: .4rem; max-width: 32rem; }
figure svg { width: 100%; height: auto; display: block; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
"""


def page(results: Results, summary: Summary, texts: Texts) -> str:
    """The report as one HTML page that needs nothing else: no script, no style sheet, no font, no network.

    Args:
        results: row by row.
        summary: their numbers.
        texts: of the rows that are wrong, if the user asked for them.
    """
    tiers = [*summary.tiers, *([summary.ladder] if len(summary.tiers) > 1 else [])]
    heads = ("tier", _word(summary), "95% interval", "accepted", "sent up", "s/row", "tokens/row", "cost")
    head = "".join(f'<th scope="col">{html.escape(word)}</th>' for word in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(line(cell))}</td>" for cell in _row(tier)) + "</tr>" for tier in tiers
    )
    figures = "".join(
        f'<figure role="img" aria-label="{html.escape(title)}">{svg}</figure>' for title, svg in drawing.svgs(summary)
    )
    notes = "".join(f"<p>{html.escape(line(note))}</p>" for note in _notes(results, summary))
    pairs = "".join(f"<pre>{html.escape(_pair(pair, summary))}</pre>" for pair in summary.pairs)
    surest = "\n".join(_surest(results, summary, texts))
    models = "".join(
        f"<li>{html.escape(line(t.name))}: {html.escape(line(t.model or 'unknown'))}"
        f"{f', weights {t.weights[:16]}…' if t.weights else ''}</li>"
        for t in results.tiers
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>rung eval</title>'
        f"<style>{_STYLE}</style></head><body><h1>What each tier is worth</h1>"
        f'<p class="soft">{html.escape(_head(results, summary))}. {html.escape(results.made)}.</p>'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"{notes}<h2>Figures</h2>{figures}"
        f"{'<h2>Scores</h2>' if pairs else ''}{pairs}"
        f"{'<h2>Sure and wrong</h2>' if surest else ''}<pre>{html.escape(surest)}</pre>"
        f"<h2>What was measured</h2><ul>{models}</ul>"
        f'<p class="soft">Seconds are of the tiers\' time: wall time shared equally among the calls under way. '
        f"Bars and bands are 95% intervals. Data: sha256 {results.data[:16]}…</p></body></html>\n"
    )
