"""Kits, their manifests and archives, and the records of the store."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import platform
import random
import shutil
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from fuzzing import strange
from fuzzing.cases import Broken, Case, Refusal, as_bytes

_SHA = "ab" * 32


def _wheel() -> bytes:
    """A package of nothing. The same bytes each time, so that the same seed makes the same inputs."""
    info = "helper-1.0.dist-info"
    texts = {
        "helper.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: helper\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as wheel:
        for name, text in texts.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    return sink.getvalue()


_FILES = {
    "rung.toml": (b'[[tier]]\nname = "small"\nkind = "llama"\nmodel = "smollm2-135m"\n', "file"),
    "rung.lock": (b"version = 1\n", "file"),
    "wheels/helper-1.0-py3-none-any.whl": (_wheel(), "wheel"),
    f"models/blobs/sha256-{hashlib.sha256(b'GGUF').hexdigest()}.gguf": (b"GGUF", "weights"),
    "models/names/x.json": (b"{}", "name"),
    "licences/MIT.txt": (b"as you like\n", "file"),
}
_PATHS = (
    "../victim", "/etc/passwd", "a/../b", "a//b", "", ".", "C:\\x", "a\\b", "a:b", "shared.json", "files.json",
    "current", "versions", "versions/../../x", "models", "a\0b", "a\x1b[31mb", "\u202egpj.exe", "x" * 300,
    "x/" * 2000 + "x", "CON", "aux.txt", "a ", "a.", "é", "e\u0301", "\ud800", "rung.toml", "RUNG.TOML",
    "manifest.json", "install.py", "acceptance.json", "~",
)  # fmt: skip
_LIBRARIES = (
    ["libgomp.so.1"],
    ["./evil.so"],
    ["libnone.so.9"],
    ["a\0b"],
    [""],
    [3],
    "libgomp.so.1",
    [None],
    ["/dev/zero"],
)
_PAX = (
    {"path": "../x"}, {"size": "-1"}, {"size": "99999999999999999999"}, {"size": "x"}, {"GNU.sparse.map": "a"},
    {"GNU.sparse.map": "0,1,2"}, {"GNU.sparse.numblocks": "x", "GNU.sparse.map": "0,1"}, {"GNU.sparse.major": "1",
    "GNU.sparse.minor": "0"}, {"GNU.sparse.size": "x"}, {"GNU.sparse.realsize": "-5"}, {"mtime": "nan"},
    {"uid": "1e999"}, {"hdrcharset": "BINARY"}, {"linkpath": "/"},
)  # fmt: skip
_KINDS = (
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    tarfile.CONTTYPE,
    tarfile.GNUTYPE_SPARSE,
)
_RECORDS: dict[str, Any] = {
    "names": {"sha256": _SHA, "size": 5, "origin": "imported from /x", "licence": "MIT", "context": 8192},
    "hub": {"sha256": _SHA, "size": 5},
    "places": {"path": "/x/y.gguf", "size": 5, "mtime_ns": 1, "inode": 2},
    "ollama": {"layers": [{"digest": f"sha256:{_SHA}", "mediaType": "application/vnd.ollama.image.model"}]},
    "trusted": {"/x/rung.toml": _SHA},
}
_SPOILT = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


class Manifests:
    """Checks a kit as its installer does, verifies it, compares it; reads records."""

    name: ClassVar[str] = "manifests"

    def make(self, dice: random.Random) -> Case:
        """A kit with a wrong manifest or a wrong archive, or a record."""
        kind = dice.choice(("manifest", "manifest", "archive", "archive", *_RECORDS))
        how: dict[str, Any] = {"kind": kind, "sum": dice.random() < 0.97, "cut": dice.randint(1, 3000)}
        if kind == "archive":
            return Case(self.name, how, _archive(dice))
        found = _manifest() if kind == "manifest" else _RECORDS[kind]
        for _ in range(dice.choice((0, 1, 1, 2))):
            found = _harmed(dice, found) if kind == "manifest" else strange.changed(dice, found)
        text = strange.dumped(dice, found)
        if dice.random() < 0.3:
            text = strange.mutated(dice, text, tuple(json.dumps(path) for path in _PATHS), most=2)
        if dice.random() < 0.01:
            return Case(self.name, {**how, "times": 200_000}, as_bytes(dice.choice(("[", '{"a":', " ", text[:20]))))
        return Case(self.name, how, as_bytes(text))

    def prepare(self, folder: Path) -> None:
        """Write a good kit, and see that it is taken for one."""
        self._folder = folder
        self._good = folder / "good"
        body = _tar()
        _write(self._good, _filled(json.dumps(_manifest()).encode()), body)
        case = Case(self.name, {"kind": "manifest", "sum": True, "cut": 100}, json.dumps(_manifest()).encode())
        if not self.run(case):
            raise RuntimeError("a good kit is refused")
        from rung.store.layout import user_store

        self._store = user_store()

    def may_start(self, command: list[str]) -> bool:
        """Whether the product itself means to start this: its installer asks the system's loader in another process."""
        from rung.bundle import install

        return list(command[:5]) == [sys.executable, "-I", "-S", "-c", install._LOADS]

    def run(self, case: Case) -> bool:
        """Take the kit or the record from outside."""
        if case.how["kind"] in ("manifest", "archive"):
            return self._kit(case)
        path = self._folder / "records"
        shutil.rmtree(path, ignore_errors=True)
        return self._record(case, path)

    def _kit(self, case: Case) -> bool:
        from rung.bundle import diff, install, verify

        kit = self._folder / "kit"
        shutil.rmtree(kit, ignore_errors=True)
        if case.how["kind"] == "manifest":
            _write(kit, _filled(case.whole), _tar(), right=case.how["sum"])
        else:
            _write(
                kit,
                _filled(json.dumps(_manifest(case.whole, case.how["cut"])).encode()),
                case.whole,
                right=case.how["sum"],
            )
        # the installer knows its kit by where it lies itself
        install.__file__ = str(kit / "install.py")
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = install.main(["--check", "--target", str(self._folder / "target")])
        _demand_harmless(said.getvalue())
        if (self._folder / "target").exists():
            raise Broken("a check that writes to the target")
        _, wrong = verify(kit)
        changes = diff(self._good, kit)
        if code or wrong:
            raise Refusal
        json.dumps([changes.packages, changes.weights, changes.machine, changes.files])
        return True

    def _record(self, case: Case, path: Path) -> bool:
        from dataclasses import replace

        from rung.config import Places
        from rung.config.trusting import recorded
        from rung.store import Hub
        from rung.store.caches import FoundFile, known_places
        from rung.store.naming import names_of

        store = replace(self._store, root=path)
        hub = Hub(repo="a/b", file="c.gguf", revision="0" * 40)
        match case.how["kind"]:
            case "names":
                _put(store.name("x"), case.whole)
                found = store.named("x")
                names_of(_SHA, store)
                list(store.own_names())
                return found is not None
            case "hub":
                _put(store.name(hub.spec), case.whole)
                names_of(_SHA, store)
                return store.pulled(hub) is not None
            case "places":
                _put(store.place_record(_SHA), case.whole)
                return bool([place.unchanged() for _, place in store.places()])
            case "ollama":
                _put(path / "manifests" / "registry.ollama.ai" / "library" / "x" / "latest", case.whole)
                look = known_places({"OLLAMA_MODELS": str(path)}, path, shared_ollama=path / "none")
                return any(isinstance(it, FoundFile) for it in look)
            case _:
                _put(path / "trusted.json", case.whole)
                places = Places(path, path, path / "u.toml", path / "trusted.json", path / "p.toml")
                return recorded(Path("/x/rung.toml"), places) is not None


