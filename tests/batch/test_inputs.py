"""Whatever somebody's input holds, each row is answered or named with its line and the reason."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from batch.jobs import Answering, Forked, PaidAnswering, read, rows, run
from rung.batch import outputs
from rung.batch.intake import RowIntake, Shard
from rung.batch.manifest import JobManifest
from rung.batch.merging import merged
from rung.batch.questions import Column, Questions, Templated, Usual
from rung.batch.sources import source_of
from rung.errors import ConfigError, LedgerError
from rung.learn import tables
from rung.limits import Cancel


def yes() -> Answering:
    return Answering("small", lambda prompt: "yes")


def both(tmp_path: Path, data: Path, **settings: object) -> tuple[list[dict], list[dict]]:
    found = run(data, tmp_path / "out.jsonl", yes(), **settings)
    return found, read(tmp_path / "out.rejects.jsonl")


def reasons(rejects: list[dict]) -> list[tuple[int, str]]:
    assert {row["status"] for row in rejects} == {"bad"}
    return [(row["line"], row["detail"]) for row in rejects]


def test_broken_lines_and_duplicate_ids_are_named_and_the_rest_is_answered(tmp_path):
    data = tmp_path / "in.jsonl"
    data.write_bytes(
        b'{"id": "a", "prompt": "q1"}\n{broken\n\n{"id": "a", "prompt": "q2"}\n'
        b'{"id": "b", "prompt": "caf\xe9"}\n{"id": "c", "promt": "q3"}\n{"id": "d", "prompt": "q4"}\n'
    )
    found, rejects = both(tmp_path, data)
    assert [row["id"] for row in found] == ["a", "d"]
    assert reasons(rejects) == [
        (2, "the line is not valid JSON: expecting property name enclosed in double quotes: column 2 (char 1)"),
        (4, "its id stands already in line 1"),
        (5, "the line is not valid UTF-8: byte 26"),
        (6, "it has neither a prompt nor messages; did you mean 'promt'?"),
    ]
    assert [row["id"] for row in rejects] == ["", "a", "", "c"]


@pytest.mark.parametrize("name", ["e.jsonl", "e.csv"])
def test_an_empty_file_is_an_error(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=r"holds no row"):
        both(tmp_path, tmp_path / name)


def test_an_empty_folder_is_an_error(tmp_path):
    (tmp_path / "docs").mkdir()
    with pytest.raises(ConfigError, match="holds no file"):
        both(tmp_path, tmp_path / "docs")


def test_a_missing_column_is_said_once_with_the_nearest(tmp_path):
    data = tmp_path / "in.csv"
    data.write_text("title,text\na,b\n")
    for asks in (Column("titel"), Templated("{{ titel }}")):
        with pytest.raises(ConfigError) as caught:
            both(tmp_path, data, asks=asks)
        assert "no column 'titel'" in caught.value.message
        assert caught.value.hint == "did you mean 'title'?"
    with pytest.raises(ConfigError, match="no column 'nr' for --id"):
        both(tmp_path, data, asks=Column("title"), id="nr")


def test_a_row_that_is_too_long_is_bad_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_LINE", 1000)
    data = rows(tmp_path / "in.jsonl", ["q1", "x" * 2000, "q2"])
    found, rejects = both(tmp_path, data)
    assert len(found) == 2
    assert reasons(rejects) == [(2, "it is longer than the 1,000 bytes that a row may have")]


@pytest.mark.slow
def test_a_row_of_200_mb_is_never_held(tmp_path):
    import tracemalloc

    data = tmp_path / "in.jsonl"
    with data.open("wb") as out:
        out.write(b'{"prompt": "q1"}\n{"prompt": "')
        for _ in range(200):
            out.write(b"x" * (1 << 20))
        out.write(b'"}\n{"prompt": "q2"}\n')
    tracemalloc.start()
    try:
        found, rejects = both(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()
    assert [row["line"] for row in found] == [1, 3]
    assert [row["line"] for row in rejects] == [2]


def test_mixed_encodings_are_bad_rows_and_utf16_is_an_error(tmp_path):
    data = tmp_path / "in.csv"
    data.write_bytes(b"prompt\ngut\n" + "schön\n".encode("latin1") + "schön\n".encode())
    found, rejects = both(tmp_path, data)
    assert [row["line"] for row in found] == [2, 4]
    assert reasons(rejects) == [(3, "the line is not valid UTF-8: byte 3")]
    data.write_bytes("prompt\ngut\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="UTF-16"):
        both(tmp_path, data)


def test_csv_values_are_texts_and_its_rows_may_take_several_lines(tmp_path):
    data = tmp_path / "in.csv"
    data.write_text('id;text\n7;"one\ntwo"\n8;three\n')
    small = yes()
    run(data, tmp_path / "out.jsonl", small, asks=Templated("Say {{ text }}!"))
    assert sorted(small.asked) == ["Say one", "Say three!"]
    with JobManifest(tmp_path / "out.jsonl.job") as manifest:
        outputs.write(manifest, tmp_path / "out.csv", tmp_path / "rejects.csv")
    head, *lines = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert head == ["id", "line", "value", "tier", "verdict", "confidence", "cost_usd", "seconds"]
    assert [line[:4] for line in lines] == [["7", "2", "yes", "small"], ["8", "4", "yes", "small"]]


@pytest.mark.slow
def test_parquet_goes_in_and_out_and_nested_columns_can_be_reached(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    data = tmp_path / "in.parquet"
    table = arrow.table(
        {
            "id": [f"r{n}" for n in range(70)],
            "text": [f"q{n}" if n != 5 else None for n in range(70)],
            "where": [{"city": f"c{n}", "tags": ["a", "b"]} for n in range(70)],
        }
    )
    parquet.write_table(table, data, row_group_size=30)
    out = tmp_path / "out.parquet"
    run(data, tmp_path / "o.jsonl", yes(), asks=Templated("{{ text }} in {{ where.city }} {{ where.tags[1] }}"))
    with JobManifest(tmp_path / "o.jsonl.job") as manifest:
        outputs.write(manifest, out, tmp_path / "rejects.parquet", attempts=True)
    found = parquet.read_table(out).to_pylist()
    assert [row["id"] for row in found] == [f"r{n}" for n in range(70)]
    assert found[69]["value"] == "yes"
    assert json.loads(found[0]["attempts"])[0]["tier"] == "small"
    with pytest.raises(ConfigError, match="no column 'city'"):
        both(tmp_path, data, asks=Column("city"))
    found, rejects = both(tmp_path, data, asks=Column("where"))
    assert found == []
    assert reasons(rejects)[0] == (1, "its 'where' is an object and not a text")
    assert len(rejects) == 70


def test_what_is_not_parquet_is_a_sentence(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "in.parquet").write_text("no")
    with pytest.raises(ConfigError, match="is not a Parquet file that can be read"):
        both(tmp_path, tmp_path / "in.parquet")


def test_a_folder_of_texts_is_read_file_by_file(tmp_path):
    docs = tmp_path / "docs"
    (docs / "more").mkdir(parents=True)
    (docs / "a.txt").write_text("q1")
    (docs / "more" / "b.md").write_text("q2")
    (docs / "c.bin").write_bytes(b"\xff\xfe\x00")
    (docs / ".hidden").write_text("no")
    found, rejects = both(tmp_path, docs, asks=Usual(folder=True), id="file")
    assert [row["id"] for row in found] == ["a.txt", "more/b.md"]
    assert [row["status"] for row in rejects] == ["bad"]
    assert "UTF-16" in rejects[0]["detail"]


def test_openais_batch_form_goes_in_and_out(tmp_path):
    data = tmp_path / "in.jsonl"
    body = {"model": "any", "messages": [{"role": "user", "content": "q1"}], "max_tokens": 5, "temperature": 0}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    lines = [
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body},
        {
            "custom_id": "b",
            "url": "/v1/chat/completions",
            "body": {
                "messages": [{"role": "developer", "content": "x"}, {"role": "user", "content": "q2"}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
            },
        },
        {"custom_id": "c", "url": "/v1/embeddings", "body": {}},
        {"custom_id": "d", "url": "/v1/chat/completions", "body": {**body, "tools": [{"type": "function"}]}},
        {"custom_id": "e", "url": "/v1/chat/completions", "body": {**body, "temprature": 1}},
    ]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    small = Answering("small", lambda prompt: '{"n": 1}' if prompt == "q2" else "yes")
    run(data, tmp_path / "o.jsonl", small)
    assert sorted(small.asked) == ["q1", "q2"]
    with JobManifest(tmp_path / "o.jsonl.job") as manifest:
        with manifest.transaction() as connection:
            manifest.put(connection, "openai", True)
        outputs.write(manifest, tmp_path / "out.jsonl", tmp_path / "rejects.jsonl")
    found, rejects = read(tmp_path / "out.jsonl"), read(tmp_path / "rejects.jsonl")
    assert [row["custom_id"] for row in found] == ["a", "b"]
    assert found[0]["response"]["body"]["choices"][0]["message"] == {"role": "assistant", "content": "yes"}
    assert found[0]["error"] is None
    assert [(row["custom_id"], row["error"]["message"]) for row in rejects] == [
        ("c", "its url is '/v1/embeddings', and /v1/chat/completions is supported"),
        ("d", "body.tools is not supported"),
        ("e", "body.temprature is not supported; did you mean 'temperature'?"),
    ]


def test_a_template_is_held_in_a_sandbox(tmp_path):
    data = rows(tmp_path / "in.jsonl", ["q1"])
    found, rejects = both(tmp_path, data, asks=Templated("{{ prompt.__class__.__mro__ }}"))
    assert found == []
    assert reasons(rejects) == [(1, "the template can't be filled: SecurityError")]
    with pytest.raises(ConfigError, match="is not a template"):
        Templated("{{ prompt")


@pytest.mark.slow
def test_shards_share_the_rows_and_their_merger_is_the_whole(tmp_path):
    data = rows(tmp_path / "in.jsonl", [f"q{n % 30}" for n in range(40)])
    data.write_text(data.read_text() + "{broken\n{broken\n")
    said = {}
    for number in (1, 2, 3):
        out = tmp_path / f"part{number}.jsonl"
        paid = PaidAnswering("far", lambda prompt: "yes")
        said[number] = run(data, out, paid, limit="5", shard=f"{number}/3")
        assert 0 < len(said[number]) < 40
    whole = tmp_path / "whole.jsonl"
    parts = [tmp_path / f"part{number}.jsonl" for number in (2, 1, 3)]
    for _ in range(2):  # a merger may be made again
        with merged(whole, parts) as manifest:
            outputs.write(manifest, whole, tmp_path / "whole.rejects.jsonl")
            counts = manifest.counts()
        assert (counts.accepted, counts.bad, counts.rows) == (40, 2, 42)
        assert counts.spent == 30 * 15 * 10**9
    assert [row["line"] for row in read(whole)] == list(range(1, 41))
    assert sorted(map(str, read(whole))) == sorted(str(row) for rows in said.values() for row in rows)
    assert [row["line"] for row in read(tmp_path / "whole.rejects.jsonl")] == [41, 42]
    with pytest.raises(ConfigError, match="shards are missing: 2/3"), merged(whole, parts[1:]):
        pass
    with pytest.raises(ConfigError, match="both shard 1/3"), merged(whole, [*parts, parts[1]]):
        pass
    for word in ("0/3", "4/3", "3", "a/b"):
        with pytest.raises(ConfigError, match="is not a share"):
            Shard.parse(word)


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and takes rights away")
def test_a_folder_without_rights_is_a_sentence(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)

    def tries() -> None:
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        for attempt in (
            lambda: outputs.demand_place(folder / "out.jsonl", "--out"),
            lambda: JobManifest(folder / "job"),
            lambda: source_of(folder / "in.jsonl", lambda names: None),
        ):
            with pytest.raises(ConfigError, match=r"can't be (written|read|made): permission denied"):
                attempt()

    assert Forked(tries).wait() == 0


def test_an_output_that_cannot_be_is_said_before_anything_is_asked(tmp_path):
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        outputs.demand_place(tmp_path / "d.jsonl", "--out")
    with pytest.raises(ConfigError, match="not a kind of file that is written"):
        outputs.demand_place(tmp_path / "out.xlsx", "--out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be made"):
        JobManifest(tmp_path / "file" / "job")
    (tmp_path / "other").write_text("not a database, but long enough to be taken for one" * 20)
    with pytest.raises(LedgerError, match="is not the manifest of a job"):
        JobManifest(tmp_path / "other")


@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_the_job_goes_on_when_there_is_room(tmp_path):
    data = rows(tmp_path / "in.jsonl", [" ".join(map(str, range(n, n + 600))) for n in range(60)])
    out = tmp_path / "out.jsonl"
    small = Answering("small", lambda prompt: prompt[5:])
    asks = Questions(Usual())
    with JobManifest(Path(f"{out}.job")) as manifest, source_of(data, asks.sees) as source:
        RowIntake(manifest, source, asks, None, Cancel()).run()
        pages = manifest.rows("PRAGMA page_count")[0][0]
    # SQLite's own limit is its own error of a full disk
    full = JobManifest._connect

    def short(self: JobManifest) -> object:
        connection = full(self)
        connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        return connection

    JobManifest._connect = short
    try:
        with pytest.raises(LedgerError) as caught:
            run(data, out, small)
    finally:
        JobManifest._connect = full
    assert "no space left" in caught.value.message
    assert "it goes on from here" in caught.value.hint
    before = read(out)
    assert 0 < len(before) < 60
    again = Answering("small", lambda prompt: prompt[5:])
    found = run(data, out, again)
    assert len(found) == 60
    assert [row for row in found if row["line"] in {row["line"] for row in before}] == before
    assert len(again.asked) <= 60 - len(before)
