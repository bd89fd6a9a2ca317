"""What is asked: one `rung ask` after the other, each with a ladder that is scripted from end to end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from openai_tier.server import Reply, chat, cut, events, piece, status, usage

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
ADA = '{"name": "Ada", "age": 36}'


@dataclass(frozen=True)
class Ask:
    """One run.

    Args:
        name: of its recorded files.
        options: behind `rung ask`; `{home}` stands for the person's home.
        tiers: the tables of the ladder.
        top: what stands above them in the configuration.
        endpoint: what a scripted server answers; `{url}` in a table stands for where it listens.
        stdin: what is piped in.
        env: of the command.
        ledger: which of the ledgers it is recorded in. Those with a budget have one of their own, because what is left
            depends on what was spent before.
        json: whether `--json` is given.
        ours: whether what is wrong with an answer is said in words of ours, and not of a JSON Schema library.
    """

    name: str
    options: tuple[str, ...]
    tiers: tuple[dict[str, Any], ...]
    top: str = ""
    endpoint: tuple[Reply, ...] = ()
    stdin: str = ""
    env: dict[str, str] = field(default_factory=dict)
    ledger: str = "ledger"
    json: bool = True
    ours: bool = True

    def config(self, url: str) -> str:
        """The configuration as TOML."""
        tables = [f"[[tier]]\n{_table(tier)}" for tier in self.tiers]
        return "\n".join([self.top, *tables]).replace("{url}", url)


def local(name: str, *script: str | dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A tier on this machine, with what it answers: a text, or a table with more about it."""
    lines = [{"text": line} if isinstance(line, str) else line for line in script]
    return {"name": name, "kind": "golden", **settings, "script": lines}


def cloud(*script: str | dict[str, Any], paid: bool = True, **settings: Any) -> dict[str, Any]:
    """A tier of the internet."""
    where = {"zone": "internet", "destination": "api.example.com:443", "stays_here": False}
    price = {"price": [10, 20]} if paid else {}
    return local("cloud", *script, **where, **price, **settings)


def endpoint(**settings: Any) -> dict[str, Any]:
    """An OpenAI-compatible tier at the scripted server, which counts as the internet."""
    usual = {"name": "cloud", "kind": "openai", "model": "m-1", "base_url": "{url}", "zone": "internet", "retries": 0}
    return {**usual, "price": {"input": 1.0, "output": 4.0}, **settings}


