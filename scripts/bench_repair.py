"""What should the next attempt be told? What each form of feedback does to a second answer, by kind of issue.

    .venv/bin/python scripts/bench_repair.py [--model NAME ...]

Each case has a request, a wrong first answer as a small model gives it, and the issues that the checks raise of it.
Every model gives the second answer, told in each form:

    none      nothing at all: a control, since another model may be right by itself
    issues    the issues, as they are
    unquoted  the issues without the rejected value in them
    answer    the issues, behind the rejected answer

Counted are second answers that are right, and those that say the rejected value again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

import rung
from rung import Issue, Message
from rung.checks import quoted, that
from rung.feedback import tell
from rung.ladder import Ladder
from rung.tier import Rung
from rung.types import FeedbackPolicy

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
FORMS: dict[str, FeedbackPolicy] = {
    "none": "none",
    "issues": "issues",
    "unquoted": "issues",
    "answer": "issues+answer",
}
CAPITALS = Annotated[str, AfterValidator(that(str.isupper, "the answer must be in capital letters only"))]


def brief(text: str) -> str | None:
    return None if len(text.split()) <= 3 else "the answer must be at most three words"


def german(text: str) -> str | None:
    found = any(word in text.lower() for word in ("hallo", "guten", "grüß", "servus", "moin"))
    return None if found else "the greeting must be in German"


def open_ended(text: str) -> str | None:
    return None if not text.endswith(".") else "the answer must not end with a full stop"


def even(number: int) -> str | None:
    return None if number % 2 == 0 and number > 10 else "the number must be even and greater than 10"


def ordered(value: dict[str, Any]) -> str | None:
    return None if value["end"] > value["start"] else "the end must be after the start"


@dataclass(frozen=True)
class Case:
    """A request whose first answer was rejected.

    Args:
        kind: of issue.
        prompt: what was asked.
        output: what the answer must be.
        first: the rejected answer, as text.
        issues: what was wrong with it.
        again: the value that a second answer must not say again.
        right: whether a value that passed the checks is right. What is checked is all that was asked where it is left
            out.
        validators: further checks.
        unquoted: the issues without the rejected value, where they have it.
    """

    kind: str
    prompt: str
    output: Any
    first: str
    issues: tuple[Issue, ...]
    again: str
    right: Callable[[Any], bool] = lambda _: True
    validators: tuple[Callable[..., Any], ...] = ()
    unquoted: tuple[Issue, ...] | None = field(default=None)


def fields(**of: str) -> dict[str, Any]:
    """The schema of an object with these fields."""
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in of.items()},
        "required": list(of),
        "additionalProperties": False,
    }


def copied(source: str, asked: str, name: str, wrong: str, right: str) -> Case:
    """A value that doesn't occur in the source."""
    return Case(
        "quoted",
        f"{source}\n\n{asked}",
        fields(**{name: "string"}),
        f'{{"{name}": "{wrong}"}}',
        (Issue(name, f"'{wrong}' does not occur in the source; copy it from there", "quoted"),),
        wrong,
        lambda value: value[name].strip(" .").casefold() == right.casefold(),
        (quoted(source=source),),
        (Issue(name, "it does not occur in the source; copy it from there", "quoted"),),
    )


def bounded(prompt: str, name: str, limit: dict[str, Any], wrong: Any, said: str, right: Any) -> Case:
    """A value outside what the schema allows, which an endpoint that enforces nothing lets through."""
    schema = fields(**{name: "integer" if isinstance(wrong, int) else "string"})
    schema["properties"][name] |= limit
    return Case(
        "schema",
        prompt,
        schema,
        f'{{"{name}": {wrong!r}}}'.replace("'", '"'),
        (Issue(name, f"{wrong} {said}".strip() if isinstance(wrong, int) else f'"{wrong}" {said}', "schema"),),
        str(wrong),
        lambda value: value[name] == right,
        (),
        (Issue(name, f"it {said}", "schema"),),
    )


def told(prompt: str, output: Any, first: str, message: str, *checks: Callable[..., Any]) -> Case:
    """An answer that a person's own check rejects."""
    return Case("check", prompt, output, first, (Issue("", message, "check"),), first, validators=checks)


LETTER = "Dear Mr Okafor, your parcel was sent on 30th of May with Northern Lines and costs 48.90. Regards, Lena Weiss"
TRIP = "We go to Lisbon from the 3rd to the 9th of June, and Pedro stays two days longer."
BILL = "Invoice 7741-B of Harbour Tools Ltd. Net 1,250.00, tax 237.50, total 1,487.50. Payable by 14 August."
NOTE = "The boiler (type VX-200) failed twice on Monday; Ines reset it at 6.40 am and again at noon."

