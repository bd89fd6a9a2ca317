"""Kits, wheels, records and targets that somebody made to do harm: refused in words, and nothing else is touched.

| kind | tests |
|---|---|
| names: out of the target, unseen, devices, dots and blanks, too long | `test_a_path_…` |
| names that the installer keeps for itself | `test_a_name_of_the_installers_own_…`, `test_a_member_shared_json_…` |
| names that are one elsewhere: case, Unicode, file and folder, twice | `test_two_names_…` |
| members: links, FIFOs, sparse, extended headers, longer, more, another hash | `test_a_member_…`, `test_a_file_…` |
| parts: a link, a FIFO, a device, a folder, another name | `test_a_part_…` |
| wheels: names, links, twice, RECORD, scripts, bombs, encrypted | `test_a_wheel_…`, `test_two_wheels_…` |
| links in the target beforehand | `test_nothing_is_written_through_…`, `test_weights_are_not_…` |
| strangers' files in the target | `test_what_no_installer_made_…` |
| edited records | `test_an_edited_…`, `test_uninstalling_…`, `test_a_failing_installation_…` |
| checking runs no code of the kit | `test_checking_runs_…`, `test_no_library_…`, `test_hashes_come_first_…` |
| what a kit says reaches no terminal raw | `test_no_text_…`, `test_what_is_not_seen_…`, `test_a_difference_…` |
| malformed manifests | `test_a_malformed_manifest_…`, `test_any_manifest_…` |
| malformed locks | `test_a_malformed_lock_…` |
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from bundle_site import Member, alter, make_wheel, members, pack, run_installer, tree

from helpers.each import each
from rung.bundle import diff, verify
from rung.bundle.install import (
    FILES,
    MANIFEST,
    SHARED,
    Refused,
    Target,
    check,
    install,
    parse_manifest,
    read_manifest,
    safe,
    uninstall,
    unzip,
    visible,
)
from rung.cli.app import invoke
from rung.cli.interrupt import Interrupts
from rung.config.lock import read_lock
from rung.errors import ConfigError

ODD_NAMES = [
    "/etc/x",
    "../x",
    "a/../../x",
    "a/..",
    "~/../x",
    "C:/x",
    "C:x",
    "c:\\x",
    "\\\\host\\share",
    "a\\..\\x",
    "",
    ".",
    "a//b",
    "a/",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "a\x7fb",
    "a\x9bb",
    "a\u202egpj.b",
    "a\u200bb",
    "a\ufeffb",
    "a\u2028b",
    "a\u3164b",
    "a\ud800b",
    "a\U000e0041b",
    "a. ",
    "a.",
    "a ",
    "b./c",
    "CON",
    "nul.txt",
    "x/Aux.json",
    "com1",
    "COM¹.log",
    "lpt9.x.y",
    "conin$",
    "a|b",
    "a*b",
    'a"b',
    "x" * 251,
    "é" * 126,
    "a/" * 41 + "a",
    "ab/" * 400 + "a",
]


def put(held: list[Member], path: str, kind: str = "file", content: bytes = b"x", **changes) -> list[Member]:
    """The same files and one more, before the weights."""
    return [Member(path, kind, content, **changes), *held]


def refused(kit: Path, word: str) -> str:
    """Checking and verifying name `word`, in one visible sentence."""
    with pytest.raises(Refused) as caught:
        check(kit)
    text = str(caught.value)
    assert word in text
    assert visible(text) == text
    assert any(word in clause for clause in verify(kit)[1])
    return text


@each("path", ODD_NAMES)
def test_a_path_that_is_not_the_same_name_everywhere_is_refused(path):
    with pytest.raises(Refused, match="the path"):
        safe(path)


@each("path", ["rung.toml", "licences/zażółć/ЛИЦЕНЗИЯ.txt", "a b/c-d_e+f@1.2~3", "x" * 250, ".hidden"])
def test_a_path_that_is_the_same_name_everywhere_is_taken(path):
    assert safe(path) == path


@pytest.mark.parametrize("path", [f"licences/x/{name}" for name in ("../../y", "a\u202eb", "nul", "a.", "a\\b")])
def test_a_path_in_a_manifest_is_refused_before_a_part_is_read(kit, path):
    alter(kit, lambda values: values["files"][3].update(path=path))
    shutil.rmtree(kit / "part-001.tar", ignore_errors=True)
    refused(kit, "the path")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("shared.json", "file"),
        ("files.json", "file"),
        ("Files.JSON", "file"),
        ("\ufb01les.json", "file"),
        ("manifest.json", "file"),
        ("acceptance.json", "file"),
        ("licences/x/shared.json", "file"),
        ("licences/files.json/x", "file"),
        ("rung.toml.new", "file"),
        ("licences/x.new", "file"),
        ("current", "file"),
        (".lock", "file"),
        ("models/names/files.json", "name"),
        ("models/names/x.json.new", "name"),
        ("python/pyvenv.cfg", "file"),
    ],
)
def test_a_name_of_the_installers_own_is_reserved(kit, path, kind):
    pack(kit, put(members(kit), path, kind))
    refused(kit, "reserved")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("python/bin/python", "file"),
        ("bin/rung", "file"),
        ("versions/x", "file"),
        ("models/blobs/x", "file"),
        ("models/blobs/x", "name"),
        ("models/x.json", "name"),
        ("wheels/rung.toml", "wheel"),
        ("wheels/x.whl", "wheel"),
        ("rung.toml", "wheel"),
        ("models/blobs/sha256-" + "0" * 64 + ".gguf", "weights"),
        ("rung.lock", "program"),
    ],
)
def test_a_path_is_allowed_for_its_kind_alone(kit, path, kind):
    pack(kit, put([it for it in members(kit) if it.path != path], path, kind))
    refused(kit, "not")


@pytest.mark.slow
def test_a_member_shared_json_does_not_make_a_failing_installation_delete_a_file(kit, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    held = members(kit)
    for name in ("shared.json", "files.json"):
        pack(kit, put(held, name, content=b'["../victim.txt", "../../victim.txt"]'))
        target = tmp_path / "target"
        assert run_installer(kit, "--target", target).returncode == 1
        run_installer(kit, "--target", target, "--uninstall")
        assert victim.read_text() == "mine"
        assert not target.exists()


@pytest.mark.parametrize(
    "paths",
    [
        ("licences/a", "licences/a"),
        ("licences/a", "licences/A"),
        ("licences/\u00e9", "licences/e\u0301"),
        ("licences/\uff41", "licences/a"),
        ("licences/stra\u00dfe", "licences/STRASSE"),
        ("licences/a", "licences/a/b"),
        ("licences/a/b", "licences/A"),
        ("licences/a/b", "licences/A/c"),
    ],
)
def test_two_names_that_are_one_on_some_system_are_refused(kit, paths):
    held = members(kit)
    for path in paths:
        held = put(held, path)
    pack(kit, held)
    refused(kit, "licences/")


def special(path: str, kind: bytes, to: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, to
    return info


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.GNUTYPE_LONGLINK,
        b"Z",
    ],
)
def test_a_member_that_is_no_ordinary_file_is_refused(kit, kind):
    pack(kit, put(members(kit), "licences/x", content=b"", header=special("licences/x", kind)))
    refused(kit, "not an ordinary file")


def test_a_member_with_an_extended_header_is_refused(kit):
    info = tarfile.TarInfo("licences/x")
    info.pax_headers = {"path": "../../evil", "GNU.sparse.major": "1", "GNU.sparse.realsize": str(1 << 50)}
    pack(kit, put(members(kit), "licences/x", header=info), tar_format=tarfile.PAX_FORMAT)
    refused(kit, "not an ordinary file")


@pytest.mark.slow
def test_a_member_with_a_wrong_hash_is_named_by_checking(kit, tmp_path):
    held = members(kit)
    for index in range(len(held)):
        changed = copy.copy(held)
        changed[index] = copy.copy(held[index])
        good = held[index].content
        changed[index].sha256 = hashlib.sha256(good).hexdigest()
        changed[index].content = bytes([good[0] ^ 1]) + good[1:]
        pack(kit, changed)
        refused(kit, f"{held[index].path} is damaged")
    ended = run_installer(kit, "--check")
    assert (ended.returncode, "is damaged" in ended.stderr) == (1, True)


@pytest.mark.parametrize("size", [0, 2, 1 << 40])
def test_a_member_whose_size_the_manifest_lies_about_is_refused(kit, size):
    pack(kit, put(members(kit), "licences/x", content=b"x", size=size))
    refused(kit, "licences/x")


def test_a_member_whose_header_claims_a_terabyte_is_refused(kit):
    info = tarfile.TarInfo("licences/x")
    held = put(members(kit), "licences/x", content=b"x" * 512, header=info)
    pack(kit, held)
    whole = bytearray((kit / "part-001.tar").read_bytes())
    info.size = 1 << 40
    whole[:512] = info.tobuf(tarfile.GNU_FORMAT)
    (kit / "part-001.tar").write_bytes(whole)
    digest = hashlib.sha256(whole).hexdigest()
    alter(kit, lambda values: values["parts"][0].update(sha256=digest))
    refused(kit, "not what the manifest says")


def test_a_member_more_or_less_or_twice_or_elsewhere_is_refused(kit):
    held = members(kit)
    files = json.loads((kit / MANIFEST).read_text())["files"]
    for other, word in (
        ([*held, Member("licences/x", "file", b"x")], "not what the manifest says"),
        (held[:-1], "is missing"),
        ([*held, held[0]], "not what the manifest says"),
        ([held[1], held[0], *held[2:]], "not what the manifest says"),
    ):
        pack(kit, other)
        alter(kit, lambda values: values.update(files=files))
        refused(kit, word)
    pack(kit, held, after=b"\0" * 512 + b"something more")
    refused(kit, "more than the manifest says")


def test_a_file_that_is_too_large_for_its_kind_is_refused(kit):
    alter(kit, lambda values: next(f for f in values["files"] if f["kind"] == "name").update(size=1 << 20))
    refused(kit, "too many for a name")


@pytest.mark.parametrize("kind", ["link", "fifo", "device", "folder", "loop"])
@pytest.mark.parametrize("name", ["part-002.tar", MANIFEST, f"{MANIFEST}.sha256", "install.py"])
def test_a_part_that_is_no_ordinary_file_is_refused_and_not_waited_for(kit, tmp_path, kind, name):
    path = kit / name
    path.rename(tmp_path / "aside")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        to = {"link": tmp_path / "aside", "device": "/dev/zero", "loop": path}[kind]
        path.symlink_to(to)
    refused(kit, "not an ordinary file")
    with pytest.raises(ConfigError):
        diff(kit, kit)


@pytest.mark.parametrize("name", ["../part-001.tar", "install.py", "part-001.tar\n", "nul", "/dev/zero", "part-1.tar"])
def test_a_part_with_another_name_is_refused(kit, name):
    alter(kit, lambda values: values["parts"][0].update(name=name))
    refused(kit, "parts[0].name")


# wheels


def wheel_kit(kit: Path, wheel: Path) -> None:
    """Put a wheel into a kit."""
    pack(kit, put(members(kit), f"wheels/{wheel.name}", "wheel", wheel.read_bytes()))


def spoilt(folder: Path, *infos: tuple[zipfile.ZipInfo | str, bytes], name: str = "evil") -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for info, content in infos:
            wheel.writestr(info, content)
    return path


@pytest.mark.parametrize(
    "path", [it for it in ODD_NAMES if it and not it.endswith("/") and "\ud800" not in it and it != "."]
)
def test_a_wheel_with_an_odd_name_is_refused_and_nothing_is_written(tmp_path, path):
    wheel = spoilt(tmp_path, ("good.py", b""), (zipfile.ZipInfo("PLACE"), b"evil"))
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("good.py", b"")
        info = zipfile.ZipInfo("x")
        info.filename = path
        made.writestr(info, b"evil")
    with pytest.raises(Refused, match="the path"):
        unzip(wheel, tmp_path / "environment")
    assert not (tmp_path / "environment").exists()


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"INFO/entry_points.txt": f"[console_scripts]\n{name}=m:f\n"}, "taken")
        for name in ("python", "python3", "python3.11", "Python", "pythonw", "pip", "pip3", "pip3.12", "rung", "RUNG",
                     "rung.py", "activate", "activate.fish", "Activate.ps1", "deactivate")
    ]
    + [({f"evil-1.0.data/scripts/{name}": "#!python\n"}, "taken") for name in ("python3.11", "rung", "activate", "pip")]
    + [
        ({"evil-1.0.data/data/bin/python": "x"}, "taken"),
        ({"evil-1.0.data/data/BIN/python": "x"}, "taken"),
        ({"evil-1.0.data/data/bin/rung": "x"}, "taken"),
        ({"evil-1.0.data/data/pyvenv.cfg": "x"}, "taken"),
        ({"evil-1.0.data/data/lib64/python3.11/x.py": "x"}, "taken"),
        ({"INFO/entry_points.txt": "[console_scripts]\n../x=m:f\n"}, "leads out"),
        ({"INFO/entry_points.txt": "[console_scripts]\na/b=m:f\n"}, "not allowed"),
        ({"INFO/entry_points.txt": "[console_scripts]\nx=m;import os:f\n"}, "not allowed"),
        ({"INFO/entry_points.txt": "[console_scripts]\nx=m:f()\n"}, "not allowed"),
        ({"INFO/entry_points.txt": "[console_scripts]\nx=m\n"}, "not allowed"),
        ({"INFO/entry_points.txt": "[console_scripts]\nx=import:f\n"}, "not allowed"),
        ({"INFO/entry_points.txt": "[console_scripts]\nx=m:f\nx=m:g\n"}, "entry points"),
        ({"INFO/entry_points.txt": "x=m:f\n"}, "entry points"),
        ({"INFO/entry_points.txt": b"[console_scripts]\nx=\xff:f\n"}, "is not a wheel"),
        ({"evil-2.dist-info/RECORD": "../../../home/me/.ssh/id,,\n"}, "leads out"),
        ({"evil-2.dist-info/RECORD": "/etc/passwd,,\n"}, "leads out"),
        ({"evil-2.dist-info/RECORD": '"a\x1bb",,\n'}, "leads out"),
        ({"a.py": "1", "A.py": "2"}, "one name"),
        ({"a": "1", "a/b.py": "2"}, "file and a folder"),
        ({"evil-1.0.data/purelib/a.py": "1", "a.py": "1x"}, "twice"),
        ({"evil-1.0.data/scripts/x": "1", "INFO/entry_points.txt": "[console_scripts]\nx=m:f\n"}, "twice"),
    ],
)  # fmt: skip
def test_a_wheel_that_takes_what_is_not_its_own_is_refused_and_nothing_is_written(tmp_path, files, word):
    wheel = make_wheel(tmp_path, "evil", "1.0", files)
    with pytest.raises(Refused, match=word):
        unzip(wheel, tmp_path / "environment")
    assert not (tmp_path / "environment").exists()


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"INFO/entry_points.txt": "[console_scripts]\npython3.11=m:f\n"}, "taken"),
        ({"../../evil": "x"}, "leads out"),
        ({"a.py": "1", "A.py": "2"}, "one name"),
    ],
)
def test_a_wheel_that_would_be_refused_later_is_refused_by_checking(kit, tmp_path, files, word):
    wheel_kit(kit, make_wheel(tmp_path, "evil", "1.0", files))
    refused(kit, word)


def test_a_wheel_of_rung_has_its_own_script(tmp_path):
    wheel = make_wheel(tmp_path, "rung", "1.0", {"INFO/entry_points.txt": "[console_scripts]\nrung=m:f\nx = m:A.b\n"})
    unzip(wheel, tmp_path / "environment")
    assert (tmp_path / "environment" / "bin" / "rung").stat().st_mode & stat.S_IXUSR
    assert "from m import A\nsys.exit(A.b())" in (tmp_path / "environment" / "bin" / "x").read_text()


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644, 0o060644, 0o140644])
def test_a_wheel_with_a_link_or_a_device_is_refused(kit, tmp_path, mode):
    info = zipfile.ZipInfo("link")
    info.external_attr = mode << 16
    wheel_kit(kit, spoilt(tmp_path, (info, b"/etc")))
    refused(kit, "not an ordinary file")


def test_a_wheel_with_a_member_twice_is_refused(kit, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        wheel_kit(kit, spoilt(tmp_path, ("a.py", b"1"), ("a.py", b"1")))
    refused(kit, "twice")


def test_a_wheel_that_unpacks_to_a_hundred_times_its_size_is_refused(kit, tmp_path):
    path = tmp_path / "evil-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("zeros", bytes(20 << 20))
    wheel_kit(kit, path)
    refused(kit, "unpacks to more than")
    with pytest.raises(Refused):
        unzip(path, tmp_path / "environment")
    assert not (tmp_path / "environment").exists()


def test_a_wheel_that_lies_about_its_sizes_is_refused_while_it_is_unpacked(tmp_path):
    path = tmp_path / "evil-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("zeros", bytes(20 << 20))
    content = path.read_bytes()
    path.write_bytes(content.replace((20 << 20).to_bytes(4, "little"), (1 << 10).to_bytes(4, "little")))
    with pytest.raises(Refused, match="is not a wheel"):
        unzip(path, tmp_path / "environment")
    assert sum(it.stat().st_size for it in (tmp_path / "environment").rglob("*") if it.is_file()) <= 1 << 10


@pytest.mark.parametrize("how", ["encrypted", "bzip2", "cut", "noise", "empty", "list"])
def test_a_wheel_that_is_none_is_refused_in_a_sentence(kit, tmp_path, how):
    path = tmp_path / "evil-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2 if how == "bzip2" else zipfile.ZIP_STORED) as wheel:
        wheel.writestr("evil-1.0.dist-info/RECORD", "x.py,,\n")
    content = bytearray(path.read_bytes())
    if how == "encrypted":
        content[content.index(b"PK\1\2") + 8] |= 1
    elif how == "cut":
        del content[-30:]
    elif how == "noise":
        content[:] = random.Random(3).randbytes(4000)
    elif how == "empty":
        content.clear()
    elif how == "list":
        content[content.index(b"PK\5\6") + 12 :][:4] = b"\xff\xff\xff\x7f"
        content[content.index(b"PK\5\6") + 12 : content.index(b"PK\5\6") + 16] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)
    wheel_kit(kit, path)
    refused(kit, "evil-1.0-py3-none-any.whl")


def test_two_wheels_with_one_file_are_refused_unless_it_is_the_same(kit, tmp_path):
    first = make_wheel(tmp_path, "first", "1.0", {"tests/__init__.py": ""})
    same = make_wheel(tmp_path, "second", "1.0", {"tests/__init__.py": ""})
    held = put(members(kit), f"wheels/{first.name}", "wheel", first.read_bytes())
    pack(kit, put(held, f"wheels/{same.name}", "wheel", same.read_bytes()))
    assert check(kit)
    over = make_wheel(tmp_path, "second", "1.0", {"rungs.py": "print('mine now')"})
    pack(kit, put(held, f"wheels/{over.name}", "wheel", over.read_bytes()))
    refused(kit, "rungs.py' is there twice")


def test_two_wheels_of_one_package_are_refused(kit, tmp_path):
    wheel = make_wheel(tmp_path, "Helper", "9.0", {})
    wheel_kit(kit, wheel)
    refused(kit, "helper")


# targets


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A folder of somebody else's, with the names that an installer would write."""
    folder = tmp_path / "elsewhere"
    for path in ("precious.txt", "rung", "current", "files.json", "blobs/x", "names/x", "python/bin/python"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("precious")
    return folder


PLACES = ["versions", "versions/ID", "models", "models/blobs", "models/names", "versions/ID/python", "versions/ID/bin"]


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_written_through_a_link_to_a_folder(kit, tmp_path, elsewhere, place):
    target, before = tmp_path / "target", tree(elsewhere)
    path = target / place.replace("ID", read_manifest(kit).version)
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere)
    with pytest.raises(Refused, match=r"link|no installer made it"):
        install(kit, Target(target), None)
    assert tree(elsewhere) == before
    assert path.is_symlink()


