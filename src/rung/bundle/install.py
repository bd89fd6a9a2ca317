"""Installs the kit in this file's folder. It checks the whole kit and this machine first, and opens no connection.

    python3 -I install.py --target DIR     install, and make this version the one in force
    python3 -I install.py --check          check kit and machine, and run nothing of the kit
    python3 -I install.py --rollback       go back to the version before
    python3 -I install.py --uninstall      remove what was installed, and nothing else

Standard library only, and readable by old Pythons too, so that a wrong one is told what is needed and not a syntax
error.

    DIR/rung                    starts the version in force
    DIR/current                 names it, and below it the ones before
    DIR/versions/ID/            one version: an environment, rung.toml, rung.lock, what `rung doctor` said, and
        manifest.json           the kit's own: its hash is in ID, which shows whose folder this is
        shared.json             what this version put into DIR/models
        files.json              every file, link and folder of the version, and what it was; written last of all
    DIR/models/                 weights, each once whatever versions use them

Until all of it was hashed, a kit counts as a stranger's, and so does whatever is in the target. No name leads out of
its place or is one of the installer's own. Nothing is written, read or removed through a link. What is removed is
listed, and is still what was installed.

Exit codes: 0 done, 1 refused or failed (the version in force is as before), 3 installed, but `rung doctor` complains.
"""
# ruff: noqa: PTH117, PTH118, PTH208
# files in a folder are reached by its file descriptor, which pathlib can't do

import sys

if __name__ == "__main__" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    # first of all: a json.py beside this file would be found before Python's own, and nobody has hashed it
    del sys.path[0]

import os

if __name__ == "__main__":
    _kit = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
    sys.path[:] = [it for it in sys.path if not (os.path.realpath(it or ".") + os.sep).startswith(_kit + os.sep)]

import argparse
import configparser
import contextlib
import csv
import errno
import hashlib
import io
import json
import keyword
import platform
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 1 << 20
LOADABLE = ("libgomp.so.1", "libstdc++.so.6", "libgcc_s.so.1")
NEW = ".new"
"""Ending of a file's name until the file is complete."""
SHARED, FILES = "shared.json", "files.json"
RECORDS = (MANIFEST, SHARED, FILES, "acceptance.json", "current", ".lock", "pyvenv.cfg", "install.py")
"""Names that the installer keeps for itself. A kit may not have them, anywhere in the archive."""
MOST_JSON = 4 << 20
"""Largest manifest in bytes. One of 200 packages has 300 KB. Python's objects take up to thirty times the size of the
JSON."""
MOST_RECORD = 32 << 20
"""Largest list of a version's files in bytes. One of 50,000 files has 8 MB."""
MOST_AT_ONCE = 16 << 20
"""Bytes read from a wheel in one piece, such as its list of members. The largest known (PyTorch's) has 2 MB."""
MOST_UNPACKED = 100
"""How many times its own size a wheel may unpack to. Code takes three to ten times its size; deflate can reach a
thousand."""
LEAST_UNPACKED = 1 << 20
"""Bytes that any wheel may unpack to, however small it is."""
MOST_BYTES = {"file": 64 << 20, "name": 64 << 10}
"""Largest member in bytes, by kind. The largest file is the bill of materials, and a name of weights is a short
record."""
LONGEST_NAME = 1000
"""Characters of a path. A file system takes 4,096 bytes, which include the path of the target."""
MOST_FILES = 5000
"""Files of a kit. One with every model and package has a few hundred. Each is looked at several times."""
DEEPEST = 40
"""Folders in a path."""
MOST_CLAUSES = 20
"""Reasons that are listed in one message. A screen doesn't show more."""
LONGEST_TEXT = 4000
"""Characters of one message."""
PATIENCE = 60
"""Seconds for asking the system's loader about its libraries. It takes a hundredth of a second."""
LONGEST_DOCTOR = 1800.0
"""Seconds that `rung doctor` may take at the end of an installation. Hashing 50 GB of weights takes ten minutes on a
slow disk. Anything longer than this hangs."""

_KINDS = {
    "file": r"rung\.toml|rung\.lock|sbom\.cdx\.json|licences/.+|tasks/[^/]+/.+",
    "wheel": r"wheels/[\w.]+-[\w.+!]+(-\d\w*)?(-[\w.]+){3}\.whl",
    "name": r"models/names/[\w.%~-]+\.json",
    "weights": r"models/blobs/sha256-[0-9a-f]{64}\.gguf",
}
_SHA256 = r"[0-9a-f]{64}"
_VERSION = r"[0-9A-Za-z][0-9A-Za-z.+!_]{0,63}"
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$|clock\$)", re.ASCII)
# letters and marks that show nothing, and that Python takes for printable
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# names that start the environment's own interpreter, its package manager, or the environment itself
_TAKEN = re.compile(r"(python|pythonw|pypy|pip|easy_install)[\d.]*[a-z]?(-config)?(\.exe)?|(de)?activate.*", re.ASCII)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_FOLLOW


def visible(text: str) -> str:
    r"""Text on one line that can't control a terminal: what is not seen as itself becomes an escape, such as `\x1b`.

    These are all control characters, line separators, bidirectional overrides, zero-width and blank characters except
    the space, and halves of surrogate pairs. Each text that comes from a kit or a target passes through here.
    """
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(
        it if it.isprintable() and not _UNSEEN.match(it) else it.encode("unicode_escape").decode("ascii") for it in text
    )


def listed(clauses: Sequence[str]) -> str:
    """Clauses joined into one, and no more of them than somebody reads."""
    more = len(clauses) - MOST_CLAUSES
    return "; ".join(clauses[:MOST_CLAUSES]) + ("; and {:,} more".format(more) if more > 0 else "")


class Refused(Exception):
    """The kit, the machine or the target is not as it must be. The message says why, in one visible clause."""

    def __init__(self, text: str) -> None:
        shown = visible(text)
        super().__init__(shown if len(shown) <= LONGEST_TEXT else shown[:LONGEST_TEXT] + "...")


class Part(NamedTuple):
    """A piece of the archive."""

    name: str
    size: int
    sha256: str


class File(NamedTuple):
    """A file of the archive. `carried` is false for weights that only the base has."""

    path: str
    size: int
    sha256: str
    kind: str
    carried: bool


class Machine(NamedTuple):
    """What the kit runs on: system, processor, interpreter, instruction sets, least glibc ("" for any), libraries."""

    tag: str
    system: str
    machine: str
    python: str
    cpu: List[str]
    cpu_stated_by: str
    glibc: str
    libraries: List[str]


