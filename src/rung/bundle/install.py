"""Installs the kit that this file lies beside: checks all of it and this machine first, and opens no connection.

    python3 install.py --target DIR     install, and make this version the one in force
    python3 install.py --rollback       go back to the version before
    python3 install.py --uninstall      remove what was installed, and nothing else

Standard library only, and written for old Pythons too, so that a wrong one is named and not a syntax error.

    DIR/rung                    starts the version in force
    DIR/current                 names it, and below it the ones before
    DIR/versions/ID/            one version: an environment, rung.toml, rung.lock, what `rung doctor` said
    DIR/models/                 weights, each once whatever versions use them

Exit codes: 0 done, 1 refused or failed (the version in force is as before), 3 installed, but `rung doctor` complains.
"""

import argparse
import configparser
import contextlib
import hashlib
import io
import json
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 1 << 20
LOADABLE = ("libgomp.so.1", "libstdc++.so.6", "libgcc_s.so.1")


class Refused(Exception):
    """The kit, the machine or the target is not as it must be. The message says what, in one clause."""


class Part(NamedTuple):
    """A piece of the archive."""

    name: str
    size: int
    sha256: str


class File(NamedTuple):
    """A file of the archive; `carried` is false for weights that only the base has."""

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
    """What a kit holds; `sha256` is of the manifest itself, `base` that of the kit whose weights are left out."""

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
        Refused: it is missing, damaged, of another format, or names a path that leaves the target.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
        beside = (folder / (MANIFEST + ".sha256")).read_text("ascii", "replace").split()[:1]
    except OSError as error:
        raise Refused("{} holds no kit: {} can't be read".format(folder, error.filename))
    actual = hashlib.sha256(content).hexdigest()
    if beside != [actual]:
        raise Refused("{} is damaged: its sha256 is not the one in {}.sha256".format(MANIFEST, MANIFEST))
    try:
        values = json.loads(content.decode("utf-8"))
        if values["format"] != FORMAT:
            raise Refused("this kit has the format {}, and this program reads {}".format(values["format"], FORMAT))
        found = Manifest(
            actual,
            values["rung"],
            Machine(**values["machine"]),
            values["base"],
            values["installer"],
            [Part(**part) for part in values["parts"]],
            [File(**file) for file in values["files"]],
        )
    except (ValueError, TypeError, KeyError):
        raise Refused("{} is no manifest that this program can read".format(MANIFEST))
    for path in [found.version] + [part.name for part in found.parts]:
        if "/" in safe(path):
            raise Refused("the path {!r} in the manifest is not allowed".format(path))
    for file in found.files:
        safe(file.path)
    return found


def safe(path: str) -> str:
    """A path of an archive that stays where it is unpacked.

    Raises:
        Refused: it doesn't, on this system or another.
    """
    pieces = path.split("/")
    if any(piece in ("", ".", "..") for piece in pieces) or re.search(r"[\\:\x00-\x1f]", path):
        raise Refused("the path {!r} in the archive leads out of the target".format(path))
    return path


def sha256_of(source: BinaryIO, sink: Optional[BinaryIO] = None) -> str:
    """The hash of what is left of a file, copied into `sink` on the way."""
    digest = hashlib.sha256()
    for piece in iter(lambda: source.read(CHUNK), b""):
        digest.update(piece)
        if sink is not None:
            sink.write(piece)
    return digest.hexdigest()


def damaged_parts(folder: Path, manifest: Manifest) -> List[str]:
    """What is wrong with the parts of the archive; a clause for each."""
    found = []
    for part in manifest.parts:
        path = folder / part.name
        if not path.is_file():
            found.append("{} is missing".format(part.name))
        elif path.stat().st_size != part.size:
            found.append("{} has {:,} bytes instead of {:,}".format(part.name, path.stat().st_size, part.size))
        else:
            with path.open("rb") as source:
                actual = sha256_of(source)
            if actual != part.sha256:
                found.append("{} is damaged: its sha256 is {}, not {}".format(part.name, actual, part.sha256))
    return found


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
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place of the whole."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1] if self._ends else 0}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """The place in the whole."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read from one part, at most to its end."""
        number = next((n for n, end in enumerate(self._ends) if self._at < end), None)
        if number is None:
            return 0
        if self._open[0] != number:
            self._close()
            self._open = (number, self._paths[number].open("rb"))
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