@pytest.mark.parametrize("name", ["rung", "current", "rung.new", "current.new", ".lock"])
@pytest.mark.parametrize("dangling", [False, True])
def test_nothing_is_written_through_a_link_to_a_file(kit, installed, tmp_path, elsewhere, name, dangling):
    before = tree(elsewhere)
    (installed / name).unlink(missing_ok=True)
    (installed / name).symlink_to(elsewhere / ("nothing" if dangling else "precious.txt"))
    with pytest.raises(Refused):
        install(kit, Target(installed), None)
    assert tree(elsewhere) == before
    with pytest.raises(Refused) if name in (".lock", "current") else no_error():
        uninstall(Target(installed))
    assert tree(elsewhere) == before
    assert (installed / name).is_symlink()


def no_error():
    import contextlib

    return contextlib.nullcontext()


def test_weights_are_not_written_through_a_link(kit, installed, elsewhere):
    before = tree(elsewhere)
    blob = next((installed / "models" / "blobs").iterdir())
    for path in (blob, blob.with_name(blob.name + ".new")):
        blob.unlink(missing_ok=True)
        path.symlink_to(elsewhere / "precious.txt")
        with pytest.raises(Refused, match="a link"):
            install(kit, Target(installed), None)
        path.unlink()
    assert tree(elsewhere) == before


