"""From token bytes to text: whole characters only, and no part of a stop string."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.tiers.llama.worker.text import Assembler
from rung.types import Token


def feed(pieces, stop=()):
    """Every emission, the last of them what was held back; ends at a stop string."""
    assembler = Assembler(stop)
    out = []
    for piece in pieces:
        out.append(assembler.push(piece, Token("")))
        if assembler.stopped:
            break
    return [*out, assembler.finish()]


def joined(emissions):
    return "".join(e.text for e in emissions)


def cut(data: bytes, edges) -> list[bytes]:
    edges = sorted({0, len(data), *(e % (len(data) + 1) for e in edges)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.text(), st.lists(st.integers(0, 400)))
def test_however_the_bytes_are_cut_the_text_is_the_same_and_never_half_a_character(text, edges):
    emissions = feed(cut(text.encode(), edges))
    assert joined(emissions) == text
    assert "\ufffd" not in joined(emissions) or "\ufffd" in text


@given(st.text(alphabet="abé<|\n"), st.lists(st.integers(0, 400)), st.lists(st.text("abé<|\n", min_size=1), max_size=3))
def test_a_stop_string_ends_the_text_wherever_the_tokens_are_cut(text, edges, stop):
    ends = [at for at in (text.find(s) for s in stop) if at >= 0]
    emissions = feed(cut(text.encode(), edges), tuple(stop))
    got = joined(emissions)
    # Of two stop strings the one that is complete first wins, even if the other began earlier.
    assert text.startswith(got)
    assert not any(s in got for s in stop)
    assert (got == text) if not ends else any(text[len(got) :].startswith(s) for s in stop)


@pytest.mark.slow
@given(st.text(alphabet="abé😀"), st.lists(st.integers(0, 400)), st.sampled_from([(), ("ab",), ("😀a", "b")]))
def test_the_texts_of_the_tokens_join_to_the_text_of_their_emission(text, edges, stop):
    for emission in feed(cut(text.encode(), edges), stop):
        assert "".join(t.text for t in emission.tokens) == emission.text


def test_a_character_belongs_to_the_token_that_completes_it():
    emissions = feed(["😀".encode()[:2], "😀".encode()[2:]])
    assert [[t.text for t in e.tokens] for e in emissions] == [[""], ["😀"], []]


def test_half_a_character_at_the_end_is_dropped():
    assert joined(feed([b"ok", "é".encode()[:1]])) == "ok"


def test_bytes_that_can_never_be_text_become_the_replacement_character():
    assert joined(feed([b"a\xffb"])) == "a\ufffdb"


def test_the_beginning_of_a_stop_string_is_held_back_until_it_is_decided():
    assembler = Assembler(("END",))
    assert assembler.push(b"xE", Token("")).text == ""
    assert assembler.push(b"N", Token("")).text == ""
    assert assembler.push(b"x", Token("")).text == "xENx"


def test_a_token_that_crosses_a_stop_string_keeps_what_lies_before_it():
    emissions = feed([b"one", b" two STOP", b"never"], ("STOP",))
    assert joined(emissions) == "one two "
    assert [t.text for e in emissions for t in e.tokens] == ["one", " two "]


@pytest.mark.parametrize("stop", [("",), ()])
def test_an_empty_stop_string_stops_nothing(stop):
    assert joined(feed([b"abc"], stop)) == "abc"
