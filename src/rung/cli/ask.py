"""`rung ask`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.codes import Exit
from rung.cli.continuing import AskCommand
from rung.cli.options import (
    AnswerChecks,
    AnswerChoices,
    AnswerRegex,
    AnswerSchema,
    AnswerType,
    MaxTokens,
    OnlyTiers,
    QuotedFields,
    TextChecks,
    TrustedConfig,
)

if TYPE_CHECKING:
    from rung.cli.interrupt import Interrupts
    from rung.cli.output import Output
    from rung.cli.reading import TimeUp
    from rung.contract import Validator
    from rung.engine import Plan
    from rung.ladder import Ladder
    from rung.ledger import Ledger
    from rung.limits import Cancel
    from rung.types import Finished, Message, Outcome

    _Asked = str | dict[str, str] | tuple[Message, ...]

EXAMPLES = """\b
Examples:
  rung ask "Why is the sky blue?"
  rung ask "Extract the invoice." --file mail.txt --schema invoice.json --quoted vendor --quoted total
  git diff | rung ask "Is this change risky?" --choices yes,no
  rung ask "Write a function that parses ISO dates." --trace \\
    --check "ruff check --isolated --select F -"
  rung ask "Summarise." --file mail.txt --reach internet --show-outgoing
  rung ask --task invoice --file mail.txt
  rung ask --task reply --field tone=friendly < mail.txt
  rung ask --continue "And why is it red in the evening?"

\b
A prompt with --file, or with something piped in, is the instruction; what is
read follows it. In a shell loop, add < /dev/null to leave the loop's input alone.
A prompt that begins with a dash stands behind --: rung ask -- "-5 + 3"