@pytest.mark.parametrize(
    "place", ["rung", "versions/ID/mine.txt", "versions/ID/manifest.json", "versions/ID/files.json"]
)
def test_what_no_installer_made_is_not_replaced(kit, tmp_path, place):
    target = tmp_path / "target"
    path = target / place.replace("ID", read_manifest(kit).version)
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    with pytest.raises(Refused, match="no installer made it"):
        install(kit, Target(target), None)
    assert path.read_text() == "[]"


def test_what_no_installer_made_stays_after_uninstalling(installed, capsys):
    """A folder of versions is what other programs have, too."""
    for path in ("versions/v20.1/bin/node", "versions/mine-0123456789ab/mine", "rung.txt", "versions/x"):
        (installed / path).parent.mkdir(parents=True, exist_ok=True)
        (installed / path).write_text("mine")
    assert uninstall(Target(installed)) == 0
    assert set(tree(installed)) == {
        "versions/v20.1/bin/node",
        "versions/mine-0123456789ab/mine",
        "rung.txt",
        "versions/x",
    }
    assert "v20.1" in capsys.readouterr().err


# records

CLIMBING = [
    "../victim.txt",
    "../../victim.txt",
    "../../../victim.txt",
    "python/../../../../victim.txt",
    "a\0b",
]


