"""The work of `rung batch`: prepare the job, do it, and write the output even if it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from rung import guard
from rung.batch import openai_form, outputs
from rung.batch.fingerprint import fingerprint
from rung.batch.intake import RowIntake, Shard
from rung.batch.manifest import JobManifest
from rung.batch.purse import JobPurse
from rung.batch.questions import Asks, Column, Questions, Templated, Usual
from rung.batch.sources import RowSource, source_of
from rung.batch.working import Job, Order, work
from rung.cli import batch_cluster, batch_report, inputs
from rung.cli.batch_progress import BatchLine
from rung.cli.codes import Exit
from rung.cli.evaluation import identity_of, together
from rung.cli.interrupt import Interrupts
from rung.cli.output import Output
from rung.cli.reading import Patience
from rung.config import Config, load
from rung.contract import Contract, compile_output
from rung.errors import ConfigError, RungError
from rung.files import full, read_bounded
from rung.ladder import Ladder, RequestOptions
from rung.ladder.refusing import demand_prices
from rung.learn.tables import BadRow
from rung.learn.templates import Template
from rung.ledger import Ledger
from rung.limits import Cancel, usd
from rung.locking import locked
from rung.parsing import decode
from rung.spelling import nearest
from rung.types import Zone

_MEASURED = "measured"
"""The value of `--order` that tries both orders."""
_MOST_TEMPLATE = 1 << 20
"""Bytes of a template's file, enough for a prompt of a thousand pages."""


