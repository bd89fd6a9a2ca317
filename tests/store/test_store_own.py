"""Files that people have already: found where they lie, imported, removed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from pathlib import Path

import pytest
from gguf_files import File, Weights, mutated, string
from small_model import SPEC

from helpers.running import start_python
from rung.errors import ChecksumMismatch, MalformedModel, ModelNotFound, StoreError
from rung.store import Folder, Passed, find, import_file, models, pull, remove, resolve, verify

BIG = 1 << 20


def gguf(name: str = "Tiny", room: int = 0, **more: bytes) -> bytes:
    """A small model file; another name makes other bytes."""
    file = File()
    file.keys["general.name"] = string(name)
    file.keys.update({key.replace("__", "."): value for key, value in more.items()})
    if room:
        file.tensors = [Weights("token_embd.weight", (64, room // 256), 0, 0)]
        file.room = room
    return file.data()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def found(store, *folders: Path):
    """What was found, by name, and what was passed over, by path."""
    there, passed = {}, {}
    for it in find(folders, store=store):
        if isinstance(it, Passed):
            passed[it.path] = it.reason
        else:
            there[it.file.name] = it
    return there, passed


@pytest.fixture
def store(make_store, hub):
    return make_store(hub)


@pytest.fixture
def mine(tmp_path) -> Path:
    return write(tmp_path / "mine" / "My Model.Q4.gguf", gguf())


# find


def test_a_file_is_found_used_where_it_lies_and_keeps_its_name(store, mine):
    there, passed = found(store, mine.parent)
    assert (list(there), passed) == (["my-model.q4"], {})
    model = resolve("my-model.q4", store=store)
    assert (model.path, model.sha256, model.licence) == (mine, digest(mine.read_bytes()), "apache-2.0")
    assert not (store.root / "blobs").exists(), "nothing is copied"
    again, _ = found(store, mine.parent)
    assert [(it.file.name, it.fresh) for it in again.values()] == [("my-model.q4", False)]
    assert "my-model.q4" in [it.model.name for it in models(store=store)]
    assert verify("my-model.q4", store=store) == model


def test_a_file_with_the_bytes_of_a_catalogue_entry_makes_that_entry_present(make_store, hub, tmp_path):
    content = gguf("Catalogued")
    path = write(tmp_path / "elsewhere.gguf", content)
    store = make_store(hub, sha256=digest(content), size=len(content))
    there, _ = found(store, path)
    assert list(there) == ["tiny"]
    assert resolve("tiny", store=store).path == path
    assert pull("tiny", store=store).path == path, "what is here is not fetched"


def test_two_files_of_one_name_are_two_models(store, tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder / "model.gguf", gguf(folder))
    there, _ = found(store, tmp_path / "a", tmp_path / "b")
    assert list(there) == ["model", f"model-{digest(gguf('b'))[:8]}"]


def test_a_file_that_was_written_to_is_not_used_until_it_is_hashed_again(store, mine):
    found(store, mine)
    os.utime(mine, ns=(1, 1))
    with pytest.raises(ChecksumMismatch, match=r"written to since .* run `rung models verify my-model.q4`"):
        resolve("my-model.q4", store=store)
    verify("my-model.q4", store=store)
    assert resolve("my-model.q4", store=store).path == mine
    mine.write_bytes(gguf("Another"))
    with pytest.raises(ChecksumMismatch, match="damaged"):
        verify("my-model.q4", store=store)
    there, _ = found(store, mine)
    assert list(there) == [f"my-model.q4-{digest(gguf('Another'))[:8]}"]
    mine.unlink()
    with pytest.raises(ModelNotFound, match="is gone"):
        resolve(next(iter(there)), store=store)


def test_what_is_no_model_is_passed_over_with_a_reason(store, tmp_path):
    folder = tmp_path / "folder"
    write(folder / "empty.gguf", b"")
    write(folder / "text.gguf", b"no model at all, but long enough")
    write(folder / "embed.gguf", gguf(general__architecture=string("bert")))
    write(folder / "adapter.gguf", gguf(general__type=string("adapter")))
    write(folder / "m-00002-of-00003.gguf", gguf())
    write(folder / "new.gguf", gguf(general__architecture=string("not-yet-known")))
    (folder / "loop").symlink_to(folder)
    (folder / "a.gguf").symlink_to("b.gguf")
    (folder / "b.gguf").symlink_to("a.gguf")
    os.mkfifo(folder / "pipe.gguf")
    there, passed = found(store, folder)
    assert there == {}
    reasons = {path.name: reason for path, reason in passed.items()}
    assert set(reasons) == {path.name for path in folder.iterdir()}
    assert "0 bytes" in reasons["empty.gguf"]
    assert "link to a folder" in reasons["loop"]
    assert "part 2 of 3" in reasons["m-00002-of-00003.gguf"]
    assert "adapter" in reasons["adapter.gguf"]
    with pytest.raises(ModelNotFound, match="there is no folder"):
        found(store, tmp_path / "nowhere")


def test_the_caches_of_other_programs_are_known(store, tmp_path, monkeypatch):
    """The hub's links, Ollama's manifests, LM Studio's and llama.cpp's folders."""
    home = Path.home()
    hf, ollama, studio, llama = (gguf(name) for name in ("hf", "ollama", "studio", "llama"))
    repo = tmp_path / "hf" / "hub" / "models--owner--Some-GGUF"
    blob = write(repo / "blobs" / digest(hf), hf)
    (repo / "snapshots" / "0123").mkdir(parents=True)
    (repo / "snapshots" / "0123" / "some.gguf").symlink_to(blob)
    (repo / "snapshots" / "4567").mkdir()
    (repo / "snapshots" / "4567" / "some.gguf").symlink_to(blob)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    root = home / ".ollama" / "models"
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest(ollama)}"}]
    layers += [{"mediaType": "application/vnd.ollama.image.adapter", "digest": f"sha256:{'0' * 64}"}]
    manifest = json.dumps({"layers": layers}).encode()
    write(root / "manifests" / "registry.ollama.ai" / "library" / "tiny2" / "1b", manifest)
    write(root / "manifests" / "registry.ollama.ai" / "library" / "tiny3" / "latest", b"{")
    write(root / "blobs" / f"sha256-{digest(ollama)}", ollama)
    write(home / ".lmstudio" / "models" / "owner" / "repo" / "studio.gguf", studio)
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "llama"))
    write(tmp_path / "llama" / "owner_repo_llama.gguf", llama)
    there, passed = found(store)
    origins = {name: it.origin for name, it in there.items()}
    assert origins == {
        "some": "Hugging Face cache, owner/Some-GGUF",
        "tiny2-1b": "Ollama library/tiny2:1b",
        "studio": "LM Studio",
        "owner_repo_llama": "llama.cpp's cache",
    }
    assert sorted(reason for reason in passed.values())[0].startswith("it is an adapter")
    assert any("not a manifest" in reason for reason in passed.values())


def test_a_blob_that_is_not_what_its_owner_says_is_passed_over(store):
    root = Path.home() / ".ollama" / "models"
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{'a' * 64}"}]
    write(root / "manifests" / "registry.ollama.ai" / "library" / "bad" / "1b", json.dumps({"layers": layers}).encode())
    blob = write(root / "blobs" / f"sha256-{'a' * 64}", gguf())
    there, passed = found(store)
    assert there == {}
    assert "is damaged" in passed[blob]


# import


def test_an_imported_file_is_a_copy_under_its_name(store, mine):
    model = import_file(mine, store=store)
    assert (model.name, model.path) == ("my-model.q4", store.blob(digest(mine.read_bytes())))
    mine.write_bytes(b"gone")
    assert verify("my-model.q4", store=store) == model
    assert [p for p in (store.root / "partial").rglob("*") if p.is_file()] == []


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_what_is_imported_is_for_its_owner_alone_whatever_the_umask(store, mine):
    old = os.umask(0)
    try:
        import_file(mine, store=store)
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o077 for path in (store.root, *store.root.rglob("*"))} == {0}


def test_the_same_weights_exist_once_whatever_they_are_called(store, mine, named):
    import_file(mine, name="one", store=store)
    import_file(mine, name="two", store=store)
    assert len(named(store)) == 1
    assert remove("one", store=store).shared == ("two",)
    assert len(named(store)) == 1
    assert remove("two", store=store).freed == mine.stat().st_size
    assert named(store) == []


@pytest.mark.parametrize("name", ["../up", "a/b", "", "UPPER", ".hidden", "x.gguf", "a" * 64, "hf:owner", "a\n"])
def test_a_name_that_is_none_is_refused_before_a_byte_is_read(store, mine, name):
    with pytest.raises(StoreError, match="can't be the name of a model; use up to 63"):
        import_file(mine, name=name, store=store)
    assert not store.root.exists()


def test_a_name_that_is_taken_stays_with_its_bytes(store, mine, tmp_path):
    import_file(mine, name="mine", store=store)
    other = write(tmp_path / "other.gguf", gguf("Other"))
    for name, said in (("mine", "another file"), ("tiny", "a model of the catalogue")):
        with pytest.raises(StoreError, match=f"{said}; choose another with --name"):
            import_file(other, name=name, store=store)
    assert resolve("mine", store=store).sha256 == digest(mine.read_bytes())


@pytest.mark.slow
def test_no_malformed_file_is_imported(store, tmp_path):
    dice = random.Random(3)
    path, refused = tmp_path / "bad.gguf", 0
    for _ in range(200):
        path.write_bytes(mutated(dice))
        try:
            remove(import_file(path, name="bad", store=store).name, store=store)
        except MalformedModel:
            refused += 1
    assert refused > 100
    assert list((store.root / "blobs").iterdir()) == []


def test_a_file_that_is_none_is_said_so(store, tmp_path):
    (tmp_path / "loop.gguf").symlink_to("loop.gguf")
    os.mkfifo(tmp_path / "pipe.gguf")
    for path, said in (
        (tmp_path, "is a folder"),
        (tmp_path / "gone.gguf", "can't be read"),
        (tmp_path / "loop.gguf", "can't be read"),
        (tmp_path / "pipe.gguf", "not an ordinary file"),
    ):
        with pytest.raises(StoreError, match=said):
            import_file(path, store=store)


def test_an_import_that_does_not_fit_says_how_much_is_needed(store, mine, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5})())
    with pytest.raises(StoreError, match="no space left for the model store"):
        import_file(mine, store=store)


# remove


def test_a_file_of_another_program_is_forgotten_and_stays(store, mine):
    found(store, mine)
    removed = remove("my-model.q4", store=store)
    assert (removed.freed, removed.left) == (0, mine)
    assert mine.exists()
    with pytest.raises(ModelNotFound, match="no model is called"):
        resolve("my-model.q4", store=store)


def test_a_model_of_the_catalogue_can_be_pulled_again(make_store, tmp_path, content):
    write(tmp_path / "share" / "some.gguf", content)
    store = make_store(Folder(path=str(tmp_path / "share")))
    pull("tiny", store=store)
    assert remove("tiny", store=store).freed == len(content)
    assert remove("tiny", store=store).freed == 0
    assert pull("tiny", store=store).path.read_bytes() == content


@pytest.mark.parametrize("name", ["nobody", SPEC + "x"])
def test_what_nobody_knows_can_not_be_removed(store, name):
    with pytest.raises(StoreError):
        remove(name, store=store)


# killed


@pytest.mark.proof
@pytest.mark.slow
def test_a_store_survives_kills_at_any_moment_of_pull_find_import_and_remove(make_store, tmp_path, content, warm):
    """kill -9 at 160 random moments: every name has its bytes, every byte its hash, and the work can go on."""
    mine = write(tmp_path / "mine.gguf", gguf("Mine", 8 * BIG))
    folder = write(tmp_path / "others" / "found.gguf", gguf("Found", 4 * BIG)).parent
    write(tmp_path / "share" / "some.gguf", content)
    store = make_store(Folder(path=str(tmp_path / "share")))
    entry = tmp_path / "tiny.toml"
    entry.write_text(
        f'name = "tiny"\nlicence = "MIT"\nsize = {len(content)}\nsha256 = "{digest(content)}"\ncontext = 64\n'
        f'[[source]]\nkind = "folder"\npath = "{tmp_path / "share"}"\n'
    )
    program = Path(__file__).with_name("changer.py")
    dice, states = random.Random(4), set()
    for _ in range(160):
        with start_python(warm, program, store.root, entry, mine, folder) as process:
            process.stdout.readline()
            time.sleep(dice.uniform(0, 0.1))
            process.kill()
            _, said = process.communicate()
        assert said == b""
        here = {it.model.name for it in models(store=store) if it.file is not None}
        # a name of one's own is never without its bytes
        assert {name for name, _ in store.own_names()} <= here
        for name in here:
            verify(name, store=store)
        states.add(frozenset(here))
    assert len(states) >= 3, "the kills met the store in different states"
    import_file(mine, name="mine", store=store)
    assert found(store, folder)[0].keys() == {"found"}
    assert pull("tiny", store=store).path.read_bytes() == content
    assert [p for p in (store.root / "partial").rglob("*") if p.is_file()] == []