def home(target: Path) -> Path:
    return next((target / "versions").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("record", [SHARED, FILES])
def test_an_edited_record_does_not_delete_elsewhere(installed, tmp_path, record):
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    paths = [*CLIMBING, str(victim), "models/../../victim.txt", ".", "", "\ud800"]
    mark = f"4 {hashlib.sha256(b'mine').hexdigest()}"
    values = json.loads((home(installed) / record).read_text())
    for entry in [*paths, *([path, mark] for path in paths)]:
        (home(installed) / record).write_text(json.dumps([*values, entry]))
        before = tree(installed)
        with pytest.raises(Refused, match="was changed"):
            uninstall(Target(installed))
        assert victim.read_text() == "mine"
        assert tree(installed) == before


@pytest.mark.parametrize("record", [SHARED, FILES])
def test_an_edited_record_that_is_malformed_is_a_sentence(installed, record):
    """And nothing was removed: the next one finds the same."""
    for content in ("", "{}", "[1]", "null", "[" * 100_000, '{"a": NaN}', '[["a"]]', '[["a", 1]]', "\ud800"):
        (home(installed) / record).write_bytes(content.encode("utf-8", "surrogatepass"))
        ended = run_installer_at(installed, "--uninstall")
        assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
        assert record in ended.stderr


def run_installer_at(target: Path, *arguments: str):
    """The installer's own command line in this process, which is faster."""
    import contextlib

    from rung.bundle.install import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(["--target", str(target), *arguments])
    return subprocess.CompletedProcess([], code, "", said.getvalue())


def test_an_edited_record_of_weights_names_those_of_the_kit_alone(installed):
    """Weights that were pulled later lie in the same folder."""
    pulled = installed / "models" / "blobs" / f"sha256-{hashlib.sha256(b'mine').hexdigest()}.gguf"
    pulled.write_bytes(b"mine")
    values = json.loads((home(installed) / SHARED).read_text())
    (home(installed) / SHARED).write_text(json.dumps([*values, f"models/blobs/{pulled.name}"]))
    with pytest.raises(Refused, match="was changed"):
        uninstall(Target(installed))
    (home(installed) / SHARED).write_text(json.dumps(values))
    assert uninstall(Target(installed)) == 0
    assert tree(installed) == {f"models/blobs/{pulled.name}": b"mine"}


def test_an_edited_manifest_is_nobodys(installed):
    """Its hash is in the name of the folder."""
    path = home(installed) / MANIFEST
    path.write_text(path.read_text().replace("weights", "Weights", 1))
    uninstall(Target(installed))
    assert (path.parent / "rung.toml").is_file()


def test_uninstalling_leaves_what_was_changed_since(installed, capsys):
    (home(installed) / "rung.toml").write_text("mine")
    helper = next(home(installed).rglob("helper.py"))
    helper.unlink()
    helper.symlink_to("/etc/passwd")
    blob = next((installed / "models" / "blobs").iterdir())
    blob.write_bytes(b"mine")
    assert uninstall(Target(installed)) == 0
    left = {path for path in installed.rglob("*") if path.is_symlink() or path.is_file()}
    assert {path.name for path in left} == {"rung.toml", "helper.py", blob.name}
    assert "was changed since" in capsys.readouterr().err


@pytest.mark.parametrize(
    "place", ["versions/ID/python/lib", "versions/ID/licences", "models/blobs", "models", "versions/ID"]
)
def test_uninstalling_goes_through_no_link(installed, tmp_path, place):
    """A copy of a folder stands elsewhere, and a link in its place: all files are what was installed, and live."""
    path = installed / place.replace("ID", home(installed).name)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    before = tree(tmp_path / "moved")
    assert before
    uninstall(Target(installed))
    assert tree(tmp_path / "moved") == before
    assert path.is_symlink()


def test_uninstalling_removes_what_python_compiled_and_nothing_beside_it(installed):
    compiled = home(installed) / "licences" / "__pycache__"
    compiled.mkdir()
    (compiled / "x.cpython-311.pyc").write_text("")
    (compiled / "mine.txt").write_text("mine")
    (compiled / "link.pyc").symlink_to(compiled / "mine.txt")
    assert uninstall(Target(installed)) == 0
    assert {path.name for path in compiled.iterdir()} == {"mine.txt", "link.pyc"}


def test_a_failing_installation_takes_back_what_it_wrote_and_nothing_else(kit, tmp_path):
    """The weights are there, then the last name can't be written; a stranger's file in the store lives."""
    target = tmp_path / "target"
    names = [file.path for file in read_manifest(kit).files if file.kind == "name"]
    (target / "models" / "blobs").mkdir(parents=True)
    (target / "models" / "blobs" / "mine.gguf").write_text("mine")
    (target / names[-1]).parent.mkdir(parents=True)
    (target / (names[-1] + ".new")).mkdir()
    with pytest.raises(Refused, match="a folder, not an ordinary file"):
        install(kit, Target(target), None)
    assert tree(target) == {".lock": b"", "models/blobs/mine.gguf": b"mine"}
    assert not list((target / "versions").iterdir())


def test_a_failing_installation_leaves_the_weights_that_another_version_uses(kit, next_kit, installed):
    newer = read_manifest(next_kit)
    mine = installed / "versions" / newer.version
    mine.mkdir()
    shutil.copy(next_kit / MANIFEST, mine / MANIFEST)
    weights = [file.path for file in newer.files if file.kind == "weights"]
    (mine / SHARED).write_text(json.dumps(weights))
    (mine / "python").mkdir()
    (mine / "mine.txt").write_text("mine")
    with pytest.raises(Refused, match=r"holds 'mine\.txt'"):
        install(next_kit, Target(installed), None)
    assert (mine / "mine.txt").read_text() == "mine"
    assert all((installed / path).is_file() for path in weights)


# checking runs nothing


@pytest.mark.slow
def test_checking_runs_no_module_that_lies_beside_the_installer(kit, tmp_path):
    proof = tmp_path / "ran"
    code = f"open({str(proof)!r}, 'a').write(__name__)\nraise ImportError(__name__)\n"
    for name in ("json", "argparse", "tarfile", "zipfile", "ctypes", "unicodedata", "venv", "csv", "encodings", "os"):
        (kit / f"{name}.py").write_text(code)
    for name in ("subprocess", "hashlib", "sitecustomize"):
        (kit / name).mkdir()
        (kit / name / "__init__.py").write_text(code)
    alter(kit, lambda values: values["machine"].update(libraries=["libc.so.6"]))
    for environment in ({}, {"PYTHONPATH": f"{kit}/."}):
        ended = subprocess.run(
            [sys.executable, "install.py", "--check"],
            capture_output=True,
            text=True,
            cwd=kit,
            env={"PATH": "/usr/bin:/bin", **environment},
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        # with such a path Python itself imports these before it reads a line of anybody's
        for name in ("encodings.py", "os.py"):
            (kit / name).unlink(missing_ok=True)
        shutil.rmtree(kit / "sitecustomize", ignore_errors=True)
    assert not proof.exists()


@pytest.mark.slow
def test_no_library_of_a_kit_is_loaded(kit, tmp_path, monkeypatch):
    """Neither by a path in the manifest, nor where the loader's path has an empty entry and the kit is at hand."""
    for path in ("./libevil.so", f"{kit}/libevil.so", "../libevil.so", "libevil.so\n", "libevil.so ", "evil"):
        alter(kit, lambda values, path=path: values["machine"].update(libraries=[path]))
        refused(kit, "machine.libraries[0]")
    if sys.platform != "linux" or not shutil.which("cc"):
        pytest.skip("needs a compiler on Linux")
    proof = tmp_path / "ran"
    source = tmp_path / "evil.c"
    source.write_text(f'#include <stdio.h>\n__attribute__((constructor)) void go(void) {{ fopen("{proof}", "w"); }}\n')
    for name in ("libevil.so", "libgomp.so.1"):
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(kit / name), str(source)], check=True)
    alter(kit, lambda values: values["machine"].update(libraries=["libevil.so", "libgomp.so.1"]))
    for folders in (":", f"/nowhere:{kit}/."):
        environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": folders}
        ended = subprocess.run(
            [sys.executable, "install.py", "--check"],
            capture_output=True,
            text=True,
            cwd=kit,
            env=environment,
            check=False,
        )
        assert "libevil.so is missing" in ended.stderr
    assert not proof.exists()


