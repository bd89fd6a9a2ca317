"""What `rung eval` does before the tiers are asked, and meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rung import guard
from rung.cli import inputs
from rung.cli.output import Output
from rung.cli.progress import EvalLine
from rung.cli.reading import Patience
from rung.config import Config, TierTable, load
from rung.contract import Contract, compile_output
from rung.contract.sameness import Same
from rung.errors import ConfigError
from rung.ladder import Ladder, RequestOptions
from rung.learn.cassette import Cassette
from rung.learn.dataset import Dataset, RowCounts
from rung.learn.evaluating import TOGETHER, Grader, Work, evaluate, recorders
from rung.learn.grading import Grade, grade, grader, same_for
from rung.learn.identity import Identity, identify
from rung.learn.recording import about, recorded_rungs
from rung.learn.results import Results, TierFacts, TierResult
from rung.learn.rows import Row
from rung.learn.summary import FEATURE
from rung.learn.tasks import TaskFolder
from rung.learn.templates import Template
from rung.limits import Cancel, usd
from rung.money import MemoryPurse
from rung.tier import Rung
from rung.types import Zone

_MOST_BAD = 10
"""Bad rows that are listed on stderr. A few show what is wrong with the file."""
_LONGEST_TEXT = 300
"""Characters of a prompt or an answer that a report repeats."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for; see the options of `rung eval`.

    Args:
        data: the file of rows.
        task: the task whose prompt, contract, check and calibration are used.
        output: the values of `--schema`, `--type`, `--choices` and `--regex`.
        check: how an answer is compared with the expected one.
        same: how two answers are compared.
        system: instructions put before each prompt.
        max_tokens: first cap on an answer.
        tiers: names of the tiers to use; empty uses all of them.
        rows: the most rows to ask.
        together: calls at once.
        record: the file to record into.
        replay: the file to replay.
        reach: how far prompts may travel.
        max_cost: US dollars that the whole evaluation may cost.
        config: the only configuration to read.
        recorder: the command that records the answers that a replay lacks.
    """

    data: str
    task: str | None = None
    output: tuple[Path | None, str | None, str | None, str | None] = (None, None, None, None)
    check: str | None = None
    same: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    tiers: tuple[str, ...] = ()
    rows: int | None = None
    together: int | None = None
    record: Path | None = None
    replay: Path | None = None
    reach: str | None = None
    max_cost: str | None = None
    config: Path | None = None
    recorder: str = "rung eval DATA --record FILE"


@dataclass(frozen=True, slots=True)
class PreparedEvaluation:
    """Everything that an evaluation needs.

    Args:
        work: the evaluation.
        rows: counts of the data's rows.
        cassette: where calls are recorded.
        identities: of the tiers, by name.
        check: the name of the check that compares answers with the expected ones.
    """

    work: Work
    rows: RowCounts
    cassette: Cassette
    identities: Mapping[str, Identity]
    check: str


@contextmanager
def prepared(wishes: Wishes, output: Output, cancel: Cancel) -> Iterator[PreparedEvaluation]:
    """Read and make everything. The end of the block releases it.

    Raises:
        ConfigError: an option, the configuration, the data or the recording can't be used.
        ContractError: the output isn't valid.
        TierUnavailable: there is no tier, or a tier's model file is missing.
        Cancelled: the flag was set.
    """
    if wishes.record is not None and wishes.replay is not None:
        raise ConfigError("--record and --replay can't go together", hint="give one of them")
    patience = Patience(None, output, cancel)
    held: list[Cassette] = []
    ladders: list[Ladder] = []
    try:
        ready = patience.run(lambda: _prepare(wishes, output, cancel, patience, held, ladders))
        yield ready
    finally:
        for ladder in ladders:
            ladder.close()
        for cassette in held:
            cassette.close()


def _prepare(
    wishes: Wishes, output: Output, cancel: Cancel, patience: Patience, held: list[Cassette], ladders: list[Ladder]
) -> PreparedEvaluation:
    limit = None if wishes.max_cost is None else usd(wishes.max_cost, "--max-cost")
    config = load(wishes.config, reach=None if wishes.reach is None else Zone.parse(wishes.reach))
    for note in config.notes:
        output.say(f"note: {note}")
    asks = wishes.replay is None
    guard.install(config.reach.value if asks else Zone.HOST)
    asked = _asked(wishes, config, patience, output)
    dataset = Dataset(wishes.data, asked.template, most=wishes.rows, cancel=cancel)
    rows, same = dataset.counts, asked.same
    if same is None and rows.schemas == rows.rows:
        same = grader("json")
    _tell(rows, output, comparable=same is not None)
    cassette = Cassette(wishes.record or wishes.replay, writes=asks)
    held.append(cassette)
    for note in cassette.notes:
        output.say(f"note: {note}")
    ladder = _ladder(config, wishes, cassette)
    ladders.append(ladder)
    if asks and config.reach.value > Zone.HOST:
        guard.install(config.reach.value, hosts=config.hosts(ladder))
    identities = _identities(config, ladder, cassette, output, cancel, asks=asks)
    options: RequestOptions = {"system": wishes.system, "max_tokens": wishes.max_tokens, "task": wishes.task}
    work = Work(
        ladder=ladder,
        recorders=recorders(ladder, cassette, {name: known.digest for name, known in identities.items()}),
        rows=dataset,
        output=asked.output,
        options=options,
        grade=asked.grade if rows.labelled else None,
        same=same,
        purse=None if limit is None else MemoryPurse(limit),
        asks=asks,
        together=wishes.together or together(config),
        cancel=cancel,
        recorder=wishes.recorder,
    )
    return PreparedEvaluation(work, rows, cassette, identities, asked.check)


def together(config: Config) -> int:
    """Calls at once: as many as the local engine decodes together, or more if a tier's table has more `slots`.

    Args:
        config: has the tiers.
    """
    slots = [table.settings.get("slots") for table in config.tiers.value if table.rung.kind == "llama"]
    return max([TOGETHER, *(count for count in slots if isinstance(count, int))])


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of each row, and how answers are judged."""

    output: Any
    check: str
    grade: Grader
    same: Same | None
    template: Template | None = None


