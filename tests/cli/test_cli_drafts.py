"""What `rung ask` shows on a terminal while a tier writes: looked at cell by cell, as a person sees it."""

from __future__ import annotations

import os
import re
import signal
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.thorough import times
from rung.cli import drafts
from rung.cli.drafts import Drafts
from rung.cli.output import Output
from rung.cli.screen import cells, fitted, last_rows, wrapped
from rung.types import Attempt, AttemptEnded, AttemptStarted, Provisional, Verdict, Zone

if sys.platform == "win32":
    pytest.skip("has no pseudo-terminals of this kind", allow_module_level=True)

from helpers.emulator import Reflowing, Screen, Seen
from helpers.warm import DEVNULL

PAUSE, BREAKS = "‖", "✂"
HINT = "hint: nothing checked what this text says; --check CMD would send a wrong answer up"
CHECK = "def check(value):\n    if 'good' not in value:\n        raise ValueError('it is not good')\n"
STEERING = re.compile(rb"\x1b")
OWN = re.compile(rb"\x1b\[(?:[?]7[lh]|\d*[AJK]|[02]m)")
"""All that rung itself sends to steer a terminal."""


@pytest.fixture
def gate(program):
    """Opens the gate of the tiers of `ladder` for the `number`th time."""
    return lambda number, tier="small": (program.work / f"{tier}.{number}").touch()


@pytest.fixture
def ladder(program):
    """A configuration whose tiers answer with the given texts, each stopping where a text has a `PAUSE`."""

    def configuration(*, top="", **tiers):
        def table(name, script):
            lines = ", ".join(f'"{_escaped(text)}"' for text in script)
            gate = program.work / name
            return f'[[tier]]\nname = "{name}"\nkind = "scripted"\nrepairs = 0\nscript = [{lines}]\ngate = "{gate}"\n'

        return program.config(top + "".join(table(name, script) for name, script in tiers.items()))

    return configuration


@pytest.fixture
def on(program):
    """Starts `rung ask` on a terminal that draws."""
    started = []

    def ask(*arguments, **options):
        started.append(Seen(program, "ask", "Who?", *arguments, above=("$ rung ask Who?",), **options))
        return started[-1]

    yield ask
    for session in started:
        session.kill()


def _escaped(text):
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)


def draft(rows):
    """The rows of the draft that stands on a screen, without its mark; `None` where there is none."""
    at = next((n for n, row in enumerate(rows) if row.startswith("unchecked draft of ")), None)
    return None if at is None else rows[at + 1 :]


@pytest.mark.slow
def test_a_draft_is_marked_and_grows_and_the_accepted_answer_stands_alone(on, ladder, gate):
    session = on("--config", ladder(small=[f"It is{PAUSE} a good{PAUSE} one."]))
    assert session.see("It is") == ["$ rung ask Who?", "unchecked draft of small (attempt 1):", "It is"]
    assert b"\x1b[2mIt is\x1b[0m" in session.screen
    gate(1)
    assert draft(session.see("a good")) == ["It is a good"]
    gate(2)
    assert session.end() == 0
    assert session.rows == ["$ rung ask Who?", "It is a good one.", HINT[:80], HINT[80:]]


@pytest.mark.slow
def test_the_answer_is_on_stdout_and_drafts_are_on_stderr(on, ladder, gate):
    """Two terminals, one for each stream."""
    master, slave = os.openpty()
    session = on("--config", ladder(small=[f"It is{PAUSE} good."]), stderr=slave)
    os.close(slave)
    said = b""
    while b"It is" not in said:
        said += os.read(master, 4096)
    gate(1)
    assert session.end() == 0
    os.close(master)
    assert session.screen == b"It is good.\r\n"


@pytest.mark.slow
def test_a_rejected_draft_is_withdrawn_with_its_reason_and_the_next_tier_writes(program, on, ladder, gate):
    (program.work / "mine.py").write_text(CHECK)
    config = ladder(small=[f"It is{PAUSE} bad."], mid=[f"All is{PAUSE} good."])
    session = on("--check", "mine:check", "--config", config)
    assert draft(session.see("It is")) == ["It is"]
    gate(1)
    reason = "small's draft was rejected: it is not good"
    assert session.see("All is") == ["$ rung ask Who?", reason, "unchecked draft of mid (attempt 2):", "All is"]
    gate(1, "mid")
    assert session.end() == 0
    assert session.rows == ["$ rung ask Who?", reason, "All is good."]


@pytest.mark.slow
def test_a_reason_is_broken_between_words(program, on, ladder, gate):
    (program.work / "mine.py").write_text(CHECK.replace("it is not good", "it is neither good nor what was asked for"))
    session = on("--check", "mine:check", "--config", ladder(small=[f"It is{PAUSE} bad."]), columns=40)
    session.see("It is")
    gate(1)
    assert session.end() == 3
    assert session.rows[1:3] == ["small's draft was rejected: it is", "neither good nor what was asked for"]