@contextlib.contextmanager
def archive(folder: Path, manifest: Manifest) -> Iterator[Iterator[Tuple[File, BinaryIO]]]:
    """The carried files in their order, each with its bytes.

    Raises:
        Refused: the archive holds something else than the manifest says.
    """
    with io.BufferedReader(Joined(folder, manifest.parts), CHUNK) as joined:
        try:
            with tarfile.open(fileobj=joined, mode="r:") as tar:
                yield _members(tar, manifest)
        except tarfile.TarError as error:
            raise Refused("the archive is damaged: {}".format(error))


def _members(tar: tarfile.TarFile, manifest: Manifest) -> Iterator[Tuple[File, BinaryIO]]:
    awaited = [file for file in manifest.files if file.carried]
    for member in tar:
        safe(member.name)
        if not member.isreg():
            raise Refused("{!r} in the archive is no ordinary file".format(member.name))
        if not awaited or (member.name, member.size) != awaited[0][:2]:
            raise Refused("{!r} in the archive is not what the manifest says".format(member.name))
        source: Any = tar.extractfile(member)
        yield awaited.pop(0), source
    if awaited:
        raise Refused("{!r} is missing in the archive".format(awaited[0].path))


def unfit(machine: Machine) -> List[str]:
    """Why this machine can't run a kit; a clause for each reason."""
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
    found += ["{} is missing on this system".format(name) for name in machine.libraries if not _loads(name)]
    return found


def cpu_flags() -> Optional[Set[str]]:
    """The instruction sets of this processor in the kernel's spelling; `None` where the system doesn't tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))), None)


def _numbers(version: str) -> List[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _loads(library: str) -> bool:
    import ctypes

    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


class Target:
    """Where kits are installed.

    Args:
        root: absolute; made by the first installation.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def home(self, version: str) -> Path:
        """The folder of a version."""
        return self.root / "versions" / version

    def complete(self, version: str) -> bool:
        """Whether a version was installed to its end."""
        return (self.home(version) / "files.json").is_file()

    def versions(self) -> List[str]:
        """The version in force, then the ones before."""
        try:
            return (self.root / "current").read_text("ascii").split()
        except OSError:
            return []

    def switch(self, versions: List[str]) -> None:
        """Put the first version in force, at once."""
        write_whole(self.root / "current", "".join(version + "\n" for version in versions).encode())

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """See that nobody else installs here at the same time."""
        import fcntl

        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused("another installation into {} is running".format(self.root))
            yield


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a small file at once, also for a power cut."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(mode)
    fresh.replace(path)


def check(folder: Path) -> Manifest:
    """The manifest of a kit that is whole and made for this machine.

    Raises:
        Refused: it isn't; every reason is named.
    """
    manifest = read_manifest(folder)
    wrong = unfit(manifest.machine) + damaged_parts(folder, manifest)
    if wrong:
        raise Refused("; ".join(wrong))
    with archive(folder, manifest) as members:
        for _ in members:
            pass
    return manifest


def install(folder: Path, target: Target, base: Optional[Path]) -> int:
    """Check everything, then install the kit in `folder` and put it in force.

    Raises:
        Refused: something is wrong; the version in force is as before.
    """
    manifest = check(folder)
    kits = [(folder, manifest), *_base(base)]
    lacking = [file for file in manifest.files if file.kind == "weights" and not _there(target, file)]
    carried = {file.sha256 for _, kit in kits for file in kit.files if file.carried}
    for file in lacking:
        if file.sha256 not in carried:
            text = "{} is only in the kit {} that this one builds on: install that first, or name it with --base"
            raise Refused(text.format(file.path, str(manifest.base)[:12]))
    _check_space(target, manifest, lacking)
    with target.alone():
        complete = target.complete(manifest.version)
        try:
            _write_shared(target, manifest, kits, lacking)
            if not complete:
                _write_version(target, manifest, folder)
        except BaseException:
            if not complete:
                _remove_version(target, manifest.version)
            raise
        earlier = [version for version in target.versions() if version != manifest.version]
        _write_launcher(target)
        target.switch([manifest.version, *earlier])
    record = json.loads((target.home(manifest.version) / "acceptance.json").read_text("utf-8"))
    say("installed {}: start it with {}".format(manifest.version, target.root / "rung"))
    if record["exit_code"] == 0:
        return 0
    say("`rung doctor` complains: see {}".format(target.home(manifest.version) / "acceptance.json"))
    return 3


