"""The wheels of a kit: rung's own, llama-cpp-python's, and what both need, in the versions that are installed here."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from rung.bundle.install import Refused, safe
from rung.bundle.platforms import Platform
from rung.errors import ConfigError, StoreError
from rung.limits import Cancel
from rung.paths import user_cache
from rung.store import children
from rung.writing import rename

LLAMA = "llama-cpp-python"
_QUIET = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COLOR": "1"}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MOST_METADATA = 16 << 20
"""Largest METADATA of a wheel in bytes. A long description with pictures takes some hundred thousand."""
_UNUSED = ("LLAVA_BUILD", "LLAMA_BUILD_TOOLS", "LLAMA_BUILD_EXAMPLES")
_BUILD_FLAGS = {
    "sse4_2": "GGML_SSE42",
    "avx": "GGML_AVX",
    "avx2": "GGML_AVX2",
    "bmi2": "GGML_BMI2",
    "f16c": "GGML_F16C",
    "fma": "GGML_FMA",
}
PORTABLE = {"x86_64": tuple(_BUILD_FLAGS)}
"""Instruction sets of a build if nobody names any, by processor. Those of x86-64-v3 are ten years old."""

EVERY = ("every",)
"""Named in place of instruction sets: a library for each kind of processor, of which llama.cpp takes the best one that
runs where it is."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on disk.

    Args:
        path: path of its file.
        metadata: its METADATA.
    """

    path: Path
    metadata: Message

    @classmethod
    def open(cls, path: Path) -> Wheel:
        """The wheel at `path`.

        Raises:
            ConfigError: it isn't a wheel.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.count("/") == 1 and n.endswith(".dist-info/METADATA"))
                if archive.getinfo(name).file_size > _MOST_METADATA:
                    raise ValueError(name)
                return cls(path, message_from_string(archive.read(name).decode("utf-8")))
        # RuntimeError: it is encrypted
        except (OSError, zipfile.BadZipFile, StopIteration, ValueError, RuntimeError):
            hint = "give a file that ends in .whl, as pip makes them"
            raise ConfigError(f"{path} is not a wheel", hint=hint) from None

    @property
    def name(self) -> str:
        """Name of the package, in the index's spelling."""
        return canonicalize_name(str(self.metadata["Name"]))

    @property
    def version(self) -> str:
        """Version of the package."""
        return str(self.metadata["Version"])


@dataclass(frozen=True, slots=True)
class WantedWheels:
    """Which wheels a kit must have.

    Args:
        platform: the platform that they run on.
        given: wheels that the person gives.
        folder: folder of all others; `None` asks the package index.
        native: whether llama-cpp-python is taken as it is installed here.
        cpu: instruction sets that a build may use, as the kernel spells them, or `EVERY`.
        scratch: a folder for files that are fetched or made.
        cancel: ends the gathering.
        tell: told about steps that take long.
    """

    platform: Platform
    given: tuple[Path, ...]
    folder: Path | None
    native: bool
    cpu: tuple[str, ...]
    scratch: Path
    cancel: Cancel
    tell: Callable[[str], None]


def gather(wanted: WantedWheels) -> list[Wheel]:
    """Every wheel of a kit, by name.

    Raises:
        ConfigError: there is no wheel of llama-cpp-python for the platform, or a file that was given isn't a wheel.
        StoreError: pip doesn't find a wheel.
        Cancelled: the making of the kit was cancelled.
    """
    given = {wheel.name: wheel.path for wheel in map(Wheel.open, (*_found(wanted.folder), *wanted.given))}
    own = given.pop("rung", None) or _rung(wanted)
    llama = given.pop(LLAMA, None) or _llama(wanted)
    named = [wheel.resolve() for wheel in wanted.given if wheel not in (own, llama)]
    constraints = wanted.scratch / "constraints.txt"
    # what was tested here is what the kit carries; this also makes two kits of one environment equal
    constraints.write_text("".join(f"{line}\n" for line in sorted(_installed())), encoding="utf-8")
    target = wanted.scratch / "wheels"
    target.mkdir()
    options = ["--only-binary=:all:", "--dest", str(target), "--constraint", str(constraints)]
    options += wanted.platform.options
    if wanted.folder is not None:
        options += ["--no-index", "--find-links", str(wanted.folder.resolve())]
    wanted.tell("collecting the packages")
    _pip(["download", *options, *(str(path) for path in (own, llama, *named))], wanted, "fetch the packages")
    return sorted((Wheel.open(path) for path in target.glob("*.whl")), key=lambda wheel: wheel.name)