def test_hashes_come_first_and_libraries_last(kit, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("something was started"))
    alter(kit, lambda values: values["machine"].update(libraries=["libgomp.so.1"]))
    part = kit / "part-003.tar"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    refused(kit, "part-003.tar is damaged")
    assert all("libgomp" not in text for text in verify(kit)[1])


# what is said

STEERING = "\x1b]0;owned\x07\x1b[2J\u202etxt.\u200b\u2028\x9b31m\r\nok: all is well"


def test_what_is_not_seen_as_itself_becomes_visible():
    assert visible("a\x1b[2Jb\u202e\u200b\u2028\x9b\r\n\t\ud800\ufeff\u3164") == (
        r"a\x1b[2Jb\u202e\u200b\u2028\x9b\r\n\t\ud800\ufeff\u3164"
    )
    assert visible("Zażółć 城市 🙂 «x»") == "Zażółć 城市 🙂 «x»"
    for code in (*range(32), *range(127, 160), *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A)):
        assert visible(chr(code)).isascii()


@pytest.mark.slow
def test_no_text_of_a_kit_reaches_a_terminal_raw(kit, first_kits, capfdbinary, monkeypatch):
    monkeypatch.setattr("rung.guard.install", lambda zone: None)
    steering = dict.fromkeys(("tag", "system", "machine", "cpu_stated_by"), STEERING)
    alter(kit, lambda values: values["machine"].update(steering))
    said = run_installer(kit, "--check").stderr
    for command in (["verify", kit], ["verify", kit, "--json"], ["diff", kit, first_kits[0]],
                    ["diff", kit, first_kits[0], "--json"]):  # fmt: skip
        invoke(["bundle", *map(str, command)], Interrupts())
        out, err = capfdbinary.readouterr()
        said += out.decode() + err.decode()
    assert not {*said} & {*STEERING} - {*"\n ", *map(chr, range(33, 127))}
    assert "ok: all is well" not in said.splitlines()