\b
Exit codes: 0 accepted, 2 usage, 3 no answer was accepted, 4 no tier is
available, 130 interrupted.
"""

COMMAND = AskCommand

_Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="What to ask.", show_default=False)]
_File = Annotated[
    list[str] | None,
    typer.Option("--file", metavar="FILE", help="Read the prompt from FILE; - is stdin. Repeatable."),
]
_Reach = Annotated[
    str | None,
    typer.Option("--reach", metavar="ZONE", help="How far the prompt may travel: host, lan or internet."),
]
_Seconds = Annotated[
    float | None,
    typer.Option(
        "--max-seconds",
        metavar="SECONDS",
        help="Stop after this time, counted from the start: reading the prompt and all tiers together.",
    ),
]
_Cost = Annotated[
    str | None, typer.Option("--max-cost", metavar="USD", help="Spend no more than this, all paid attempts together.")
]
_System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="Instructions put before the prompt.")]
_Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="NAME",
        help="A task of `rung task list`, with its prompt, contract and calibration. Any other name is only a label "
        "for `rung ledger stats`.",
    ),
]
_Field = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME=TEXT",
        help="A field of the task's template. What PROMPT, --file or stdin gives is the one that is left. Repeatable.",
    ),
]
_FieldFile = Annotated[
    list[str] | None,
    typer.Option("--field-file", metavar="NAME=FILE", help="The same, read from a file. Repeatable."),
]
_Continue = Annotated[
    str | None,
    typer.Option(
        "--continue",
        metavar="[ID]",
        help="Go on from the last answer in the ledger, or from the one named, where the ledger keeps prompts and "
        "answers. All of that conversation is sent again.",
        show_default=False,
    ),
]
_Show = Annotated[
    bool,
    typer.Option(
        "--show-outgoing",
        help="Print, byte for byte, what would be sent to each tier beyond this machine, and send nothing. The local "
        "tiers are really asked, because what goes out depends on them.",
    ),
]
_Drafts = Annotated[
    bool | None,
    typer.Option(
        "--drafts/--no-drafts",
        help="Whether a terminal shows what a tier writes before it is checked. On, unless rung.toml says "
        "drafts = false.",
        show_default=False,
    ),
]
_Trace = Annotated[bool, typer.Option("--trace", help="Show every attempt, on stderr.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object with the answer and every attempt.")]


def ask(
    context: typer.Context,
    prompt: _Prompt = None,
    file: _File = None,
    schema: AnswerSchema = None,
    type_: AnswerType = None,
    choices: AnswerChoices = None,
    regex: AnswerRegex = None,
    check: AnswerChecks = None,
    quoted: QuotedFields = None,
    text_checks: TextChecks = True,
    reach: _Reach = None,
    tier: OnlyTiers = None,
    max_seconds: _Seconds = None,
    max_cost: _Cost = None,
    max_tokens: MaxTokens = None,
    system: _System = None,
    task: _Task = None,
    field: _Field = None,
    field_file: _FieldFile = None,
    continue_: _Continue = None,
    show_outgoing: _Show = False,
    drafts: _Drafts = None,
    trace: _Trace = False,
    json: _Json = False,
    config: TrustedConfig = None,
) -> int:
    """Answer a prompt on the smallest tier whose answer passes every check."""
    cancel: Cancel = context.obj.interrupts.cancel()  # first, because what follows takes a while to load
    from rung import guard
    from rung.cli import continuing, inputs, outgoing
    from rung.cli.drafts import can_be_shown
    from rung.cli.reading import Patience, TimeUp
    from rung.config import load
    from rung.consent.person import terminal
    from rung.contract import compile_output
    from rung.limits import Budget
    from rung.types import Zone

    output: Output = context.obj.output
    Budget(max_seconds)  # refuses what is not a limit, before it becomes a deadline
    # from here on the time counts: rung's own modules are loaded, and what follows is the person's
    patience = Patience(max_seconds, output, cancel)

    def prepare() -> _Prepared:
        patience.doing("reading the configuration")
        found = load(
            config,
            reach=None if reach is None else Zone.parse(reach),
            seconds=max_seconds,
            money=max_cost,
        )
        for note in found.notes:
            output.say(f"note: {note}")
        # before anything else is made, because a type, a check or a tier may import anybody's package
        # and to this machine where nothing may be sent
        guard.install(Zone.HOST if show_outgoing else found.reach.value)
        given = inputs.fields(field or (), field_file or (), patience)
        text = inputs.asked(prompt, file or (), given, inputs.fields_of(found, task), patience)
        messages: _Asked = text
        continues = None
        if continue_ is not None:
            continues, messages = continuing.goes_on(found.ledger, continue_, text, system)
        shape = inputs.output(schema, type_, choices, regex, patience)
        patience.doing("making the checks ready")
        validators = inputs.validators(check or (), quoted or ())
        compile_output(shape, validators)  # a wrong schema must not hide behind a model that is missing
        patience.doing("making the tiers ready")
        ledger = found.ledger.ledger()
        ladder = found.ladder(only=tier or (), consent=terminal(), ledger=ledger)
        ladder.task_output(task)  # may import anybody's package, too
        if found.reach.value > Zone.HOST:
            guard.install(found.reach.value, hosts=found.hosts(ladder))
        shown = found.drafts.value if drafts is None else drafts
        return _Prepared(messages, continues, shape, validators, ledger, ladder, shown)

    try:
        ready = patience.run(prepare)
    except TimeUp as error:
        return _never_asked(error, patience.spent, output)
    settings: Any = {
        "validators": ready.validators,
        "system": system,
        "task": task,
        "max_tokens": max_tokens,
        "text_checks": text_checks,
        "timeout": patience.deadline.remaining(),
        "cancel": cancel,
        "continues": ready.continues,
    }
    with ready.ladder:
        if show_outgoing:
            outgoing.show(ready.ladder.preview(ready.prompt, ready.shape, **settings), output)
            return 0
        settings["provisional"] = ready.drafts and can_be_shown(output)
        plan = _tossing(ready.ladder.plan(ready.prompt, ready.shape, settings))
        finished = _climb(plan, output, context.obj.interrupts)
        outcome = finished.outcome
        try:
            # before the ladder is closed, so that an answer doesn't wait for a worker's end
            return _tell(outcome, output, trace=trace, continued=ready.continues is not None)
        finally:
            # last, so that an answer doesn't wait for the disk
            if ready.ledger is not None:
                _flush(ready.ledger, outcome, output)
            if plan.shadows is not None:
                given: dict[str, Any] = {
                    "prompt": ready.prompt,
                    "schema": schema,
                    "type": type_,
                    "choices": choices,
                    "regex": regex,
                    "check": check or [],
                    "quoted": quoted or [],
                    "text_checks": text_checks,
                    "reach": reach,
                    "tier": tier or [],
                    "max_cost": max_cost,
                    "max_tokens": max_tokens,
                    "system": system,
                    "task": task,
                    "config": config,
                }
                _follow(plan, finished, given, output, trace=trace)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is asked, and of whom."""

    prompt: _Asked
    continues: str | None
    shape: Any
    validators: list[Validator]
    ledger: Ledger | None
    ladder: Ladder
    drafts: bool