def _found(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}", hint="give one with wheels in it")
    return [path for path in sorted(folder.glob("*.whl")) if _package_of(path) in ("rung", LLAMA)]


def _package_of(wheel: Path) -> str | None:
    """The package of a wheel, from the name of its file; `None` if that doesn't tell."""
    try:
        return parse_wheel_filename(wheel.name)[0]
    except InvalidWheelFilename:
        return None


def _installed() -> set[str]:
    """Every package that is installed here but rung and llama-cpp-python, as pip pins it."""
    found = {}
    for it in distributions():
        # without the description below the headers: parsing those of a hundred packages takes longer than a kit
        text = it.read_text("METADATA") or it.read_text("PKG-INFO") or it.read_text("") or ""
        headers = message_from_string(text.partition("\n\n")[0])
        if headers["Name"]:
            found[canonicalize_name(headers["Name"])] = headers["Version"]
    return {f"{name}=={version}" for name, version in found.items() if name not in ("rung", LLAMA)}


def _rung(wanted: WantedWheels) -> Path:
    """A wheel of the running rung: built from a checkout, or packed again if rung is installed."""
    root = Path(__file__).parents[3]
    if not (root / "pyproject.toml").is_file():
        return repack(distribution("rung"), wanted.scratch)
    made = wanted.scratch / "rung"
    _pip(["wheel", "--no-deps", "--wheel-dir", str(made), str(root)], wanted, "build rung's own wheel")
    return next(made.glob("*.whl"))


def _llama(wanted: WantedWheels) -> Path:
    platform = wanted.platform
    if not platform.here:
        raise ConfigError(
            f"llama-cpp-python can't be built here for {platform.tag}", hint="build it there and give it with --wheel"
        )
    try:
        installed = distribution(LLAMA)
    except PackageNotFoundError:
        raise ConfigError("llama-cpp-python isn't installed here", hint="give its wheel with --wheel") from None
    if wanted.native:
        return repack(installed, wanted.scratch)
    return _built(installed.version, wanted)


def cmake_arguments(cpu: tuple[str, ...]) -> str:
    """The settings of a build that uses these instruction sets and no others, on whatever machine it is built.

    Args:
        cpu: instruction sets as the kernel spells them, or `EVERY`.

    Raises:
        ConfigError: the build has no switch for one of them.
    """
    unknown = [] if cpu == EVERY else [flag for flag in cpu if flag not in _BUILD_FLAGS]
    if unknown:
        raise ConfigError(
            f"no build setting exists for {', '.join(unknown)}",
            hint=f"name some of {', '.join(_BUILD_FLAGS)}, or '{EVERY[0]}' alone",
        )
    chosen = {switch: flag in cpu for flag, switch in _BUILD_FLAGS.items()}
    every = {"GGML_BACKEND_DL": True, "GGML_CPU_ALL_VARIANTS": True}
    switches = {"GGML_NATIVE": False, **(every if cpu == EVERY else chosen)}
    switches.update(dict.fromkeys(_UNUSED, False))
    return " ".join(f"-D{name}={'ON' if on else 'OFF'}" for name, on in switches.items())