def test_no_text_of_a_kits_configuration_looks_like_a_line_of_its_own(kit, first_kits):
    held = members(kit)
    held[0].content += b'name = "a\x1b[2J\xe2\x80\xa8packages:\x85\x0bb"\n'
    pack(kit, held)
    lines = diff(first_kits[0], kit).config.splitlines()
    assert [line for line in lines if "packages" in line] == [
        r'+name = "a\x1b[2J\u2028packages:' + "\ufffd" + r'\x0bb"'
    ]


def test_a_difference_of_long_files_takes_no_long_time(kit, first_kits, tmp_path):
    rng = random.Random(5)
    lines = [f"a{n} = 1\n" for n in range(50_000)]
    held = members(kit)
    for name in ("old", "new"):
        rng.shuffle(lines)
        held[0].content = "".join(lines).encode()
        shutil.copytree(kit, tmp_path / name)
        pack(tmp_path / name, held)
    began = time.monotonic()
    assert "too many to compare" in diff(tmp_path / "old", tmp_path / "new").config
    assert time.monotonic() - began < 10


def test_a_difference_is_not_told_of_a_damaged_kit(kit, first_kits):
    part = kit / "part-003.tar"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigError, match=r"part-003\.tar is damaged"):
        diff(first_kits[0], kit)