class Manifest(NamedTuple):
    """What a kit contains. `sha256` is of the manifest itself, `base` of the kit whose weights are left out."""

    sha256: str
    rung: str
    machine: Machine
    base: Optional[str]
    installer: str
    parts: List[Part]
    files: List[File]

    @property
    def version(self) -> str:
        """Name of the folder that this kit is installed into."""
        return "{}-{}".format(self.rung, self.sha256[:12])


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the kit in a folder, checked against the hash beside it.

    Raises:
        Refused: it is missing, damaged, malformed, of another format, or names a path that leaves the target.
    """
    try:
        content = read_file(folder / MANIFEST, MOST_JSON)
        beside = read_file(folder / (MANIFEST + ".sha256"), 4096).decode("ascii", "replace").split()[:1]
    except OSError as error:
        raise Refused("{} holds no kit: {} can't be read".format(folder, error.filename))
    if beside != [hashlib.sha256(content).hexdigest()]:
        raise Refused("{} is damaged: its sha256 is not the one in {}.sha256".format(MANIFEST, MANIFEST))
    return parse_manifest(content)


def parse_manifest(content: bytes) -> Manifest:
    """The manifest with this content.

    Raises:
        Refused: it is malformed, has another format, or names a path that leaves the target. The message names the key.
    """
    values = parse_json(content, MANIFEST)
    if isinstance(values, dict) and type(values.get("format")) is int and values["format"] != FORMAT:
        raise Refused("this kit has the format {}, and this program reads {}".format(values["format"], FORMAT))
    keys = ("format", "rung", "machine", "base", "installer", "parts", "files")
    table = Table(values, MANIFEST, "", keys)
    table.number("format")
    if isinstance(values["files"], list) and len(values["files"]) > MOST_FILES:
        raise Refused("{}: 'files' names more than {:,} files".format(MANIFEST, MOST_FILES))
    machine = table.table("machine", Machine._fields)
    found = Manifest(
        hashlib.sha256(content).hexdigest(),
        table.text("rung", _VERSION),
        Machine(
            machine.text("tag"),
            machine.text("system"),
            machine.text("machine"),
            machine.text("python", r"3\.\d{1,3}"),
            machine.texts("cpu", r"[\w.]+"),
            machine.text("cpu_stated_by"),
            machine.text("glibc", r"(\d{1,6}(\.\d{1,6})*)?"),
            # a path here would be a library of the kit's own
            machine.texts("libraries", r"[A-Za-z0-9_+-]+\.so(\.\d+)*"),
        ),
        None if table.get("base") is None else table.text("base", _SHA256),
        table.text("installer", _SHA256),
        [
            Part(it.text("name", r"part-\d{3,6}\.tar"), it.number("size"), it.text("sha256", _SHA256))
            for it in table.tables("parts", Part._fields)
        ],
        [_file(it) for it in table.tables("files", File._fields)],
    )
    if len({part.name for part in found.parts}) < len(found.parts):
        raise Refused("{}: two of the 'parts' have one name".format(MANIFEST))
    names, packages = Names(), Names()
    for file in found.files:
        names.add(file.path)
        if file.kind == "wheel":
            packages.add(_package(file.path))
    needed = sum(3 * BLOCK + 2 * len(file.path.encode()) + _padded(file.size) for file in found.files if file.carried)
    if sum(part.size for part in found.parts) > needed + CHUNK:
        raise Refused("{}: the 'parts' are larger than all 'files' together".format(MANIFEST))
    return found


def _file(table: "Table") -> File:
    found = File(
        table.text("path"),
        table.number("size"),
        table.text("sha256", _SHA256),
        table.text("kind"),
        table.flag("carried"),
    )
    path = safe(found.path)
    if any(key(piece) in RECORDS or key(piece).endswith(NEW) for piece in path.split("/")):
        raise Refused("the path {!r} in the manifest is reserved for the installer's own records".format(path))
    if found.kind not in _KINDS:
        raise Refused("{}: {} is not a kind of file: {!r}".format(MANIFEST, table.name("kind"), found.kind[:40]))
    if not re.fullmatch(_KINDS[found.kind], path, re.ASCII if found.kind != "file" else 0):
        raise Refused("the path {!r} in the manifest is not allowed for a {}".format(path, found.kind))
    if found.kind == "weights" and found.sha256 not in path:
        raise Refused("the path {!r} in the manifest is not the one of weights with its sha256".format(path))
    if found.kind != "weights" and not found.carried:
        raise Refused("{}: {} is false, and only weights can be left out".format(MANIFEST, table.name("carried")))
    if found.size > MOST_BYTES.get(found.kind, found.size):
        raise Refused("{!r} in the manifest has {:,} bytes, too many for a {}".format(path, found.size, found.kind))
    return found


def _package(wheel: str) -> str:
    """The name of the package in a wheel, as the index spells it."""
    return re.sub(r"[-_.]+", "-", wheel.rpartition("/")[2].split("-")[0]).lower()


class _Malformed(ValueError):
    """Something that JSON allows and a record doesn't."""


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Malformed("the key {!r} stands there twice".format(name[:80]))
        found[name] = value
    return found


def _no_number(text: str) -> Any:
    raise _Malformed("{} is not a whole number".format(text[:40]))


def _whole(text: str) -> int:
    # from 300,000 digits Python takes seconds to make a number, or refuses in words of its own
    return int(text) if len(text) <= 19 else _no_number(text)


def parse_json(content: bytes, what: str) -> Any:
    """JSON without repeated keys, and without numbers that aren't whole.

    Args:
        content: content of the file.
        what: name of the file, for the error.

    Raises:
        Refused: it is not such JSON.
    """
    try:
        text = content.decode("utf-8")
        return json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_no_number, parse_int=_whole
        )
    except UnicodeDecodeError as error:
        raise Refused("{} is not UTF-8: byte {:,}".format(what, error.start))
    except json.JSONDecodeError as error:
        raise Refused("{} is not JSON: line {}, column {}".format(what, error.lineno, error.colno))
    except _Malformed as error:
        raise Refused("{}: {}".format(what, error))
    except RecursionError:
        raise Refused("{} is nested too deeply".format(what))


class Table:
    """A JSON object that is read key by key, so that errors name the key.

    Args:
        values: value in the JSON.
        what: name of the file.
        at: position in the file, for example `files[3]`; empty for the whole.
        keys: keys that it must have. It may have no others.

    Raises:
        Refused: it isn't an object, or has other keys.
    """

    def __init__(self, values: Any, what: str, at: str, keys: Sequence[str]) -> None:
        self._what, self._at = what, at
        if not isinstance(values, dict):
            raise Refused("{}: {} is not an object".format(what, repr(at) if at else "the whole"))
        self._values: Dict[str, Any] = values
        for name in keys:
            if name not in values:
                raise Refused("{}: {} is missing".format(what, self.name(name)))
        for name in values:
            if name not in keys:
                raise Refused("{}: {} is not a key that belongs there".format(what, self.name(name[:80])))

    def name(self, key: str) -> str:
        """Position of a key, for a message."""
        return repr("{}.{}".format(self._at, key) if self._at else key)

    def get(self, key: str) -> Any:
        """The value, unchanged."""
        return self._values[key]

    def number(self, key: str) -> int:
        """A whole number that is not negative."""
        value = self._values[key]
        if type(value) is not int or not 0 <= value < 1 << 62:
            raise self._wrong(key, "a whole number, 0 or more")
        return int(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._values[key]
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, pattern: Optional[str] = None) -> str:
        """A text. If a pattern is given, the text must match it."""
        return self._text(key, self._values[key], pattern)

    def texts(self, key: str, pattern: str) -> List[str]:
        """A list of texts that match a pattern."""
        return [self._text("{}[{}]".format(key, n), it, pattern) for n, it in enumerate(self._list(key))]

    def table(self, key: str, keys: Sequence[str]) -> "Table":
        """An object."""
        return Table(self._values[key], self._what, "{}.{}".format(self._at, key) if self._at else key, keys)

    def tables(self, key: str, keys: Sequence[str]) -> List["Table"]:
        """A list of objects."""
        return [Table(it, self._what, "{}[{}]".format(key, n), keys) for n, it in enumerate(self._list(key))]

    def _list(self, key: str) -> List[Any]:
        value = self._values[key]
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        return value

    def _text(self, key: str, value: Any, pattern: Optional[str]) -> str:
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        if re.search("[\ud800-\udfff]", value):
            raise self._wrong(key, "a text: it holds half a character")
        if len(value) > LONGEST_NAME or (pattern is not None and not re.fullmatch(pattern, value, re.ASCII)):
            raise self._wrong(key, "a text of the form that belongs there")
        return value

    def _wrong(self, key: str, kind: str) -> Refused:
        return Refused("{}: {} is not {}".format(self._what, self.name(key), kind))


