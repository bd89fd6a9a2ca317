"""What another form of the prompt brings a small tier, on rows that took no part in choosing it.

    .venv/bin/python scripts/convert_data.py clinc150 SETS
    .venv/bin/python scripts/bench_tune.py SETS clinc20 RECORDED --tier small --ask     # asks the tier, and records
    .venv/bin/python scripts/bench_tune.py SETS clinc20 RECORDED --tier small           # no model is loaded

SETS has a `rung.toml` with the tiers. The first rows of the set give examples, the next are asked in every form. Then
they are split by group, 20 times: a third chooses a form, as `rung tune` does, and the others say what it is worth.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from rung.cli import evaluation
from rung.cli.output import Output
from rung.errors import ConfigError, RungError
from rung.learn.axes import DEFAULT, ENOUGH, described, forms_for
from rung.learn.cassette import Cassette
from rung.learn.evaluating import Work, recorders
from rung.learn.examples import ExampleEntry, Examples, admissible
from rung.learn.form_asking import FormAsking
from rung.learn.intervals import paired, share
from rung.learn.results import TierResult
from rung.learn.rows import Row
from rung.learn.tuned import NextTier, TunedTier
from rung.learn.tuning import Tuning, brought
from rung.learn.tuning_tiers import accepted, fixed_of
from rung.limits import Cancel
from rung.tier import Rung
from rung.types import Example, PromptForm

SPLITS = 20
_FOREVER = 1e9
"""Seconds of a budget that never ends: everything is recorded."""


@dataclass(frozen=True)
class Prepared:
    """What is asked.

    Args:
        work: with the recorders.
        rung: the tier.
        following: the next one, if there is one.
        pool: rows that give examples.
        rows: that are asked in every form.
        examples: of the pool.
        forms: that are tried.
        next_tier: what the next tier takes and brings.
    """

    work: Work
    rung: Rung
    following: Rung | None
    pool: list[Row]
    rows: list[Row]
    examples: Examples
    forms: list[PromptForm]
    next_tier: NextTier | None = None


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[Prepared]:
    """Read everything."""
    path = options.recorded / f"{options.set}.calls"
    wishes = evaluation.Wishes(
        data=str(options.sets / f"{options.set}.jsonl"),
        task=options.set,
        record=path if options.ask else None,
        replay=None if options.ask else path,
        config=options.sets / "rung.toml",
    )
    with evaluation.prepared(wishes, Output(json=False), Cancel()) as ready:
        work = ready.work
        every = list(work.rows())
        pool, rows = every[: options.pool], every[options.pool : options.pool + options.rows]
        groups = {row.group or row.key for row in pool}
        rows = [row for row in rows if (row.group or row.key) not in groups]
        rungs = list(work.ladder.rungs)
        names = [rung.tier.name for rung in rungs]
        if options.tier not in names:
            raise ConfigError(f"no tier is called {options.tier!r}", hint=f"the configuration has {', '.join(names)}")
        place = names.index(options.tier)
        following = rungs[place + 1] if place + 1 < len(rungs) else None
        forms, examples = forms_and_examples(work, pool, rows)
        yield Prepared(work, rungs[place], following, pool, rows, examples, forms[: options.forms])


def forms_and_examples(work: Work, pool: Sequence[Row], rows: Sequence[Row]) -> tuple[list[PromptForm], Examples]:
    """The forms that suit the answers, and what may be shown.

    Where each row has a schema of its own, an answer to another one is no example, and a form is tried if it suits any
    of them.
    """
    if not any(row.schema is not None for row in rows):
        contract = work.ladder.contract(work.output, work.validators)
        return forms_for(contract, (), len(rows) // 3), examples_of(contract, pool)
    each = [form for row in rows for form in forms_for(work.ladder.contract(dict(row.schema or {})), (), ENOUGH)]
    return [form for form in dict.fromkeys(each) if form.examples == "none"], Examples()


def examples_of(contract: Any, pool: Sequence[Row]) -> Examples:
    """What the pool's expected answers make."""
    found = []
    for row in pool:
        value = accepted(contract, row, row.expected)
        if value is not None:
            found.append(Example(row.messages[-1].text, value[0]))
    kept, _, _ = admissible(found)
    fixed = {id(example) for example in fixed_of(kept)}
    return Examples([ExampleEntry.of(e, source="data", date="2026-11-26", fixed=id(e) in fixed) for e in kept])