def _asked(wishes: Wishes, config: Config, patience: Patience, output: Output) -> _Asked:
    shape = inputs.output(*wishes.output, patience)
    if wishes.task is None:
        compile_output(shape)  # a wrong schema is reported before a missing model
        same = same_for(shape, wishes.same, wishes.check)
        return _Asked(shape, *_grader(wishes.check, None, shape), same)
    task = config.tasks.demand(wishes.task)
    if wishes.system is not None and task.template is not None:
        raise ConfigError("--system can't go together with a task that has its own prompt", hint="leave it out")
    for tier, changed in task.void().items():
        what = " and ".join(changed)
        output.say(f"note: what was learnt about tier {tier!r} is void, because {what} changed since")
    own = any(given is not None for given in wishes.output)
    contract = compile_output(shape) if own else task.contract()
    same = same_for(shape, wishes.same, wishes.check) if own or wishes.same or wishes.check else task.same()
    check, grade_ = _grader(wishes.check, task, contract)
    return _Asked(contract, check, grade_, same, task.template)


def _grader(wanted: str | None, task: TaskFolder | None, shape: Any) -> tuple[str, Grader]:
    """The check's name, and its verdict on a row. It is the option's, the task's, or the usual one for the answer."""
    form = compile_output(shape).shape if not isinstance(shape, Contract) else shape.shape
    usual = {"choice": "choice", "json": "json"}.get("" if form is None else form.kind, "exact")
    own = None if wanted is not None or task is None else task.grader()
    check, as_json = own or grader(wanted or usual, where="--check"), grader("json")
    given = wanted is not None or own is not None

    def graded(row: Row, value: Any) -> Grade:
        return grade(as_json if not given and row.schema is not None else check, value, row.expected)

    return wanted or (usual if own is None or task is None else _called(task.table.check)), graded


def _called(check: Any) -> str:
    """The name of a task's check."""
    return str(check.get("name")) if isinstance(check, Mapping) else str(check)


def _tell(rows: RowCounts, output: Output, *, comparable: bool) -> None:
    for line, reason in rows.bad[:_MOST_BAD]:
        output.say(f"note: line {line} can't be used: {reason}")
    if len(rows.bad) > _MOST_BAD:
        output.say(f"note: nor can {len(rows.bad) - _MOST_BAD:,} more rows; --json lists them all")
    if not rows.labelled:
        how = (
            "each tier is compared with the next one"
            if comparable
            else "free text can't be compared, so answers are not graded; --same NAME says how to compare"
        )
        output.say(f"note: no row has an expected answer: {how}")
    elif rows.labelled < rows.rows:
        output.say(f"note: {rows.rows - rows.labelled:,} of {rows.rows:,} rows have no expected answer")


def _ladder(config: Config, wishes: Wishes, cassette: Cassette) -> Ladder:
    """The ladder of the configuration, or the recorded one for a replay without configured tiers."""
    if wishes.replay is None or config.tiers.value:
        # nobody is asked for consent row by row: --reach or the tier's table gives it
        return config.ladder(only=wishes.tiers, consent=None)
    rungs = recorded_rungs(cassette)
    if not rungs:
        raise ConfigError(f"nothing is recorded in {cassette.path}", hint="record it with --record")
    for name in wishes.tiers:
        if name not in {rung.tier.name for rung in rungs}:
            raise ConfigError(f"no tier of the recording is called {name!r}", hint=_known(rungs))
    return Ladder(*(rung for rung in rungs if not wishes.tiers or rung.tier.name in wishes.tiers))