def key(path: str) -> str:
    """The same text for all paths that some file system can't tell apart, because of case or Unicode normalisation."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


class Names:
    """Paths that must be able to exist beside each other on any file system."""

    def __init__(self) -> None:
        self._files: Dict[str, Tuple[str, Any]] = {}
        self._folders: Dict[str, str] = {}

    def add(self, path: str, mark: Any = None) -> bool:
        """Add a file.

        Args:
            path: path of the file.
            mark: stands for its content. A path may come twice with the same mark. `None` equals no other mark.

        Returns:
            Whether the file is new.

        Raises:
            Refused: an earlier file or folder has this path, or a path that some file system can't tell from it.
        """
        same, mine = key(path), (path, mark)
        if same in self._folders:
            raise Refused("{!r} is to be a file and a folder".format(path))
        there = self._files.setdefault(same, mine)
        if there is not mine and (there != mine or mark is None):
            text = "{!r} is there twice" if there[0] == path else "{!r} and {!r} are one name on some systems"
            raise Refused(text.format(path, there[0]))
        pieces = path.split("/")
        for end in range(1, len(pieces)):
            above = "/".join(pieces[:end])
            same = key(above)
            if same in self._files:
                raise Refused("{!r} is to be a file and a folder".format(self._files[same][0]))
            if self._folders.setdefault(same, above) != above:
                raise Refused("{!r} and {!r} are one name on some systems".format(self._folders[same], above))
        return there is mine


def safe(path: str) -> str:
    """A path of an archive that stays where it is unpacked, and that is the same name on every system.

    Raises:
        Refused: it isn't, on this system or another.
    """
    pieces = path.split("/")
    if any(piece in ("", ".", "..") for piece in pieces) or re.search(r"[\\:\x00-\x1f]", path):
        raise Refused("the path {!r} in the archive leads out of the target".format(path[:LONGEST_NAME]))
    reason = ""
    if len(path) > LONGEST_NAME or len(pieces) > DEEPEST:
        reason = "is too long"
    elif visible(path) != path:
        reason = "holds characters that can't be seen"
    elif re.search(r'[<>"|?*]', path):
        reason = "holds a character that not every system allows"
    elif any(piece[-1] in ". " for piece in pieces):
        reason = "has a name that ends in a dot or a blank, which some systems drop"
    elif any(_DEVICE.fullmatch(key(piece).split(".")[0].rstrip()) for piece in pieces):
        reason = "has the name of a device on some systems"
    elif any(len(unicodedata.normalize("NFD", piece).encode()) > 250 for piece in pieces):
        reason = "has a name that is too long"
    if reason:
        raise Refused("the path {!r} in the archive {}".format(path[:LONGEST_NAME], reason))
    return path


def sha256_of(source: BinaryIO, sink: Optional[BinaryIO] = None) -> str:
    """The hash of the rest of a file, which is copied into `sink` on the way."""
    digest = hashlib.sha256()
    for piece in iter(lambda: source.read(CHUNK), b""):
        digest.update(piece)
        if sink is not None:
            sink.write(piece)
    return digest.hexdigest()


def open_file(path: Path) -> BinaryIO:
    """An ordinary file, opened for reading. A link isn't followed, and a FIFO or a device isn't waited for.

    Raises:
        Refused: it is something else.
        OSError: it can't be opened.
    """
    kind = _kind(os.lstat(str(path)).st_mode)
    if not kind:
        flags = _NO_FOLLOW | _NO_WAIT
        file = open(str(path), "rb", opener=lambda name, given: os.open(name, given | flags))  # noqa: SIM115
        kind = _kind(os.fstat(file.fileno()).st_mode)
        if not kind:
            return file
        file.close()
    raise Refused("{} is {}, not an ordinary file".format(path.name, kind))


def read_file(path: Path, most: int) -> bytes:
    """The content of an ordinary file of at most `most` bytes.

    Raises:
        Refused: it is something else, or larger.
        OSError: it can't be read.
    """
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Refused("{} has more than {:,} bytes".format(path.name, most))
    return content


def _kind(mode: int) -> str:
    """What a file is, in words; empty for an ordinary file."""
    names = {stat.S_IFREG: "", stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO"}
    return names.get(stat.S_IFMT(mode), "a device or socket")


def damaged_parts(folder: Path, manifest: Manifest) -> List[str]:
    """What is wrong with the parts of the archive, in one clause each."""
    found = []
    for part in manifest.parts:
        try:
            with open_file(folder / part.name) as source:
                size = os.fstat(source.fileno()).st_size
                actual = sha256_of(source) if size == part.size else ""
        except FileNotFoundError:
            found.append("{} is missing".format(part.name))
        except Refused as refused:
            found.append(str(refused))
        else:
            if size != part.size:
                found.append("{} has {:,} bytes instead of {:,}".format(part.name, size, part.size))
            elif actual != part.sha256:
                found.append("{} is damaged: its sha256 is {}, not {}".format(part.name, actual, part.sha256))
    return found


def damaged_installer(folder: Path, manifest: Manifest) -> List[str]:
    """What is wrong with the kit's `install.py`, in a clause, if anything is."""
    try:
        with open_file(folder / "install.py") as source:
            if sha256_of(source) == manifest.installer:
                return []
    except FileNotFoundError:
        return ["install.py is missing"]
    except Refused as refused:
        return [str(refused)]
    return ["install.py is damaged: its sha256 is not the one in the manifest"]


class Joined(io.RawIOBase):
    """The parts of an archive as one file that can be read and sought."""

    def __init__(self, folder: Path, parts: List[Part]) -> None:
        super().__init__()
        self._paths = [folder / part.name for part in parts]
        self._ends: List[int] = []
        for part in parts:
            self._ends.append((self._ends[-1] if self._ends else 0) + part.size)
        self._at = 0
        self._open: Tuple[int, Optional[BinaryIO]] = (-1, None)

    def readable(self) -> bool:
        """It is readable."""
        return True

    def seekable(self) -> bool:
        """It is seekable."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position in the whole."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """The position in the whole."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from one part, at most to its end."""
        number = next((n for n, end in enumerate(self._ends) if self._at < end), None)
        if number is None:
            return 0
        if self._open[0] != number:
            self._close()
            self._open = (number, open_file(self._paths[number]))
        file = self._open[1]
        assert file is not None
        file.seek(self._at - (self._ends[number - 1] if number else 0))
        piece = file.read(min(len(buffer), self._ends[number] - self._at))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        """Close the part that is open."""
        self._close()
        super().close()

    def _close(self) -> None:
        if self._open[1] is not None:
            self._open[1].close()