@pytest.mark.slow
def test_a_draft_whose_tier_breaks_is_withdrawn(on, ladder, gate):
    session = on("--config", ladder(small=[f"It is{PAUSE}{BREAKS}"]))
    session.see("It is")
    gate(1)
    assert session.end() == 3
    assert "It is" not in session.rows
    assert session.rows[1] == "small's draft was withdrawn: the connection broke"


@pytest.mark.parametrize(
    ("top", "options", "shown"),
    [
        ("", (), True),
        ("", ("--no-drafts",), False),
        ("", ("--json",), False),
        ("drafts = false\n", (), False),
        ("drafts = false\n", ("--drafts",), True),
        ("drafts = true\n", ("--no-drafts",), False),
    ],
)
def test_drafts_are_shown_unless_somebody_turned_them_off(on, ladder, gate, top, options, shown):
    session = on(*options, "--config", ladder(top=top, small=[f"It is{PAUSE} good."]))
    session.see("It is" if shown else "small is answering (attempt 1) …")
    gate(1)
    assert session.end() == 0
    assert (b"draft" in session.screen) == shown
    assert (b"\x1b" in session.screen) == shown


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cant_be_steered_is_not(on, ladder, gate, term):
    session = on("--config", ladder(small=[f"It is{PAUSE} good."]), TERM=term)
    session.see("small is answering (attempt 1) …")
    gate(1)
    assert session.end() == 0
    assert b"\x1b" not in session.screen
    assert session.rows[1] == "It is good."


@pytest.mark.slow
def test_without_colour_a_draft_is_told_by_its_mark_alone(on, ladder, gate):
    session = on("--config", ladder(small=[f"It is{PAUSE} good."]), NO_COLOR="1")
    assert draft(session.see("It is")) == ["It is"]
    gate(1)
    assert session.end() == 0
    assert not re.search(rb"\x1b\[[0-9;]*m", session.screen)


def test_a_pipe_behind_the_command_gets_the_answer_and_nothing_else(program, ladder, gate):
    """Also where stderr is a terminal still: a pager may own that."""
    read, write = os.pipe()
    master, slave = os.openpty()
    config = ladder(small=[f"It is{PAUSE} good."])
    process = program.start("ask", "Who?", "--config", config, stdin=DEVNULL, stdout=write, stderr=slave, TERM="xterm")
    os.close(write)
    os.close(slave)
    said = b""
    while b"small is answering" not in said:
        said += os.read(master, 4096)
    gate(1)
    with os.fdopen(read, "rb") as out:
        assert out.read() == b"It is good.\n"
    said += os.read(master, 4096)
    os.close(master)
    assert process.wait(60) == 0
    assert b"\x1b" not in said


TEXTS = {
    "words": "The quick brown fox jumps over the lazy dog, and then it goes home to sleep until the next morning.",
    "Chinese": "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜金生丽水玉出昆冈",
    "mixed": "Ein 中文 Satz mit 日本語 darin, und 한국어 auch, damit die Breite eine Rolle spielt: 天地玄黄。",
    "emoji": "👍 good 🎉🎉🎉 and 👩‍👩‍👧‍👦 families 🇩🇪 🇫🇷 flags ☁️ clouds 👋🏽 waves, all of that in one line 🚀🚀🚀🚀",
    "accents": "e\u0301a\u0308o\u0302" * 20,
    "a word": "x" * 100,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_forty_columns_hold_whatever_is_written(on, ladder, gate, name):
    text = TEXTS[name]
    session = on("--no-text-checks", "--config", ladder(small=[f"{text}{PAUSE}!"]), columns=40)
    rows = session.see(lambda rows: bool(draft(rows)))
    assert rows[0] == "$ rung ask Who?"
    assert _bare("".join(draft(rows))) == _bare(text)
    assert len(draft(rows)) >= 2
    gate(1)
    assert session.end() == 0
    assert session.rows[0] == "$ rung ask Who?"
    assert draft(session.rows) is None


def _bare(text):
    """A text without spaces and without what an emulator doesn't keep: joiners and variation selectors."""
    return "".join(c for c in unicodedata.normalize("NFC", text) if not c.isspace() and c not in "\u200d\ufe0f")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Screen, Reflowing])
@pytest.mark.parametrize(("columns", "lines"), [(40, 24), (30, 12), (120, 40), (80, 8)])
def test_a_draft_survives_a_resize(on, ladder, gate, kind, columns, lines):
    text = TEXTS["words"] * 3
    session = on("--no-text-checks", "--config", ladder(small=[f"{text}{PAUSE} End{PAUSE} good."]), kind=kind)
    session.see("morning.")
    session.resize(columns, lines)
    gate(1)
    rows = session.see("End")
    assert rows[0] == "$ rung ask Who?"
    assert "".join(rows).count("unchecked draft of small") == 1
    assert max(map(len, rows)) < columns
    assert "".join(f"{text} End".split()).endswith("".join("".join(draft(rows)).split()))
    gate(2)
    assert session.end() == 0
    assert not any("draft" in row for row in session.rows)
    assert "".join([*session.rows[-12:]]).count("End good.") == 1