def _base(base: Optional[Path]) -> List[Tuple[Path, Manifest]]:
    if base is None:
        return []
    manifest = read_manifest(base)
    wrong = damaged_parts(base, manifest)
    if wrong:
        raise Refused("; ".join("{}: {}".format(base, text) for text in wrong))
    return [(base, manifest)]


def _there(target: Target, file: File) -> bool:
    path = target.root / file.path
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as source:
        return sha256_of(source) == file.sha256


def _check_space(target: Target, manifest: Manifest, lacking: List[File]) -> None:
    # unpacked wheels take about three times their size
    needed = sum(file.size for file in lacking) + 4 * sum(f.size for f in manifest.files if f.kind != "weights")
    there = next(path for path in (target.root, *target.root.parents) if path.exists())
    free = shutil.disk_usage(str(there)).free
    if free < needed:
        raise Refused("{} has {:,} bytes free, and {:,} are needed".format(target.root, free, needed))


def _write_shared(target: Target, manifest: Manifest, kits: List[Tuple[Path, Manifest]], lacking: List[File]) -> None:
    """Put weights, and the names of weights, beside the versions."""
    home = target.home(manifest.version)
    missing = {file.path for file in lacking}
    missing |= {file.path for file in manifest.files if file.kind == "name" and not (target.root / file.path).exists()}
    home.mkdir(parents=True, exist_ok=True)
    # written before the files themselves and kept after a kill, so that none is left that nobody would remove
    write_whole(home / "shared.json", json.dumps(sorted(missing.union(_shared(home)))).encode())
    for folder, kit in kits:
        with archive(folder, kit) as members:
            for file, source in members:
                if file.path in missing:
                    _unpack(source, file, target.root / file.path)


def _write_version(target: Target, manifest: Manifest, folder: Path) -> None:
    """Make the folder of a version; the list of its files comes last, and with it the version is complete."""
    import venv

    home = target.home(manifest.version)
    for old in home.iterdir():
        if old.name != "shared.json":
            shutil.rmtree(str(old)) if old.is_dir() else old.unlink()
    venv.EnvBuilder(with_pip=False, symlinks=True).create(str(home / "python"))
    with archive(folder, manifest) as members:
        for file, source in members:
            if file.kind not in ("weights", "name"):
                _unpack(source, file, home / file.path)
    for file in manifest.files:
        if file.kind == "wheel":
            unzip(home / file.path, home / "python")
            (home / file.path).unlink()
    (home / "wheels").rmdir()
    write_whole(home / MANIFEST, (folder / MANIFEST).read_bytes())
    _write_starter(target, home)
    _accept(home, manifest)
    paths = (path for path in home.rglob("*") if _is_link(path) or not path.is_dir())
    owned = sorted(path.relative_to(home).as_posix() for path in paths if path.suffix != ".pyc")
    os.sync()
    write_whole(home / "files.json", json.dumps(owned).encode())


def _is_link(path: Path) -> bool:
    return stat.S_ISLNK(os.lstat(str(path)).st_mode)