def _known(rungs: tuple[Rung, ...]) -> str:
    return f"known: {', '.join(rung.tier.name for rung in rungs)}"


def identity_of(rung: Rung, table: TierTable, output: Output, cancel: Cancel) -> Identity:
    """Which model answers for a tier, and with which settings.

    Args:
        rung: the tier.
        table: its settings.
        output: is told what takes a while.
        cancel: ends it.

    Raises:
        TierUnavailable: the model file isn't here.
    """
    behaviour = {} if rung.describes is None else rung.describes.behaviour
    return identify(table.rung.kind, table.settings, behaviour, report=output.say, cancel=cancel)


def _identities(
    config: Config, ladder: Ladder, cassette: Cassette, output: Output, cancel: Cancel, *, asks: bool
) -> dict[str, Identity]:
    tables = {table.rung.name: table for table in config.tiers.value or (config.default_tiers() if asks else ())}
    found = {}
    for rung in ladder.rungs:
        name = rung.tier.name
        table = tables.get(name)
        if asks and table is not None:
            if rung.tier.zone > ladder.reach:
                output.say(f"note: tier {name!r} is left out; --reach {rung.tier.zone} would include it")
                continue
            known = identity_of(rung, table, output, cancel)
            cassette.identify(name, about(rung, known))
        else:
            told = cassette.tiers.get(name)
            if told is None:
                known_names = ", ".join(cassette.tiers) or "none"
                raise ConfigError(
                    f"{cassette.path} has no calls of tier {name!r}", hint=f"tiers in it: {known_names}; see --tier"
                )
            known = Identity(str(told.get("identity")), told.get("weights"), told.get("model"))
            model = None if table is None else table.settings.get("model")
            if model is not None and model != known.model:
                output.say(f"note: the recording of tier {name!r} is from {known.model}, not {model}")
        found[name] = known
    return found


def asked(ready: PreparedEvaluation, output: Output) -> Results:
    """Ask the tiers about the rows, and show the progress.

    Raises:
        RungError: whatever `rung.learn.evaluating.evaluate` raises.
    """
    found: list[TierResult] = []
    with EvalLine(output, ready.rows.rows) as line:
        try:
            for event in evaluate(ready.work):
                if isinstance(event, list):
                    found = event
                else:
                    line.show(event)
        except BaseException:
            line.clear()
            _tell_kept(ready, output)
            raise
    rows, ladder = ready.rows, ready.work.ladder
    return Results(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        data=rows.sha256,
        rows=rows.rows,
        labelled=rows.labelled,
        bad=rows.bad,
        check=ready.check,
        together=ready.work.together,
        tiers=tuple(_facts(rung, ready.identities) for rung in ladder.rungs if rung.tier.name in ready.identities),
        results=tuple(sorted(found, key=lambda result: (result.row, result.tier))),
    )


def _tell_kept(ready: PreparedEvaluation, output: Output) -> None:
    cassette = ready.cassette
    if not cassette.writes or not len(cassette):
        return
    if cassette.path is None:
        output.say(f"{len(cassette):,} answers are lost; --record FILE keeps what was asked")
    else:
        output.say(f"{len(cassette):,} calls are kept in {cassette.path}; the same command continues from there")


def _facts(rung: Rung, identities: Mapping[str, Identity]) -> TierFacts:
    name = rung.tier.name
    known = identities[name]
    return TierFacts(
        name, str(rung.tier.zone), known.digest, known.model, known.weights, rung.most_repairs, rung.min_confidence
    )


def feature(results: Results, wanted: str | None, output: Output) -> str:
    """The feature that answers are ranked by. A wrong name gives a note instead of an error: the known names come with
    the answers, and an error would lose those.
    """
    known = sorted({name for result in results.results for name in result.features})
    if wanted is None or wanted in known or not known:
        return wanted or FEATURE
    output.say(f"note: no answer has the feature {wanted!r}, so {FEATURE} is used; known: {', '.join(known)}")
    return FEATURE


def texts(ready: PreparedEvaluation, results: Results) -> dict[int, tuple[str, str]]:
    """Prompt and expected answer of each row that a tier got wrong, cut to what a report shows."""
    wrong = {r.row for r in results.results if r.right is False or r.agrees is False}
    found = {}
    for row in ready.work.rows():
        if row.number in wrong:
            expected = "" if not row.labelled else str(row.expected)
            found[row.number] = (row.messages[-1].text[:_LONGEST_TEXT], expected[:_LONGEST_TEXT])
    return found
