"""What is kept on disk for the next start is checked when it is read, and made anew where it is wrong."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from array import array
from dataclasses import replace

import llama_cpp as llama
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rung.tiers.llama.frames import LoadModel
from rung.tiers.llama.threads import Fixed
from rung.tiers.llama.worker import placing
from rung.tiers.llama.worker.log import Log
from rung.tiers.llama.worker.native import Context
from rung.tiers.llama.worker.rehearsed import Rehearsal
from rung.tiers.llama.worker.vocabulary import Vocabulary
from rung.tiers.llama.worker.words import Words, WordsFile

WORDS = Words((b"", b"a", b"\xff<|end|>", "é".encode(), b"a" * 300), frozenset({0, 2}))


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.binary(max_size=20), min_size=1, max_size=30).flatmap(
        lambda words: st.tuples(st.just(words), st.sets(st.integers(0, len(words) - 1)))
    )
)
def test_words_come_back_as_they_went(tmp_path, of):
    words = Words(tuple(of[0]), frozenset(of[1]))
    file = WordsFile(tmp_path, b"key")
    file.write(words)
    assert file.read(len(words.spelled)) == words
    assert file.ends(len(words.spelled)) == words.ends
    assert WordsFile(tmp_path, b"other key").read(len(words.spelled)) is None


def test_a_file_that_is_damaged_at_any_place_is_not_read(tmp_path):
    file = WordsFile(tmp_path, b"key")
    file.write(WORDS)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert file.read(5) is None
        path.write_bytes(whole[:at])
        assert file.ends(5) is None
    path.write_bytes(whole)
    assert file.read(5) == WORDS


@pytest.mark.parametrize(
    "numbers",
    [(4, 0, 6), (4, 9, 5), (8, 0, 5), (4, 2**32 - 1, 5), (4, 0, 2**32 - 1), (4, 1, 5, 7, 0, 0, 0, 0, 0)],
    ids=["another size", "cut off", "other numbers", "many ends", "many words", "an end beyond"],
)
def test_a_file_of_another_program_is_not_read_though_its_digest_is_right(tmp_path, numbers):
    file = WordsFile(tmp_path, b"key")
    file.write(WORDS)
    (path,) = tmp_path.iterdir()
    body = array("I", numbers).tobytes()
    path.write_bytes(hashlib.blake2b(body, digest_size=32).digest() + body)
    assert file.read(5) is None
    assert file.ends(5) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_their_owner_can_read_what_is_kept(tmp_path):
    WordsFile(tmp_path / "deep" / "llama", b"key").write(WORDS)
    Rehearsal(tmp_path / "deep" / "llama", b"key").passed()
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "deep" / "llama").iterdir()} == {0o600}


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("")
    file = WordsFile(tmp_path / "file", b"key")
    file.write(WORDS)
    assert file.read(5) is None
    rehearsal = Rehearsal(tmp_path / "file", b"key")
    rehearsal.passed()
    assert not rehearsal.done


def test_few_vocabularies_are_kept_and_the_oldest_is_deleted_first(tmp_path):
    for n in range(20):
        WordsFile(tmp_path, bytes([n])).write(WORDS)
        for file in tmp_path.iterdir():
            os.utime(file, ns=(file.stat().st_mtime_ns - 10**9, file.stat().st_mtime_ns - 10**9))
    assert len(list(tmp_path.iterdir())) == 16
    assert [WordsFile(tmp_path, bytes([n])).read(5) is not None for n in range(20)] == [False] * 4 + [True] * 16


def test_a_first_step_is_remembered_for_exactly_what_was_tried(tmp_path):
    assert not Rehearsal(tmp_path, b"a").done
    Rehearsal(tmp_path, b"a").passed()
    assert Rehearsal(tmp_path, b"a").done
    assert not Rehearsal(tmp_path, b"b").done
    nowhere = Rehearsal(None, b"a")
    nowhere.passed()
    assert not nowhere.done


@pytest.mark.weights
def test_a_vocabulary_says_the_same_from_disk_and_a_damaged_file_is_made_anew(weights, tmp_path):
    log = Log()
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model = llama.llama_model_load_from_file(str(weights("smollm2-135m")).encode(), params)
    pointer = llama.llama_model_get_vocab(model)
    asked = Vocabulary(pointer)
    words = asked.words()
    first = Vocabulary(pointer, WordsFile(tmp_path, b"key"))
    assert (first.words(), first.ends) == (words, asked.ends)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    again = Vocabulary(pointer, WordsFile(tmp_path, b"key"))
    again._word = pytest.fail
    assert (again.words(), again.ends) == (words, asked.ends)
    path.write_bytes(whole[:-1])
    damaged = Vocabulary(pointer, WordsFile(tmp_path, b"key"))
    assert (damaged.words(), damaged.ends) == (words, asked.ends)
    assert path.read_bytes() == whole
    llama.llama_model_free(model)
    assert log is not None


@pytest.mark.weights
def test_the_first_step_is_tried_once_for_a_file_and_a_way_to_compute(weights, tmp_path, monkeypatch):
    tried = []
    real = Context.rehearse
    monkeypatch.setattr(Context, "rehearse", lambda self: tried.append(real(self)))
    # whether a GPU's survey is to be believed is asked at each load, so the CPU computes
    load = LoadModel(str(weights("smollm2-135m")), 256, 1, 2, gpu_layers=0, cache=str(tmp_path))
    for safe_mode, expected in ((False, 1), (False, 1), (True, 2), (True, 2)):
        placed = placing.place(replace(load, safe_mode=safe_mode), Fixed(2))
        assert len(tried) == expected
        placed.context.close()
        llama.llama_model_free(placed.model.pointer)
    placing.place(replace(load, cache=None), Fixed(2))
    assert len(tried) == 3, "nothing is remembered where nothing may be kept"
