"""What a file says of itself is read once, and again whenever the file may be another."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from hashlib import blake2b

import pytest

from rung.errors import MalformedModel, StoreError
from rung.store.gguf import read_header
from rung.tiers.llama.worker import described as module
from rung.tiers.llama.worker.described import Described, DescribedFile
from store.gguf_files import File, keys, string


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(File().data())
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def described(path, folder) -> Described:
    """What a load learns of a file."""
    file = DescribedFile(path, folder)
    found = file.read()
    file.keep()
    return found


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


@pytest.mark.parametrize("how", ["written", "replaced", "linked"])
def test_another_file_of_the_same_size_and_age_is_read_again(model, folder, reads, how):
    described(model, folder)
    other, age = File(keys={**keys(), "general.name": string("Wee!")}).data(), model.stat()
    assert len(other) == age.st_size
    if how == "written":
        model.write_bytes(other)
    else:
        beside = model.with_name("other")
        beside.write_bytes(other)
        os.utime(beside, ns=(age.st_atime_ns, age.st_mtime_ns))
        if how == "linked":
            model.unlink()
            model.symlink_to(beside)
        else:
            beside.replace(model)
    os.utime(model, ns=(age.st_atime_ns, age.st_mtime_ns))
    assert described(model, folder).header.name == "Wee!"
    assert len(reads) == 2


def test_what_is_wrong_with_a_file_is_said_each_time(model, folder):
    described(model, folder)
    model.write_bytes(b"no model")
    for _ in range(2):
        with pytest.raises(MalformedModel):
            described(model, folder)
    model.unlink()
    with pytest.raises(StoreError, match="can't be read"):
        described(model, folder)
    model.mkdir()
    with pytest.raises(StoreError, match="ordinary file"):
        described(model, folder)


def test_what_is_read_while_somebody_writes_to_the_file_is_not_kept(model, folder):
    file = DescribedFile(model, folder)
    file.read()
    with model.open("ab") as end:
        end.write(b" ")
    file.keep()
    assert not folder.exists()


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
def test_what_another_program_left_there_is_made_anew(model, folder, reads, spoil):
    first = described(model, folder)
    (path,) = folder.iterdir()
    good = path.read_bytes()
    body = spoil(good[32:])
    path.write_bytes(blake2b(body, digest_size=32).digest() + body)
    assert described(model, folder) == first
    assert len(reads) == 2
    assert path.read_bytes() == good


def test_nothing_is_kept_where_nothing_may_be(model, reads, tmp_path):
    described(model, None)
    described(model, None)
    assert len(reads) == 2
    assert [it.name for it in tmp_path.iterdir()] == ["model.gguf"]


def test_the_description_of_a_file_changes_only_with_the_number_of_its_version(model):
    """What older versions kept is else taken for what this one would say."""
    found = json.dumps(asdict(module.DescribedFile(model, None).read().header)).encode()
    assert (module._VERSION, blake2b(found, digest_size=8).hexdigest()) == (1, "45a4aab2d4d26929")


def test_a_digest_covers_what_stands_before_the_weights_and_no_more_than_a_header_may_be(model, folder, monkeypatch):
    first = described(model, None).digest
    data = bytearray(model.read_bytes())
    data[-1] ^= 1  # of the weights
    model.write_bytes(data)
    assert described(model, None).digest == first
    monkeypatch.setattr(module, "_MOST", 1 << 20)
    with model.open("r+b") as file:
        file.truncate(1 << 21)
        longer = described(model, None).digest
        file.seek(1 << 20)
        file.write(b"x")
    assert described(model, None).digest == longer != first