@dataclass(frozen=True, slots=True)
class BatchWishes:
    """What the user asked for; see the options of `rung batch`."""

    data: str
    out: Path
    rejects: Path | None
    prompt: str | None
    template: str | None
    template_file: Path | None
    id: str | None
    task: str | None
    output: tuple[Path | None, str | None, str | None, str | None]
    checks: tuple[str, ...]
    quoted: tuple[str, ...]
    text_checks: bool
    system: str | None
    max_tokens: int | None
    tiers: tuple[str, ...]
    reach: str | None
    max_cost: str | None
    order: str
    together: int | None
    retry: bool
    attempts: bool
    estimate: int | None
    yes: bool
    sample: int | None
    shard: str | None
    on: str | None
    actors: int | None
    config: Path | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What every question of a job is asked with. Each process that works on the job makes it from the command line.

    Args:
        config: the configuration.
        ladder: its tiers. Its owner closes it.
        ledger: records the rows that cost money or left this machine.
        contract: what an answer must be.
        questions: makes the question of a row.
        options: of every request.
        identities: of the tiers, by name.
        fingerprint: of the job.
    """

    config: Config
    ladder: Ladder
    ledger: Ledger | None
    contract: Contract[Any]
    questions: Questions
    options: RequestOptions
    identities: Mapping[str, str]
    fingerprint: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """Everything that a job needs.

    Args:
        job: what to do.
        out: the file for accepted rows.
        rejects: the file for all other rows.
        ledger: records the rows that cost money or left this machine.
    """

    job: Job
    out: Path
    rejects: Path
    ledger: Ledger | None


def run(wishes: BatchWishes, output: Output, interrupts: Interrupts, cancel: Cancel) -> int:
    """Do a job, or what is left of it. Returns the exit code.

    Args:
        wishes: what the user asked for.
        output: where to report.
        interrupts: reports Ctrl-C.
        cancel: set by the Ctrl-C that stops at once.

    Raises:
        ConfigError: an option, the configuration or the input can't be used, or the output belongs to another job.
        RungError: a tier can't be asked at all, or the manifest can't be written. Finished questions are kept.
    """
    with contextlib.ExitStack() as stack:
        ready = Patience(None, output, cancel).run(lambda: _prepare(wishes, output, cancel, stack))
        manifest = ready.job.manifest
        interrupts.finish(lambda: _finish(ready.job.stop, output))
        pages = []
        try:
            if wishes.estimate is not None and not _goes_on(wishes, ready, output):
                return Exit.OK
            _work(wishes, ready, output)
        finally:
            if ready.ledger is not None:
                with contextlib.suppress(RungError):
                    ready.ledger.flush()
            write(manifest, ready.out, ready.rejects, attempts=wishes.attempts)
        if wishes.sample is not None:
            from rung.batch.reviewing import write_page

            page = ready.out.with_name(f"{ready.out.name}.review.html")
            write_page(page, manifest, ready.job.source, ready.job.questions, wishes.sample, wishes.task)
            pages.append(page)
        code = batch_report.tell(manifest, ready.out, ready.rejects, output, pages=pages)
        return Exit.INTERRUPTED if ready.job.stop.is_set() else code


def places(out: Path, rejects: Path | None) -> tuple[Path, Path]:
    """The files for accepted rows and for all other rows.

    Raises:
        ConfigError: one of them can't be written.
    """
    whole = outputs.demand_place(out, "--out")
    other = whole.with_name(f"{whole.stem}.rejects.jsonl") if rejects is None else rejects
    other = outputs.demand_place(other, "--rejects")
    if other == whole:
        raise ConfigError("--out and --rejects name the same file", hint="give them different names")
    return whole, other


def write(manifest: JobManifest, out: Path, rejects: Path, *, attempts: bool) -> None:
    """Write both files, one process at a time.

    Raises:
        ConfigError: one of them can't be written.
    """
    with locked(Path(f"{manifest.path}.lock")):
        outputs.write(manifest, out, rejects, attempts=attempts)


def _finish(stop: Cancel, output: Output) -> None:
    output.say("finishing the rows that are under way; Ctrl-C again stops at once")
    stop.set()


def _work(wishes: BatchWishes, ready: PreparedJob, output: Output) -> None:
    job = ready.job
    if wishes.order == _MEASURED:
        from rung.batch.ordering import measured

        with BatchLine(output, job) as line:
            trial = measured(job, line.show)
        job = replace(job, order=trial.order)
        if trial.rates:
            output.say(trial.sentence())
    with BatchLine(output, job) as line:
        for progress in work(job):
            line.show(progress)


def _goes_on(wishes: BatchWishes, ready: PreparedJob, output: Output) -> bool:
    from rung.batch.estimating import estimate

    assert wishes.estimate is not None, "only called for an estimate"
    with BatchLine(output, ready.job) as line:
        found = estimate(ready.job, wishes.estimate, line.show)
    if ready.job.stop.is_set():
        return False
    if found is None:
        return True
    for sentence in found.sentences():
        output.say(sentence)
    going = wishes.yes or batch_report.agreed(output)
    if output.json and not going:
        output.object({"status": "estimated", "estimate": found.as_object()})
    return going


def terms(wishes: BatchWishes, output: Output, cancel: Cancel, fetches: int | None = None) -> Terms:
    """What the questions are asked with.

    Args:
        wishes: what the user asked for.
        output: where to say what is noticed.
        cancel: ends the hashing of a model file.
        fetches: place of a tier whose model is fetched if this machine doesn't have it.

    Raises:
        ConfigError: an option or the configuration can't be used.
        RungError: a model isn't here, or can't be fetched.
    """
    config = load(wishes.config, reach=None if wishes.reach is None else Zone.parse(wishes.reach))
    for note in config.notes:
        output.say(f"note: {note}")
    if fetches is None:
        guard.install(config.reach.value)
    contract, template = _asked(wishes, config, Patience(None, output, cancel), output)
    questions = _questions(wishes, template)
    if questions.id is None and full(wishes.data, "the input").is_dir():
        questions = Questions(questions.asks, "file")
    ledger = config.ledger.ledger()
    # nobody is asked for consent row by row: --reach or the tier's table gives it for all rows
    ladder = config.ladder(only=wishes.tiers, consent=None, ledger=ledger)
    if fetches is not None and (prepares := ladder.rungs[fetches].prepares) is not None:
        prepares.fetch(lambda _: None, cancel, verify=False)
    options: RequestOptions = {
        "system": wishes.system,
        "max_tokens": wishes.max_tokens,
        "task": wishes.task,
        "text_checks": wishes.text_checks,
    }
    identities = _identities(config, ladder, output, cancel)
    shard = None if wishes.shard is None else Shard.parse(wishes.shard)
    found = fingerprint(contract, _prompt(wishes, questions), ladder, identities, _limits(wishes), shard)
    return Terms(config, ladder, ledger, contract, questions, options, identities, found)


def _prepare(wishes: BatchWishes, output: Output, cancel: Cancel, stack: contextlib.ExitStack) -> PreparedJob:
    out, rejects = places(wishes.out, wishes.rejects)
    shard = None if wishes.shard is None else Shard.parse(wishes.shard)
    limit = None if wishes.max_cost is None else usd(wishes.max_cost, "--max-cost")
    order = _order(wishes.order)
    said = terms(wishes, output, cancel)
    ladder, questions = said.ladder, said.questions
    stack.callback(ladder.close)
    source = stack.enter_context(source_of(wishes.data, questions.sees))
    if said.config.reach.value > Zone.HOST:
        guard.install(said.config.reach.value, hosts=said.config.hosts(ladder))
    demand_prices(ladder.rungs, ladder.reach, limited=limit is not None)
    rows = wishes.together or together(said.config)
    cluster = batch_cluster.cluster(wishes, said, rows)
    if cluster is not None:
        stack.callback(cluster.close)
    manifest = stack.enter_context(JobManifest(out.with_name(f"{out.name}.job")))
    manifest.demand_same(said.fingerprint)
    with manifest.transaction() as connection:
        manifest.put(connection, "openai", _is_openai(source, questions))
    lock = Path(f"{manifest.path}.lock")
    waiting = "waiting for another process that works on this job to read the input"
    with locked(lock, cancel=cancel, waiting=lambda: output.say(waiting)), BatchLine.reading(output) as tell:
        RowIntake(manifest, source, questions, shard, cancel).run(tell)
    if wishes.retry and not manifest.bury():
        manifest.retry()
    job = Job(
        manifest=manifest,
        source=source,
        questions=questions,
        ladder=ladder,
        identities=said.identities,
        output=said.contract,
        options=said.options,
        purse=JobPurse(manifest, limit) if limit is not None or _all_priced(ladder) else None,
        order=order,
        together=rows,
        cancel=cancel,
        observers=() if said.ledger is None else (said.ledger,),
        cluster=cluster,
    )
    return PreparedJob(job, out, rejects, said.ledger)


def _order(word: str) -> Order:
    """The order that an option names. What is measured later begins tier by tier."""
    if word == _MEASURED:
        return "tiers"
    for order in get_args(Order):
        if word == order:
            return order  # type: ignore[no-any-return]  # one of the literal's own words
    raise ConfigError(f"--order {word[:20]!r} is not an order", hint=nearest(word, (_MEASURED, *get_args(Order))))


def _asked(
    wishes: BatchWishes, config: Config, patience: Patience, output: Output
) -> tuple[Contract[Any], Template | None]:
    """The contract, and the template of the task."""
    shape = inputs.output(*wishes.output, patience)
    validators = inputs.validators(wishes.checks, wishes.quoted)
    own = any(given is not None for given in wishes.output)
    if wishes.task is None:
        return compile_output(shape, validators), None
    task = config.tasks.demand(wishes.task)
    if wishes.system is not None and task.template is not None:
        raise ConfigError("--system can't go together with a task that has a prompt of its own", hint="leave it out")
    for tier, changed in task.void().items():
        what = " and ".join(changed)
        output.say(f"note: what was learnt about tier {tier!r} is void, because {what} changed since")
    contract = compile_output(shape) if own else task.contract()
    return (contract.checked(validators) if validators else contract), task.template


def _questions(wishes: BatchWishes, template: Template | None) -> Questions:
    given = [
        name
        for name, value in (
            ("--prompt", wishes.prompt),
            ("--template", wishes.template),
            ("--template-file", wishes.template_file),
            ("--task with a prompt", template),
        )
        if value is not None
    ]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} can't go together", hint="give one of them")
    asks: Asks
    if wishes.prompt is not None:
        asks = Column(wishes.prompt)
    elif wishes.template is not None:
        asks = Templated(wishes.template)
    elif wishes.template_file is not None:
        path = full(wishes.template_file, "the template")
        asks = Templated(decode(read_bounded(path, _MOST_TEMPLATE, "the template"), str(path)))
    else:
        asks = Usual(template, folder=full(wishes.data, "the input").is_dir())
    return Questions(asks, wishes.id)


def _prompt(wishes: BatchWishes, questions: Questions) -> dict[str, Any]:
    """What prompts and ids are made from, for the fingerprint."""
    asks = questions.asks
    made = asks.text if isinstance(asks, Templated) else wishes.prompt
    if isinstance(asks, Usual) and asks.template is not None:
        made = asks.template.sha256
    return {"made": made, "system": wishes.system, "task": wishes.task, "id": questions.id}


def _limits(wishes: BatchWishes) -> dict[str, Any]:
    return {"max_tokens": wishes.max_tokens, "text_checks": wishes.text_checks}


def _identities(config: Config, ladder: Ladder, output: Output, cancel: Cancel) -> dict[str, str]:
    tables = {table.rung.name: table for table in config.tiers.value or config.default_tiers()}
    found = {}
    for rung in ladder.rungs:
        name = rung.tier.name
        if rung.tier.zone > ladder.reach:
            output.say(f"note: tier {name!r} is left out; --reach {rung.tier.zone} would include it")
        found[name] = identity_of(rung, tables[name], output, cancel).digest
    return found


def _all_priced(ladder: Ladder) -> bool:
    """Whether the job may cost money, and all costs are known. A purse refuses calls whose cost is unknown."""
    far = [rung for rung in ladder.rungs if rung.may_cost and rung.tier.zone <= ladder.reach]
    return bool(far) and all(rung.prices is not None and rung.prices.priced for rung in far)


def _is_openai(source: RowSource, questions: Questions) -> bool:
    if not isinstance(questions.asks, Usual) or questions.asks.template is not None or source.cells:
        return False
    first = next(iter(source.read()), None)
    return first is not None and not isinstance(first, BadRow) and openai_form.fits(first.values)