def _never_asked(error: TimeUp, seconds: float, output: Output) -> int:
    """The time was up while the prompt was read. Half of a prompt is another prompt, so it is not sent."""
    from rung.cli import report
    from rung.types import Outcome

    if output.json:
        output.object(report.as_json(Outcome(reason="deadline", seconds=seconds)))
    output.say(f"rung: {error}")
    return Exit.UNRESOLVED


def _tossing(plan: Plan) -> Plan:
    """The plan with a coin alone: this process ends with its answer, and another one asks the shadow.

    No coin is tossed for a conversation that goes on: what another process is given is what a person typed.
    """
    from dataclasses import replace

    if plan.shadows is None:
        return plan
    return replace(plan, shadows=None if plan.request.continues is not None else plan.shadows.tossing())


def _climb(plan: Plan, output: Output, interrupts: Interrupts) -> Finished:
    from rung import engine
    from rung.cli.drafts import Drafts
    from rung.cli.progress import ClimbProgress
    from rung.types import Finished

    drafts = Drafts(output) if plan.provisional else None
    if drafts is not None:
        interrupts.on(drafts.close)
    with drafts or ClimbProgress(output.talks) as progress:
        for event in engine.run(plan):
            progress.show(event)
            if isinstance(event, Finished):
                return event
    raise AssertionError("a run ends with Finished")


def _follow(plan: Plan, finished: Finished, words: dict[str, Any], output: Output, *, trace: bool) -> None:
    """Leave the shadow to a process of its own, where there is to be one."""
    from rung.cli.shadowing import hand_over
    from rung.engine import NO_EQUALITY, shadowing

    if not plan.observers:
        return  # nothing is recorded, so nothing could be learnt
    hand_over(plan, finished, words)
    if trace and finished.toss is None and shadowing.equality(plan) is None:
        output.say(f"note: {NO_EQUALITY}")


def _flush(ledger: Ledger, outcome: Outcome[Any], output: Output) -> None:
    """See that the record is on the disk. Where it can't be, the answer is none the worse for it."""
    from rung.errors import LedgerError

    try:
        ledger.flush()
    except LedgerError as error:
        if str(error) not in outcome.notes:
            output.say(f"note: {error}")


def _tell(outcome: Outcome[Any], output: Output, *, trace: bool, continued: bool) -> int:
    from pydantic_core import to_jsonable_python

    from rung.cli import report
    from rung.errors import Cancelled

    if outcome.reason == "cancelled":
        raise Cancelled("interrupted")
    for note in outcome.notes:
        output.say(f"note: {note}")
    if trace:
        from rung.cli.trace import table

        output.say(table(outcome))
    if output.json:
        output.object(report.as_json(outcome))
    elif outcome.accepted:
        output.value(to_jsonable_python(outcome.value))
    if outcome.accepted:
        advice = report.advice(outcome)
        if advice and not output.json:
            output.say(advice)
        return 0
    output.say(report.unresolved(outcome, trace=trace, continued=continued))
    return report.exit_code(outcome)
