"""What comes from a model, a file, a ledger or a configuration can't fool whoever reads it on a terminal.

| kind | tests |
|---|---|
| 32, characters that steer, turn or hide | `test_what_steers_...`, `test_text_that_needs_...`, `test_no_second_...` |
| 32, a question for consent | `test_a_question_for_consent_...`, `test_on_a_terminal_the_question_...` |
| 32, lines that somebody forges | `test_a_line_break_in_a_name_...`, `test_a_receipt_...` |
| 32, a pipe | `test_into_a_pipe_an_answer_goes_byte_for_byte` |
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from decimal import Decimal
from pathlib import Path

import pytest

import rung.cli
from helpers.each import each
from helpers.terminal import Session
from rung.cli.tables import aligned
from rung.consent.person import _question
from rung.types import Hop, Zone
from rung.visible import ascii_, json_escaped, line, plain

HIDDEN = {
    "escape": "\x1b",
    "bell": "\x07",
    "carriage return": "\r",
    "DEL": "\x7f",
    "CSI in one byte": "\x9b",
    "NEL": "\x85",
    "left-to-right mark": "\u200e",
    "right-to-left mark": "\u200f",
    "Arabic letter mark": "\u061c",
    "embedding": "\u202a",
    "override": "\u202e",
    "isolate": "\u2066",
    "pop isolate": "\u2069",
    "zero-width space": "\u200b",
    "word joiner": "\u2060",
    "invisible times": "\u2062",
    "byte order mark": "\ufeff",
    "soft hyphen": "\xad",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "tag letter": "\U000e0041",
    "language tag": "\U000e0001",
    "half of a surrogate pair": "\ud800",
    "Hangul filler": "\u3164",
    "annotation": "\ufff9",
}


@each("kind", HIDDEN)
def test_what_steers_turns_or_hides_is_visible(kind):
    c = HIDDEN[kind]
    shown = plain(f"a{c}b")
    assert c not in shown
    assert f"{ord(c):x}" in shown
    assert json.loads(json_escaped(json.dumps(f"a{c}b", ensure_ascii=False))) == f"a{c}b"
    assert c not in json_escaped(json.dumps(f"a{c}b", ensure_ascii=False))


@pytest.mark.slow
def test_nothing_without_a_width_is_left_out_of_the_table():
    """All of Unicode's control and format characters and separators, but for those that are drawn."""
    drawn = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13456)}
    left = [
        f"{code:x}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and chr(code) not in "\n\t"
        and code not in drawn
        and chr(code) in plain(f"a{chr(code)}b")
    ]
    assert left == []


READABLE = {
    "Persian": "می\u200cخواهم",
    "Hindi": "क्\u200dष और क्\u200cष",
    "a family": "👨\u200d👩\u200d👧",
    "a woman of a skin colour": "🤦🏽\u200d♀\ufe0f",
    "a heart on fire": "❤\ufe0f\u200d🔥",
    "a head that shakes": "🙂\u200d↔\ufe0f",
    "a keycap": "1\ufe0f\u20e3",
    "Hebrew": "שלום",
    "Chinese with a variant": "葛\U000e0100飾",
    "lines": "a\n\tb\n",
}


@each("kind", READABLE)
def test_text_that_needs_joiners_and_variants_stays_as_it_is(kind):
    assert plain(READABLE[kind]) == READABLE[kind]


@each(
    "text",
    [
        "pay\u200dpal",
        "pay\u200cpal",
        "\u200d",
        "a\ufe0f",
        "👨\u200d\u200d👩",
        "👨\u200d",
        "👨\u200da",
        "😀\ufe0f\ufe01\ufe02",
        "😀\U000e0100\U000e0101",
        "می\u200c\u200cخواهم",
        " \ufe0f",
        "葛\U000e0100\U000e0101",
    ],
)
def test_no_second_text_can_be_hidden_in_them(text):
    assert "\\" in plain(text)


def test_a_line_stays_on_its_line_and_a_host_is_ascii():
    assert line("a\nb\tc\r\nd") == "a\\nb\\tc\\nd"
    assert ascii_("аpi.example.com") == "\\u0430pi.example.com"
    assert ascii_("a\nb") == "a\\nb"


