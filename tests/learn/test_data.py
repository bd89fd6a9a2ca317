"""Somebody's data: what is read of it, and what is said of what can't be."""

from __future__ import annotations

import csv
import json
import tracemalloc

import pytest

from rung.errors import ConfigError
from rung.learn import tables
from rung.learn.data import read
from rung.learn.rows import Row
from rung.learn.tables import BadRow
from rung.learn.templates import Template
from rung.types import Message

INVOICE = Template("Extract the invoice.\n\n{text}")


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows(path, template=None):
    return list(read(path, template))


def bad(path, template=None):
    found = rows(path, template)
    assert all(isinstance(row, BadRow) for row in found)
    return [str(row) for row in found]


def test_a_row_is_a_prompt_messages_or_fields_of_the_template(file):
    path = file(
        "d.jsonl",
        '{"prompt": "Who wrote Dune?"}\n'
        '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Well?"}]}\n'
        '{"text": "Total 5", "expected": {"total": 5}, "group": "acme", "lang": "en", "metadata": {"page": 2}}\n',
    )
    prompt, messages, filled = rows(path, INVOICE)
    assert prompt.messages == (Message("user", "Who wrote Dune?"),)
    assert not prompt.labelled
    assert [m.role for m in messages.messages] == ["system", "user"]
    assert filled.messages == (Message("user", "Extract the invoice.\n\nTotal 5"),)
    assert (filled.expected, filled.labelled, filled.group, filled.number) == ({"total": 5}, True, "acme", 3)
    assert filled.metadata == {"lang": "en", "page": 2}


def test_a_prompt_beside_the_fields_of_the_template_is_kept_with_the_row(file):
    (row,) = rows(file("d.jsonl", '{"text": "a", "prompt": "b", "note": null}'), INVOICE)
    assert row.messages[0].text == "Extract the invoice.\n\na"
    assert row.metadata == {"prompt": "b", "note": None}


def test_a_csv_says_the_same_as_json_lines(file):
    table = file("d.csv", 'text,expected,group,lang\n"Total 5\nEUR",5,,en\nNone,,acme,\n')
    lines = file(
        "d.jsonl",
        '{"text": "Total 5\\nEUR", "expected": "5", "lang": "en"}\n{"text": "None", "group": "acme", "lang": ""}\n',
    )
    a, b = rows(table, INVOICE), rows(lines, INVOICE)
    assert [(r.key, r.expected, r.labelled, r.group, dict(r.metadata)) for r in a] == [
        (r.key, r.expected, r.labelled, r.group, dict(r.metadata)) for r in b
    ]
    assert [r.number for r in a] == [2, 4]


@pytest.mark.parametrize(("delimiter", "name"), [(",", "d.csv"), (";", "d.csv"), ("\t", "d.csv"), ("\t", "d.tsv")])
def test_the_delimiter_is_taken_from_the_head(file, delimiter, name):
    (row,) = rows(file(name, f"\ufeffprompt{delimiter}expected\r\nWell?{delimiter}yes\r\n"))
    assert (row.messages[0].text, row.expected) == ("Well?", "yes")


def test_the_key_hangs_on_what_is_asked_and_on_nothing_else(file):
    path = file(
        "d.jsonl",
        '{"prompt": "A?", "expected": 1, "group": "x"}\n{"prompt": "A?"}\n{"prompt": "B?"}\n'
        '{"prompt": "A?", "schema": {"type": "object"}}\n',
    )
    first, again, other, schema = rows(path)
    assert first.key == again.key
    assert len({first.key, other.key, schema.key}) == 3
    assert first.key == "9bddbb8e7230df5949d4536a8b308966"


