"""Whether small models do better where they write null for an optional field that is absent, instead of leaving it out.

    .venv/bin/python scripts/bench_absent.py

The functions of the function-calling set that have optional arguments, each model in both forms, several calls at once.
Of a row that is right in one form only, the exact test of signs says how likely that is by chance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from scipy.stats import binomtest

import rung
from bfcl import Row, right, rows
from rung.contract.absent import nullable
from rung.errors import RungError
from rung.ladder import Ladder
from rung.types import PromptForm

FORMS = (PromptForm(), PromptForm(absent="null"))


@dataclass(frozen=True)
class Asked:
    """One row in one form.

    Args:
        right: whether the arguments are accepted ones.
        more: arguments that were made up, where leaving them out was right.
        tries: answers of the model, repairs included.
    """

    right: bool
    more: int
    tries: int


def ask(ladder: Ladder, row: Row, form: PromptForm) -> Asked:
    """One call."""
    contract = ladder.contract(row.schema).under(form)
    outcome = ladder.run(row.prompt, contract, system=row.system, max_tokens=512)
    value = outcome.value if outcome.accepted else {}
    left_out = {name for name, allowed in row.accepted.items() if "" in allowed} & value.keys()
    more = sum(not right(replace(row, accepted={name: row.accepted[name]}), {name: value[name]}) for name in left_out)
    return Asked(outcome.accepted and right(row, value), more, len(outcome.attempts))


def show(model: str, asked: Sequence[Row], slots: int) -> None:
    """A line for each form."""
    tier = rung.llama(model, slots=slots)
    found: list[list[Asked]] = []
    with Ladder(tier) as ladder, ThreadPoolExecutor(slots) as pool:
        ladder.warm()
        for form in FORMS:
            began = time.perf_counter()
            found.append(list(pool.map(lambda row, form=form: ask(ladder, row, form), asked)))
            seconds = (time.perf_counter() - began) / len(asked)
            made = found[-1]
            print(
                f"| {model} | {'null' if form.absent == 'null' else 'left out'} | "
                f"{sum(each.right for each in made)} of {len(made)} | {sum(each.more for each in made)} | "
                f"{sum(each.tries for each in made) - len(made)} | {seconds:.2f} |",
                flush=True,
            )
    own, null = found
    better = sum(b.right and not a.right for a, b in zip(own, null, strict=True))
    worse = sum(a.right and not b.right for a, b in zip(own, null, strict=True))
    chance = binomtest(better, better + worse).pvalue if better + worse else 1.0
    print(f"{model}: {better} rows right only with null, {worse} only without, p = {chance:.2f}", flush=True)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="smollm2-135m,qwen2.5-coder-0.5b,qwen2.5-coder-1.5b")
    parser.add_argument(
        "--rows", type=int, default=400, help="of the set; those without optional fields are passed over"
    )
    parser.add_argument("--slots", type=int, default=16, help="calls at once")
    options = parser.parse_args()
    try:
        asked = [row for row in rows(options.rows) if nullable(row.schema)]
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is not there; RUNG_DATA_DIR says where the data sets lie")
    print(f"{len(asked)} of {options.rows} rows have optional fields\n")
    print("| model | absent fields | right | made up | repairs | seconds a row |\n|---|---|---|---|---|---|")
    for model in options.models.split(","):
        try:
            show(model, asked, options.slots)
        except RungError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