def _demand_harmless(text: str) -> None:
    """See that a terminal shows a text as it is."""
    for character in text:
        if unicodedata.category(character) in _SPOILT and character not in "\n\t":
            raise Broken(f"a {unicodedata.category(character)} character on the terminal")


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _filled(manifest: bytes) -> bytes:
    """A manifest for the machine that this is: an input is the same wherever it is made."""
    here = {
        b"@system": platform.system(),
        b"@machine": platform.machine(),
        b"@python": "{}.{}".format(*sys.version_info[:2]),
    }
    for mark, word in here.items():
        manifest = manifest.replace(mark, word.encode())
    return manifest


def _write(kit: Path, manifest: bytes, body: bytes, *, right: bool = True) -> None:
    """A kit in a folder; `right` says whether the manifest's hash is."""
    kit.mkdir()
    (kit / "manifest.json").write_bytes(manifest)
    beside = hashlib.sha256(manifest).hexdigest() if right else "0" * 64
    (kit / "manifest.json.sha256").write_text(f"{beside}  manifest.json\n")
    (kit / "install.py").write_bytes(b"")
    # the archive is one part, or two where the manifest says so
    try:
        first = json.loads(manifest)["parts"][0]["size"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        first = len(body)
    cut = first if isinstance(first, int) and 0 <= first <= len(body) else len(body)
    (kit / "part-001.tar").write_bytes(body[:cut])
    (kit / "part-002.tar").write_bytes(body[cut:])


def _manifest(body: bytes | None = None, cut: int = 1500) -> dict[str, Any]:
    body = _tar() if body is None else body
    pieces = (body[:cut], body[cut:])
    return {
        "format": 1,
        "rung": "0.1.0",
        "machine": {
            "tag": "here",
            "system": "@system",
            "machine": "@machine",
            "python": "@python",
            "cpu": [],
            "cpu_stated_by": "us",
            "glibc": "",
            "libraries": [],
        },
        "base": None,
        "installer": hashlib.sha256(b"").hexdigest(),
        "parts": [{"name": f"part-{n:03}.tar", **_pinned(piece)} for n, piece in enumerate(pieces, 1)],
        "files": [
            {"path": path, **_pinned(content), "kind": kind, "carried": True}
            for path, (content, kind) in _FILES.items()
        ],
    }


def _pinned(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _harmed(dice: random.Random, manifest: Any) -> Any:
    """A manifest with something wrong that is about what it is for."""
    found = json.loads(json.dumps(manifest))
    try:
        match dice.randrange(7):
            case 0:
                dice.choice(found["files"])["path"] = dice.choice(_PATHS)
            case 1:
                dice.choice(found["parts"])["name"] = dice.choice((*_PATHS, "/dev/zero", "part-001.tar"))
            case 2:
                found["machine"]["libraries"] = dice.choice(_LIBRARIES)
            case 3:
                dice.choice(found["files"] + found["parts"])["size"] = json.loads(strange.number(dice)[:300])
            case 4:
                found[dice.choice(("rung", "base", "installer"))] = dice.choice((*_PATHS, 3, None))
            case 5:
                found["files"] = found["files"] * dice.choice((2, 3000))
            case _:
                return strange.changed(dice, found, 4)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError):
        return strange.changed(dice, found, 4)
    return found


def _members() -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for path, (content, _) in _FILES.items():
        member = tarfile.TarInfo(path)
        member.size = len(content)
        yield member, content


def _tar() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in _members():
            tar.addfile(member, io.BytesIO(content))
    return sink.getvalue()


def _archive(dice: random.Random) -> bytes:
    """An archive of the right files, some of them odd, harmed as bytes at times."""
    sink = io.BytesIO()
    form = dice.choice((tarfile.PAX_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=sink, mode="w", format=form) as tar:
        for member, content in _members():
            if dice.random() < 0.15:
                match dice.randrange(4):
                    case 0:
                        member.type, member.linkname = dice.choice(_KINDS), dice.choice(_PATHS).replace("\ud800", "x")
                    case 1:
                        member.name = dice.choice(_PATHS).replace("\ud800", "x")
                    case 2:
                        member.pax_headers = dict(dice.choice(_PAX))
                    case _:
                        content = dice.choice((b"", content * 2, b"\xff" * 5000))
                        member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    data = sink.getvalue()
    return (
        strange.mutated_bytes(dice, data, (b"././@LongLink", b"\0" * 512, b"ustar  \0", b"0" * 12))
        if dice.random() < 0.5
        else data
    )