CASES: tuple[Case, ...] = (
    copied(LETTER, "When was the parcel sent? As it is written there.", "sent", "May 30", "30th of May"),
    copied(LETTER, "Who sent it?", "sender", "Lena White", "Lena Weiss"),
    copied(LETTER, "Which carrier?", "carrier", "Northern Line Express", "Northern Lines"),
    copied(LETTER, "To whom is it addressed?", "name", "Mr. Okafur", "Mr Okafor"),
    copied(TRIP, "On which day do they arrive? As it is written there.", "day", "June 3", "3rd"),
    copied(TRIP, "Who stays longer?", "who", "Pablo", "Pedro"),
    copied(BILL, "Which number has the invoice?", "number", "7741", "7741-B"),
    copied(BILL, "By when is it payable? As it is written there.", "due", "August 14", "14 August"),
    copied(BILL, "Who sends it?", "sender", "Harbor Tools Limited", "Harbour Tools Ltd"),
    copied(NOTE, "Which type is the boiler?", "type", "VX200", "VX-200"),
    copied(NOTE, "When did Ines reset it first? As it is written there.", "time", "06:40", "6.40 am"),
    copied(NOTE, "Who reset it?", "who", "Inez", "Ines"),
    bounded("How many days has a week? ", "days", {"maximum": 7}, 12, "is greater than the maximum of 7", 7),
    bounded("In which month is Christmas, as a number?", "month", {"maximum": 12}, 25, "is greater than 12", 12),
    bounded("How many legs has a spider?", "legs", {"minimum": 8}, 6, "is less than the minimum of 8", 8),
    bounded(
        "Which country is Paris in? Its code.", "code", {"pattern": "^[A-Z]{2}$"}, "France", "is no such code", "FR"
    ),
    bounded(
        "The weekday after Monday?", "day", {"enum": ["Tuesday", "Friday"]}, "Wednesday", "isn't allowed", "Tuesday"
    ),
    bounded("How many minutes are two hours?", "minutes", {"minimum": 60}, 2, "is less than the minimum of 60", 120),
    told("What is the capital of France? One word.", CAPITALS, "Paris", "must be in capital letters only"),
    told("Name the colour of the sky.", CAPITALS, "blue", "must be in capital letters only"),
    told("What is the capital of Italy?", None, "The capital of Italy is Rome.", "at most three words", brief),
    told(
        "Write a title for a story about a whale.",
        None,
        "The Whale and the Blue Sea",
        "at most three words",
        brief,
    ),
    told("Write a short greeting.", None, "Hello, how are you?", "the greeting must be in German", german),
    told("What is a dog? One sentence.", None, "A dog is an animal.", "must not end with a full stop", open_ended),
    told("Pick a number.", int, "7", "the number must be even and greater than 10", even),
    told(
        "From when to when is lunch? Whole hours.",
        fields(start="integer", end="integer"),
        '{"start": 13, "end": 12}',
        "the end must be after the start",
        ordered,
    ),
)
Told = Literal["right", "again", "other"]


def second(ladder: Ladder, case: Case, form: str) -> Told:
    """What a model says to a case, told in a form."""
    issues = case.unquoted if form == "unquoted" and case.unquoted else case.issues
    messages = tell((Message("user", case.prompt),), issues, case.first, FORMS[form])
    outcome = ladder.run(messages, case.output, validators=case.validators, max_tokens=60)
    if outcome.accepted and case.right(outcome.value):
        return "right"
    candidate = outcome.attempts[0].candidate
    return "again" if candidate is not None and case.again in candidate.text else "other"


def table(models: Sequence[str]) -> None:
    """Print a line for each model and kind of issue."""
    kinds = list(dict.fromkeys(case.kind for case in CASES))
    print("| model | kind | cases |" + "".join(f" {form}: right, again |" for form in FORMS))
    print("|---|---|---|" + "---|" * len(FORMS), flush=True)
    for model in models:
        tier = rung.llama(model)
        ladder = Ladder(Rung(tier, repairs=0, min_confidence=0))
        for kind in kinds:
            cases = [case for case in CASES if case.kind == kind]
            cells = []
            for form in FORMS:
                found = Counter(second(ladder, case, form) for case in cases)
                cells.append(f" {found['right']}, {found['again']} |")
            print(f"| {model} | {kind} | {len(cases)} |{''.join(cells)}", flush=True)
        tier.close()


def main() -> None:
    """Every case, told in every form, to every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="one of the models; all three by default")
    table(parser.parse_args().model or MODELS)


if __name__ == "__main__":
    main()