def _built(version: str, wanted: WantedWheels) -> Path:
    """A portable build, kept for later kits."""
    named = wanted.platform.machine in PORTABLE or wanted.cpu == EVERY
    settings = cmake_arguments(wanted.cpu) if named else "-DGGML_NATIVE=OFF"
    key = hashlib.sha256(
        f"{version} {settings} {wanted.platform.system} {wanted.platform.machine}".encode()
    ).hexdigest()[:16]
    cache = user_cache() / "wheels" / key
    kept = sorted(cache.glob("*.whl"))
    if kept:
        return kept[0]
    target = "each kind of processor" if wanted.cpu == EVERY else ", ".join(wanted.cpu) or "any processor"
    wanted.tell(f"building llama-cpp-python {version} for {target}: some minutes")
    made = wanted.scratch / "llama"
    options = ["--no-deps", "--no-binary", LLAMA, "--no-cache-dir", "--wheel-dir", str(made)]
    # a fixed date makes the build the same each time; the instruction sets that it would turn off are named above
    environment = {"CMAKE_ARGS": settings, "SOURCE_DATE_EPOCH": "315532800"}
    _pip(["wheel", *options, f"{LLAMA}=={version}"], wanted, "build llama-cpp-python", environment)
    wheel = next(made.glob("*.whl"))
    rename_across(wheel, cache / wheel.name)
    return cache / wheel.name


def rename_across(source: Path, target: Path) -> None:
    """Give a file its name when it is complete, even if it comes from another disk."""
    fresh = target.with_name(f"{target.name}.new")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_bytes(source.read_bytes())
    rename(fresh, target)


def repack(installed: Distribution, folder: Path) -> Path:
    """The wheel that an installed package came from, made again from its files. The same files make the same bytes.

    Raises:
        StoreError: the installation doesn't say which files it has.
    """
    name = installed.name
    tags = message_from_string(installed.read_text("WHEEL") or "").get_all("Tag", [])
    files = sorted(path for path in installed.files or () if _packed(path.as_posix()))
    if not tags or not files:
        raise StoreError(f"the installed {name} doesn't say which files it has", hint="give its wheel with --wheel")
    path = folder / f"{name.replace('-', '_')}-{installed.version}-{_joined(tags)}.whl"
    lines = io.StringIO()
    record = csv.writer(lines, lineterminator="\n")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            content = Path(str(installed.locate_file(file))).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.writerow((file.as_posix(), f"sha256={digest}", len(content)))
            _add(archive, file.as_posix(), content)
        info = next(file.parts[0] for file in files if file.parts[0].endswith(".dist-info"))
        record.writerow((f"{info}/RECORD", "", ""))
        _add(archive, f"{info}/RECORD", lines.getvalue().encode())
    return path


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)


def _packed(path: str) -> bool:
    """Whether a file of an installation comes from its wheel, and not from the program that installed it."""
    try:
        safe(path)
    except Refused:
        # scripts are at ../../../bin; and a list may name files that have no business in a kit
        return False
    made = ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json", ".pyc")
    return not (path.endswith(made) and (".dist-info/" in path or ".pyc" in path))


def _joined(tags: list[str]) -> str:
    parts = [tag.split("-") for tag in tags]
    return "-".join(".".join(dict.fromkeys(part[i] for part in parts)) for i in range(3))


def _pip(arguments: list[str], wanted: WantedWheels, purpose: str, environment: dict[str, str] | None = None) -> None:
    if importlib.util.find_spec("pip") is None:
        raise StoreError("pip is missing in this Python", hint="install it, for example with `python -m ensurepip`")
    ended = children.run(
        ["pip", *arguments],
        scratch=wanted.scratch,
        environment={**_QUIET, **(environment or {})},
        cancel=wanted.cancel,
        tick=lambda: None,
    )
    if ended.code:
        raise StoreError(
            f"pip could not {purpose}: {ended.said}",
            hint="check that the package index can be reached; if it has no such wheel of an installed version, "
            "collect others in a folder and name it with --wheels",
        )