# manifests


@pytest.fixture(scope="module")
def good(first_kits) -> dict:
    return json.loads((first_kits[0] / MANIFEST).read_text())


@each(
    ("content", "word"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8: byte 0"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{", "not JSON: line 1"),
        (b"[]", "the whole is not an object"),
        (b"null", "the whole is not an object"),
        (b'"x"', "the whole is not an object"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"format":' * 100_000, "nested too deeply"),
        (b'{"format": 1, "format": 1}', "'format' stands there twice"),
        (b'{"format": 1, "a": {"x\\u001b": 1, "x\\u001b": 2}}', "stands there twice"),
        (b'{"format": NaN}', "NaN is not a whole number"),
        (b'{"format": -Infinity}', "not a whole number"),
        (b'{"format": 1e999}', "1e999 is not a whole number"),
        (b'{"format": 1.0}', "1.0 is not a whole number"),
        (b'{"format": ' + b"9" * 5000 + b"}", "not a whole number"),
        (b'{"format": 7}', "has the format 7"),
        (b'{"format": 1}', "'rung' is missing"),
    ],
)  # fmt: skip
def test_a_malformed_manifest_is_a_sentence(content, word):
    with pytest.raises(Refused, match=word.replace("[", r"\[")) as caught:
        parse_manifest(content)
    assert len(str(caught.value)) < 300


def at(values: dict, path: str):
    """The object that holds the last key of a path, and that key."""
    *above, last = (int(it) if it.isdigit() else it for it in path.split("."))
    for it in above:
        values = values[it]
    return values, last


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("format", True, "'format' is not a whole number"),
        ("format", "1", "'format' is not a whole number"),
        ("rung", "1.0/../../x", "'rung' is not a text of the form"),
        ("rung", "1 0", "'rung'"),
        ("rung", "1\n", "'rung'"),
        ("rung", "-x", "'rung'"),
        ("rung", None, "'rung' is not a text"),
        ("rung", "\ud800", "half a character"),
        ("base", 1, "'base' is not a text"),
        ("base", "", "'base'"),
        ("installer", "0", "'installer'"),
        ("machine", [], "'machine' is not an object"),
        ("machine.cpu", "avx2", "'machine.cpu' is not a list"),
        ("machine.cpu", [1], "'machine.cpu[0]' is not a text"),
        ("machine.cpu", ["a b"], "'machine.cpu[0]'"),
        ("machine.glibc", "2.x", "'machine.glibc'"),
        ("machine.glibc", "2." + "9" * 5000, "'machine.glibc'"),
        ("machine.python", "3.11 ", "'machine.python'"),
        ("machine.tag", "x" * 5000, "'machine.tag'"),
        ("machine.extra", 1, "'machine.extra' is not a key"),
        ("parts", {}, "'parts' is not a list"),
        ("parts.0", 3, "'parts[0]' is not an object"),
        ("parts.0.size", -1, "'parts[0].size' is not a whole number"),
        ("parts.0.size", 1 << 62, "'parts[0].size'"),
        ("parts.0.size", False, "'parts[0].size'"),
        ("parts.0.size", 1 << 50, "larger than all"),
        ("files", [3] * 5001, "'files' names more than 5,000 files"),
        ("parts.0.sha256", "A" * 64, "'parts[0].sha256'"),
        ("parts.1.name", "part-001.tar", "one name"),
        ("files", None, "'files' is not a list"),
        ("files.2.size", "1", "'files[2].size' is not a whole number"),
        ("files.2.kind", "weight", "'files[2].kind' is not a kind"),
        ("files.2.kind", [], "'files[2].kind' is not a text"),
        ("files.2.carried", 1, "'files[2].carried' is not true or false"),
        ("files.2.carried", False, "only weights"),
        ("files.2.path", 7, "'files[2].path' is not a text"),
        ("note", "x", "'note' is not a key"),
        ("a\x1b[2J", "x", "not a key"),
    ],
)  # fmt: skip
def test_a_malformed_manifest_names_the_key_that_is_wrong(good, path, value, word):
    values = copy.deepcopy(good)
    holder, key = at(values, path)
    holder[key] = value
    with pytest.raises(Refused) as caught:
        parse_manifest(json.dumps(values).encode())
    text = str(caught.value)
    assert word in text
    assert visible(text) == text