class Section(io.RawIOBase):
    """A section of a file, as a file of its own.

    Args:
        whole: the file.
        start: start of the section, in bytes.
        size: size of the section, in bytes.
    """

    def __init__(self, whole: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._whole, self._start, self._size = whole, start, size
        self._at = 0

    def readable(self) -> bool:
        """It is readable."""
        return True

    def seekable(self) -> bool:
        """It is seekable."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position in the section."""
        at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset
        if at < 0:
            raise ValueError("a place before the start")
        self._at = at
        return at

    def tell(self) -> int:
        """The position in the section."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, and never so many that they fill the memory.

        Raises:
            Refused: the call asks for more bytes than anything in a kit has.
        """
        left = max(self._size - self._at, 0)
        size = left if size is None or size < 0 else min(size, left)
        if size > MOST_AT_ONCE:
            raise Refused("a list of {:,} bytes is too long".format(size))
        self._whole.seek(self._start + self._at)
        piece = self._whole.read(size)
        self._at += len(piece)
        return piece

    def readinto(self, buffer: Any) -> int:
        """Read until the buffer is full."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


BLOCK = tarfile.BLOCKSIZE


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK


@contextlib.contextmanager
def archive(folder: Path, manifest: Manifest) -> Iterator[Iterator[Tuple[File, BinaryIO]]]:
    """The carried files in their order, each with its bytes.

    Raises:
        Refused: the archive contains something else than the manifest says.
    """
    with io.BufferedReader(Joined(folder, manifest.parts), CHUNK) as joined:
        try:
            yield _members(joined, manifest)
        except tarfile.TarError as error:
            raise Refused("the archive is damaged: {}".format(error))


def _members(joined: BinaryIO, manifest: Manifest) -> Iterator[Tuple[File, BinaryIO]]:
    """Read what `rung bundle create` writes: ordinary files, with names of more than 100 bytes before them.

    Nothing else that a tar can contain is even parsed: no links, no sparse files, no extended headers.
    """
    awaited = [file for file in manifest.files if file.carried]
    at, name = 0, None
    for block in iter(lambda: joined.read(BLOCK), b""):
        at += BLOCK
        if not any(block):
            break
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.type == tarfile.GNUTYPE_LONGNAME and name is None and 0 <= info.size <= 4 * LONGEST_NAME + 1:
            name = joined.read(info.size).rstrip(b"\0").decode("utf-8", "surrogateescape")
            at += _padded(info.size)
        else:
            name = info.name if name is None else name
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                kinds = {tarfile.SYMTYPE: "a link", tarfile.LNKTYPE: "a hard link", tarfile.DIRTYPE: "a folder"}
                text = "{!r} in the archive is {}, not an ordinary file"
                raise Refused(text.format(name, kinds.get(info.type, "something special")))
            safe(name)
            if not awaited or (name, info.size) != awaited[0][:2]:
                raise Refused("{!r} in the archive is not what the manifest says".format(name))
            section: Any = Section(joined, at, info.size)
            yield awaited.pop(0), section
            at, name = at + _padded(info.size), None
        joined.seek(at)
    if awaited:
        raise Refused("{!r} is missing in the archive".format(awaited[0].path))
    if any(any(piece) for piece in iter(lambda: joined.read(CHUNK), b"")):
        raise Refused("the archive holds more than the manifest says")


def damaged_members(folder: Path, manifest: Manifest) -> Tuple[List[str], int]:
    """Hash every file in the archive, and look at the lists in its wheels. Nothing of them is run or unpacked.

    Returns:
        What is wrong, in one clause each, and how many bytes the wheels unpack to.
    """
    found: List[str] = []
    names, unpacked = Names(), 0
    try:
        with archive(folder, manifest) as members:
            for file, source in members:
                if sha256_of(source) != file.sha256:
                    found.append("{} is damaged: its sha256 is not the one in the manifest".format(file.path))
                elif file.kind == "wheel":
                    try:
                        unpacked += look_into(source, file.path, file.size, names)
                    except Refused as refused:
                        found.append(str(refused))
    except Refused as refused:
        found.append(str(refused))
    return found, unpacked


def unfit(machine: Machine) -> List[str]:
    """Why this machine can't run a kit, in one clause for each reason."""
    found = []
    here = (platform.system(), platform.machine())
    if here != (machine.system, machine.machine):
        text = "the kit is for {} ({} {}), and this is {} {}"
        found.append(text.format(machine.tag, machine.system, machine.machine, *here))
        return found
    version = "{}.{}".format(*sys.version_info[:2])
    if (version, sys.implementation.name) != (machine.python, "cpython"):
        text = "the kit is for CPython {}, and this is {} {}: start install.py with python{}"
        found.append(text.format(machine.python, platform.python_implementation(), version, machine.python))
    flags = cpu_flags()
    if flags is not None:
        lacking = [flag for flag in machine.cpu if flag not in flags]
        if lacking:
            found.append("this processor lacks {}, which the kit was built for".format(", ".join(lacking)))
    name, glibc = platform.libc_ver()
    if machine.glibc and (name != "glibc" or _numbers(glibc) < _numbers(machine.glibc)):
        found.append("the kit needs glibc {}, and this system has {} {}".format(machine.glibc, name or "no", glibc))
    return found


def cpu_flags() -> Optional[Set[str]]:
    """The instruction sets of this processor, as the kernel spells them; `None` if the system doesn't tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))), None)


def _numbers(version: str) -> List[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


_LOADS = """
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)
"""


def lacking(machine: Machine, kit: Path) -> List[str]:
    """Libraries that this system lacks, in one clause each.

    A separate process asks the system's loader. It isn't told of any folder in which a file of the kit could be found.
    """
    if not machine.libraries:
        return []
    environment = dict(os.environ)
    inside = os.path.realpath(str(kit)) + os.sep
    folders = re.split("[:;]", environment.pop("LD_LIBRARY_PATH", ""))
    kept = [it for it in folders if os.path.isabs(it) and not (os.path.realpath(it) + os.sep).startswith(inside)]
    if kept:
        environment["LD_LIBRARY_PATH"] = ":".join(kept)
    command = [sys.executable, "-I", "-S", "-c", _LOADS, *machine.libraries]
    try:
        asked = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=os.sep,
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ["the system doesn't tell whether it has {}".format(", ".join(machine.libraries))]
    missing = asked.stdout.decode("ascii", "replace").split()
    return ["{} is missing on this system".format(name) for name in missing]


class Tree:
    """A folder and what is in it, reached without following a link.

    Every folder on the way is opened from the one above it. One that is a link, or becomes one, is refused.

    Args:
        root: folder to begin with, absolute and without links.
        below: names of the folders that lead from there to this one.
    """

    def __init__(self, root: Path, below: Sequence[str] = ()) -> None:
        self._root, self._below = root, tuple(below)

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self._root.joinpath(*self._below)

    def tree(self, *below: str) -> "Tree":
        """A folder in this one."""
        return Tree(self._root, self._below + below)

    @contextlib.contextmanager
    def open(self, path: Sequence[str] = (), make: bool = False) -> Iterator[int]:
        """Hold a folder open, as a file descriptor.

        Args:
            path: names of the folders that lead to it from this one.
            make: whether missing folders are made.

        Raises:
            Refused: a link or a file is in the way.
            FileNotFoundError: a folder is missing.
        """
        if make:
            self._root.mkdir(parents=True, exist_ok=True)
        at = os.open(str(self._root), _FOLDER)
        try:
            for depth, piece in enumerate([*self._below, *path], 1):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(piece, dir_fd=at)
                try:
                    below = os.open(piece, _FOLDER, dir_fd=at)
                except OSError as error:
                    if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                        raise
                    where = self._root.joinpath(*[*self._below, *path][:depth])
                    raise Refused("{} is a link or a file, and nothing is written or read through it".format(where))
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)

    def names(self) -> List[str]:
        """Names in this folder; none if it is missing."""
        try:
            with self.open() as at:
                return sorted(os.listdir(at))
        except FileNotFoundError:
            return []

    def kind(self, path: str) -> Optional[str]:
        """What is there, in words: empty for an ordinary file, `None` for nothing."""
        *above, name = path.split("/")
        try:
            with self.open(above) as at:
                return _kind(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return None

    def read(self, path: str, most: int) -> Optional[bytes]:
        """The content of an ordinary file; `None` if there is none.

        Raises:
            Refused: it is something else, or has more than `most` bytes.
        """
        *above, name = path.split("/")
        try:
            with self.open(above) as at, _open_at(at, name, self.path / path) as file:
                content = file.read(most + 1)
        except FileNotFoundError:
            return None
        if len(content) > most:
            raise Refused("{} has more than {:,} bytes".format(self.path / path, most))
        return content

    def write(self, path: str, source: BinaryIO, sha256: Optional[str] = None, runs: bool = False) -> None:
        """Replace a file at once, even through a power cut.

        Args:
            path: path below this folder.
            source: its remaining bytes are the content.
            sha256: hash that the content must have; `None` if any content will do.
            runs: whether it is a program.

        Raises:
            Refused: the content has another hash, or something other than a file is there.
        """
        *above, name = path.split("/")
        with self.open(above, make=True) as at:
            for there in (name, name + NEW):
                with contextlib.suppress(FileNotFoundError):
                    kind = _kind(os.stat(there, dir_fd=at, follow_symlinks=False).st_mode)
                    if kind:
                        where = self.path.joinpath(*above, there)
                        raise Refused("{} is {}, not an ordinary file: nothing is written there".format(where, kind))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name + NEW, dir_fd=at)  # what a kill left
            with _make_at(at, name + NEW, runs) as sink:
                actual = sha256_of(source, sink)
                sink.flush()
                os.fsync(sink.fileno())
            if sha256 not in (None, actual):
                os.unlink(name + NEW, dir_fd=at)
                raise Refused("{} in the archive is damaged".format(path))
            os.replace(name + NEW, name, src_dir_fd=at, dst_dir_fd=at)

    def make(self, path: str, source: BinaryIO, runs: bool = False) -> None:
        """Write a file where nothing is yet.

        Raises:
            Refused: something is there.
        """
        *above, name = path.split("/")
        with self.open(above, make=True) as at:
            try:
                with _make_at(at, name, runs) as sink:
                    shutil.copyfileobj(source, sink, CHUNK)
            except FileExistsError:
                raise Refused("{} is there already".format(self.path / path))

    def holds(self, path: str, mark: str) -> bool:
        """Whether it is still what it was. It isn't if a link is in the way."""
        *above, name = path.split("/")
        try:
            with self.open(above) as at:
                return _is_as(at, name, mark)
        except (Refused, FileNotFoundError):
            return False

    def remove(self, path: str, mark: Optional[str] = None) -> bool:
        """Remove a file, a link or an empty folder.

        Args:
            path: path below this folder.
            mark: what it was; `None` for an ordinary file with any content.

        Returns:
            Whether it is gone. It isn't if it is something else now, or a link is in the way.
        """
        *above, name = path.split("/")
        try:
            with self.open(above) as at:
                if mark is None:
                    same = not _kind(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
                else:
                    same = _is_as(at, name, mark)
                if same and mark == _FOLDER_MARK:
                    os.rmdir(name, dir_fd=at)
                elif same:
                    os.unlink(name, dir_fd=at)
                return same
        except FileNotFoundError:
            return True
        except (Refused, OSError):
            return False

    def marks(self) -> List[List[str]]:
        """Every file, link and folder below this one, each with its mark. Files that Python compiled are left out."""
        with self.open() as at:
            return list(_marks(at, ""))

    def clear(self, name: str) -> None:
        """Remove what has this name, and everything in it if it is a folder. Links are removed, not followed."""
        with self.open() as at:
            _clear(at, name)

    def sweep(self, path: str) -> None:
        """Remove the files that Python compiled in a folder."""
        with contextlib.suppress(Refused, OSError):
            with self.open([*path.split("/"), "__pycache__"]) as at:
                for name in os.listdir(at):
                    ordinary = not _kind(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
                    if ordinary and re.search(r"\.pyc(\.\d+)?\Z", name):
                        os.unlink(name, dir_fd=at)
            self.remove(path + "/__pycache__", _FOLDER_MARK)


_FOLDER_MARK = "folder"


def _open_at(at: int, name: str, path: Path) -> BinaryIO:
    kind = _kind(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
    if not kind:
        file = os.fdopen(os.open(name, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT, dir_fd=at), "rb")
        kind = _kind(os.fstat(file.fileno()).st_mode)
        if not kind:
            return file
        file.close()
    raise Refused("{} is {}, not an ordinary file".format(path, kind))


def _make_at(at: int, name: str, runs: bool) -> BinaryIO:
    made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o777 if runs else 0o666, dir_fd=at)
    return os.fdopen(made, "wb")


def _mark(at: int, name: str) -> str:
    """A mark of a file, a link or a folder. It changes when they do."""
    found = os.stat(name, dir_fd=at, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        return "link " + os.readlink(name, dir_fd=at)
    if stat.S_ISDIR(found.st_mode):
        return _FOLDER_MARK
    with _open_at(at, name, Path(name)) as file:
        return file_mark(found.st_size, sha256_of(file))


def file_mark(size: int, sha256: str) -> str:
    """The mark of a file with this size and hash."""
    return "{} {}".format(size, sha256)


def _is_as(at: int, name: str, mark: str) -> bool:
    found = os.stat(name, dir_fd=at, follow_symlinks=False)
    # nobody hashes a terabyte to learn that it is another file
    if stat.S_ISREG(found.st_mode) and mark.split(" ")[0] != str(found.st_size):
        return False
    return _mark(at, name) == mark


def _marks(at: int, before: str) -> Iterator[List[str]]:
    for name in sorted(os.listdir(at)):
        mark = _mark(at, name)
        if mark == _FOLDER_MARK and name != "__pycache__":
            below = os.open(name, _FOLDER, dir_fd=at)
            try:
                for found in _marks(below, before + name + "/"):
                    yield found
            finally:
                os.close(below)
        if name != "__pycache__":
            yield [before + name, mark]


def _clear(at: int, name: str) -> None:
    if not stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=at)
        return
    below = os.open(name, _FOLDER, dir_fd=at)
    try:
        for inner in os.listdir(below):
            _clear(below, inner)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=at)


class Target:
    """Where kits are installed.

    Args:
        root: folder of the target, absolute and without links. The first installation makes it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = Tree(root)

    def home(self, version: str) -> Tree:
        """The folder of a version."""
        return self.tree.tree("versions", version)

    def manifest(self, version: str) -> Optional[Manifest]:
        """The manifest of a version that an installer began; `None` for a folder that is somebody else's."""
        if not re.fullmatch(_VERSION + "-[0-9a-f]{12}", version, re.ASCII):
            return None
        try:
            content = self.home(version).read(MANIFEST, MOST_JSON)
            found = None if content is None else parse_manifest(content)
        except Refused:
            return None
        return found if found is not None and found.version == version else None

    def manifests(self) -> Dict[str, Manifest]:
        """Every version that an installer began."""
        found = ((name, self.manifest(name)) for name in self.tree.tree("versions").names())
        return {name: manifest for name, manifest in found if manifest is not None}

    def complete(self, version: str) -> bool:
        """Whether a version was installed to its end."""
        return self.manifest(version) is not None and self.home(version).kind(FILES) == ""

    def versions(self) -> List[str]:
        """The version in force, then the earlier ones.

        Raises:
            Refused: the file with their names was changed.
        """
        found = (self.tree.read("current", MOST_JSON) or b"").decode("utf-8", "replace").split("\n")
        versions = [it for it in found if it]
        for version in versions:
            if not re.fullmatch(_VERSION + "-[0-9a-f]{12}", version, re.ASCII):
                raise Refused("{} doesn't hold the names of versions: {!r}".format(self.root / "current", version[:80]))
        return versions

    def switch(self, versions: List[str]) -> None:
        """Put the first version in force, at once."""
        write_whole(self.tree, "current", "".join(version + "\n" for version in versions).encode())

    def shared(self, version: str, manifest: Manifest) -> List[File]:
        """What a version put beside its own folder.

        Raises:
            Refused: the record of it was changed.
        """
        path = self.home(version).path / SHARED
        content = self.home(version).read(SHARED, MOST_JSON)
        if content is None:
            return []
        known = {file.path: file for file in manifest.files if file.kind in ("weights", "name")}
        values = parse_json(content, str(path))
        if not isinstance(values, list):
            raise Refused("{} was changed: it is not a list".format(path))
        for value in values:
            if not isinstance(value, str) or value not in known:
                raise Refused("{} was changed: the kit has no {!r}".format(path, repr(value)[:120]))
        return [known[value] for value in sorted(set(values))]

    def files(self, version: str) -> Dict[str, str]:
        """What a version has in its own folder, with a mark for each.

        Raises:
            Refused: the record of it was changed.
        """
        path = self.home(version).path / FILES
        values = parse_json(self.home(version).read(FILES, MOST_RECORD) or b"", str(path))
        found: Dict[str, str] = {}
        for value in values if isinstance(values, list) else [None]:
            if not isinstance(value, list) or len(value) != 2 or not all(isinstance(it, str) for it in value):
                raise Refused("{} was changed: it is not a list of paths and what they are".format(path))
            if any(piece in ("", ".", "..") for piece in value[0].split("/")) or re.search(
                "[\0\ud800-\udfff]", value[0]
            ):
                raise Refused("{} was changed: the path {!r} leads out of its folder".format(path, value[0][:120]))
            found[value[0]] = value[1]
        return found

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Make sure that nobody else installs here at the same time."""
        import fcntl

        if self.tree.kind(".lock"):
            raise Refused("{} is {}, not an ordinary file".format(self.root / ".lock", self.tree.kind(".lock")))
        with self.tree.open(make=True) as at:
            lock = os.open(".lock", os.O_RDWR | os.O_CREAT | _NO_FOLLOW | _NO_WAIT, 0o666, dir_fd=at)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused("another installation into {} is running".format(self.root))
            yield
        finally:
            os.close(lock)


def write_whole(tree: Tree, path: str, content: bytes, runs: bool = False) -> None:
    """Replace a small file at once, even through a power cut."""
    tree.write(path, io.BytesIO(content), runs=runs)


def check(folder: Path) -> Manifest:
    """The manifest of a kit that is complete and made for this machine. Nothing in the kit is run or loaded.

    Raises:
        Refused: it isn't. The message gives every reason.
    """
    return _checked(folder)[0]


def _checked(folder: Path) -> Tuple[Manifest, int]:
    """The manifest, and how many bytes the wheels unpack to."""
    manifest = read_manifest(folder)
    wrong = unfit(manifest.machine) + damaged_installer(folder, manifest) + damaged_parts(folder, manifest)
    unpacked = 0
    if not wrong:
        wrong, unpacked = damaged_members(folder, manifest)
    # the system is asked last, once everything in the kit is known
    wrong = wrong or lacking(manifest.machine, folder)
    if wrong:
        raise Refused(listed(wrong))
    return manifest, unpacked


def install(folder: Path, target: Target, base: Optional[Path]) -> int:
    """Check everything, then install the kit in `folder` and put it in force.

    Raises:
        Refused: something is wrong. The version in force is as before.
    """
    manifest, unpacked = _checked(folder)
    kits = [(folder, manifest), *_base(base)]
    with_target = target.root.exists()
    lacking_files = [
        file for file in manifest.files if file.kind == "weights" and not (with_target and _there(target, file))
    ]
    carried = {file.sha256 for _, kit in kits for file in kit.files if file.carried}
    for file in lacking_files:
        if file.sha256 not in carried:
            text = "{} is only in the kit {} that this one builds on: install that first, or name it with --base"
            raise Refused(text.format(file.path, str(manifest.base)[:12]))
    _check_space(target, manifest, lacking_files, unpacked)
    if with_target:
        _see_that_it_is_free(target)
    with target.alone():
        complete = target.complete(manifest.version)
        _begin(target, manifest, folder)
        try:
            _write_shared(target, manifest, kits, lacking_files)
            if not complete:
                _write_version(target, manifest, folder)
        except BaseException:
            if not complete:
                _take_back(target, manifest)
            raise
        earlier = [version for version in target.versions() if version != manifest.version]
        write_whole(target.tree, "rung", _launcher(target.root), runs=True)
        target.switch([manifest.version, *earlier])
    home = target.home(manifest.version)
    record = json.loads((home.read("acceptance.json", MOST_JSON) or b"{}").decode("utf-8"))
    say("installed {}: start it with {}".format(manifest.version, target.root / "rung"))
    if record.get("exit_code") == 0:
        return 0
    say("`rung doctor` complains: see {}".format(home.path / "acceptance.json"))
    return 3


def _base(base: Optional[Path]) -> List[Tuple[Path, Manifest]]:
    if base is None:
        return []
    manifest = read_manifest(base)
    wrong = damaged_parts(base, manifest)
    if wrong:
        raise Refused(listed(["{}: {}".format(base, text) for text in wrong]))
    return [(base, manifest)]


def _there(target: Target, file: File) -> bool:
    return target.tree.holds(file.path, file_mark(file.size, file.sha256))


def _check_space(target: Target, manifest: Manifest, weights: List[File], unpacked: int) -> None:
    # a wheel takes space beside what it unpacks to, and so do a virtual environment and compiled code
    needed = sum(file.size for file in weights) + sum(f.size for f in manifest.files if f.kind != "weights")
    needed += 2 * unpacked
    there = next(path for path in (target.root, *target.root.parents) if path.exists())
    free = shutil.disk_usage(str(there)).free
    if free < needed:
        raise Refused("{} has {:,} bytes free, and {:,} are needed".format(target.root, free, needed))


def _see_that_it_is_free(target: Target) -> None:
    """Make sure that the names which an installation replaces belong to an earlier installation, or to nobody."""
    target.versions()
    if target.tree.kind("rung") is not None and not _launches(target):
        raise Refused("{} is there, and no installer made it: choose another --target".format(target.root / "rung"))


def _begin(target: Target, manifest: Manifest, folder: Path) -> None:
    """Make the folder of a version, and first put the manifest there. It identifies the folder as ours."""
    home = target.home(manifest.version)
    if target.manifest(manifest.version) is not None:
        return
    strange = [name for name in home.names() if name != MANIFEST + NEW]
    if strange:
        raise Refused("{} is there, and no installer made it: {!r} lies in it".format(home.path, strange[0]))
    write_whole(home, MANIFEST, read_file(folder / MANIFEST, MOST_JSON))
    if target.manifest(manifest.version) is None:
        raise Refused("{} changed while the kit was checked".format(MANIFEST))


def _write_shared(target: Target, manifest: Manifest, kits: List[Tuple[Path, Manifest]], lacking: List[File]) -> None:
    """Put weights, and the names of weights, beside the versions."""
    missing = {file.path: file.sha256 for file in lacking}
    for file in manifest.files:
        if file.kind == "name" and target.tree.kind(file.path) is None:
            missing[file.path] = file.sha256
    before = {file.path for file in target.shared(manifest.version, manifest)}
    # written before the files themselves and kept after a kill, so that there is no file which nobody would remove
    write_whole(target.home(manifest.version), SHARED, json.dumps(sorted(before.union(missing))).encode())
    for folder, kit in kits:
        with archive(folder, kit) as members:
            for file, source in members:
                if missing.get(file.path) == file.sha256:
                    target.tree.write(file.path, source, file.sha256)


def _write_version(target: Target, manifest: Manifest, folder: Path) -> None:
    """Fill the folder of a version. The list of its files comes last, and makes the version complete."""
    import venv

    home = target.home(manifest.version)
    _empty(home, manifest)
    strange = [name for name in home.names() if name not in (MANIFEST, SHARED)]
    if strange:
        raise Refused("{} holds {!r}, which no installer put there".format(home.path, strange[0]))
    venv.EnvBuilder(with_pip=False, symlinks=True).create(str(home.path / "python"))
    with archive(folder, manifest) as members:
        for file, source in members:
            if file.kind not in ("weights", "name"):
                home.write(file.path, source, file.sha256)
    names = Names()
    for file in manifest.files:
        if file.kind == "wheel":
            unzip(home.path / file.path, home.path / "python", names=names, within=target.root)
            home.remove(file.path)
    home.remove("wheels", _FOLDER_MARK)
    _write_starter(target, home)
    _accept(home, manifest)
    owned = [it for it in home.marks() if it[0] not in (MANIFEST, SHARED, FILES)]
    os.sync()
    write_whole(home, FILES, json.dumps(owned).encode())


class Piece(NamedTuple):
    """A file that a wheel puts into an environment. `info` is `None` for a script that is made for an entry point."""

    path: str
    size: int
    info: Optional[zipfile.ZipInfo]
    content: bytes
    runs: bool


@contextlib.contextmanager
def _zip(source: BinaryIO, name: str) -> Iterator[zipfile.ZipFile]:
    """A wheel, opened for reading. Whatever is wrong with it becomes a sentence."""
    try:
        with zipfile.ZipFile(source) as wheel:
            yield wheel
    except Refused as refused:
        raise Refused("{}: {}".format(name.rpartition("/")[2], refused))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError, ValueError, zlib.error) as error:
        raise Refused("{} is not a wheel: {}".format(name.rpartition("/")[2], error))


def look_into(source: BinaryIO, name: str, size: int, names: Names) -> int:
    """Check that a wheel can be installed beside the others. Returns how many bytes it unpacks to.

    Args:
        source: the wheel.
        name: name of its file.
        size: size of its file, in bytes.
        names: what other wheels put into the environment. The names of this one are added.

    Raises:
        Refused: a path in it leads out of the environment, is taken or comes twice; or it is not a wheel.
    """
    section: Any = Section(source, 0, size)
    with _zip(section, name) as wheel:
        return sum(piece.size for piece in contents(wheel, name, size, names))


def contents(wheel: zipfile.ZipFile, name: str, size: int, names: Names) -> List[Piece]:
    """What a wheel puts where in an environment. Its lists are read, and nothing is unpacked.

    Args:
        wheel: the wheel.
        name: name of its file.
        size: size of its file, in bytes.
        names: what other wheels put there. The names of this one are added.

    Raises:
        Refused: a path in it leads out of the environment, is taken or comes twice; or it isn't a proper wheel.
    """
    version = "python{}.{}".format(*sys.version_info[:2])
    site = "lib/{}/site-packages".format(version)
    places = {
        "purelib": [site],
        "platlib": [site],
        "scripts": ["bin"],
        "data": [],
        "headers": ["include/site/{}/{}".format(version, name.rpartition("/")[2].split("-")[0])],
    }
    infos = [info for info in wheel.infolist() if not info.orig_filename.endswith("/")]
    for info in wheel.infolist():
        safe(info.orig_filename.rstrip("/"))
    if sum(info.file_size for info in infos) > max(MOST_UNPACKED * size, LEAST_UNPACKED):
        raise Refused("it unpacks to more than {} times its size".format(MOST_UNPACKED))
    own, found = Names(), []
    for info in infos:
        own.add(safe(info.orig_filename))
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise Refused("{!r} is {}, not an ordinary file".format(info.filename, _kind(info.external_attr >> 16)))
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused("{!r} is encrypted, or compressed as wheels are not".format(info.filename))
        pieces, place, runs = info.filename.split("/"), [site], False
        if len(pieces) > 2 and pieces[0].endswith(".data") and pieces[1] in places:
            place, runs, pieces = places[pieces[1]], pieces[1] == "scripts", pieces[2:]
        elif pieces[0].endswith(".dist-info") and pieces[1:] == ["entry_points.txt"]:
            found += _scripts(_text(wheel, info))
        elif pieces[0].endswith(".dist-info") and pieces[1:] == ["RECORD"]:
            _see_that_it_stays(_text(wheel, info))
        found.append(Piece("/".join([*place, *pieces]), info.file_size, info, b"", runs))
    for piece in found:
        _see_that_it_is_not_taken(piece.path, _package(name) == "rung")
    # two wheels may have the same empty __init__.py
    return [it for it in found if names.add(safe(it.path), it.info and (it.info.CRC, it.size))]


def _text(wheel: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > MOST_AT_ONCE:
        raise Refused("{!r} has more than {:,} bytes".format(info.filename, MOST_AT_ONCE))
    return wheel.read(info).decode("utf-8")


def _see_that_it_stays(record: str) -> None:
    """Check that a wheel's list of its own files names none elsewhere, because whoever removes the package uses it."""
    try:
        for row in csv.reader(io.StringIO(record, newline="")):
            if row:
                safe(row[0])
    except csv.Error:
        raise Refused("its RECORD is not a table")


def _see_that_it_is_not_taken(path: str, rung: bool) -> None:
    first, _, rest = key(path).partition("/")
    taken = first == "lib64" or key(path) in RECORDS
    if first == "bin":
        script = rest.split("/")[0]
        taken = bool(_TAKEN.fullmatch(script)) or (not rung and script.split(".")[0] == "rung")
    if taken:
        raise Refused("the name {!r} is taken: it is the environment's own or rung's".format(path))


def _scripts(text: str) -> List[Piece]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # how configparser is told to keep the case
    try:
        parser.read_string(text)
    except configparser.Error:
        raise Refused("its entry points can't be read")
    found = []
    for name, value in parser.items("console_scripts") if parser.has_section("console_scripts") else []:
        module, _, attribute = value.split("[")[0].strip().partition(":")
        words = (module + "." + attribute).split(".")
        if "/" in safe(name) or not all(it.isidentifier() and not keyword.iskeyword(it) for it in words):
            raise Refused("the entry point {!r} is not allowed".format(name))
        code = "import sys\nfrom {} import {}\nsys.exit({}())\n".format(module, attribute.split(".")[0], attribute)
        found.append(Piece("bin/" + name, len(code), None, code.encode(), True))
    return found


def unzip(wheel: Path, environment: Path, names: Optional[Names] = None, within: Optional[Path] = None) -> None:
    """Install one wheel into an environment as the wheel specification says, without pip.

    Args:
        wheel: its file.
        environment: its folder.
        names: what other wheels put there.
        within: a folder above `environment`. From there on no link is followed.

    Raises:
        Refused: a path in it leads out of the environment, or it isn't a wheel. Then nothing of it was written.
    """
    tree = Tree(within or environment, environment.relative_to(within or environment).parts)
    with open_file(wheel) as file:
        size = os.fstat(file.fileno()).st_size
        source: Any = Section(file, 0, size)
        with _zip(source, wheel.name) as opened:
            for piece in contents(opened, wheel.name, size, names or Names()):
                if piece.info is None:
                    tree.make(piece.path, io.BytesIO(_shebang(environment) + piece.content), runs=True)
                    continue
                with opened.open(piece.info) as member:
                    content: Any = _pointed(member, environment) if piece.runs else member
                    tree.make(piece.path, content, runs=piece.runs)


def _pointed(script: Any, environment: Path) -> BinaryIO:
    """A script that starts this environment's Python."""
    content = script.read()
    if content.startswith(b"#!python"):
        content = _shebang(environment) + content.partition(b"\n")[2]
    return io.BytesIO(content)


def _shebang(environment: Path) -> bytes:
    # by way of sh, because a kernel accepts no blank and only few characters after #!
    python = shlex.quote(str(environment / "bin" / "python"))
    return "#!/bin/sh\n'''exec' {} \"$0\" \"$@\"\n' '''\n".format(python).encode()


def _write_starter(target: Target, home: Tree) -> None:
    lines = [
        "#!/bin/sh",
        ': "${{RUNG_MODELS_DIR:={}}}"'.format(_inner(target.root / "models")),
        ': "${{RUNG_CONFIG:={}}}"'.format(_inner(home.path / "rung.toml")),
        "export RUNG_MODELS_DIR RUNG_CONFIG",
        'exec {} "$@"'.format(shlex.quote(str(home.path / "python" / "bin" / "rung"))),
    ]
    write_whole(home, "bin/rung", ("\n".join(lines) + "\n").encode(), runs=True)


def _inner(path: Path) -> str:
    """A path inside double quotes of the shell."""
    return re.sub(r'([\\"$`}])', r"\\\1", str(path))


_LAUNCHER = '#!/bin/sh\nread -r version < {0}/current && exec {0}/versions/"$version"/bin/rung "$@"\n'


def _launcher(root: Path) -> bytes:
    return _LAUNCHER.format(shlex.quote(str(root))).encode()


def _launches(target: Target) -> bool:
    """Whether the file `rung` is a launcher, even that of a target that was moved."""
    before, _, after = _LAUNCHER.partition("{0}")
    try:
        content = (target.tree.read("rung", CHUNK) or b"").decode("utf-8", "replace")
    except Refused:
        return False
    return content.startswith(before) and content.endswith(after.rpartition("{0}")[2])


def _accept(home: Tree, manifest: Manifest) -> None:
    """Run `rung doctor --json` and keep what it prints.

    Raises:
        Refused: it doesn't start, prints nothing sensible, or doesn't end.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RUNG_", "PYTHON"))}
    command = [str(home.path / "bin" / "rung"), "doctor", "--json"]
    # a session of its own, so that whatever it starts can be ended with it
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=str(home.path),
        start_new_session=True,
    ) as doctor:
        try:
            out, err = doctor.communicate(timeout=LONGEST_DOCTOR)
        except subprocess.TimeoutExpired:
            raise Refused("`rung doctor` of the installed version was not done after {:g} s".format(LONGEST_DOCTOR))
        finally:
            if doctor.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(doctor.pid, signal.SIGKILL)
    try:
        said = json.loads(out.decode("utf-8"))
    except (ValueError, RecursionError):
        reason = err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise Refused("the installed rung doesn't start: {}".format(reason[0]))
    record = {"manifest_sha256": manifest.sha256, "exit_code": doctor.returncode, "doctor": said}
    write_whole(home, "acceptance.json", json.dumps(record, indent=2).encode())


def rollback(target: Target) -> int:
    """Put the version before in force.

    Raises:
        Refused: there is none.
    """
    _see_that_something_is_installed(target)
    with target.alone():
        versions = target.versions()
        if len(versions) < 2 or not target.complete(versions[1]):
            raise Refused("there is no earlier version in {}".format(target.root))
        target.switch(versions[1:])
    say("{} is in force again; {} stays installed".format(versions[1], versions[0]))
    return 0


def uninstall(target: Target) -> int:
    """Remove what was installed, and nothing else.

    Raises:
        Refused: nothing is installed, or a record was changed. Then nothing was removed.
    """
    _see_that_something_is_installed(target)
    with target.alone():
        begun = target.manifests()
        shared = {file for version, manifest in begun.items() for file in target.shared(version, manifest)}
        records = {version: target.files(version) for version in begun if target.complete(version)}
        ours = (("rung", _launches(target)), ("current", bool(target.versions())))
        for name in [name for name, made_here in ours if made_here]:
            target.tree.remove(name)
        for name in ("current", "rung"):
            target.tree.remove(name + NEW)
        _remove_shared(target, shared)
        for version, manifest in begun.items():
            _remove_version(target, manifest, records.get(version))
        for name in target.tree.tree("versions").names():
            _remove_nothing(target, name)
        for name in ("models/blobs", "models/names", "models", "versions"):
            target.tree.remove(name, _FOLDER_MARK)
        target.tree.remove(".lock")
    with contextlib.suppress(OSError):
        target.root.rmdir()
    left = _left(target.root)
    if left:
        say("removed; left, because it was not installed or was changed since: {}".format(", ".join(left)))
    else:
        say("removed")
    return 0


def _see_that_something_is_installed(target: Target) -> None:
    if not target.root.is_dir() or target.tree.kind("versions") != "a folder":
        raise Refused("nothing is installed in {}".format(target.root))


def _left(root: Path) -> List[str]:
    found = sorted(os.path.join(folder, name) for folder, below, files in os.walk(str(root)) for name in below + files)
    more = len(found) - MOST_CLAUSES
    return found[:MOST_CLAUSES] + (["and {:,} more".format(more)] if more > 0 else [])


def _take_back(target: Target, manifest: Manifest) -> None:
    """Remove what a failed installation has written, and nothing that another version uses."""
    used = {f.path for version, it in target.manifests().items() if version != manifest.version for f in it.files}
    with contextlib.suppress(Refused):
        shared = target.shared(manifest.version, manifest)
        _remove_shared(target, {file for file in shared if file.path not in used})
    _remove_version(target, manifest, None)


def _remove_shared(target: Target, files: Iterable[File]) -> None:
    for file in files:
        target.tree.remove(file.path, file_mark(file.size, file.sha256))
        target.tree.remove(file.path + NEW)


def _empty(home: Tree, manifest: Manifest) -> None:
    """Remove what an unfinished installation has put into its folder. There is no list yet, but the names are known."""
    ours = {file.path.split("/")[0] for file in manifest.files if file.kind in ("file", "wheel")}
    for name in home.names():
        folders = name in ("python", "bin", "wheels", "licences") and home.kind(name) == "a folder"
        files = name.split(NEW)[0] in ours | {"acceptance.json", FILES} and home.kind(name) == ""
        if folders or files or (name in (SHARED + NEW, MANIFEST + NEW) and home.kind(name) == ""):
            home.clear(name)


def _remove_version(target: Target, manifest: Manifest, record: Optional[Dict[str, str]]) -> None:
    """Remove the folder of a version.

    Args:
        target: where it is installed.
        manifest: the version's manifest.
        record: what is in its folder; `None` if it was never complete.
    """
    home = target.home(manifest.version)
    if record is None:
        _empty(home, manifest)
    else:
        folders = sorted((path for path, mark in record.items() if mark == _FOLDER_MARK), reverse=True)
        for path, mark in record.items():
            if mark != _FOLDER_MARK:
                home.remove(path, mark)
        for path in folders:
            home.sweep(path)
            home.remove(path, _FOLDER_MARK)
    # the manifest goes last: if this is cut off, it still identifies the rest as ours
    for name in (SHARED, FILES, MANIFEST):
        home.remove(name)
    _remove_nothing(target, manifest.version)


def _remove_nothing(target: Target, version: str) -> None:
    """Remove the folder of a version if it is empty, or was cut off before its manifest was there."""
    if re.fullmatch(_VERSION + "-[0-9a-f]{12}", version, re.ASCII):
        home = target.home(version)
        if target.tree.kind("versions/" + version) == "a folder" and home.names() == [MANIFEST + NEW]:
            home.remove(MANIFEST + NEW)
        target.tree.remove("versions/" + version, _FOLDER_MARK)


def say(text: str) -> None:
    """A line for the person."""
    sys.stderr.write(visible(text) + "\n")


def main(arguments: Optional[List[str]] = None) -> int:
    """Do what the command line says. Returns an exit code."""
    parser = argparse.ArgumentParser(description="Install the rung kit that this file lies beside, without a network.")
    parser.add_argument("--target", metavar="DIR", default=str(Path.home() / "rung"), help="where to (%(default)s)")
    parser.add_argument("--base", metavar="DIR", help="folder of the kit that this one builds on")
    parser.add_argument("--check", action="store_true", help="check kit and machine; run and install nothing")
    parser.add_argument("--rollback", action="store_true", help="go back to the version before")
    parser.add_argument("--uninstall", action="store_true", help="remove what was installed")
    chosen = parser.parse_args(arguments)
    here = Path(__file__).resolve().parent
    try:
        target = Target(Path(chosen.target).expanduser().resolve())
    except RuntimeError as error:
        say("install.py: --target {}: {}".format(chosen.target, error))
        return 1
    try:
        if chosen.check:
            say("{} is whole and made for this machine".format(check(here).version))
            return 0
        if chosen.rollback:
            return rollback(target)
        if chosen.uninstall:
            return uninstall(target)
        return install(here, target, Path(chosen.base) if chosen.base else None)
    except Refused as refused:
        say("install.py: {}".format(refused))
    except RecursionError:
        say("install.py: {}: folders are nested too deeply".format(target.root))
    except OSError as error:
        say("install.py: {}: {}".format(error.filename or "the disk", error.strerror or error))
    except KeyboardInterrupt:
        say("interrupted")
    return 1


if __name__ == "__main__":
    sys.exit(main())