def toml(value: Any) -> str:
    """A value as TOML, tables inline."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


def _table(tier: dict[str, Any]) -> str:
    return "\n".join(f"{key} = {toml(value)}" for key, value in tier.items()) + "\n"


WHO = "Who wrote the first program?"
GOOD = ("--check", "golden_checks:good")
BETTER = ("--check", "golden_checks:better")
FAR = ("--reach", "internet")
PRIVATE = "Write to ada@example.com about card 4111 1111 1111 1111: who is it?"

ASKS = (
    Ask("accepted", (WHO, *GOOD), (local("small", "good"),)),
    Ask("accepted_unchecked", (WHO, "--system", "Be brief.", "--task", "history"), (local("small", "Ada Lovelace"),)),
    Ask("repaired", (WHO, *BETTER), (local("small", "bad", "good"), local("large"))),
    Ask("same_issues", (WHO, *GOOD), (local("small", "bad", "worse"), local("large", "good"))),
    Ask(
        "escalated_twice",
        (WHO, *BETTER, "--task", "history"),
        (local("small", "bad", "worse"), local("medium", "worst", repairs=0), local("large", "good")),
    ),
    Ask("repaired_twice", (WHO, *BETTER), (local("small", "bad", "worse", "good", repairs=2),)),
    Ask(
        "feedback_with_the_answer",
        (WHO, *BETTER),
        (local("small", "bad", repairs=0), local("large", "worse", "good", feedback="issues+answer")),
    ),
    Ask(
        "feedback_withheld",
        (WHO, *BETTER),
        (local("small", "bad", repairs=0), local("large", "worse", "good", feedback="none")),
    ),
    Ask(
        "program_checks",
        (WHO, "--check", "sh -c 'grep -q good || { echo the word good is missing >&2; exit 1; }'"),
        (local("small", "bad", "good"),),
    ),
    Ask(
        "quoted",
        ("Who is it?", "--file", "{home}/mail.txt", "--schema", "{home}/person.json", "--quoted", "name"),
        (local("small", '{"name": "Eve", "age": 36}', ADA),),
    ),
    Ask(
        "two_checks",
        (WHO, *GOOD, *BETTER),
        (local("small", "bad", "good"),),
    ),
    Ask(
        "cut_off_then_retried",
        (WHO, *GOOD, "--max-tokens", "10"),
        (local("small", {"text": "a very", "finish": "length"}, "a good answer"),),
    ),
    Ask(
        "cut_off_for_good",
        (WHO, *GOOD),
        (
            local("small", *2 * ({"text": "a good", "finish": "length"},), max_tokens=8),
            local("large", "a good answer"),
        ),
    ),
    Ask(
        "low_confidence",
        (WHO, *GOOD),
        (
            local("small", {"text": "a good guess", "logprob": -2.0}, min_confidence=0.5),
            local("large", {"text": "a good answer", "logprob": -0.25}, min_confidence=0.5),
        ),
    ),
    Ask("refusal", (WHO,), (local("small", {"text": "I can't.", "finish": "refusal"}), local("large", "Ada"))),
    Ask("empty", (WHO,), (local("small", " "), local("large", "Ada"))),
    Ask("looping", (WHO,), (local("small", {"text": "so on and ", "times": 60}), local("large", "Ada"))),
    Ask("control_tokens", (WHO,), (local("small", "Ada<|im_end|>", "Ada"),)),
    Ask(
        "unavailable",
        (WHO, *GOOD),
        (local("small", {"raises": "TierUnavailable"}), local("large", "good")),
    ),
    Ask("crashed", (WHO, *GOOD), (local("small", {"raises": "TierCrashed"}), local("large", "good"))),
    Ask(
        "prompt_too_long",
        (WHO, *GOOD),
        (local("small", {"raises": "PromptTooLong", "with": [5000, 4096]}), local("large", "good")),
    ),
    Ask("a_bug_of_a_tier", (WHO, *GOOD), (local("small", {"raises": "Zone", "with": [7]}), local("large", "good"))),
    Ask("all_unavailable", (WHO,), (local("small", {"raises": "TierUnavailable"}), local("large"))),
    Ask(
        "rate_limited",
        (WHO, *FAR),
        (endpoint(), local("large", "good")),
        endpoint=(status(429, {"retry-after": "7"}),),
    ),
    Ask(
        "key_refused",
        (WHO, *FAR),
        (endpoint(api_key={"env": "GOLDEN_KEY"}),),
        endpoint=(status(401, error={"message": "no", "code": "invalid_api_key"}),),
        env={"GOLDEN_KEY": "golden"},
    ),
    Ask(
        "broken_off",
        (WHO, *FAR),
        (endpoint(), local("large", "good")),
        endpoint=(cut(piece("a good")),),
    ),
    Ask("beyond_reach", (WHO, *GOOD), (local("small", "bad", "bad"), cloud("good"))),
    Ask("consent_refused", (WHO,), (cloud("good"),), top='reach = "internet"'),
    Ask("consent_by_the_tier", (WHO,), (cloud("good", consent="always"),), top='reach = "internet"'),
    Ask("consent_by_the_reach", (WHO, *FAR), (cloud("good"),)),
    Ask("consent_withheld_by_the_tier", (WHO, *FAR), (cloud("good", consent="never"),)),
    Ask("no_price_no_limit", (WHO, *FAR), (cloud("good", paid=False),)),
    Ask(
        "escalated_to_an_endpoint",
        (WHO, *BETTER, *FAR),
        (local("small", "bad", repairs=0), endpoint()),
        endpoint=(chat("a ", "good", " one"),),
    ),
    Ask(
        "endpoint_repairs",
        (WHO, *BETTER, *FAR, "--system", "Be brief.", "--max-tokens", "300"),
        (endpoint(repairs=1, logprobs=True, store=False, extra_body={"top_k": 5}),),
        endpoint=(chat("bad"), chat("good")),
    ),
    Ask(
        "endpoint_cut_off",
        (WHO, *FAR),
        (endpoint(max_tokens=100),),
        endpoint=(chat("a good", finish="length"), chat("a good answer")),
    ),
    Ask(
        "endpoint_refuses",
        (WHO, *FAR),
        (endpoint(), local("large", "good")),
        endpoint=(events(piece(refusal="I can't."), piece(finish="stop"), usage()),),
    ),
    Ask(
        "endpoint_with_a_schema",
        ("Who is it?", *FAR, "--schema", "{home}/person.json"),
        (endpoint(),),
        endpoint=(chat('{"name": "Ada", ', '"age": 36}'),),
    ),
    Ask("over_the_budget_of_the_request", (WHO, *FAR, "--max-cost", "0.002"), (cloud("good"),)),
    Ask("over_the_budget_of_the_tier", (WHO, *FAR), (cloud("good", max_cost_usd=0.002),)),
    Ask(
        "over_the_budget_in_tokens",
        (WHO, *FAR),
        (local("small", {"text": "a good", "finish": "length"}), cloud("good")),
        top="[budget]\ntokens = 115",
    ),
    Ask("capped_by_the_budget", (WHO, *FAR, "--max-cost", "0.012"), (cloud("good"),)),
    Ask(
        "capped_at_the_endpoint",
        (WHO, *FAR, "--max-cost", "0.003"),
        (endpoint(),),
        endpoint=(chat("good"),),
    ),
    Ask(
        "settled",
        (WHO, *FAR),
        (cloud("good"),),
        top="[budget]\nmoney_per_day = 0.03\nmoney_per_month = 0.5\n[ledger]\ncontent = true",
        ledger="budget",
    ),
    Ask(
        "settled_in_doubt",
        (WHO, *FAR),
        (endpoint(), local("large", "good")),
        top="[budget]\nmoney_per_day = 0.03\n[ledger]\ncontent = true",
        endpoint=(cut(piece("a good")),),
        ledger="budget",
    ),
    Ask(
        "capped_by_the_day",
        (WHO, *FAR),
        (cloud("good"),),
        top="[budget]\nmoney_per_day = 0.022",
        ledger="budget",
    ),
    Ask(
        "over_the_budget_of_the_day",
        (WHO, *FAR),
        (cloud("good"),),
        top="[budget]\nmoney_per_day = 0.012",
        ledger="budget",
    ),
    Ask("paid_too_early", (WHO, *FAR), (local("small", {"raises": "TierUnavailable"}), cloud("good"))),
    Ask(
        "paid_after_any_failure",
        (WHO, *FAR),
        (local("small", {"raises": "TierUnavailable"}), cloud("good")),
        top='paid_after = "any_failure"',
    ),
    Ask("deadline", (WHO, "--max-seconds", "0.6"), (local("small", {"text": "good", "seconds": 60}), local("large"))),
    Ask(
        "stalled", (WHO, "--max-seconds", "3"), (local("small", {"text": "bad", "seconds": 60}), local("large", "good"))
    ),
    Ask("unresolved", (WHO, *BETTER), (local("small", "bad", "worse"), local("large", "worst", "no better"))),
    Ask("one_tier", (WHO, "--tier", "large"), (local("small"), local("large", "good"))),
    Ask("choices", ("Risky?", "--choices", "yes, no"), (local("small", "perhaps", "yes"),)),
    Ask(
        "regex",
        ("When?", "--regex", "[0-9]{4}"),
        (local("small", "in 1843", {"text": "1843", "constraint": "enforced"}),),
    ),
    Ask(
        "schema",
        ("Who is it?", "--schema", "{home}/person.json"),
        (local("small", '{"name": "Ada"}', repairs=0), local("large", f"```json\n{ADA}\n```", feedback="none")),
        ours=False,
    ),
    Ask(
        "pydantic",
        ("Who is it?", "--type", "golden_checks:Person", "--check", "golden_checks:grown_up"),
        (local("small", '{"name": "Ada", "age": "old"}', '{"name": "Ada", "age": 6}', ADA, repairs=2),),
    ),
    Ask(
        "redacted",
        (PRIVATE, *FAR, "--schema", "{home}/mail.json", "--check", "golden_checks:with_card"),
        (local("small", '{"to": "ada@example.com"}', repairs=0), endpoint(redact=True, feedback="issues+answer")),
        endpoint=(chat('{"to": "[EMAIL_1]", "card": "[CARD_1]"}'),),
    ),
    Ask(
        "redacted_by_the_file",
        (PRIVATE, *FAR),
        (cloud("[EMAIL_1] it is"),),
        top="redact = true",
    ),
    Ask("piped_in", ("Who is it?",), (local("small", "Ada"),), stdin="A mail from Ada."),
    Ask(
        "told_to_a_person", (WHO, *GOOD, "--trace"), (local("small", "bad", "bad"), local("large", "good")), json=False
    ),
    Ask("value_told_to_a_person", ("Who is it?", "--schema", "{home}/person.json"), (local("small", ADA),), json=False),
    Ask(
        "failure_told_to_a_person",
        (WHO, *GOOD, *FAR, "--max-cost", "0"),
        (local("small", "bad", "bad"), cloud("good")),
        json=False,
    ),
    Ask(
        "shown_and_not_sent",
        (PRIVATE, *BETTER, *FAR, "--show-outgoing"),
        (local("small", "bad", repairs=0), endpoint(redact=True)),
        endpoint=(),
    ),
    Ask(
        "kept_for_tuning",
        (WHO, *BETTER, "--task", "history"),
        (local("small", "bad", "worse"), local("large", "good")),
        top="[ledger]\ncontent = true",
    ),
)