def tuning(what: Prepared, rows: Sequence[Row]) -> Tuning:
    """A search on some rows."""
    return Tuning(
        what.work,
        what.rung,
        what.following,
        rows,
        what.examples,
        [],
        (),
        _FOREVER,
        next_tier=what.next_tier,
        forms_tried=what.forms,
    )


def asked_alone(what: Prepared, rung: Rung, rows: Sequence[Row]) -> dict[int, TierResult]:
    """What a tier answers in rung's own form."""
    asking = FormAsking(replace(what.work, rows=lambda: rows), {rung.tier.name: None})
    for event in asking.all_of(rung):
        print(f"\r{rung.tier.name:60} {event.done:4}", end="", flush=True)
    results = asking.results(rung.tier.name)
    seconds = float(np.mean([result.seconds for result in results.values()]))
    print(f"\r{rung.tier.name:60} {accuracy(list(results.values())):6.1%} {seconds:6.2f} s")
    return results


def everything(what: Prepared) -> dict[PromptForm, dict[int, TierResult]]:
    """What the tier answers in every form."""
    found = {}
    search = tuning(what, what.rows)
    for form in what.forms:
        asking = FormAsking(replace(what.work, rows=lambda: what.rows), {what.rung.tier.name: search.in_force(form)})
        for event in asking.all_of(what.rung):
            print(f"\r{described(form):60} {event.done:4}", end="", flush=True)
        found[form] = asking.results(what.rung.tier.name)
        right = sum(result.right is True for result in found[form].values())
        seconds = np.mean([result.seconds for result in found[form].values()])
        print(f"\r{described(form):60} {right / len(found[form]):6.1%} {seconds:6.2f} s")
    return found


def chosen_on(what: Prepared, rows: Sequence[Row]) -> PromptForm:
    """The form that these rows choose."""
    found = DEFAULT
    for event in tuning(what, rows).found():
        if isinstance(event, TunedTier):
            found = event.chosen
    return found


def processor_seconds(what: Prepared, count: int) -> None:
    """Processor time of a row in every form: what else the machine does doesn't change it. Nothing is recorded."""
    known = {name: recorder.identity for name, recorder in what.work.recorders.items()}
    work = replace(what.work, recorders=recorders(what.work.ladder, Cassette(), known), asks=True, together=1)
    search, tier = tuning(what, what.rows), what.rung.tier.name
    warm, rows = what.rows[:2], what.rows[2 : 2 + count]
    for form in what.forms:
        asked = {tier: search.in_force(form)}
        for some in (warm, rows):
            before = _processor()
            for _ in FormAsking(replace(work, rows=lambda some=some: some), asked).all_of(what.rung):
                pass
        print(f"{described(form)}: {(_processor() - before) / len(rows):.2f} processor seconds a row")


def _processor() -> float:
    """Processor seconds of the workers so far."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)


def learning(what: Prepared, found: dict[PromptForm, dict[int, TierResult]], count: int) -> None:
    """The tier before and after the next one has answered some prompts, as if each had been sent up."""
    assert what.following is not None
    contract = what.work.ladder.contract(what.work.output, what.work.validators)
    answers = asked_alone(what, what.following, what.pool[:count])
    taught = [
        replace(row, expected=answers[row.number].value) for row in what.pool[:count] if answers[row.number].valid
    ]
    after = replace(what, examples=examples_of(contract, taught))
    form = tuning(after, after.rows).in_force(PromptForm(examples="similar"))
    asking = FormAsking(replace(what.work, rows=lambda: what.rows), {what.rung.tier.name: form})
    for event in asking.all_of(what.rung):
        print(f"\rafter {len(taught)} answers of the next tier {event.done:4}", end="", flush=True)
    results = asking.results(what.rung.tier.name)
    labels = [row.group or row.key for row in what.rows]
    own, mine = ([f[row.number].right is True for row in what.rows] for f in (found[DEFAULT], results))
    before, then, pair = share(own, labels), share(mine, labels), paired(own, mine, labels)
    time = [float(np.mean([f[row.number].seconds for row in what.rows])) for f in (found[DEFAULT], results)]
    good = np.mean([answers[row.number].right is True for row in what.pool[:count]])
    print(
        f"\r{count} answers of the next tier, {good:.0%} of them right: {before.value:.0%} ({before.low:.0%} to "
        f"{before.high:.0%}) right before, {then.value:.0%} ({then.low:.0%} to {then.high:.0%}) after, "
        f"{100 * pair.difference:+.0f} points, p = {pair.p:.2g}; {time[0]:.2f} s and {time[1]:.2f} s a row"
    )


def splits(
    what: Prepared, found: dict[PromptForm, dict[int, TierResult]]
) -> list[tuple[PromptForm, float, float, float]]:
    """For each split the chosen form, and on the others rung's own accuracy, the chosen one's, and its time."""
    groups = sorted({row.group or row.key for row in what.rows})
    results = []
    for seed in range(SPLITS):
        mixed = list(groups)
        random.Random(seed).shuffle(mixed)
        fits = set(mixed[: len(mixed) // 3])
        fitting = [row for row in what.rows if (row.group or row.key) in fits]
        rest = [row for row in what.rows if (row.group or row.key) not in fits]
        form = chosen_on(what, fitting)
        own, other = ([found[f][row.number] for row in rest] for f in (DEFAULT, form))
        time = np.mean([r.seconds for r in other]) / np.mean([r.seconds for r in own])
        results.append((form, accuracy(own), accuracy(other), float(time)))
    return results


def accuracy(results: Sequence[TierResult]) -> float:
    """Share of right answers."""
    return float(np.mean([result.right is True for result in results]))


def arguments(about: str | None) -> argparse.ArgumentParser:
    """What says which answers are meant.

    Args:
        about: what the script does.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path)
    parser.add_argument("set")
    parser.add_argument("recorded", type=Path)
    parser.add_argument("--tier", default="small")
    parser.add_argument("--pool", type=int, default=100, help="rows that give examples")
    parser.add_argument("--rows", type=int, default=150, help="rows that are asked")
    parser.add_argument("--forms", type=int, default=12, help="forms that are tried")
    parser.add_argument("--ask", action="store_true", help="ask what isn't recorded")
    return parser