@pytest.mark.parametrize("path", ["rung", "machine", "machine.tag", "parts.0.sha256", "files.3.kind", "base", "files"])
def test_a_malformed_manifest_names_the_key_that_is_missing(good, path):
    values = copy.deepcopy(good)
    holder, key = at(values, path)
    del holder[key]
    with pytest.raises(Refused, match=f"{key}' is missing"):
        parse_manifest(json.dumps(values).encode())


def test_a_malformed_manifest_of_any_size_is_a_sentence_and_an_exit_code(kit, capfd, monkeypatch):
    monkeypatch.setattr("rung.guard.install", lambda zone: None)
    with (kit / MANIFEST).open("wb") as file:
        file.truncate(1 << 40)
    refused(kit, "manifest.json has more than")
    assert invoke(["bundle", "verify", str(kit)], Interrupts()) == 1
    assert invoke(["bundle", "diff", str(kit), str(kit)], Interrupts()) == 2
    assert "Traceback" not in capfd.readouterr().err
    with (kit / f"{MANIFEST}.sha256").open("wb") as file:
        file.truncate(1 << 40)
    refused(kit, "manifest.json has more than")


ODD_VALUES = [None, True, 0, -1, 1 << 70, 1.5, float("nan"), "", "\ud800", "x\x1b[2J\u202e", "../x", "nul",
              "x" * 70_000, [], [[]], {}, {"": {}}, [None] * 3]  # fmt: skip


@pytest.mark.proof
@pytest.mark.slow
def test_any_manifest_is_read_or_refused_in_one_visible_sentence(good):
    """Six hundred mutations of a good one, and six hundred of its bytes."""
    rng = random.Random(27)
    raw = json.dumps(good).encode()
    refusals: list[str] = []
    for number in range(1200):
        if number % 2:
            values = copy.deepcopy(good)
            for _ in range(rng.randint(1, 3)):
                mutate(values, rng)
            content = json.dumps(values).encode("utf-8", "surrogatepass")
        else:
            spoilt_bytes = bytearray(raw)
            for _ in range(rng.randint(1, 4)):
                start = rng.randrange(len(spoilt_bytes))
                spoilt_bytes[start : start + rng.randint(0, 8)] = rng.randbytes(rng.randint(0, 8))
            content = bytes(spoilt_bytes)
        try:
            found = parse_manifest(content)
        except Refused as refusal:
            refusals.append(str(refusal))
        else:
            assert all(safe(file.path) for file in found.files)
    assert len(refusals) > 600
    assert all(text and visible(text) == text for text in refusals)


def mutate(values: object, rng: random.Random) -> None:
    """Change, remove, double or rename something anywhere in it."""
    while isinstance(values, dict | list) and values:
        key = rng.choice([*values] if isinstance(values, dict) else range(len(values)))
        if isinstance(values[key], dict | list) and values[key] and rng.random() < 0.75:
            values = values[key]
            continue
        how = rng.randrange(4)
        if how == 0:
            del values[key]
        elif how == 1 and isinstance(values, list):
            values.append(copy.deepcopy(values[key]))
        elif how == 2 and isinstance(values, dict):
            values[rng.choice(["x", "", "size ", "\x1b"])] = values.pop(key)
        else:
            values[key] = copy.deepcopy(rng.choice(ODD_VALUES))
        return


# locks


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\xff", "not valid UTF-8"),
        (b"version = 1\nversion = 1\n", "not valid TOML"),
        (b"version = [" + b"[" * 100_000, "levels deep"),
        (b"a." * 100_000 + b"a = 1\n", "levels deep"),
        (b"a." * 2_000 + b"a = 1\n" + (b"b." * 2_000 + b"a = 1\n") * 30, "levels deep"),
        (b"tier = []\n", "has the version None"),
        (b"version = true\n", "has the version True"),
        (b"version = [1, 2]\n", "has the version a list"),
        (b'version = "' + b"x" * 4_000 + b'"\n', "has the version"),
        (b"version = 1\ntier = 3\n", "tier"),
        (b'version = 1\n[[tier]]\nname = "a"\n', "is missing"),
        (b'version = 1\n[[tier]]\nname = "a"\nmodel = "m"\nsha256 = "x"\nsize = 1\n', "sha256"),
        ((b'[[tier]]\nname = "a"\nmodel = "m"\nsha256 = "' + b"0" * 64 + b'"\nsize = 1\n') * 2, "version None"),
        (
            b"version = 1\n" + (b'[[tier]]\nname = "a"\nmodel = "m"\nsha256 = "' + b"0" * 64 + b'"\nsize = 1\n') * 2,
            "two tiers 'a'",
        ),
    ],
)  # fmt: skip
def test_a_malformed_lock_is_a_sentence(tmp_path, content, word):
    path = tmp_path / "rung.lock"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=word) as caught:
        read_lock(path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "huge"])
def test_a_malformed_lock_is_not_waited_for(tmp_path, kind):
    path = tmp_path / "rung.lock"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(ConfigError, match=r"can't be read|larger than"):
        read_lock(path)
