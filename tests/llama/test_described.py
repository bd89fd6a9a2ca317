"""What a file says of itself is read once, and again whenever the file may be another."""

from __future__ import annotations

import json
import os

import pytest

from rung.errors import MalformedModel
from rung.store.gguf import read_header
from rung.tiers.llama.worker import described as module
from rung.tiers.llama.worker.described import described
from rung.tiers.llama.worker.kept import KeptFile
from store.gguf_files import File, keys, string


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(File().data())
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """The paths whose headers were read."""
    found = []

    def read(path):
        found.append(path)
        return read_header(path)

    monkeypatch.setattr(module, "read_header", read)
    return found


def test_a_header_is_read_once_and_is_the_same_from_disk(model, folder, reads):
    first = described(model, folder)
    again = described(model, folder)
    assert reads == [model]
    assert again == first
    assert first.header == read_header(model)


def test_a_file_of_other_bytes_has_another_digest_though_its_header_says_the_same(model, folder, tmp_path):
    other = tmp_path / "other.gguf"
    other.write_bytes(File(keys={**keys(), "a.further.key": string("x")}).data())
    assert described(other, folder).digest != described(model, folder).digest
    assert described(model, None).digest == described(model, folder).digest


def test_a_file_that_was_written_to_is_read_again(model, folder, reads):
    described(model, folder)
    model.write_bytes(File(keys={**keys(), "general.name": string("Wee!")}).data())
    os.utime(model, ns=(1, 1))
    assert described(model, folder).header.name == "Wee!"
    model.write_bytes(b"no model")
    with pytest.raises(MalformedModel):
        described(model, folder)
    assert len(reads) == 3


def test_what_is_read_while_somebody_writes_to_the_file_is_not_kept(model, folder, reads, monkeypatch):
    seen = iter(range(100))
    monkeypatch.setattr(module, "fingerprint", lambda _: (next(seen),) * 4)
    described(model, folder)
    assert not folder.exists()
    described(model, folder)
    assert len(reads) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[:-1],
        lambda body: b"[]",
        lambda body: b"{",
        lambda body: json.dumps({**json.loads(body), "digest": "x"}).encode(),
        lambda body: json.dumps({**json.loads(body), "header": {}}).encode(),
        lambda body: body.replace(b'"tensors": [{', b'"tensors": [{"new": 1, '),
    ],
    ids=["cut off", "a list", "no JSON", "no digest", "no header", "of another version"],
)
def test_what_another_program_left_there_is_made_anew(model, folder, reads, spoil, monkeypatch):
    first = described(model, folder)
    (path,) = folder.iterdir()
    good = path.read_bytes()
    real = KeptFile.read
    monkeypatch.setattr(KeptFile, "read", lambda self: memoryview(spoil(bytes(real(self)))))
    assert described(model, folder) == first
    assert len(reads) == 2
    assert path.read_bytes() == good


def test_nothing_is_kept_where_nothing_may_be(model, reads, tmp_path):
    described(model, None)
    described(model, None)
    assert len(reads) == 2
    assert [it.name for it in tmp_path.iterdir()] == ["model.gguf"]