def test_rows_that_ask_the_same_but_for_case_and_punctuation_share_a_group(file):
    path = file("d.jsonl", '{"prompt": "What is 3+4?"}\n{"prompt": "what is  3+4"}\n{"prompt": "What is 3+5?"}\n')
    first, again, other = rows(path)
    assert first.group == again.group != other.group


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1]", "it holds a list and not an object"),
        (b'{"prompt": ', "the line is not valid JSON: expecting value: column 11 (char 10)"),
        (b'{"prompt": "a", "prompt": "b"}', "the line: one object has the key 'prompt' twice"),
        (b'{"prompt": "a\xff"}', "the line is not valid UTF-8: byte 13"),
        (b'{"prompt": " "}', "its prompt is empty"),
        (b'{"promt": "a"}', "it has neither a prompt nor messages; did you mean 'promt'?"),
        (b'{"prompt": "a", "messages": []}', "it has both a prompt and messages"),
        (b'{"messages": []}', "its messages are not a list of objects with 'role' and 'content'"),
        (
            b'{"messages": [{"role": "human", "content": "a"}]}',
            "'human' is not a role; known: system, user, assistant, tool",
        ),
        (b'{"messages": [{"role": "system", "content": "a"}]}', "its messages have no turn of the user with a text"),
        (b'{"prompt": "a", "schema": 5}', "its schema is a number and not an object"),
        (b'{"prompt": "a", "metadata": []}', "its metadata is a list and not an object"),
        (b'{"prompt": "a", "group": {}}', "its group is an object and not a text"),
        (b'{"prompt": "a\\u0000"}', "it contains a NUL or half of a surrogate pair, so it is not text"),
        (b'{"prompt": "a\\ud800"}', "it contains a NUL or half of a surrogate pair, so it is not text"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_the_rows_around_it_are_read(file, line, reason):
    first, found, last = rows(file("d.jsonl", b'{"prompt": "1"}\n' + line + b'\n\n{"prompt": "4"}'))
    assert found == BadRow(2, reason)
    assert (first.number, last.number) == (1, 4)


def test_a_missing_field_of_the_template_names_the_nearest_key(file):
    assert bad(file("d.jsonl", '{"txt": "a"}\n{"text": null}\n{"text": ["a"]}\n'), INVOICE) == [
        "line 1: the template's field 'text' is missing; did you mean 'txt'?",
        "line 2: the template's field 'text' is null",
        "line 3: its field 'text' is a list and not a text",
    ]
    with pytest.raises(ConfigError, match="no column for the template's field 'text'; did you mean 'txt'"):
        rows(file("d.csv", "txt,expected\na,b\n"), INVOICE)


def test_a_table_without_anything_to_ask_is_refused_once(file):
    with pytest.raises(ConfigError, match=r"no column that says what to ask; .*: question, answer"):
        rows(file("d.csv", "question,answer\n" + "a,b\n" * 10))


def test_a_row_of_another_width_is_bad(file):
    assert bad(file("d.csv", "prompt,expected\na\na,b,c\n")) == [
        "line 2: it has 1 cells, but the head has 2",
        "line 3: it has 3 cells, but the head has 2",
    ]


def test_a_quote_that_is_never_closed_swallows_nothing_in_silence(file):
    first, swallowed = rows(file("d.csv", 'prompt\nfine\n"open\nlost 1\nlost 2\n'))
    assert isinstance(first, Row)
    assert str(swallowed) == "line 3: it is not CSV: unexpected end of data (the row takes 3 lines)"


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv"])
@pytest.mark.parametrize("content", ["", "\n\n", "prompt\n"])
def test_an_empty_set_is_a_sentence(file, name, content):
    if name == "d.jsonl" and content == "prompt\n":
        content = ""
    with pytest.raises(ConfigError, match=r"holds no row; check that it is the right file"):
        rows(file(name, content))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "d.json",
            b"[]",
            "is not a known kind of data file; known: .jsonl, .ndjson, .csv, .tsv, .tab; from a JSON array",
        ),
        ("d.jsonl", '{"prompt": "a"}'.encode("utf-16"), "is not valid UTF-8: it is UTF-16"),
        ("d.csv", b"prompt,prompt\na,b\n", "two columns are called 'prompt'"),
        ("d.csv", b"prompt,\na,b\n", "a column has no name"),
        ("d.csv", b"pr\xffompt\na\n", "the head can't be read: the line is not valid UTF-8"),
    ],
)
def test_what_is_wrong_with_a_whole_file_is_said_once(file, name, content, reason):
    with pytest.raises(ConfigError, match="d\\.") as error:
        rows(file(name, content))
    assert reason in str(error.value)


def test_a_missing_file_and_a_folder_are_sentences(tmp_path):
    (tmp_path / "f.csv").mkdir()
    for name in ("none.csv", "f.csv"):
        with pytest.raises(ConfigError, match=r"the data .* can't be read: "):
            rows(tmp_path / name)


def test_a_line_that_is_too_long_is_bad_and_the_next_is_read(file, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_LINE", 100)
    long = json.dumps({"prompt": "x" * 500})
    found = rows(file("d.jsonl", f'{{"prompt": "a"}}\n{long}\n{{"prompt": "b"}}\n'))
    assert [type(row) for row in found] == [Row, BadRow, Row]
    assert str(found[1]) == "line 2: it is longer than the 100 bytes that a row may have"
    assert found[2].number == 3
    several = "\n".join(["y" * 30] * 5)
    found = rows(file("d.csv", f'prompt\na\n"{several}"\n'))
    assert str(found[1]) == "line 3: it is longer than the 100 bytes that a row may have (the row takes 4 lines)"


def test_a_cell_may_be_as_long_as_a_prompt(file):
    (row,) = rows(file("d.csv", f'prompt\n"{"x" * 200_000}"\n'))
    assert len(row.messages[0].text) == 200_000
    assert csv.field_size_limit() >= tables.LONGEST_LINE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["d.jsonl", "d.csv"])
def test_a_file_is_read_piece_by_piece(tmp_path, name):
    path = tmp_path / name
    with path.open("w") as out:
        out.write("prompt\n" if name == "d.csv" else "")
        for number in range(200):
            text = f"{number} {'x' * 10_000}"
            out.write(f"{text}\n" if name == "d.csv" else json.dumps({"prompt": text}) + "\n")
    assert path.stat().st_size > 2_000_000
    tracemalloc.start()
    try:
        count = sum(isinstance(row, Row) for row in read(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 200
    assert peak < 500_000


def test_a_template_keeps_the_braces_of_a_value_and_refuses_what_is_not_a_field():
    (turn,) = Template('Answer {{"a": 1}} of {text}').fill({"text": "{secret} {{"})
    assert turn.text == 'Answer {"a": 1} of {secret} {{'
    system, _ = Template("{text}", "You speak {language}.").fill({"text": "Well?", "language": "French"})
    assert system == Message("system", "You speak French.")
    for wrong in ("{", "{}", "{a.b}", "{a[0]}", "{a!r}", "{a:>10}", "{0}", "}"):
        with pytest.raises(ConfigError, match=r"the prompt is not a template: .*; write a brace itself twice"):
            Template(wrong)
    with pytest.raises(ConfigError, match="the template's field 'text' is missing; did you mean 'txt'"):
        INVOICE.fill({"txt": "a"})
    with pytest.raises(ConfigError, match="the template has no field 'lang'"):
        INVOICE.fill({"text": "a", "lang": "en"})