@pytest.mark.slow
def test_a_draft_is_laid_out_anew_when_the_size_changes_and_nothing_is_written(on, ladder, gate):
    session = on("--no-text-checks", "--config", ladder(small=[f"{TEXTS['words']}{PAUSE}!"]))
    assert len(draft(session.see("morning."))) == 2
    session.resize(30, 24)
    assert len(draft(session.see(lambda rows: len(draft(rows) or ()) >= 4))) == 4
    gate(1)
    assert session.end() == 0


@pytest.mark.slow
def test_of_a_draft_longer_than_the_screen_the_end_is_shown_and_nothing_above_is_touched(on, ladder, gate):
    text = "\n".join(f"line {n}" for n in range(1, 41))
    session = on("--config", ladder(small=[f"{text}{PAUSE}\nend"]), lines=10)
    rows = session.see("line 40")
    assert rows == [
        "$ rung ask Who?",
        "unchecked draft of small (attempt 1), its end:",
        *(f"line {n}" for n in range(33, 41)),
    ]
    gate(1)
    assert session.end() == 0
    assert session.rows[-3:] == ["end", *filter(None, (HINT[:80], HINT[80:]))][-3:]
    assert session.screen.count(b"line 1\r\n") == 1


@pytest.mark.slow
def test_nothing_that_a_model_writes_steers_the_terminal(on, ladder, gate):
    hostile = "a\x1b]0;title\x07\x9b31m\x1b[2J\x1b[10Ab\rc\x08\x00d\u202ee\u200b"
    session = on("--no-text-checks", "--config", ladder(small=[f"{hostile}{PAUSE}\x1b[1m done"]))
    assert draft(session.see("title")) == [
        "a\\x1b]0;title\\x07\\x9b31m\\x1b[2J\\x1b[10Ab\\x0dc\\x08\\x00d\\u202ee\\u200b"
    ]
    gate(1)
    assert session.end() == 0
    assert STEERING.findall(OWN.sub(b"", session.screen)) == []
    assert session.rows[0] == "$ rung ask Who?"


@pytest.mark.slow
def test_a_thought_is_not_the_draft(on, ladder, gate):
    script = f"<think>Perhaps{PAUSE} not.</think>It is{PAUSE} good."
    session = on("--config", ladder(small=[script]))
    session.see("small is answering")
    gate(1)
    assert draft(session.see("It is")) == ["It is"]
    gate(2)
    assert session.end() == 0
    assert b"Perhaps" not in session.screen


@pytest.mark.slow
@pytest.mark.parametrize("how", ["key", "signal"])
def test_ctrl_c_leaves_the_terminal_as_it_was(on, ladder, how):
    session = on("--config", ladder(small=[f"{TEXTS['words']}{PAUSE}"]))
    session.see("morning.")
    if how == "key":
        session.type(b"\x03")
    else:
        os.kill(session.pid, signal.SIGINT)
    assert session.end() == 130
    assert [row.removeprefix("^C") for row in session.rows] == ["$ rung ask Who?", "interrupted"]
    assert not session.terminal.cursor.hidden
    assert (session.terminal.cursor.x, session.terminal.cursor.y) == (0, 2)
    assert b"\x1b[?25l" not in session.screen
    assert session.screen.count(b"\x1b[?7l") == session.screen.count(b"\x1b[?7h")


@pytest.mark.slow
def test_an_answer_that_is_there_at_once_has_no_draft(monkeypatch):
    written = []
    monkeypatch.setattr(drafts, "write", written.append)
    monkeypatch.setattr(drafts, "_FLASH", 1000.0)
    with Drafts(Output(json=False)) as shown:
        shown.show(AttemptStarted(1, "small", Zone.HOST))
        shown.show(Provisional(1, "small", "It is good."))
        shown._over.wait(3 * drafts._EVERY)
        shown.show(AttemptEnded(Attempt(1, "small", Zone.HOST, verdict=Verdict.ACCEPT)))
    assert written == []


JOINING = "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400))))
LINES = st.text(
    st.one_of(
        st.sampled_from("ab \u4e2d\U0001f389\u0301"),
        st.characters(exclude_characters=JOINING, exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")),
    ),
    max_size=40,
)


@settings(max_examples=times(60))
@given(LINES, st.integers(2, 30))
def test_no_row_is_wider_than_the_screen_and_no_character_is_lost(text, columns):
    rows = wrapped(text, columns)
    assert max(map(cells, rows)) <= columns
    assert "".join("".join(rows).split()) == "".join(text.split())


@settings(max_examples=times(60))
@given(LINES, st.integers(1, 30))
def test_a_line_that_is_fitted_fits(text, columns):
    assert cells(fitted(text, columns)) <= columns


def test_words_stay_whole_and_empty_lines_stay():
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert last_rows("a\n\nb\n", 10, 3) == (["", "b", ""], True)