def _shared(home: Path) -> List[str]:
    """What a version put beside its own folder."""
    try:
        found: List[str] = json.loads((home / "shared.json").read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return found


def _unpack(source: BinaryIO, file: File, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as sink:
        actual = sha256_of(source, sink)
        sink.flush()
        os.fsync(sink.fileno())
    if actual != file.sha256:
        fresh.unlink()
        raise Refused("{} in the archive is damaged".format(file.path))
    fresh.replace(path)


def unzip(wheel: Path, environment: Path) -> None:
    """Install one wheel into an environment, as the wheel specification says; needs no pip.

    Raises:
        Refused: a path in it leads out of the environment, or it is no wheel.
    """
    version = "python{}.{}".format(*sys.version_info[:2])
    site = environment / "lib" / version / "site-packages"
    stem = "-".join(wheel.name.split("-")[:2])
    places: Dict[str, Path] = {
        "purelib": site,
        "platlib": site,
        "scripts": environment / "bin",
        "data": environment,
        "headers": environment / "include" / "site" / version / stem.split("-")[0],
    }
    try:
        with zipfile.ZipFile(str(wheel)) as source:
            for info in source.infolist():
                if info.filename.endswith("/"):
                    continue
                pieces = safe(info.filename).split("/")
                if stat.S_ISLNK(info.external_attr >> 16):
                    raise Refused("{!r} in {} is no ordinary file".format(info.filename, wheel.name))
                place, script = site, False
                if len(pieces) > 2 and pieces[0].endswith(".data") and pieces[1] in places:
                    place, script, pieces = places[pieces[1]], pieces[1] == "scripts", pieces[2:]
                path = place.joinpath(*pieces)
                path.parent.mkdir(parents=True, exist_ok=True)
                with source.open(info) as member, path.open("wb") as sink:
                    shutil.copyfileobj(member, sink, CHUNK)
                if script:
                    _point(path, environment)
                elif pieces[0].endswith(".dist-info") and pieces[1:] == ["entry_points.txt"]:
                    _write_scripts(path.read_text("utf-8"), environment)
    except (zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise Refused("{} is no wheel: {}".format(wheel.name, error))


def _point(script: Path, environment: Path) -> None:
    content = script.read_bytes()
    if content.startswith(b"#!python"):
        script.write_bytes(_shebang(environment) + content.partition(b"\n")[2])
    script.chmod(0o755)


def _shebang(environment: Path) -> bytes:
    # by way of sh, because a kernel takes no blank and few characters after #!
    python = shlex.quote(str(environment / "bin" / "python"))
    return "#!/bin/sh\n'''exec' {} \"$0\" \"$@\"\n' '''\n".format(python).encode()


def _write_scripts(text: str, environment: Path) -> None:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # how configparser is told to keep the case
    parser.read_string(text)
    entries = parser.items("console_scripts") if parser.has_section("console_scripts") else []
    for name, value in entries:
        module, _, name_in_it = value.split("[")[0].strip().partition(":")
        if "/" in safe(name) or not re.match(r"[\w.]+$", module) or not re.match(r"[\w.]+$", name_in_it):
            raise Refused("the entry point {!r} is not allowed".format(name))
        code = "import sys\nfrom {} import {}\nsys.exit({}())\n".format(module, name_in_it.split(".")[0], name_in_it)
        path = environment / "bin" / name
        path.write_bytes(_shebang(environment) + code.encode())
        path.chmod(0o755)


def _write_starter(target: Target, home: Path) -> None:
    lines = [
        "#!/bin/sh",
        ': "${{RUNG_MODELS_DIR:={}}}"'.format(_inner(target.root / "models")),
        ': "${{RUNG_CONFIG:={}}}"'.format(_inner(home / "rung.toml")),
        "export RUNG_MODELS_DIR RUNG_CONFIG",
        'exec {} "$@"'.format(shlex.quote(str(home / "python" / "bin" / "rung"))),
    ]
    (home / "bin").mkdir()
    write_whole(home / "bin" / "rung", ("\n".join(lines) + "\n").encode(), 0o755)


def _inner(path: Path) -> str:
    """A path inside double quotes of the shell."""
    return re.sub(r'([\\"$`}])', r"\\\1", str(path))


def _write_launcher(target: Target) -> None:
    root = shlex.quote(str(target.root))
    text = '#!/bin/sh\nread -r version < {0}/current && exec {0}/versions/"$version"/bin/rung "$@"\n'.format(root)
    write_whole(target.root / "rung", text.encode(), 0o755)


def _accept(home: Path, manifest: Manifest) -> None:
    """Run `rung doctor --json` and keep what it says."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RUNG_", "PYTHON"))}
    command = [str(home / "bin" / "rung"), "doctor", "--json"]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=str(home), check=False
    )
    try:
        said = json.loads(ended.stdout.decode("utf-8"))
    except ValueError:
        reason = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise Refused("the installed rung doesn't start: {}".format(reason[0]))
    record = {"manifest_sha256": manifest.sha256, "exit_code": ended.returncode, "doctor": said}
    write_whole(home / "acceptance.json", json.dumps(record, indent=2).encode())


def rollback(target: Target) -> int:
    """Put the version before in force.

    Raises:
        Refused: there is none.
    """
    with target.alone():
        versions = target.versions()
        if len(versions) < 2 or not target.complete(versions[1]):
            raise Refused("there is no earlier version in {}".format(target.root))
        target.switch(versions[1:])
    say("{} is in force again; {} stays installed".format(versions[1], versions[0]))
    return 0


def uninstall(target: Target) -> int:
    """Remove what was installed, and nothing else."""
    if not (target.root / "versions").is_dir():
        raise Refused("nothing is installed in {}".format(target.root))
    with target.alone():
        for name in ("current", "rung", "current.new", "rung.new"):
            _unlink(target.root / name)
        for home in sorted((target.root / "versions").iterdir()):
            _remove_version(target, home.name)
        for name in ("models/blobs", "models/names", "models", "versions"):
            _rmdir(target.root / name)
        _unlink(target.root / ".lock")
    _rmdir(target.root)
    left = sorted(str(path) for path in target.root.rglob("*")) if target.root.exists() else []
    say("removed; left, because it was not installed: {}".format(", ".join(left)) if left else "removed")
    return 0


def _remove_version(target: Target, version: str) -> None:
    home = target.home(version)
    for path in _shared(home):
        if not any(path in _shared(other) for other in home.parent.iterdir() if other != home):
            _unlink(target.root / path)
        _unlink(target.root / (path + ".new"))
    if not target.complete(version):
        # never in force, so nobody but the installer has put anything there
        shutil.rmtree(str(home), ignore_errors=True)
        return
    for path in json.loads((home / "files.json").read_text("utf-8")):
        _unlink(home / path)
    _unlink(home / "files.json")
    folders = [path for path in home.rglob("*") if path.is_dir() and not _is_link(path)]
    for folder in folders:
        if folder.name == "__pycache__":
            shutil.rmtree(str(folder), ignore_errors=True)
    for folder in [*sorted(folders, reverse=True), home]:
        _rmdir(folder)


def _unlink(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _rmdir(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def say(text: str) -> None:
    """A line for the person."""
    sys.stderr.write(text + "\n")


def main(arguments: Optional[List[str]] = None) -> int:
    """Do what the command line says; an exit code."""
    parser = argparse.ArgumentParser(description="Install the rung kit that this file lies beside, without a network.")
    parser.add_argument("--target", metavar="DIR", default=str(Path.home() / "rung"), help="where to (%(default)s)")
    parser.add_argument("--base", metavar="DIR", help="folder of the kit that this one builds on")
    parser.add_argument("--check", action="store_true", help="check kit and machine, and install nothing")
    parser.add_argument("--rollback", action="store_true", help="go back to the version before")
    parser.add_argument("--uninstall", action="store_true", help="remove what was installed")
    chosen = parser.parse_args(arguments)
    target = Target(Path(chosen.target).expanduser().resolve())
    here = Path(__file__).resolve().parent
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
    except OSError as error:
        say("install.py: {}: {}".format(error.filename or "the disk", error.strerror or error))
    except KeyboardInterrupt:
        say("interrupted")
    return 1


if __name__ == "__main__":
    sys.exit(main())
