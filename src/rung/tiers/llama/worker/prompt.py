"""Turning messages into tokens: the chat template is the model's word, the messages never are.

A template is rendered with one private character instead of each text that isn't its own. Whatever a template does
to content (trim, join, loop over it, look for something in it), it leaves a single character whole. So the rendered
text can be split into the template's part, where the spelling of a control token means that token, and contents, where
it is plain text.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.runtime

from rung.errors import TierUnavailable, Unsupported
from rung.tiers.llama.worker.errand import Errand, Overdue
from rung.tiers.llama.worker.sandbox import LONGEST_VALUE, Sandbox, bounded_format
from rung.types import Message

LONGEST_TEMPLATE = 256 * 1024
LONGEST_RENDER = 2.0
"""Seconds that a template may take. Those of models take milliseconds, whatever the length of the messages."""

_SWITCHES = frozenset({"enable_thinking", "thinking"})
"""Names of the variables by which templates decide whether the model thinks aloud."""

_PRIVATE = range(0xF0000, 0xFFFFE)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt.

    Args:
        text: never empty.
        trusted: whether it is the template's own, so that it may hold control tokens.
    """

    text: str = field(repr=False)
    trusted: bool


class _Refused(jinja2.TemplateError):
    """The template called `raise_exception`."""


class _Lost(Exception):
    """The template left out the content of a turn.

    Args:
        role: role of the turn.
    """

    def __init__(self, role: str) -> None:
        super().__init__(role)
        self.role = role


_TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    _Lost,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a template can raise. It is a program, and not one of ours."""


class ChatTemplate:
    """A model's chat template. `switches_thinking` tells whether it lets thinking be turned on and off.

    Args:
        source: the template, in Jinja.
        model: name of the model, for errors.
        bos: text of its beginning-of-text token.
        eos: text of its end-of-text token.
        thinking: whether the model is to think aloud, if the template has a switch for it.

    Raises:
        TierUnavailable: it is too long, or not valid Jinja.
    """

    def __init__(self, source: str, *, model: str, bos: str = "", eos: str = "", thinking: bool = False) -> None:
        if len(source) > LONGEST_TEMPLATE:
            raise TierUnavailable(
                f"the chat template of {model} is longer than {LONGEST_TEMPLATE:,} characters",
                hint="name another with chat_template",
            )
        self._model = model
        self._source = source
        self._given = {"bos_token": bos, "eos_token": eos, **dict.fromkeys(_SWITCHES, thinking)}
        environment = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation])
        environment.globals.pop("lipsum", None)
        environment.filters.pop("center", None)
        environment.filters["format"] = bounded_format
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = time.strftime
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(source)
            names = jinja2.meta.find_undeclared_variables(environment.parse(source))
        except (jinja2.TemplateError, RecursionError) as error:
            raise TierUnavailable(
                f"the chat template of {model} is not valid Jinja: {error}", hint="name another with chat_template"
            ) from None
        self.switches_thinking = not _SWITCHES.isdisjoint(names)

    def render(
        self, messages: Sequence[Message], errand: Errand | None = None, *, effort: str | None = None
    ) -> list[Segment]:
        """The prompt, up to where the answer begins. A system turn that the template doesn't accept is merged into the
        user's turn that follows.

        Args:
            messages: the conversation.
            errand: the errand that this is part of. Ending it ends the template, whatever that is doing.
            effort: how much the model shall think, as in `Sampling`; `None` leaves it to the tier.

        Raises:
            Unsupported: the template refuses the conversation, leaves a part of it out, or takes too long.
            Dropped: the errand was ended.
        """
        errand = errand or Errand()
        try:
            return self._in_time(messages, errand, effort)
        except _TEMPLATE_ERRORS as error:
            refused = error
        merged = _merged(messages) if any(m.role == "system" for m in messages) else None
        # some templates accept no system turn, some accept content in parts only, and a few do both
        for turns, in_parts in ((merged, False), (messages, True), (merged, True)):
            if turns is None:
                continue
            try:
                return self._in_time(turns, errand, effort, in_parts=in_parts)
            except _TEMPLATE_ERRORS as error:
                refused = refused if in_parts else error
        raise self._unsupported(refused) from None

    def _in_time(
        self, messages: Sequence[Message], errand: Errand, effort: str | None, *, in_parts: bool = False
    ) -> list[Segment]:
        try:
            return errand.foreign(lambda: self._attempt(messages, effort, in_parts), LONGEST_RENDER)
        except Overdue:
            raise Unsupported(
                f"the chat template of {self._model} takes more than {LONGEST_RENDER:g} s",
                hint="name another with chat_template",
            ) from None

    def _unsupported(self, error: Exception) -> Unsupported:
        return Unsupported(
            f"the chat template of {self._model} "
            + (f"leaves out {error.role} turns" if isinstance(error, _Lost) else f"refuses the conversation: {error}"),
            hint="name another with chat_template",
        )

    def _attempt(self, messages: Sequence[Message], effort: str | None, in_parts: bool) -> list[Segment]:
        stand_ins = _StandIns(self._source, messages)
        turns = [_turn(message, stand_ins) for message in messages]
        given = [turn["content"] for turn in turns]
        if in_parts:
            for turn in turns:
                turn["content"] = [{"type": "text", "text": turn["content"]}]
        parts, length = [], 0
        for part in self._template.generate(
            messages=turns,
            tools=None,
            documents=None,
            add_generation_prompt=True,
            stand_ins=stand_ins,
            **{**self._given, **_thinking(effort)},
        ):
            parts.append(part)
            length += len(part)
            if length > LONGEST_VALUE:
                raise jinja2.TemplateError(f"it writes more than {LONGEST_VALUE:,} characters")
        text = "".join(parts)
        for message, content in zip(messages, given, strict=True):
            if message.text.strip() and not stand_ins.holds(text, content):
                raise _Lost(message.role)
        return stand_ins.split(text)


def _thinking(effort: str | None) -> dict[str, Any]:
    """What a template is told of the effort that a request asks for."""
    if effort is None:
        return {}
    level = {"minimal": "low", "xhigh": "high"}.get(effort, effort)
    return {**dict.fromkeys(_SWITCHES, effort != "none"), **({} if level == "none" else {"reasoning_effort": level})}


class _StandIns:
    """Private characters, each of which stands for one text.

    Args:
        template: the template's source. Its own characters are not used.
        messages: the messages. Their characters are not used either.
    """

    def __init__(self, template: str, messages: Sequence[Message]) -> None:
        used = set(template).union(*map(_every_text, messages))
        self._free = (c for c in map(chr, _PRIVATE) if c not in used)
        self._texts: dict[str, str] = {}
        self._escaped: set[str] = set()

    def put(self, text: str) -> str:
        """What the template is given for `text`. Outer white space stays, so that a template can trim it."""
        core = text.strip()
        if not core:
            return text
        character = next(self._free, None)
        if character is None:
            raise Unsupported(f"a conversation of more than {len(_PRIVATE):,} texts")
        self._texts[character] = text
        before = len(text) - len(text.lstrip())
        return text[:before] + character + text[before + len(core) :]

    def put_all(self, value: Any) -> Any:
        """The same for every string in a JSON value. Keys are left alone unless they are put too."""
        if isinstance(value, str):
            return self.put(value)
        if isinstance(value, list):
            return [self.put_all(item) for item in value]
        if isinstance(value, dict):
            return {self.put(key): self.put_all(item) for key, item in value.items()}
        return value

    def holds(self, rendered: str, given: str) -> bool:
        """Whether what was given for a text is in the rendered prompt."""
        return any(c in rendered or c in self._escaped for c in given if c in self._texts)

    def escape(self, dumped: str) -> str:
        """JSON in which each text is escaped too, as it has to be inside a JSON string."""
        out = []
        for c in dumped:
            if c in self._texts:
                self._escaped.add(c)
                out.append(self.put(json.dumps(self._texts[c].strip(), ensure_ascii=False)[1:-1]))
            else:
                out.append(c)
        return "".join(out)

    def split(self, rendered: str) -> list[Segment]:
        """The rendered prompt, with the texts instead of their characters."""
        segments: list[Segment] = []
        start = 0
        for at, character in enumerate(rendered):
            if character not in self._texts:
                continue
            text = self._texts[character]
            core = text.strip()
            lead, _, trail = text.partition(core)
            # White space that the template left alone is tokenized with the text that it belongs to.
            before = rendered[start:at]
            kept = lead if before.endswith(lead) else ""
            _append(segments, before.removesuffix(kept), trusted=True)
            start = at + 1
            after = trail if rendered.startswith(trail, start) else ""
            _append(segments, kept + core + after, trusted=False)
            start += len(after)
        _append(segments, rendered[start:], trusted=True)
        return segments


def _append(segments: list[Segment], text: str, *, trusted: bool) -> None:
    if text:
        segments.append(Segment(text, trusted))


def _every_text(message: Message) -> str:
    calls = (part for call in message.tool_calls for part in (call.id, call.name, call.arguments))
    return "".join((message.text, message.tool_call_id or "", *calls))


def _turn(message: Message, stand_ins: _StandIns) -> dict[str, Any]:
    """A message in the form that templates know."""
    turn: dict[str, Any] = {"role": message.role, "content": stand_ins.put(message.text)}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": stand_ins.put(call.id),
                "type": "function",
                "function": {"name": stand_ins.put(call.name), "arguments": _arguments(call.arguments, stand_ins)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = stand_ins.put(message.tool_call_id)
    return turn


def _arguments(text: str, stand_ins: _StandIns) -> Any:
    try:
        return stand_ins.put_all(json.loads(text))
    except ValueError:
        return stand_ins.put(text)


def _merged(messages: Sequence[Message]) -> list[Message]:
    """The same conversation without system turns."""
    turns: list[Message] = []
    waiting = ""
    for message in messages:
        if message.role == "system":
            waiting += message.text + "\n\n"
        elif message.role == "user":
            turns.append(Message("user", waiting + message.text))
            waiting = ""
        else:
            turns.append(message)
    return [*turns, Message("user", waiting)] if waiting else turns


@jinja2.pass_context
def _to_json(
    context: jinja2.runtime.Context,
    value: Any,
    indent: int | None = None,
    ensure_ascii: bool = False,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Like the filter that templates are written for. It never writes HTML escapes and always keeps Unicode, whatever
    they ask for, because the private characters must stay whole.
    """
    stand_ins: _StandIns = context["stand_ins"]
    written = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)
    return stand_ins.escape(written)


def _refuse(message: str) -> NoReturn:
    raise _Refused(message)


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what a trainer learns from. Here it is only its content."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """The body, as if the tag weren't there."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