def question(**more) -> str:
    values = {"tier": "cloud", "zone": Zone.INTERNET, "characters": 12, "destination": "api.example.com:443"}
    values |= {"max_cost": Decimal("0.05"), "reasons": (), "sends_answer": False}
    return _question(Hop(**{**values, **more}))


@each(
    "evil",
    ["\u202emoc.elpmaxe", "a\nSend it? yes\n", "a\r\x1b[2K", "a\u2066b", "a\u2028b", "a\u200bb"],
    ids=["override", "line", "erase", "isolate", "separator", "zero width"],
)
@each("where", ["tier", "destination", "reasons"])
def test_a_question_for_consent_shows_what_a_name_is_made_of(where, evil):
    asked = question(**{where: (evil,) if where == "reasons" else evil})
    assert asked.count("\n") == (2 if where == "reasons" else 1)
    assert plain(asked) == asked
    assert "\\" in asked


def test_a_question_for_consent_shows_letters_that_look_like_others():
    assert "\\u0430pi.example.com" in question(destination="аpi.example.com")
    assert "'größer'" in question(tier="größer")
    assert "\\u05d0" in question(tier="א 443:")
    assert len(question(tier="x" * 10_000)) < 500


def test_a_line_break_in_a_name_forges_no_row_of_a_table():
    table = aligned(("tier", "left"), [("a\nb\u2028\x85  no", "yes"), ("c\u202e", "no")], words=2)
    assert len(table.splitlines()) == 3
    _, first, second = table.splitlines()
    assert first.rindex("yes") == second.rindex("no")
    assert "\u202e" not in table


def test_a_receipt_of_a_tier_with_a_line_break_says_once_whether_the_prompt_left(tmp_path, monkeypatch, capfd):
    import rung as product
    from rung.cli.app import invoke
    from rung.cli.interrupt import Interrupts
    from rung.ledger import Ledger
    from rung.testing import ScriptedTier

    monkeypatch.setenv("RUNG_LEDGER", str(tmp_path / "ledger.db"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ledger = Ledger(tmp_path / "ledger.db")
    name = "x\nleft this machine: no\n\u202e"
    with product.Ladder(ScriptedTier(name, "fine"), observers=(ledger,)) as ladder:
        assert ladder.run("Who?").accepted
    ledger.flush()
    assert invoke(["ledger", "show"], Interrupts()) == 0
    said = capfd.readouterr().out
    assert len([text for text in said.splitlines() if text.startswith("left this machine")]) == 1
    assert "\u202e" not in said


def test_nothing_in_the_room_writes_past_the_functions_that_clean():
    """Two modules write to a stream by themselves: the one that cleans, and the last word of an interrupt."""
    room = Path(rung.cli.__file__).parent
    pattern = re.compile(r"\bprint\(|typer\.echo|std(?:out|err)\.write|std(?:out|err)\.buffer|os\.write")
    writers = {path.name for path in room.glob("*.py") if pattern.search(path.read_text(encoding="utf-8"))}
    assert writers == {"output.py", "interrupt.py", "pulling.py"}


EVIL = "a\u202eb\u2028c\u200bd"
TIER = f'[[tier]]\nname = "small"\nkind = "scripted"\nscript = [{json.dumps(EVIL)}]\n'


def test_into_a_pipe_an_answer_goes_byte_for_byte(program):
    done = program("ask", "Who?", "--config", program.config(TIER))
    assert done.stdout == f"{EVIL}\n".encode()


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals of this kind")
def test_on_a_terminal_the_question_and_the_answer_show_what_they_hold(program):
    cloud = TIER.replace('"small"', '"clo\\u202eud"') + (
        'zone = "internet"\nprice = 2.0\ndestination = "api\\u202emoc.example\\u2028:443"\nstays_here = false\n'
    )
    config = program.config('reach = "internet"\n' + cloud)
    session = Session(program, "ask", "Who?", "--config", config)
    session.until(b"session: ")
    session.type(b"y\n")
    assert session.end() == 0
    assert b"api\\u202emoc.example\\u2028:443" in session.screen
    assert b"clo\\u202eud" in session.screen
    assert b"a\\u202eb\\u2028c\\u200bd" in session.screen
    for c in "\u202e\u2028\u200b":
        assert c.encode() not in session.screen