def main() -> None:
    """Ask or replay, and print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--next", type=int, default=12, help="rows that tell how long the next tier takes")
    parser.add_argument("--escalations", type=int, default=0, help="answers of the next tier to learn from")
    parser.add_argument("--processor", type=int, default=0, help="rows that tell what processor time a form takes")
    options = parser.parse_args()
    with prepared(options) as what:
        print(f"{options.set}: {len(what.rows)} rows, {len(what.examples.shown)} examples, tier {options.tier}")
        if options.processor:
            processor_seconds(what, options.processor)
            return
        found = everything(what)
        table(what, found)
        if what.following is not None and options.next:
            some = asked_alone(what, what.following, what.pool[: options.next])
            what = replace(what, next_tier=brought(list(some.values()), labelled=True))
            if options.escalations:
                learning(what, found, options.escalations)
        if options.ask:
            return
        report(splits(what, found))


def table(what: Prepared, found: dict[PromptForm, dict[int, TierResult]]) -> None:
    """Every form against rung's own, on all rows."""
    numbers = [row.number for row in what.rows]
    labels = [row.group or row.key for row in what.rows]
    own = [found[DEFAULT][n].right is True for n in numbers]
    print("\n| form | right (95%) | against rung's own, p | seconds a row |\n|---|---|---|---|")
    for form, results in found.items():
        mine = [results[n].right is True for n in numbers]
        right, pair = share(mine, labels), paired(own, mine, labels)
        seconds = np.mean([results[n].seconds for n in numbers])
        low, high = right.low or 0.0, right.high or 0.0
        against = "" if form == DEFAULT else f"{100 * pair.difference:+.0f}, p = {pair.p:.2g}"
        print(f"| {described(form)} | {right.value:.0%} ({low:.0%} to {high:.0%}) | {against} | {seconds:.2f} |")


def report(results: Sequence[tuple[PromptForm, float, float, float]]) -> None:
    """The splits."""
    own, other = np.array([r[1] for r in results]), np.array([r[2] for r in results])
    for what, values in (("rung's own", own), ("the chosen form", other), ("gain", other - own)):
        low, high = np.quantile(values, [0.05, 0.95])
        print(f"{what}: {values.mean():.1%} ({low:.1%} to {high:.1%}) on rows that took no part, {len(results)} splits")
    print(f"time: {np.mean([r[3] for r in results]):.2f} times")
    times: dict[str, int] = {}
    for form, *_ in results:
        times[described(form)] = times.get(described(form), 0) + 1
    for name, count in sorted(times.items(), key=lambda item: -item[1]):
        print(f"  chosen {count} times: {name}")
    print(json.dumps({"gain": float((other - own).mean()), "splits": len(results)}))


if __name__ == "__main__":
    try:
        main()
    except RungError as error:
        raise SystemExit(f"bench_tune.py: error: {error}") from None
